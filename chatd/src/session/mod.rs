//! One WebSocket connection from its handshake to its end, as a state machine: bytes and events in, frames and requests
//! out. It has no socket, no timer and no task of its own; see [`crate::workers`] for who owns it.
//!
//! Invariant: one request of a connection is worked on at a time, in the order they came, or one run of messages, which
//! are stored one behind the other; meanwhile its pushes still go out, and nothing it does or fails to do holds up
//! another connection. A request that was taken is answered before the close, whichever side closes.

mod command;
mod done;
mod hearing;
mod login;
mod marking;
mod observing;
mod pace;
mod parting;
mod request;
mod told;
mod yielding;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use hearing::{Heard, heard};
use pace::Pace;
use request::Framed;
use tokio::sync::Semaphore;
use told::Told;

pub use self::done::{Done, Pending};
pub use self::login::recoveries;
pub use self::parting::Stage;
use crate::auth::Auth;
use crate::bans::Bans;
use crate::broker::Log;
use crate::chat::Chat;
use crate::config::Scopes;
use crate::conversations::Conversations;
use crate::counters::Counters;
use crate::groups::Groups;
use crate::hub::bell::Rope;
use crate::hub::{Connection, Hub};
use crate::marks::Marks;
use crate::marks::standing::Standing;
use crate::membership::subscriptions::{Membership, Observation, Subscriptions};
use crate::ops::Table;
use crate::presence::registry::Registry;
use crate::quota::Quotas;
use crate::transport::ending::{End, Violation};
use crate::transport::reader::Reader;
use crate::transport::writer::{Flushed, Outlet, Writer};
use crate::worlds::Gate;

/// Requests answered, or messages stored together, before the answers are written and other connections get their turn.
const REQUESTS_PER_TURN: u32 = 16;

/// What every connection of a node shares.
pub struct Sessions {
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Which topics are followed.
    pub subscriptions: Arc<Subscriptions>,
    /// Who is online.
    pub registry: Arc<Registry>,
    /// For `msg`.
    pub chat: Arc<Chat>,
    /// For `typing`.
    pub marks: Arc<Marks>,
    /// For `watch`.
    pub standing: Arc<Standing>,
    /// For who logs in.
    pub auth: Arc<Auth>,
    /// For every other command.
    pub operations: Arc<Table>,
    /// Which groups a user follows.
    pub groups: Arc<dyn Groups>,
    /// For recovery.
    pub broker: Arc<dyn Log>,
    /// Who may not come in.
    pub bans: Arc<dyn Bans>,
    /// Which apps there may be.
    pub gate: Arc<Gate>,
    /// To tell of what else is new.
    pub conversations: Arc<dyn Conversations>,
    /// How much anybody may ask.
    pub quotas: Arc<Quotas>,
    /// Log-ins that read what was missed, at a time.
    pub recoveries: Arc<Semaphore>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Bytes of one WebSocket message at most.
    pub max_frame_bytes: usize,
}

/// State of one connection.
pub struct Session {
    shared: Arc<Sessions>,
    connection: Arc<Connection>,
    membership: Option<Membership>,
    /// What the operator who logged in as the user may do; none for the users themselves.
    scopes: Option<Scopes>,
    seldom: Option<Box<Seldom>>,
    told: Told,
    reader: Reader,
    writer: Writer,
    kept: Option<Box<Kept>>,
    /// What was read behind a run of messages that is being stored.
    next: Option<Box<Next>>,
    bytes_in: u64,
    /// Whether a request is worked on.
    is_busy: bool,
    /// That request, when it is done here.
    running: Option<Pending>,
    /// Whether what is kept is the beginning of a frame.
    is_short: bool,
    /// Whether the client sends nothing more.
    is_hung_up: bool,
    /// Whether nothing more is taken.
    is_at_end: bool,
    was_blocked: bool,
    stage: Stage,
    end: Option<Box<End>>,
}

/// What few sessions have.
#[derive(Default)]
struct Seldom {
    /// How fast it asks, since its first request under a limit.
    pace: Pace,
    /// Instead of a user's, its stay as one that reads along.
    observation: Option<Observation>,
}

/// What came and was not taken yet, from `at` on.
struct Kept {
    bytes: Vec<u8>,
    at: usize,
}

/// What was read and is no message to be stored: it waits for those that came before it.
enum Next {
    Answered(Framed),
    Waiting(Pending),
    Close(Option<(u16, String)>),
    Broken(Violation),
    /// The client has hung up, and this was all.
    End,
}

impl Session {
    /// A connection whose handshake is done, with the bytes that came together with it.
    #[must_use]
    pub fn new(shared: Arc<Sessions>, rope: Rope, peer: SocketAddr, read_ahead: &[u8]) -> Self {
        let connection = shared.hub.open_from(rope, peer);
        Self {
            told: Told::new(connection.clone(), shared.hub.now_ms()),
            shared,
            connection,
            membership: None,
            scopes: None,
            seldom: None,
            reader: Reader::default(),
            writer: Writer::default(),
            kept: keep(read_ahead),
            next: None,
            bytes_in: read_ahead.len() as u64,
            is_busy: false,
            running: None,
            is_short: read_ahead.is_empty(),
            is_hung_up: false,
            is_at_end: false,
            was_blocked: false,
            stage: Stage::Open,
            end: None,
        }
    }

    /// What the session does from now on rings nothing, because its owner is going to [`Session::look`].
    pub fn quiet(&self) {
        self.connection.outbox.quiet();
    }

