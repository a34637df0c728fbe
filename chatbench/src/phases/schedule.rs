//! The schedule: one thread that says when each message is due.
//!
//! Invariant: it never waits for a client, an answer or the runtime; a late wake-up releases all that is due by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::now_ns;
use crate::ledger::flow::Flow;
use crate::net::control::Control;

/// Longest sleep, so that an interruption is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// Closer than this the thread does not sleep: the wake-up would come too late.
const NEAR_NS: u64 = 5_000;

/// A running schedule.
#[derive(Debug)]
pub struct Schedule {
    thread: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Schedule {
    /// Releases the messages of the flow's timetable, from the start the flow names, to the senders in turn; of those
    /// only the ones of this process, whose controls these are.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(flow: Arc<Flow>, controls: Vec<Arc<Control>>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("schedule".to_owned()).spawn(move || {
            // The usual slack of 50 µs would end up in every latency. Without the right to change it, it does.
            let _ = nix::sys::prctl::set_timerslack(1_000);
            release_all(&flow, &controls, &stopped)
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it and says how many messages it released.
    pub fn end(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or(0)
    }
}

fn release_all(flow: &Flow, controls: &[Arc<Control>], stopped: &AtomicBool) -> u64 {
    let start = flow.start_ns.load(Relaxed);
    let (senders, mine) = (u64::from(flow.plan.senders.max(1)), &flow.share.senders);
    for number in 0.. {
        let Some(due) = flow.timetable.due(number).filter(|_| flow.timetable.total() > Some(number)) else {
            return number;
        };
        // Sender and round both fit: a sender's share is bounded by the plan.
        let sender = (number % senders) as u32;
        if !mine.contains(&sender) {
            continue;
        }
        let due = start + due;
        loop {
            if stopped.load(Relaxed) {
                return number;
            }
            let wait = due.saturating_sub(now_ns());
            if wait < NEAR_NS {
                break;
            }
            std::thread::sleep(Duration::from_nanos(wait).min(LONGEST_SLEEP));
        }
        controls[(sender - mine.start) as usize].release((number / senders) as u32 + 1);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::plan::timetable::Timetable;
    use crate::ledger::plan::{Shape, tests::plan};

    #[test]
    fn messages_are_released_in_turn_and_never_early() {
        let timetable = Timetable::Even { period_ns: 1e6, total: 10 };
        let flow = Arc::new(Flow::new(plan(Shape::World, 1, 3), 1, 1, timetable));
        let start = now_ns();
        flow.start_ns.store(start, Relaxed);
        let controls: Vec<Arc<Control>> = (0..3).map(|_| Arc::default()).collect();
        let schedule = Schedule::start(Arc::clone(&flow), controls.clone()).unwrap();
        while controls[0].released() < 4 {
            std::thread::yield_now();
        }
        assert!(now_ns() >= start + 9_000_000 - NEAR_NS, "the tenth is due after nine periods");
        assert_eq!(schedule.end(), 10);
        assert_eq!(controls.iter().map(|control| control.released()).collect::<Vec<_>>(), [4, 3, 3]);
    }
}
