//! Moments as people write them.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// Unix milliseconds as `2026-01-31T23:59:59Z`; a moment after the year 9999 is given as that year's end.
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    let since_1970 = SignedDuration::from_secs(i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX));
    let moment = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).saturating_add(since_1970);
    format!("{}Z", moment.strftime("%FT%T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_the_calendar() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(unix_ms), text);
        }
    }
}
