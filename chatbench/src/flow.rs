//! The live state of a run that its parts share: when it starts, what has come so far.
//!
//! Invariant: counters only grow, and none of them decides a verdict: verdicts come from the ledgers merged at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::chaos::journal::Journal;
use crate::clock::now_ns;
use crate::crew::words::Standing;
use crate::plan::{Plan, Shape};
use crate::recorder::{Recorder, Tape, histogram};
use crate::share::Share;
use crate::timetable::Timetable;

/// Everything the connections of a run share.
#[derive(Debug)]
pub struct Flow {
    /// The layout.
    pub plan: Plan,
    /// Which of the clients this process has.
    pub share: Share,
    /// Deliveries later than this count as late, in microseconds.
    pub late_us: u64,
    /// Messages a sender may have unanswered.
    pub window: u32,
    /// When messages are due.
    pub timetable: Timetable,
    /// When the first message is due.
    pub start_ns: AtomicU64,
    /// Messages due from this moment on are measured.
    pub measure_ns: AtomicU64,
    /// When the wait for deliveries and answers ended.
    pub deadline_ns: AtomicU64,
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
    /// Longest delay of the probe since it was last taken, in microseconds.
    pub delay_max_us: AtomicU64,
    journal: Mutex<Journal>,
    recorders: Vec<Recorder>,
}

impl Flow {
    /// The state before the first connection.
    pub fn new(plan: Plan, late_us: u64, window: u32, timetable: Timetable) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let per_message = plan.shape != Shape::Pairs;
        Self {
            recorders: (0..threads * 2).map(|_| Recorder::new(per_message)).collect(),
            share: Share::of(&plan, 0, 1),
            plan,
            late_us,
            window,
            timetable,
            start_ns: AtomicU64::new(u64::MAX),
            measure_ns: AtomicU64::new(u64::MAX),
            deadline_ns: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            open: AtomicU64::new(0),
            live: AtomicU64::new(0),
            delay_max_us: AtomicU64::new(0),
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
        let number = u64::from(sequence) * u64::from(self.plan.senders) + u64::from(sender);
        Some(self.start_ns.load(Relaxed) + self.timetable.due(number)?)
    }

    /// How many messages have fallen due; `None` without a schedule.
    pub fn offered(&self) -> Option<u64> {
        self.timetable.total()?;
        let since = now_ns().saturating_sub(self.start_ns.load(Relaxed));
        Some(self.timetable.due_before(Duration::from_nanos(since)))
    }

    /// The times of the deliveries since the last call.
    pub fn take_recent(&self) -> Histogram<u64> {
        let mut sum = histogram();
        for recorder in &self.recorders {
            recorder.take_recent(&mut sum);
        }
        sum
    }

    /// How far the clients of this process are.
    pub fn standing(&self) -> Standing {
        let reading =
            u64::from(self.share.count(&self.plan)) - self.plan.slow_in(self.share.receivers.clone());
        // First what is expected: what comes meanwhile must not make a message look complete.
        let (sent, accepted, expected) =
            (self.sent.load(Relaxed), self.accepted.load(Relaxed), self.expected.load(Relaxed));
        Standing {
            sent,
            accepted,
            expected,
            delivered: self.deliveries(),
            away: reading.saturating_sub(self.open.load(Relaxed)),
            live: self.live.load(Relaxed),
            sending: 0,
        }
    }
}
