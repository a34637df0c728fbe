//! Whether the generator itself keeps up: a task that should run every few milliseconds notes how late it runs.
//!
//! Invariant: it measures the same scheduler that runs the clients, and as they do: whatever it slept through counts as
//! often as it should have run meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::micros;
use crate::ledger::flow::Flow;
use chatbench_result::hdr::histogram;

const INTERVAL: Duration = Duration::from_millis(10);
const MOMENT: Duration = Duration::from_millis(200);

/// Above this the times of a run mean nothing, in microseconds.
pub const MAX_P99_US: u64 = 50_000;

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    task: JoinHandle<Histogram<u64>>,
    stop: Arc<AtomicBool>,
}

impl Probe {
    /// Starts probing; the longest delay is also told to the flow.
    pub fn start(flow: Arc<Flow>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut delays = histogram();
            while !stopped.load(Relaxed) {
                let due = Instant::now() + INTERVAL;
                tokio::time::sleep_until(due).await;
                let delay = micros(due.elapsed()).max(1);
                record(&mut delays, delay);
                flow.delay_max_us.fetch_max(delay, Relaxed);
            }
            delays
        });
        Self { task, stop }
    }

    /// Ends it and gives the delays in microseconds.
    pub async fn end(self) -> Histogram<u64> {
        self.stop.store(true, Relaxed);
        self.task.await.unwrap_or_else(|_| histogram())
    }
}

/// Notes a delay, and those of all the times it should have run before it did.
fn record(delays: &mut Histogram<u64>, delay_us: u64) {
    let mut left = delay_us.min(delays.high());
    loop {
        delays.saturating_record(left);
        match left.checked_sub(micros(INTERVAL)) {
            None | Some(0) => return,
            Some(earlier) => left = earlier,
        }
    }
}

/// How late things are with nothing to do.
pub async fn for_a_moment(flow: &Arc<Flow>) -> Histogram<u64> {
    let probe = Probe::start(Arc::clone(flow));
    tokio::time::sleep(MOMENT).await;
    probe.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_slept_through_counts_for_each_time_it_should_have_run() {
        let mut delays = histogram();
        (0..400).for_each(|_| record(&mut delays, 80));
        assert_eq!((delays.len(), delays.max()), (400, 80));
        // Two seconds of six.
        record(&mut delays, 2_000_000);
        assert_eq!(delays.len(), 600);
        assert!(delays.value_at_quantile(0.99) > MAX_P99_US);
        assert!(delays.value_at_quantile(0.5) < 100);
    }
}
