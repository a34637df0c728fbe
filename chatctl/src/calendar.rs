//! Times for people: when a message was logged, in UTC, and how long something took.
//!
//! Invariant: every moment's text has the same width, and sorts by time.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// `2026-01-31 08:05:09Z` of a time in Unix milliseconds; of one after the year 9999 that year's end.
#[must_use]
pub fn moment(ms: u64) -> String {
    let since_1970 = SignedDuration::from_secs(i64::try_from(ms / 1000).unwrap_or(i64::MAX));
    let moment = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).saturating_add(since_1970);
    format!("{}Z", moment.strftime("%F %T"))
}

/// A past stretch of time in its two largest units, for a person: `3d 4h`, `12m 5s`.
#[must_use]
pub fn rough(ms: u64) -> String {
    let s = ms / 1000;
    match (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rough_keeps_two_units() {
        for (ms, text) in [(999, "0s"), (61_000, "1m 1s"), (3_600_000, "1h 0m"), (90_000_000, "1d 1h")] {
            assert_eq!(rough(ms), text);
        }
    }

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_251_199, "2024-02-29 23:59:59Z"),
            (1_735_689_599, "2024-12-31 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (253_402_300_799, "9999-12-31 23:59:59Z"),
        ] {
            assert_eq!(moment(seconds * 1000 + 999), text);
        }
        assert_eq!(moment(u64::MAX), "9999-12-31 23:59:59Z");
    }
}
