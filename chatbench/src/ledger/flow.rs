//! The live state of a run that its parts share: when it starts, what has come so far.
//!
//! Invariant: counters only grow, and none of them decides a verdict: verdicts come from the ledgers merged at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::now_ns;
use crate::ledger::journal::Journal;
use crate::ledger::plan::share::Share;
use crate::ledger::plan::timetable::Timetable;
use crate::ledger::plan::{Plan, Shape};
use crate::ledger::recorder::{Recorder, Tape};
use crate::ledger::standing::Standing;
use chatbench_result::hdr::histogram;

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
    /// Whether the run is over: nothing that comes now is in the books.
    pub over: AtomicBool,
    /// Longest delay of the probe since it was last taken, in microseconds.
    pub delay_max_us: AtomicU64,
    journal: Mutex<Journal>,
    recorders: Vec<Recorder>,
    missing: OnceLock<Missing>,
}

/// Connections that are not in, as far as counts need them; slow readers apart.
#[derive(Debug, Default)]
struct Missing {
    /// By [`Plan::set_of`].
    by_set: BTreeMap<u32, u64>,
    /// In this process.
    here: u64,
    /// Those that would have stopped reading.
    slow: u64,
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
            over: AtomicBool::new(false),
            delay_max_us: AtomicU64::new(0),
            journal: Mutex::default(),
            missing: OnceLock::new(),
        }
    }

    /// Of these connections, of all processes, nothing is expected: they are not in. To be called once, before the
    /// first message.
    pub fn leave_out(&self, numbers: &[u32]) {
        let mut missing = Missing::default();
        for number in numbers {
            if self.plan.is_slow(*number) {
                missing.slow += 1;
                continue;
            }
            *missing.by_set.entry(self.plan.set_of(*number)).or_default() += 1;
            missing.here += u64::from(self.share.has(&self.plan, *number));
        }
        // A second call would be a fault of the caller and change nothing.
        let _ = self.missing.set(missing);
    }

    /// How many connections each message of a sender must reach while all that got in are open.
    pub fn reach(&self, sender: u32) -> u64 {
        let set = self.plan.set_of_sender(sender);
        let missing = self.missing.get().and_then(|missing| missing.by_set.get(&set));
        self.plan.reach(sender).saturating_sub(missing.copied().unwrap_or(0))
    }

    /// How many clients that are in stop reading.
    pub fn slow(&self) -> u64 {
        self.plan.slow().saturating_sub(self.missing.get().map_or(0, |missing| missing.slow))
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
        let missing = self.missing.get().map_or(0, |missing| missing.here);
        let reading = u64::from(self.share.count(&self.plan))
            - self.plan.slow_in(self.share.receivers.clone())
            - missing;
        // First what is expected: what comes meanwhile must not make a message look complete.
        let (sent, accepted, expected) =
            (self.sent.load(Relaxed), self.accepted.load(Relaxed), self.expected.load(Relaxed));
        Standing {
            sent,
            accepted,
            expected,
            delivered: self.deliveries(),
            away: reading.saturating_sub(self.open.load(Relaxed)),
            open: self.open.load(Relaxed),
            live: self.live.load(Relaxed),
            sending: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::plan::tests::plan;
    use crate::ledger::plan::timetable::tests::every_millisecond;

    fn flow(shape: Shape, receivers: u32, senders: u32, change: impl FnOnce(&mut Plan)) -> Flow {
        let mut plan = plan(shape, receivers, senders);
        change(&mut plan);
        Flow::new(plan, 1, 1, every_millisecond())
    }

    #[test]
    fn who_is_not_in_is_expected_to_receive_nothing() {
        let world = flow(Shape::World, 5, 3, |_| {});
        world.leave_out(&[1, 4, 7]);
        assert_eq!((world.reach(0), world.standing().away), (4, 5), "three receivers and one other sender");

        let groups = flow(Shape::Groups, 6, 4, |plan| plan.groups = 2);
        groups.leave_out(&[0, 1, 9]);
        assert_eq!(
            (groups.reach(0), groups.reach(1)),
            (2, 3),
            "two of the first group, a sender of the second"
        );

        let pairs = flow(Shape::Pairs, 4, 4, |_| {});
        pairs.leave_out(&[2, 5]);
        assert_eq!((0..4).map(|sender| pairs.reach(sender)).collect::<Vec<_>>(), [1, 1, 0, 1]);
    }

    #[test]
    fn a_slow_reader_that_is_not_in_is_left_out_once() {
        let flow = flow(Shape::World, 10, 1, |plan| plan.trouble.slow_permille = 200);
        assert_eq!((flow.reach(0), flow.slow()), (8, 2));
        flow.leave_out(&[0, 4]);
        assert_eq!((flow.reach(0), flow.slow()), (7, 1));
    }

    #[test]
    fn of_several_processes_each_misses_its_own() {
        let mut flow = flow(Shape::World, 6, 1, |_| {});
        flow.share = Share::of(&flow.plan, 0, 2);
        flow.leave_out(&[0, 5]);
        assert_eq!((flow.standing().away, flow.reach(0)), (2, 4));
    }
}
