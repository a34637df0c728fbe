//! Times for people: when something was, in their own zone, in UTC or by its age, and how long something took.
//!
//! Invariant: every moment of UTC has a text of the same width, and they sort by time; one of another zone names its
//! distance from UTC.

use std::sync::{Arc, LazyLock};

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Tells the zone in which this host's people live.
pub type Zone = fn() -> TimeZone;

/// How a person wants moments told.
#[derive(Debug, Clone, Default)]
pub enum Times {
    /// As in Greenwich.
    #[default]
    Utc,
    /// As the clock of this zone shows it. It is asked for with the first moment: to find it reads every folder of the
    /// host's zones, which takes as long as all the rest of a short command.
    In(Arc<LazyLock<TimeZone, Zone>>),
    /// As how long ago it was at this time, in Unix milliseconds.
    Ages(u64),
}

impl Times {
    /// As the clock of a zone shows it.
    #[must_use]
    pub fn within(zone: Zone) -> Self {
        Self::In(Arc::new(LazyLock::new(zone)))
    }

    /// What a person reads of a time in Unix milliseconds.
    #[must_use]
    pub fn moment(&self, ms: u64) -> String {
        match self {
            Self::Utc => moment(ms),
            Self::In(zone) => local(zone, ms).unwrap_or_else(|| moment(ms)),
            Self::Ages(now) if ms > *now => format!("in {}", rough(ms - now)),
            Self::Ages(now) => format!("{} ago", rough(now - ms)),
        }
    }
}

/// `2026-01-31 16:05:09+08`; nothing where that is UTC, or beyond the calendar.
fn local(zone: &TimeZone, ms: u64) -> Option<String> {
    let at = Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok()?;
    let offset = zone.to_offset(at);
    let form = if offset.seconds() % 3600 == 0 { "%F %T%:::z" } else { "%F %T%:z" };
    (offset != Offset::UTC).then(|| at.to_zoned_datetime(TimeZone::fixed(offset)).strftime(form).to_string())
}

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
    fn a_moment_is_told_as_the_reader_likes_it() {
        let ms = 1_709_251_199_000;
        let east: Zone = || TimeZone::fixed(Offset::constant(8));
        let west: Zone = || TimeZone::fixed(Offset::from_seconds(-12_600).unwrap());
        assert_eq!(Times::within(east).moment(ms), "2024-03-01 07:59:59+08");
        assert_eq!(Times::within(west).moment(ms), "2024-02-29 20:29:59-03:30");
        assert_eq!(Times::within(|| TimeZone::UTC).moment(ms), moment(ms));
        assert_eq!(Times::within(east).moment(u64::MAX), "9999-12-31 23:59:59Z");
        let ages = Times::Ages(ms + 185_000);
        assert_eq!([ages.moment(ms), ages.moment(ms + 190_000)], ["3m 5s ago", "in 5s"]);
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
