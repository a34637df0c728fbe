//! A client of the relay: its socket, what it asks for and what it is told.
//!
//! Invariant: bytes leave in the order in which they were said; who does not take them is let go, and nobody else is
//! told less.

use std::io::{ErrorKind, Read, Write};

use chat_protocol::envelope::{Answer, Request};
use chat_protocol::session::{LOGIN, Login, MSG, Msg, Push, Receipt};
use chat_protocol::{MsgId, Target, UserId};
use mio::net::TcpStream;
use serde::Serialize;

use crate::net::frames::{self, FromClient};
use crate::scenario::floor::hall::{Hall, TAIL, json};
use crate::scenario::floor::http;

/// A client that does not read so many bytes is let go.
const MOST_BACKLOG: usize = 64 * 1024 * 1024;

/// A connected client.
pub struct Client {
    tcp: TcpStream,
    is_upgraded: bool,
    /// App and user, once logged in.
    pub identity: Option<(u32, UserId)>,
    input: Vec<u8>,
    /// How much of it was understood.
    read: usize,
    output: Vec<u8>,
    /// How much of it was written.
    written: usize,
    is_blocked: bool,
    /// Whether it is let go once all is written.
    pub ends: bool,
}

/// What a client asks for.
pub enum Asked {
    /// This is the answer.
    Answered(Vec<u8>),
    /// To be in; the answer to it.
    Login(Vec<u8>),
    /// To send.
    Message(Message),
    /// To end.
    Close,
    /// Nothing.
    Nothing,
}

/// A message of a client.
pub struct Message {
    pub app: u32,
    pub target: Target,
    /// Its push up to the number.
    pub head: String,
    pub seq: String,
    pub msg_id: MsgId,
}

impl Client {
    /// A client that has said nothing yet.
    pub fn new(tcp: TcpStream) -> Self {
        let (input, output, identity) = Default::default();
        let (is_upgraded, is_blocked, ends) = Default::default();
        Self { tcp, is_upgraded, identity, input, read: 0, output, written: 0, is_blocked, ends }
    }

    /// The socket, for the registry.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Takes what the socket has; false when there will be no more.
    pub fn hear(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.tcp.read(buffer) {
                Ok(0) => return false,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// The next thing it asks for; `None` when the rest of it is still to come.
    ///
    /// # Errors
    /// What the client did wrong.
    pub fn next(&mut self, hall: &Hall) -> Result<Option<Asked>, &'static str> {
        let rest = &self.input[self.read..];
        if !self.is_upgraded {
            let Some(answered) = http::answer(rest, hall)? else { return Ok(self.wait()) };
            self.read += answered.length;
            self.is_upgraded = answered.is_upgrade;
            return Ok(Some(Asked::Answered(answered.answer.into_bytes())));
        }
        let Some(FromClient { text, length, is_close }) = frames::parse_masked(rest)? else {
            return Ok(self.wait());
        };
        self.read += length;
        match text.is_empty() {
            true => Ok(Some(if is_close { Asked::Close } else { Asked::Nothing })),
            false => self.ask(&text).map(Some),
        }
    }

    fn wait<T>(&mut self) -> Option<T> {
        self.input.drain(..std::mem::take(&mut self.read));
        self.input.shrink_to(2 * self.input.len());
        None
    }

    fn ask(&mut self, text: &[u8]) -> Result<Asked, &'static str> {
        let request: Request<'_> = serde_json::from_slice(text).map_err(|_| "no request")?;
        let data = request.data.map_or("null", |data| data.get());
        match (&*request.cmd, &self.identity) {
            (LOGIN, None) => {
                let login: Login = serde_json::from_str(data).map_err(|_| "no log-in")?;
                self.identity = Some((login.app_id, login.user_id));
                Ok(Asked::Login(frame(&Answer::success(&request.seq, LOGIN, None::<()>))))
            }
            (MSG, Some((app, user))) => {
                let msg: Msg = serde_json::from_str(data).map_err(|_| "no message")?;
                let (target, content, msg_id) = msg.parts();
                let msg_id =
                    msg_id.or_else(|| MsgId::new(&request.seq).ok()).ok_or("a message without a name")?;
                let (from, epoch) = (user.clone(), "floor".to_owned());
                let push = Push { target: target.clone(), content, from, msg_id, offset: 0, epoch, time: 1 };
                let push_text = json(&Answer::push(push.msg_id.as_str(), MSG, &push));
                let head = push_text.strip_suffix(TAIL).and_then(|head| head.strip_suffix('0'));
                let head = head.ok_or("a message whose number is not at its end")?.to_owned();
                let seq = request.seq.to_string();
                Ok(Asked::Message(Message { app: *app, target, head, seq, msg_id: push.msg_id }))
            }
            (cmd, _) => Ok(Asked::Answered(frame(&Answer::success(&request.seq, cmd, None::<()>)))),
        }
    }

    /// Puts bytes behind all that was said; true when somebody has to call [`Client::write`].
    pub fn say(&mut self, bytes: &[u8]) -> bool {
        let is_first = self.output.is_empty();
        self.output.extend_from_slice(bytes);
        is_first || self.backlog() > MOST_BACKLOG
    }

    /// As [`Client::say`], but the socket gets at once what it takes, so that most of it need not be copied.
    pub fn tell(&mut self, bytes: &[u8]) -> bool {
        // What went wrong is found when the rest is written.
        let written = if self.output.is_empty() { self.tcp.write(bytes).unwrap_or(0) } else { 0 };
        written < bytes.len() && self.say(&bytes[written..])
    }

    fn backlog(&self) -> usize {
        self.output.len() - self.written
    }

    /// Notes that the socket takes bytes; true when it did not and some wait.
    pub fn unblock(&mut self) -> bool {
        std::mem::take(&mut self.is_blocked)
    }

    /// Writes what the socket takes; false when the client is to be let go.
    pub fn write(&mut self) -> bool {
        while self.backlog() > 0 {
            match self.tcp.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return self.backlog() <= MOST_BACKLOG;
                }
                Err(_) => return false,
            }
        }
        (self.output, self.written) = Default::default();
        !self.ends
    }
}

/// The answer to a message with this number.
pub fn receipt(seq: &str, msg_id: MsgId, offset: u64) -> Vec<u8> {
    let epoch = "floor".to_owned();
    frame(&Answer::success(seq, MSG, Some(Receipt { msg_id, offset, epoch, time: 1, duplicate: false })))
}

fn frame(answer: &impl Serialize) -> Vec<u8> {
    frames::unmasked_text(json(answer).as_bytes())
}
