//! What the connections to a store were asked and met.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use super::Counter;
use super::histogram::Histogram;

/// All connections of this process to one kind of store.
#[derive(Debug, Default)]
pub struct Links {
    /// One command each.
    pub commands: Histogram,
    /// Several commands at once.
    pub pipelines: Histogram,
    /// Scripts that the store runs.
    pub scripts: Histogram,
    /// What was not answered in time, or refused for now.
    pub unreachable: Counter,
    /// What was answered with something that cannot be.
    pub corrupt: Counter,
    /// Connections that were lost.
    pub lost: Counter,
    down: AtomicUsize,
}

/// Counts a connection as down for as long as it lives.
#[derive(Debug)]
pub struct Down<'a>(&'a Links);

impl Links {
    /// A connection is gone, and another is sought.
    pub fn lose(&self) -> Down<'_> {
        self.lost.add(1);
        self.down.fetch_add(1, Relaxed);
        Down(self)
    }

    /// Connections that are down now.
    #[must_use]
    pub fn down(&self) -> usize {
        self.down.load(Relaxed)
    }

    /// By what was asked.
    #[must_use]
    pub fn times(&self) -> [(&'static str, &Histogram); 3] {
        [("command", &self.commands), ("pipeline", &self.pipelines), ("script", &self.scripts)]
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.down.fetch_sub(1, Relaxed);
    }
}

/// Waits for an answer, and counts how long that took, whatever came.
pub async fn timed<T>(times: &Histogram, answer: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = answer.await;
    times.record(began.elapsed());
    answer
}
