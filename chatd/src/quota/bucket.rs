//! A token bucket in one word (the generic cell rate algorithm, ITU-T I.371).
//!
//! Invariant: in any time T no more than burst + T / interval are let through, and whoever is refused is told after how
//! long they would not be. A clock that jumps lets nobody wait longer than an empty bucket needs to fill.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::Rate;

/// A rate and a burst, ready to be compared with; the default is no limit.
#[derive(Debug, Default)]
pub struct Pace {
    /// Nanoseconds in which one comes back; 0 for no limit.
    interval_ns: AtomicU64,
    /// Nanoseconds in which an empty bucket fills.
    burst_ns: AtomicU64,
}

/// How much of a burst is used up: the moment at which none is, in nanoseconds of whoever asks. The default is full.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Pace {
    /// From now on it is this one. Buckets keep what they have used up.
    pub fn set(&self, rate: Rate, burst: u32) {
        let interval_ns = rate.interval_ns();
        self.burst_ns.store(interval_ns.saturating_mul(u64::from(burst.max(1))), Relaxed);
        self.interval_ns.store(interval_ns, Relaxed);
    }

    /// Whether there is a limit.
    pub fn is_limit(&self) -> bool {
        self.interval_ns.load(Relaxed) != 0
    }
}

impl Bucket {
    /// Takes one.
    ///
    /// # Errors
    /// Nanoseconds until there is one.
    pub fn take(&self, pace: &Pace, now_ns: u64) -> Result<(), u64> {
        let interval_ns = pace.interval_ns.load(Relaxed);
        if interval_ns == 0 {
            return Ok(());
        }
        let burst_ns = pace.burst_ns.load(Relaxed).max(interval_ns);
        let mut wait_ns = 0;
        let _ = self.0.fetch_update(Relaxed, Relaxed, |full_at_ns| {
            let used_ns = full_at_ns.saturating_sub(now_ns);
            let taken_ns = used_ns.min(burst_ns).saturating_add(interval_ns);
            wait_ns = taken_ns.saturating_sub(burst_ns);
            match wait_ns {
                0 => Some(now_ns.saturating_add(taken_ns)),
                // Emptier than empty: the clock, or the burst, was another when the last one was taken.
                _ if used_ns > burst_ns => Some(now_ns.saturating_add(burst_ns)),
                _ => None,
            }
        });
        if wait_ns == 0 { Ok(()) } else { Err(wait_ns) }
    }

    /// Whether nothing of the burst is used up, so that a new one is as good.
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.0.load(Relaxed) <= now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(rate: &str, burst: u32) -> Pace {
        let pace = Pace::default();
        pace.set(rate.parse().unwrap(), burst);
        pace
    }

    fn passed(bucket: &Bucket, pace: &Pace, now_ns: u64, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.take(pace, now_ns).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let (bucket, pace) = (Bucket::default(), pace("10/s", 5));
        for start in [0, SECOND, 7 * SECOND, u64::MAX / 2] {
            assert_eq!(passed(&bucket, &pace, start, 9), 5);
            assert_eq!(bucket.take(&pace, start), Err(SECOND / 10));
            assert_eq!(bucket.take(&pace, start + SECOND / 10 - 1), Err(1));
            assert!(bucket.take(&pace, start + SECOND / 10).is_ok());
            assert_eq!(bucket.take(&pace, start + SECOND / 10), Err(SECOND / 10));
            assert!(!bucket.is_full(start + SECOND / 2) && bucket.is_full(start + SECOND * 3 / 5));
        }
    }

    #[test]
    fn no_limit_is_none_and_touches_nothing() {
        let (bucket, pace) = (Bucket::default(), pace("0", 1));
        assert!(!pace.is_limit());
        assert_eq!(passed(&bucket, &pace, 0, 1000), 1000);
        assert!(bucket.is_full(0));
    }

    #[test]
    fn over_a_long_time_the_rate_is_kept_exactly() {
        let (bucket, pace) = (Bucket::default(), pace("7/s", 3));
        let mut through = 0;
        for ms in 0..100_000_u64 {
            through += passed(&bucket, &pace, ms * 1_000_000, 2);
        }
        assert!((700..=703).contains(&through), "{through}");
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_wait_longer_than_a_burst() {
        let (bucket, pace) = (Bucket::default(), pace("10/s", 5));
        assert_eq!(passed(&bucket, &pace, 1_000_000 * SECOND, 9), 5);
        // Back by days: empty, and no emptier.
        assert_eq!(bucket.take(&pace, 0), Err(SECOND / 10));
        assert_eq!(passed(&bucket, &pace, SECOND / 10, 9), 1);
        assert_eq!(passed(&bucket, &pace, SECOND, 9), 5);
        assert_eq!(passed(&bucket, &pace, 2_000_000 * SECOND, 9), 5, "far ahead it is full and not fuller");
        assert_eq!(passed(&bucket, &pace, u64::MAX - SECOND, 9), 5, "centuries ahead, too");
    }

    #[test]
    fn another_pace_holds_at_once() {
        let (bucket, wide) = (Bucket::default(), pace("1/h", 1_000_000));
        assert_eq!(passed(&bucket, &wide, 0, 1000), 1000);
        let narrow = pace("10/s", 5);
        assert_eq!(bucket.take(&narrow, 0), Err(SECOND / 10), "empty, but no hours are owed");
        assert!(bucket.take(&narrow, SECOND / 10).is_ok());
        narrow.set("0".parse().unwrap(), 5);
        assert!(bucket.take(&narrow, 0).is_ok());
    }

    #[test]
    fn the_largest_settings_overflow_nothing() {
        for (rate, burst) in [("1/h", u32::MAX), ("1000000/s", u32::MAX), ("1/h", 1), ("1000000/s", 1)] {
            let (bucket, pace) = (Bucket::default(), pace(rate, burst));
            assert!(bucket.take(&pace, u64::MAX - 1).is_ok(), "{rate} {burst}");
            let wait_ns = bucket.take(&pace, 0).err();
            assert!(wait_ns.is_none_or(|ns| ns <= 3600 * SECOND), "{rate} {burst}: {wait_ns:?}");
        }
        let (bucket, none) = (Bucket::default(), pace("5/s", 0));
        assert_eq!(passed(&bucket, &none, 0, 9), 1, "a burst of none would refuse everybody");
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let (bucket, pace) = (Bucket::default(), pace("1/h", 1000));
        let through: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| passed(&bucket, &pace, 5, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(through, 1000);
    }
}
