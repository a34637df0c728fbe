//! The clock as a port, so that tests can move time.
//!
//! Invariant: only this file asks the system for the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// Where Unix time begins.
pub const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// Unix time in milliseconds.
    fn now_ms(&self) -> u64;

    /// The time where somebody sets it by hand, which then counts for the stores too. None on a node: what a store
    /// keeps goes by the store's own clock there.
    fn by_hand(&self) -> Option<u64> {
        None
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A moment in UTC, to the second, as RFC 3339 writes it; one after the year 9999 is given as that year's end.
#[must_use]
pub fn utc(ms: u64) -> String {
    let since_1970 = SignedDuration::from_secs(i64::try_from(ms / 1000).unwrap_or(i64::MAX));
    let moment = EPOCH.saturating_add(since_1970);
    format!("{}Z", moment.strftime("%FT%T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_says() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
