//! How long to wait before connecting again: exponential with full jitter, so that the clients of a dead node do
//! not all come back at the same moment.
//!
//! Invariant: no pause is longer than [`LONGEST`]; a connection that ends soon after it began does not count as a
//! success, so that a server that takes and drops connections is not stormed.

use std::time::Duration;

/// Upper bound of the first pause; each further one is twice as high.
pub const FIRST: Duration = Duration::from_millis(200);
/// Upper bound of every pause.
pub const LONGEST: Duration = Duration::from_secs(15);
/// A connection that lived so long is a success.
pub const SETTLED: Duration = Duration::from_secs(5);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure. `dice` is uniform in 0 … 1.
    pub fn pause(&mut self, dice: f64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(dice.clamp(0.0, 1.0))
    }

    /// A connection ended after `lived`.
    pub fn lived(&mut self, lived: Duration) {
        if lived >= SETTLED {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..9).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        assert_eq!(backoff.pause(0.0), Duration::ZERO);
        assert_eq!(backoff.pause(0.5), LONGEST / 2);
    }

    #[test]
    fn only_a_connection_that_lasted_starts_over() {
        let mut backoff = Backoff::default();
        backoff.pause(1.0);
        backoff.lived(Duration::from_millis(1));
        assert_eq!(backoff.pause(1.0), FIRST * 2);
        backoff.lived(SETTLED);
        assert_eq!(backoff.pause(1.0), FIRST);
    }
}
