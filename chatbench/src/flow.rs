//! The live state of a run that its parts share: when it starts, what has come so far.
//!
//! Invariant: counters only grow, and none of them decides a verdict: verdicts come from the ledgers merged at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chaos::journal::Journal;
use crate::plan::{Plan, Shape};
use crate::recorder::{Recorder, Tape};

/// Everything the connections of a run share.
#[derive(Debug)]
pub struct Flow {
    /// The layout.
    pub plan: Plan,
    /// Deliveries later than this count as late, in microseconds.
    pub late_us: u64,
    /// Messages a sender may have unanswered.
    pub window: u32,
    /// Nanoseconds between two messages of the schedule; 0 when each waits for the last one's answer.
    pub period_ns: f64,
    /// When the first message is due.
    pub start_ns: AtomicU64,
    /// Messages due from this moment on are measured.
    pub measure_ns: AtomicU64,
    /// Messages handed to a connection.
    pub sent: AtomicU64,
    /// Messages that got an answer.
    pub answered: AtomicU64,
    /// Messages that got the answer 200.
    pub accepted: AtomicU64,
    /// Deliveries that the accepted messages call for.
    pub expected: AtomicU64,
    /// Logged-in connections that read.
    pub open: AtomicU64,
    /// Clients that are connected or mean to come back.
    pub live: AtomicU64,
    journal: Mutex<Journal>,
    recorders: Vec<Recorder>,
}

impl Flow {
    /// The state before the first connection.
    pub fn new(plan: Plan, late_us: u64, window: u32, period_ns: f64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let per_message = plan.shape != Shape::Pairs;
        Self {
            recorders: (0..threads * 2).map(|_| Recorder::new(per_message)).collect(),
            plan,
            late_us,
            window,
            period_ns,
            start_ns: AtomicU64::new(u64::MAX),
            measure_ns: AtomicU64::new(u64::MAX),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            open: AtomicU64::new(0),
            live: AtomicU64::new(0),
            journal: Mutex::default(),
        }
    }

    /// The recorder of a connection.
    pub fn recorder(&self, connection: u32) -> &Recorder {
        &self.recorders[connection as usize % self.recorders.len()]
    }

    /// What happened to the connections so far.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes of any kind received so far.
    pub fn pushes(&self) -> u64 {
        self.recorders.iter().map(Recorder::pushes).sum()
    }

    /// First deliveries so far.
    pub fn deliveries(&self) -> u64 {
        self.recorders.iter().map(Recorder::deliveries).sum()
    }

    /// What all recorders hold together.
    pub fn tape(&self) -> Tape {
        let mut sum = Tape::empty();
        for recorder in &self.recorders {
            recorder.merge_into(&mut sum);
        }
        sum
    }

    /// Whether a message due at this moment is measured.
    pub fn measured(&self, intended_ns: u64) -> bool {
        intended_ns >= self.measure_ns.load(Relaxed)
    }

    /// When the schedule wants a message sent; `None` without a schedule.
    pub fn due_ns(&self, sender: u32, sequence: u32) -> Option<u64> {
        if self.period_ns <= 0.0 {
            return None;
        }
        let position = f64::from(sequence) * f64::from(self.plan.senders) + f64::from(sender);
        // Runs last hours, not centuries: the product stays far below 2^53.
        Some(self.start_ns.load(Relaxed) + (position * self.period_ns) as u64)
    }

    /// Whether nothing more can be expected: all answers are there, all of them 200, and each message has reached all.
    pub fn complete(&self) -> bool {
        let (sent, accepted) = (self.sent.load(Relaxed), self.accepted.load(Relaxed));
        let wanted = u64::from(self.plan.connections()) - self.plan.slow();
        let all_open = self.open.load(Relaxed) == wanted;
        sent == accepted && all_open && self.deliveries() >= self.expected.load(Relaxed)
    }
}
