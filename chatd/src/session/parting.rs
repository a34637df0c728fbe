//! How a connection ends: the answer that is still owed, then what waits, then the close, and a while for the client to
//! close too.
//!
//! Invariant: each of these has an end in time, however little the client does; the first reason to end is the one that
//! is told.

use std::io;
use std::time::{Duration, Instant};

use chat_protocol::code::close;

use super::Session;
use super::told::Why;
use crate::counters::Limit;
use crate::hub::outbox::Close;
use crate::transport::ending::{End, LOST, Traffic, Violation, unsaid};

/// Seconds in which a connection that is being closed may take nothing of what is left for it.
const FAREWELL_S: u8 = 5;
/// The same for one that was waited for already.
const SHORT_FAREWELL_S: u8 = 2;
/// How long the request that is worked on keeps a close waiting.
const ANSWER: Duration = Duration::from_secs(4);

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Requests are taken.
    Open,
    /// It ends once its last request is answered, or then.
    Answering(Instant),
    /// What waits is written. It is given up then, unless something is taken meanwhile.
    Parting {
        /// Seconds in which a client may take nothing.
        patience_s: u8,
        /// Until when it has to take something.
        until: Instant,
    },
    /// All is said: what the client still sends is dropped until it closes, or until then.
    Draining {
        /// Seconds that a client may take to close.
        patience_s: u8,
        /// Until when it has to close.
        until: Instant,
    },
    /// The socket can go.
    Over,
}

impl Stage {
    /// Whether the client has taken something.
    pub(super) fn wrote(&mut self, has_moved: bool, now: Instant) {
        if let Stage::Parting { patience_s, until } = self
            && has_moved
        {
            *until = after(now, *patience_s);
        }
    }

    /// When it ends of itself.
    #[must_use]
    pub fn until(self) -> Option<Instant> {
        match self {
            Stage::Answering(until) | Stage::Parting { until, .. } | Stage::Draining { until, .. } => {
                Some(until)
            }
            Stage::Open | Stage::Over => None,
        }
    }
}

fn after(now: Instant, seconds: u8) -> Instant {
    now + Duration::from_secs(seconds.into())
}

impl Session {
    /// How far the connection is now. `makes_room`: the socket should be able to hold so many bytes more than it does,
    /// for a client that does not read; without that, one who reads at last may find the connection gone.
    pub fn go_on(&mut self, now: Instant, makes_room: impl FnOnce(usize)) -> Stage {
        let outbox = &self.connection.outbox;
        match self.stage {
            Stage::Open if outbox.is_closing() && self.is_busy && outbox.takes_answers() => {
                // Whoever is given up as too slow does not hear it any more.
                self.stage = Stage::Answering(now + ANSWER);
            }
            Stage::Open if outbox.is_closing() || (self.is_at_end && !self.is_busy) => {
                self.part(now, makes_room)
            }
            Stage::Answering(until) if !self.is_busy || !outbox.takes_answers() || until <= now => {
                self.part(now, makes_room);
            }
            Stage::Parting { until, .. } | Stage::Draining { until, .. } if until <= now => {
                self.stage = Stage::Over
            }
            _ => {}
        }
        self.stage
    }

    /// Out of the rooms, and then the last words.
    fn part(&mut self, now: Instant, makes_room: impl FnOnce(usize)) {
        if let Some(membership) = self.membership.take() {
            self.told.speaks_for(membership.identity());
        }
        self.observes_no_more();
        self.counts_no_more();
        self.connection.parts();
        (self.is_busy, self.running, self.is_at_end) = (false, None, true);
        (self.kept, self.next) = (None, None);
        let mut patience_s = FAREWELL_S;
        match self.connection.outbox.closing() {
            Some(Close { code: code @ close::SLOW_CONSUMER, reason }) => {
                patience_s = SHORT_FAREWELL_S;
                // Only the rest of a frame that is partly gone stands before the close.
                self.told.drops(self.writer.cut());
                makes_room(self.writer.unwritten().bytes);
                self.writer.close(code, &reason);
            }
            Some(Close { code, reason }) => self.writer.close(code, &reason),
            None => {}
        }
        self.stage = Stage::Parting { patience_s, until: after(now, patience_s) };
    }

    /// All that is to be said was written, and the socket says nothing more.
    pub fn said_all(&mut self, now: Instant) {
        if let Stage::Parting { patience_s, .. } = self.stage {
            self.stage = Stage::Draining { patience_s, until: after(now, patience_s) };
        }
    }

    /// The connection broke.
    pub fn lost(&mut self, error: &io::Error) {
        self.note(unsaid::NO_CLOSE, LOST, error.to_string());
        self.stage = Stage::Over;
    }

    /// The request that was worked on ended without an answer.
    pub fn failed(&mut self) {
        if self.is_busy {
            self.note(unsaid::NO_CLOSE, "a request failed", String::new());
            self.stage = Stage::Over;
        }
    }

    /// The client has closed, or does not matter any more.
    pub fn over(&mut self) {
        self.stage = Stage::Over;
    }

    /// The client left without a close.
    pub(super) fn left(&mut self) {
        self.note(unsaid::NO_CLOSE, "the client left without a close", String::new());
        self.is_at_end = true;
    }

    pub(super) fn confirm(&mut self, close: Option<(u16, &str)>) {
        let (code, detail) = close.map_or((unsaid::NO_CODE, ""), |(code, reason)| (code, reason));
        self.note(code, "closed by the client", detail.to_owned());
        self.writer.confirm_close(close.map(|(code, _)| code));
        self.is_at_end = true;
    }

    pub(super) fn fail(&mut self, Violation { code, reason, detail }: Violation) {
        if code == close::TOO_BIG {
            self.shared.quotas.count(Limit::MaxFrameBytes);
        }
        self.writer.close(code, reason);
        self.note(code, reason, detail.to_owned());
        self.is_at_end = true;
    }

    /// The first end stays. Whoever is lost after we have closed was closed by us.
    fn note(&mut self, code: u16, reason: &'static str, detail: String) {
        if code == unsaid::NO_CLOSE && self.connection.outbox.is_closing() {
            return;
        }
        self.end.get_or_insert_with(|| Box::new(End { code, reason, detail }));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(membership) = self.membership.take() {
            self.told.speaks_for(membership.identity());
        }
        let closing = self.connection.outbox.closing();
        let why = Why::of(self.end.as_deref(), closing.as_ref());
        let (bytes_out, frames_out) = (self.writer.bytes(), self.writer.frames());
        self.shared.counters.closes.add(why.code);
        let traffic = Traffic { bytes_in: self.bytes_in, bytes_out, frames_out };
        self.told.ended(
            self.shared.hub.now_ms(),
            &why,
            traffic,
            self.connection.outbox.left() + self.writer.unwritten(),
            self.shared.hub.journal(),
        );
        self.shared.hub.close(&self.connection);
    }
}
