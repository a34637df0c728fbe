//! What a client's frame says: a message, a request, a close, or nothing to do.
//!
//! Invariant: JSON in a binary frame is read as in a text frame; what cannot be read is answered.

use std::time::Instant;

use chat_protocol::{Code, Refusal};

use super::command::{self, Started};
use super::{Next, Session, request};
use crate::transport::reader::Received;

/// What the client said.
pub(super) enum Heard {
    /// A message that is to be stored, perhaps together with the next ones.
    Message(Box<command::Message>),
    /// Something else.
    Next(Next),
    /// Nothing to do.
    Nothing,
}

/// What a frame says.
pub(super) fn heard(session: &mut Session, received: Received<'_>) -> Heard {
    let started = match received {
        Received::Text(text) => command::start(session, &text),
        Received::Binary(bytes) => match str::from_utf8(&bytes) {
            Ok(text) => command::start(session, text),
            Err(_) => command::unreadable(session, request::refusal("", "", &not_json()), Instant::now()),
        },
        // A pong may overtake answers.
        Received::Ping(content) => {
            session.writer.pong(content);
            return Heard::Nothing;
        }
        Received::Close(close) => {
            let close = close.map(|(code, reason)| (code, reason.to_owned()));
            return Heard::Next(Next::Close(close));
        }
        Received::Other => return Heard::Nothing,
    };
    match started {
        Started::Answered(answer) => Heard::Next(Next::Answered(answer)),
        Started::Message(message) => Heard::Message(message),
        Started::Waiting(pending) => Heard::Next(Next::Waiting(pending)),
    }
}

fn not_json() -> Refusal {
    Refusal::new(Code::BadParameter, "not UTF-8; a request is JSON")
}
