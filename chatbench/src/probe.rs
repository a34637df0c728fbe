//! Whether the generator itself keeps up: a task that should run every few milliseconds notes how late it runs.
//!
//! Invariant: it measures the same scheduler that runs the clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::micros;
use crate::flow::Flow;
use crate::recorder::histogram;

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
                delays.saturating_record(delay);
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

/// How late things are with nothing to do.
pub async fn for_a_moment(flow: &Arc<Flow>) -> Histogram<u64> {
    let probe = Probe::start(Arc::clone(flow));
    tokio::time::sleep(MOMENT).await;
    probe.end().await
}
