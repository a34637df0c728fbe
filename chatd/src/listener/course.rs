//! How one HTTP connection goes: whether a request runs, has begun to arrive, or is waited for.
//!
//! Invariant: a connection is given up only when no request runs and none has begun to arrive, when one that began did
//! not become whole in its time, when a client takes nothing of its answers for a while, or when its place is needed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::HEADER_TIMEOUT;
use super::state::State;

/// A client that keeps to the time it was told does not meet the end of it.
const GRACE: Duration = Duration::from_secs(2);

/// Time in which a new connection keeps its place, so that its first request can come.
pub const FIRST_WORD: Duration = Duration::from_millis(100);
/// Bytes of answers that a client may leave waiting before nothing more is done for it.
const MARK: usize = 1024 * 1024;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between two requests.
    pub idle: Duration,
    /// For any of an answer to be taken. How long the whole of it takes does not matter.
    pub stalled: Duration,
}

/// State of one HTTP connection, seen from outside of the HTTP library.
pub struct Course {
    patience: Patience,
    dismissed: Notify,
    turns: Semaphore,
    freed: Notify,
    state: Mutex<State>,
}

/// A request on its way through the router.
pub struct Running(Arc<Course>);

impl Course {
    /// The course of a new connection, of which so many requests are worked on at a time.
    pub fn new(patience: Patience, turns: usize) -> Self {
        let state = Mutex::new(State::new(Instant::now()));
        let patience = Patience { idle: patience.idle + GRACE, ..patience };
        let (dismissed, freed) = (Notify::new(), Notify::new());
        Self { patience, dismissed, turns: Semaphore::new(turns), freed, state }
    }

    /// A request begins to run.
    pub fn run(self: &Arc<Self>, multiplexed: bool) -> Running {
        self.state.lock().run(multiplexed);
        Running(self.clone())
    }

    /// Bytes came.
    pub fn heard(&self) {
        self.state.lock().heard(Instant::now());
    }

    /// What a client sends of the request that runs will not be read to its end.
    pub fn leaves_unread(&self) {
        self.state.lock().unread = true;
    }

    /// Keeps the socket if somebody has to read on from it.
    pub fn leave(&self, tcp: TcpStream) {
        let mut state = self.state.lock();
        if state.unread {
            state.left = Some(tcp);
        }
    }

    /// The socket from which somebody has to read on.
    pub fn left(&self) -> Option<TcpStream> {
        self.state.lock().left.take()
    }

    /// Returns when the connection seems to have ceased. Bytes may lie in the kernel all the same: [`Course::look`],
    /// poll the connection, and ask [`Course::has_ceased`].
    pub async fn ceased(&self) {
        loop {
            let now = Instant::now();
            let end = self.end();
            if end.is_some_and(|end| end <= now) {
                return;
            }
            // What begins meanwhile has an end of its own, which lies no nearer than this.
            let next = now + self.patience.idle.min(self.patience.stalled).min(HEADER_TIMEOUT);
            tokio::select! {
                () = tokio::time::sleep_until(end.map_or(next, |end| end.min(next))) => {}
                () = self.dismissed.notified() => {}
            }
        }
    }

    /// Makes the next read look at what the kernel has, because the news of it may be on its way, and the next write try
    /// whether the kernel has a little room, of which there is no news.
    pub fn look(&self) {
        let mut state = self.state.lock();
        (state.look, state.doubt) = (true, true);
    }

    /// Whether the next write is to try; it does so once.
    pub fn is_to_try(&self) -> bool {
        std::mem::take(&mut self.state.lock().doubt)
    }

    /// Whether the next read is to look; it does so once.
    pub fn is_to_look(&self) -> bool {
        std::mem::take(&mut self.state.lock().look)
    }

    /// Whether there is nothing left to wait for.
    pub fn has_ceased(&self) -> bool {
        self.end().is_some_and(|end| end <= Instant::now())
    }

