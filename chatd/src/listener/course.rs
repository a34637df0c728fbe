//! How one HTTP connection goes: whether a request runs, has begun to arrive, or is waited for.
//!
//! Invariant: a connection is given up only when no request runs and none has begun to arrive, or when one that began
//! did not become whole in its time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::HEADER_TIMEOUT;

/// A client that keeps to the time it was told does not meet the end of it.
const GRACE: Duration = Duration::from_secs(2);

/// See the module.
pub struct Course {
    keep_alive: Duration,
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
            left: None,
        }
    }

    fn run(&mut self, multiplexed: bool) {
        self.running += 1;
        (self.asked, self.begun, self.unread) = (true, None, false);
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
    fn end(&self, keep_alive: Duration) -> Option<Instant> {
        match self.begun {
            _ if self.running > 0 => None,
            Some(begun) if !self.multiplexed => Some(begun + HEADER_TIMEOUT),
            _ if self.asked => Some(self.quiet_since + keep_alive),
            _ => Some(self.quiet_since + HEADER_TIMEOUT),
        }
    }
}

/// A request on its way through the router.
pub struct Running(Arc<Course>);

impl Course {
    /// The course of a new connection that may be idle for `keep_alive` between two requests.
    pub fn new(keep_alive: Duration) -> Self {
        Self { keep_alive: keep_alive + GRACE, state: Mutex::new(State::new(Instant::now())) }
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
            let next = now + self.keep_alive.min(HEADER_TIMEOUT);
            tokio::time::sleep_until(end.map_or(next, |end| end.min(next))).await;
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
        self.state.lock().end(self.keep_alive)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().ran(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    fn seconds_to_end(state: &State, start: Instant) -> Option<u64> {
        state.end(IDLE).map(|end| (end - start).as_secs())
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
