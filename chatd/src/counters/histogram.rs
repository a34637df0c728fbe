//! How long something took, by how many took at most so long.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::sharded::Sharded;

/// Upper bounds, in microseconds, in ascending order.
pub type Bounds = [u64; 15];

/// For answers: 0.1 ms to 10 s.
pub static ANSWERS: Bounds = [
    100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// For what may wait for a store that is away: 5 ms to a day.
pub static WAITS: Bounds = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

/// Longest time that is added, so that the sum does not overflow for a clock that is wrong.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Times, counted by their length.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    cells: Sharded<Cells>,
}

/// The last count is of what took longer than every bound.
#[derive(Debug, Default)]
struct Cells {
    counts: [AtomicU64; 16],
    sum_ns: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Upper bound in seconds, the last without end, and how many took at most so long and longer than the bound before.
    pub buckets: Vec<(f64, u64)>,
    /// All of them.
    pub count: u64,
    /// What they took together, in seconds.
    pub sum_s: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&ANSWERS)
    }
}

impl Histogram {
    /// Of nothing yet.
    #[must_use]
    pub fn new(bounds: &'static Bounds) -> Self {
        Self { bounds, cells: Sharded::default() }
    }

    /// Counts something that took so long.
    pub fn record(&self, took: Duration) {
        let ns = u64::try_from(took.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound_us| bound_us * 1_000 < ns);
        let cells = self.cells.own();
        cells.counts[bucket].fetch_add(1, Relaxed);
        cells.sum_ns.fetch_add(ns, Relaxed);
    }

    /// What was counted until now. The sum may be ahead of the counts by what is being counted.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let bounds_s = self.bounds.iter().map(|bound_us| *bound_us as f64 / 1e6).chain([f64::INFINITY]);
        let count = |bucket: usize| self.cells.iter().map(|cells| cells.counts[bucket].load(Relaxed)).sum();
        let buckets: Vec<(f64, u64)> = bounds_s.zip((0..).map(count)).collect();
        let sum_s = self.cells.iter().map(|cells| cells.sum_ns.load(Relaxed) as f64).sum::<f64>() / 1e9;
        Snapshot { count: buckets.iter().map(|(_, count)| count).sum(), buckets, sum_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_just_as_long_as_a_bound_is_within_it() {
        let histogram = Histogram::default();
        for (us, bucket) in [(0, 0), (100, 0), (101, 1), (500, 1), (10_000_000, 14), (10_000_001, 15)] {
            let before = histogram.snapshot();
            histogram.record(Duration::from_micros(us));
            let after = histogram.snapshot();
            assert_eq!(after.buckets[bucket].1, before.buckets[bucket].1 + 1, "{us} us");
            assert_eq!(after.count, before.count + 1);
        }
        assert!((histogram.snapshot().sum_s - 20.000_702).abs() < 1e-9);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.snapshot().buckets[15], (f64::INFINITY, 2));
    }

    #[test]
    fn what_several_threads_count_is_all_there() {
        let histogram = Histogram::new(&WAITS);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..1_000).for_each(|_| histogram.record(Duration::from_millis(7))));
            }
        });
        let seen = histogram.snapshot();
        assert_eq!((seen.count, seen.buckets[1]), (12_000, (0.01, 12_000)));
        assert!((seen.sum_s - 84.0).abs() < 1e-6);
    }
}
