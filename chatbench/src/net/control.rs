//! What the conductor of a run tells one client.
//!
//! Invariant: telling never blocks and never queues: every word is a flag or a counter that the client reads when woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;

use crate::clock::now_ns;

/// The words of the conductor.
#[derive(Debug, Default)]
pub struct Control {
    waker: AtomicWaker,
    released: AtomicU32,
    closed_to_sending: AtomicBool,
    heartbeat: AtomicBool,
    cut: AtomicBool,
    leaves: AtomicBool,
    deaf: AtomicBool,
    stopped: AtomicBool,
    aborted: AtomicBool,
    alarm: AtomicBool,
}

impl Control {
    /// The client is woken through `waker` from now on. Call it before reading the words.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The first `count` messages are due.
    pub fn release(&self, count: u32) {
        self.released.store(count, Ordering::Release);
        self.waker.wake();
    }

    /// How many messages are due; none once sending is over.
    pub fn released(&self) -> u32 {
        if self.closed_to_sending.load(Ordering::Acquire) { 0 } else { self.released.load(Ordering::Acquire) }
    }

    /// No further message, even if due.
    pub fn end_sending(&self) {
        self.closed_to_sending.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Show a sign of life.
    pub fn ask_heartbeat(&self) {
        self.heartbeat.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether a sign of life is wanted; asks only once.
    pub fn take_heartbeat(&self) -> bool {
        self.heartbeat.load(Ordering::Acquire) && self.heartbeat.swap(false, Ordering::AcqRel)
    }

    /// Drop the connection without a word.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Close the connection in order, and come back.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::Release);
        self.cut();
    }

    /// Whether the next end is to be in order; asks only once.
    pub fn take_leave(&self) -> bool {
        self.leaves.swap(false, Ordering::AcqRel)
    }

    /// Whether to drop the connection; asks only once.
    pub fn take_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) && self.cut.swap(false, Ordering::AcqRel)
    }

    /// Read nothing more until the end of the run.
    pub fn stop_reading(&self) {
        self.deaf.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether to read nothing.
    pub fn deaf(&self) -> bool {
        self.deaf.load(Ordering::Acquire)
    }

    /// Look again at this time, in nanoseconds of [`crate::clock`].
    pub fn wake_at(self: &Arc<Self>, time_ns: u64) {
        if self.alarm.swap(true, Ordering::AcqRel) {
            return;
        }
        let control = Arc::clone(self);
        tokio::spawn(async move {
            let wait = time_ns.saturating_sub(now_ns());
            tokio::time::sleep(Duration::from_nanos(wait)).await;
            control.alarm.store(false, Ordering::Release);
            control.waker.wake();
        });
    }

    /// Close in order.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether to close in order.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// End now, whatever the server says.
    pub fn abort(&self) {
        self.stopped.store(true, Ordering::Release);
        self.aborted.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether to end now.
    pub fn aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }
}
