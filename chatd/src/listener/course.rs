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

/// A client that keeps to the time it was told does not meet the end of it.
const GRACE: Duration = Duration::from_secs(2);

/// Requests of one connection that are worked on at a time.
const TURNS: usize = 4;
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

/// See the module.
pub struct Course {
    patience: Patience,
    dismissed: Notify,
    turns: Semaphore,
    freed: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// Whether there has been a request.
    asked: bool,
    quiet_since: Instant,
    /// When the first byte of a request came that has not begun to run.
    begun: Option<Instant>,
    /// HTTP/2, where bytes need not belong to a request.
    multiplexed: bool,
    /// Whether the next read first looks at what the kernel has.
    look: bool,
    /// Whether the last request had more to say than was read.
    unread: bool,
    /// Answers on their way.
    sending: usize,
    /// Their bytes.
    held: usize,
    /// When some of an answer was last taken.
    taken: Instant,
    /// Whether there was a request since somebody asked.
    used: bool,
    /// Whether the place is needed.
    is_dismissed: bool,
    /// The socket, when the HTTP library is done with it.
    left: Option<TcpStream>,
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            running: 0,
            asked: false,
            quiet_since: now,
            begun: None,
            multiplexed: false,
            look: false,
            unread: false,
            sending: 0,
            held: 0,
            taken: now,
            used: false,
            is_dismissed: false,
            left: None,
        }
    }

    fn run(&mut self, multiplexed: bool) {
        self.running += 1;
        (self.asked, self.begun, self.unread, self.used) = (true, None, false, true);
        self.multiplexed |= multiplexed;
    }

    fn ran(&mut self, now: Instant) {
        self.running -= 1;
        self.quiet_since = now;
    }

    fn heard(&mut self, now: Instant) {
        if self.running == 0 && !self.multiplexed {
            self.begun.get_or_insert(now);
        }
    }

    /// When the wait for a request ends; `None` while one runs.
    fn end(&self, patience: Patience) -> Option<Instant> {
        match self.begun {
            _ if self.is_dismissed => Some(self.quiet_since),
            _ if self.sending > 0 => Some(self.taken + patience.stalled),
            _ if self.running > 0 => None,
            Some(begun) if !self.multiplexed => Some(begun + HEADER_TIMEOUT),
            _ if self.asked => Some(self.quiet_since + patience.idle),
            _ => Some(self.quiet_since + HEADER_TIMEOUT),
        }
    }
}

/// A request on its way through the router.
pub struct Running(Arc<Course>);

impl Course {
    /// The course of a new connection.
    pub fn new(patience: Patience) -> Self {
        let state = Mutex::new(State::new(Instant::now()));
        let patience = Patience { idle: patience.idle + GRACE, ..patience };
        let (dismissed, freed) = (Notify::new(), Notify::new());
        Self { patience, dismissed, turns: Semaphore::new(TURNS), freed, state }
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

    /// Makes the next read look at what the kernel has, because the news of it may be on its way.
    pub fn look(&self) {
        self.state.lock().look = true;
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
        let mut state = self.state.lock();
        state.sending += 1;
        state.held += bytes;
        state.taken = Instant::now();
    }

    /// Some of an answer was taken.
    pub fn took(&self) {
        self.state.lock().taken = Instant::now();
    }

    /// An answer of so many bytes is gone, or given up.
    pub fn sent(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.sending -= 1;
        state.held -= bytes;
        drop(state);
        self.freed.notify_waiters();
    }

    /// Bytes of answers that are not wholly taken.
    pub fn held(&self) -> usize {
        self.state.lock().held
    }

    /// Whether an answer is on its way.
    pub fn is_sending(&self) -> bool {
        self.state.lock().sending > 0
    }

    /// Whether the connection is idle and was since the last call.
    pub fn may_go(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::take(&mut state.used) && state.running == 0
    }

    /// Ends the connection at once: its place is needed.
    pub fn dismiss(&self) {
        self.state.lock().is_dismissed = true;
        self.dismissed.notify_one();
    }

    /// Whether the place is needed.
    pub fn is_dismissed(&self) -> bool {
        self.state.lock().is_dismissed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().ran(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(75), stalled: Duration::from_secs(20) };

    fn seconds_to_end(state: &State, start: Instant) -> Option<u64> {
        state.end(PATIENCE).map(|end| (end - start).as_secs())
    }

    #[test]
    fn a_new_connection_has_ten_seconds_and_a_used_one_the_keep_alive_time() {
        let start = Instant::now();
        let mut state = State::new(start);
        assert_eq!(seconds_to_end(&state, start), Some(10));
        state.run(false);
        assert_eq!(seconds_to_end(&state, start), None);
        state.ran(start + Duration::from_secs(1000));
        assert_eq!(seconds_to_end(&state, start), Some(1075));
    }

    #[test]
    fn a_request_that_has_begun_has_ten_seconds_from_its_first_byte() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.run(false);
        state.heard(start);
        state.ran(start);
        assert_eq!(seconds_to_end(&state, start), Some(75), "what came while it ran was its own");
        for second in [74, 80, 83] {
            state.heard(start + Duration::from_secs(second));
            assert_eq!(seconds_to_end(&state, start), Some(84));
        }
    }

    #[test]
    fn an_answer_has_twenty_seconds_from_the_last_of_it_that_was_taken() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.run(false);
        state.sending = 1;
        for second in [0, 19, 1000] {
            state.taken = start + Duration::from_secs(second);
            assert_eq!(seconds_to_end(&state, start), Some(second + 20));
        }
        state.sending = 0;
        assert_eq!(seconds_to_end(&state, start), None, "the request runs");
    }

    #[tokio::test]
    async fn nothing_more_is_done_for_who_leaves_its_answers_waiting() {
        let course = Course::new(PATIENCE);
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            turns.push(course.turn().now_or_never().expect("a turn"));
        }
        assert!(course.turn().now_or_never().is_none(), "enough are worked on");
        course.sends(MARK + 1);
        turns.clear();
        let waiting = course.turn();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        course.sent(MARK + 1);
        assert!(waiting.now_or_never().flatten().is_some());
    }

    #[test]
    fn a_connection_may_go_once_it_was_idle_for_a_while() {
        let course = Arc::new(Course::new(PATIENCE));
        let running = course.run(false);
        assert!(!course.may_go() && !course.may_go());
        drop(running);
        assert!(course.may_go());
        drop(course.run(false));
        assert!(!course.may_go(), "it was used since");
        assert!(course.may_go());
    }

    #[test]
    fn what_http2_says_between_requests_begins_none() {
        let start = Instant::now();
        let mut state = State::new(start);
        state.heard(start);
        state.run(true);
        state.ran(start);
        state.heard(start + Duration::from_secs(1));
        assert_eq!(seconds_to_end(&state, start), Some(75));
    }
}
