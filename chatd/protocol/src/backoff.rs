//! How long to wait before trying again: twice as long after each failure up to a bound, and by chance a part of that,
//! so that the many who lost one server at the same moment do not all return in the same one.
//!
//! Invariant: no pause is longer than the longest.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// The part of each bound that is waited in any case, 0 … 1.
    least: f64,
    failures: u32,
}

impl Backoff {
    /// Half jitter: each pause is at least half of its bound. The first bound is `first`.
    #[must_use]
    pub const fn half(first: Duration, longest: Duration) -> Self {
        Self { first, longest, least: 0.5, failures: 0 }
    }

    /// Full jitter: a pause may be as short as nothing. It spreads a crowd best.
    #[must_use]
    pub const fn full(first: Duration, longest: Duration) -> Self {
        Self { first, longest, least: 0.0, failures: 0 }
    }

    /// The pause after one more failure. `dice` is uniform in 0 … 1; who throws none and gives 1 waits for all of the
    /// bound.
    pub fn pause(&mut self, dice: f64) -> Duration {
        let bound = self.first.saturating_mul(1 << self.failures.min(31)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(self.least + (1.0 - self.least) * dice.clamp(0.0, 1.0))
    }

    /// After a success: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(15);

    #[test]
    fn bounds_double_up_to_the_longest_until_a_success() {
        let mut backoff = Backoff::full(FIRST, LONGEST);
        let bounds: Vec<u128> = (0..9).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.pause(1.0), LONGEST);
        backoff.reset();
        assert_eq!(backoff.pause(1.0), FIRST);
        assert_eq!(Backoff::full(LONGEST, FIRST).pause(1.0), FIRST);
    }

    #[test]
    fn jitter_takes_away_half_or_all() {
        let last = |mut backoff: Backoff, dice| (0..9).map(|_| backoff.pause(dice)).last();
        for (dice, half, full) in [(0.0, 0.5, 0.0), (0.5, 0.75, 0.5), (1.0, 1.0, 1.0), (7.0, 1.0, 1.0)] {
            assert_eq!(last(Backoff::half(FIRST, LONGEST), dice), Some(LONGEST.mul_f64(half)), "{dice}");
            assert_eq!(last(Backoff::full(FIRST, LONGEST), dice), Some(LONGEST.mul_f64(full)), "{dice}");
        }
    }
}
