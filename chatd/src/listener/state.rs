//! What is known of one HTTP connection at a moment, and when the wait for it ends.
//!
//! Invariant: an answer whose reader has all there is so far gives no reason to end the connection, and none to keep
//! waiting for those that lie there.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::HEADER_TIMEOUT;
use super::course::{FIRST_WORD, Patience};

/// A client that is waited for longer than this, to take of an answer or to send of a body, counts as idle where its place
/// is needed.
pub(super) const HELD_UP: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct State {
    pub(super) running: usize,
    /// Whether there has been a request.
    pub(super) asked: bool,
    pub(super) quiet_since: Instant,
    /// When the first byte of a request came that has not begun to run.
    pub(super) begun: Option<Instant>,
    /// HTTP/2, where bytes need not belong to a request.
    pub(super) multiplexed: bool,
    /// Whether the next read first looks at what the kernel has.
    pub(super) look: bool,
    /// Whether the last request had more to say than was read.
    pub(super) unread: bool,
    /// Answers on their way.
    pub(super) sending: usize,
    /// Those of them whose reader has everything there is so far.
    pub(super) parked: usize,
    /// Their bytes.
    pub(super) held: usize,
    /// When some of an answer was last taken, or the first of those on their way began to go.
    pub(super) taken: Instant,
    /// Answers given up by the client since it last took some of one.
    pub(super) abandoned: u32,
    /// Since when more of a body is waited for.
    pub(super) awaited: Option<Instant>,
    /// Since when the socket takes nothing of what is written, be it the end of an answer that the library has taken whole.
    pub(super) blocked: Option<Instant>,
    /// Whether the next write is tried although the socket does not say that it takes more.
    pub(super) doubt: bool,
    /// Whether there was a request since somebody asked.
    pub(super) used: bool,
    /// Whether the connection ends at once.
    pub(super) is_dismissed: bool,
    /// Whether it ends when nothing runs, because its place is needed.
    pub(super) gives_way: bool,
    /// The socket, when the HTTP library is done with it.
    pub(super) left: Option<TcpStream>,
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            running: 0,
            asked: false,
            quiet_since: now,
            begun: None,
            multiplexed: false,
            look: false,
            unread: false,
            sending: 0,
            parked: 0,
            held: 0,
            taken: now,
            abandoned: 0,
            awaited: None,
            blocked: None,
            doubt: false,
            used: false,
            is_dismissed: false,
            gives_way: false,
            left: None,
        }
    }

    pub(super) fn run(&mut self, multiplexed: bool) {
        self.running += 1;
        (self.asked, self.begun, self.unread, self.used) = (true, None, false, true);
        self.multiplexed |= multiplexed;
    }

    /// Whoever gives up one answer after the other without taking any of them has the less time for the next one.
    pub(super) fn haste(&self) -> u32 {
        1 << self.abandoned.min(8)
    }

    pub(super) fn sends(&mut self, bytes: usize, now: Instant) {
        // Another answer gives no more time for those that wait.
        if !self.has_waiting() {
            self.taken = now;
        }
        self.sending += 1;
        self.held += bytes;
    }

    /// Whether some of an answer waits for the client.
    pub(super) fn has_waiting(&self) -> bool {
        self.sending > self.parked
    }

    pub(super) fn parks(&mut self, is_parked: bool, now: Instant) {
        if is_parked {
            self.parked += 1;
            return;
        }
        if !self.has_waiting() {
            self.taken = now;
        }
        self.parked -= 1;
    }

    pub(super) fn took(&mut self, now: Instant) {
        (self.taken, self.abandoned) = (now, 0);
    }

    pub(super) fn sent(&mut self, bytes: usize, whole: bool) {
        self.sending -= 1;
        self.held -= bytes;
        self.abandoned = if whole { 0 } else { self.abandoned.saturating_add(1) };
    }

    /// Whether the client is waited for, and has been for a while, although something runs.
    pub(super) fn is_held_up(&self) -> bool {
        let is_long = |since: Instant| since.elapsed() > HELD_UP;
        let waits = self.awaited.is_some_and(is_long) || self.blocked.is_some_and(is_long);
        (self.has_waiting() && is_long(self.taken)) || waits
    }

    pub(super) fn is_new(&self) -> bool {
        !self.asked && self.quiet_since.elapsed() < FIRST_WORD
    }

    pub(super) fn ran(&mut self, now: Instant) {
        self.running -= 1;
        self.quiet_since = now;
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if self.running == 0 && !self.multiplexed {
            self.begun.get_or_insert(now);
        }
    }

    /// When the wait for a request ends; `None` while one runs.
    pub(super) fn end(&self, patience: Patience) -> Option<Instant> {
        match self.begun {
            _ if self.is_dismissed => Some(self.quiet_since),
            _ if self.has_waiting() => Some(self.taken + patience.stalled / self.haste()),
            // What runs meanwhile is the next request, which the library answers once this one is gone.
            _ if self.blocked.is_some() => self.blocked.map(|since| since + patience.stalled),
            _ if self.running > 0 => None,
            _ if self.gives_way => Some(self.quiet_since),
            Some(begun) if !self.multiplexed => Some(begun + HEADER_TIMEOUT),
            _ if self.asked => Some(self.quiet_since + patience.idle),
            _ => Some(self.quiet_since + HEADER_TIMEOUT),
        }
    }
}
