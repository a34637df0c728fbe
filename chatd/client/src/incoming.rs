//! Frames from the server, decoded: an answer to a request, or a push.
//!
//! Invariant: a frame that is neither is an error, never skipped in silence.

use chat_protocol::envelope::Incoming;
use serde_json::Value;

use crate::error::Error;
use crate::session::Pushed;

/// What a frame holds.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The server's own accord.
    Push(Pushed),
    /// The answer to the request with this `seq`.
    Answer {
        /// The request's.
        seq: String,
        /// Its `data`, or the refusal.
        outcome: Result<Value, Error>,
    },
}

/// Decodes a frame of `server`.
///
/// # Errors
/// [`Error::NotChatd`].
pub(crate) fn read(server: &str, frame: &str) -> Result<Frame, Error> {
    let not_chatd = |cause: String| Error::NotChatd { server: server.to_owned(), cause };
    let incoming: Incoming<'_> =
        serde_json::from_str(frame).map_err(|error| not_chatd(format!("{error} in frame {frame:?}")))?;
    let data = match incoming.response.data {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|error| not_chatd(error.to_string()))?,
        None => Value::Null,
    };
    let is_push = incoming.is_push();
    let seq = incoming.seq.into_owned();
    if is_push {
        return Ok(Frame::Push(Pushed { seq, cmd: incoming.cmd.into_owned(), data }));
    }
    let outcome = if incoming.response.code == 200 {
        Ok(data)
    } else {
        let retry_after_ms = data.get("retryAfterMs").and_then(Value::as_u64);
        let reason = incoming.response.code_msg.into_owned();
        Err(Error::Refused { code: incoming.response.code, reason, retry_after_ms })
    };
    Ok(Frame::Answer { seq, outcome })
}