    /// Called before what waits is written: what changes from now on rings anew.
    pub fn look(&mut self) {
        self.connection.outbox.look();
        // It may have had news that rang nothing.
        self.run();
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether to write although the socket does not say that it takes more: before its reader is given up.
    #[must_use]
    pub fn insists(&self, now: Instant) -> bool {
        let is_over = matches!(self.stage, Stage::Parting { until, .. } if until <= now);
        is_over || self.connection.is_in_doubt()
    }

    /// Whether a request is worked on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether requests are taken now. Of a client that does not read its answers nothing more is taken.
    #[must_use]
    pub fn listens(&self) -> bool {
        !self.is_busy && matches!(self.stage, Stage::Open) && self.connection.outbox.has_room()
    }

    /// Whether there may be a request among what came before.
    #[must_use]
    pub fn has_kept(&self) -> bool {
        self.next.is_some() || (self.kept.is_some() && !self.is_short)
    }

    /// Takes bytes of the client, and requests from them until one has to wait. Bytes behind that are kept, so nothing
    /// should be read while the session does not listen. A request that may be much work is given: it is to be awaited
    /// where that disturbs nobody, and to be brought back by [`Session::done`].
    pub fn receive(&mut self, bytes: &mut [u8]) -> Option<Pending> {
        self.bytes_in += bytes.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.bytes.drain(..std::mem::take(&mut kept.at));
            kept.bytes.extend_from_slice(bytes);
            return self.resume();
        }
        let mut at = 0;
        let pending = self.listen(bytes, &mut at);
        if !self.is_at_end {
            self.kept = keep(&bytes[at..]);
        }
        pending
    }

    /// Goes on with what was kept, and gives the same.
    pub fn resume(&mut self) -> Option<Pending> {
        let Some(mut kept) = self.kept.take() else { return self.listen(&mut [], &mut 0) };
        let pending = self.listen(&mut kept.bytes, &mut kept.at);
        if kept.at < kept.bytes.len() && !self.is_at_end {
            self.kept = Some(kept);
        }
        pending
    }

    /// The client sends nothing more; one that still listens gets its answers.
    pub fn hang_up(&mut self) {
        self.is_hung_up = true;
        if !self.has_kept() {
            self.left();
        }
    }

    /// Takes requests until one has to wait. Messages behind each other are stored together.
    fn listen(&mut self, input: &mut [u8], at: &mut usize) -> Option<Pending> {
        self.is_short = false;
        if let Some(pending) = self.next.take().and_then(|next| self.follow(*next)) {
            return Some(pending);
        }
        let mut run = Vec::new();
        for _ in 0..REQUESTS_PER_TURN {
            if self.is_at_end || !self.connection.outbox.has_room() {
                break;
            }
            let next = match self.reader.next(input, at, self.shared.max_frame_bytes) {
                Ok(Some(received)) => {
                    self.shared.hub.heard(&self.connection);
                    match heard(self, received) {
                        Heard::Message(message) => {
                            run.push(*message);
                            continue;
                        }
                        Heard::Next(next) => next,
                        Heard::Nothing => continue,
                    }
                }
                Ok(None) => {
                    self.is_short = true;
                    match self.is_hung_up {
                        true => Next::End,
                        false => break,
                    }
                }
                Err(violation) => Next::Broken(violation),
            };
            if !run.is_empty() {
                self.next = Some(Box::new(next));
                break;
            }
            if let Some(pending) = self.follow(next) {
                return Some(pending);
            }
            if self.is_short {
                break;
            }
        }
        if !run.is_empty() {
            self.is_busy = true;
            self.running = Some(command::store(self.shared.clone(), run));
            self.run();
        }
        None
    }

    /// Does what came, now that it is its turn.
    fn follow(&mut self, next: Next) -> Option<Pending> {
        match next {
            Next::Answered(answer) => _ = self.connection.outbox.answer(answer.frame),
            Next::Waiting(pending) => {
                self.is_busy = true;
                return Some(pending);
            }
            Next::Close(close) => {
                self.confirm(close.as_ref().map(|(code, reason)| (*code, reason.as_str())));
            }
            Next::Broken(violation) => self.fail(violation),
            Next::End => self.left(),
        }
        None
    }

    /// Goes on with a request that the session keeps to itself. The rope rings when there may be more of it to do.
    pub fn run(&mut self) {
        let Some(running) = &mut self.running else { return };
        let waker = Waker::from(self.connection.clone());
        if let Poll::Ready(done) = running.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.running = None;
            self.done(done);
        }
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self, socket: &mut impl Outlet, now: Instant) -> io::Result<Flushed> {
        let outbox = &self.connection.outbox;
        let flushed = self.writer.flush(socket, |frames, max| outbox.take(frames, max))?;
        let is_blocked = flushed == Flushed::Blocked;
        let has_moved = self.writer.has_moved();
        if has_moved || is_blocked != self.was_blocked {
            self.shared.hub.wrote(&self.connection, is_blocked);
            self.was_blocked = is_blocked;
        }
        self.stage.wrote(has_moved, now);
        Ok(flushed)
    }
}

fn keep(bytes: &[u8]) -> Option<Box<Kept>> {
    (!bytes.is_empty()).then(|| Box::new(Kept { bytes: bytes.to_vec(), at: 0 }))
}

#[cfg(test)]
mod tests;