    fn end(&self) -> Option<Instant> {
        self.state.lock().end(self.patience)
    }

    /// The right to work on a request, once the client has taken most of the answers before it.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.turns.acquire().await.ok()?;
        loop {
            let freed = self.freed.notified();
            if self.held() <= MARK {
                return Some(turn);
            }
            freed.await;
        }
    }

    /// So many bytes of an answer begin to go.
    pub fn sends(&self, bytes: usize) {
        self.state.lock().sends(bytes, Instant::now());
    }

    /// The reader of an answer has everything there is so far, or there is more for them again.
    pub fn parks(&self, is_parked: bool) {
        self.state.lock().parks(is_parked, Instant::now());
    }

    /// Some of an answer was taken.
    pub fn took(&self) {
        self.state.lock().took(Instant::now());
    }

    /// The socket takes nothing, or takes something again.
    pub fn blocked(&self, is_blocked: bool) {
        let mut state = self.state.lock();
        match is_blocked {
            true => _ = state.blocked.get_or_insert_with(Instant::now),
            false => state.blocked = None,
        }
    }

    /// More of the body of a request is waited for, or not any longer.
    pub fn awaits(&self, waits: bool) {
        let mut state = self.state.lock();
        if waits {
            state.awaited.get_or_insert_with(Instant::now);
        } else {
            state.awaited = None;
        }
    }

    /// An answer of so many bytes is gone, whole or given up.
    pub fn sent(&self, bytes: usize, whole: bool) {
        let mut state = self.state.lock();
        state.sent(bytes, whole);
        let is_over = state.gives_way;
        drop(state);
        self.freed.notify_waiters();
        if is_over {
            self.dismissed.notify_one();
        }
    }

    /// Bytes of answers that are not wholly taken.
    pub fn held(&self) -> usize {
        self.state.lock().held
    }

    /// Whether an answer, or the end of one, is on its way.
    pub fn is_sending(&self) -> bool {
        let state = self.state.lock();
        state.has_waiting() || state.blocked.is_some()
    }

    /// Whether the connection is idle and was since the last call; what waits for the client counts as idle after a while.
    pub fn may_go(&self) -> bool {
        let mut state = self.state.lock();
        let is_used = std::mem::take(&mut state.used);
        state.is_held_up() || (!is_used && state.running == 0 && !state.is_new())
    }

    /// Whether the first request may still be on its way.
    pub fn is_new(&self) -> bool {
        self.state.lock().is_new()
    }

    /// As if it had come earlier.
    #[cfg(test)]
    pub fn age(&self, by: Duration) {
        let mut state = self.state.lock();
        (state.quiet_since, state.taken) = (state.quiet_since - by, state.taken - by);
        state.awaited = state.awaited.map(|since| since - by);
        state.blocked = state.blocked.map(|since| since - by);
    }

    /// Ends the connection as soon as nothing runs: its place is needed. What the client has sent is answered, unless it is
    /// the client that is waited for.
    pub fn give_way(&self) {
        let mut state = self.state.lock();
        state.gives_way = true;
        state.is_dismissed |= state.is_held_up();
        drop(state);
        self.dismissed.notify_one();
    }

    /// Whether the connection ends with a request that has only begun to come.
    pub fn is_cut_off(&self) -> bool {
        let state = self.state.lock();
        state.is_dismissed || (state.gives_way && state.begun.is_some())
    }

    /// Whether the connection ends because others need what it holds.
    pub fn is_sent_away(&self) -> bool {
        let state = self.state.lock();
        state.is_dismissed || state.gives_way
    }

    /// Ends the connection at once.
    pub fn dismiss(&self) {
        self.state.lock().is_dismissed = true;
        self.dismissed.notify_one();
    }

    /// Whether the connection ends at once.
    pub fn is_dismissed(&self) -> bool {
        self.state.lock().is_dismissed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ran(Instant::now());
        if state.gives_way {
            self.0.dismissed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
