//! A duration as a person types it: a whole number and its unit.
//!
//! Invariant: a [`Span`] is at least one millisecond; a bare number is refused, because its unit would be a guess.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration of at least one millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(Duration);

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a whole number and ms, s, m or h, for example 500ms, 5s or 1m")]
pub struct BadSpan(&'static str);

impl Span {
    /// So many seconds, at least one.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(Duration::from_secs(if seconds == 0 { 1 } else { seconds as u64 }))
    }

    /// The same as the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(BadSpan("the unit is missing"))?;
        let (number, unit) = text.split_at(unit_at);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(BadSpan("not a duration")),
        };
        let number: u64 = number.parse().map_err(|_| BadSpan("not a duration"))?;
        let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= u64::from(u32::MAX));
        match ms {
            Some(0) => Err(BadSpan("must be more than nothing")),
            Some(ms) => Ok(Self(Duration::from_millis(ms))),
            None => Err(BadSpan("too long")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
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
    fn units_are_understood() {
        for (text, ms) in [("500ms", 500), ("5s", 5000), ("1m", 60_000), ("2h", 7_200_000)] {
            assert_eq!(text.parse::<Span>().unwrap().get().as_millis(), ms, "{text}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "90s");
        assert_eq!("120s".parse::<Span>().unwrap().to_string(), "2m");
    }

    #[test]
    fn everything_else_says_how_to_write_it() {
        for text in
            ["", "5", "s", "0s", "0ms", "-5s", "1.5s", "5 s", "5S", "5sec", "99999999999999999999s", "五s"]
        {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.ends_with("for example 500ms, 5s or 1m"), "{text:?}: {error}");
        }
        assert!("1194h".parse::<Span>().unwrap_err().to_string().starts_with("too long"));
    }

    #[test]
    fn rough_keeps_two_units() {
        for (ms, text) in [(999, "0s"), (61_000, "1m 1s"), (3_600_000, "1h 0m"), (90_000_000, "1d 1h")] {
            assert_eq!(rough(ms), text);
        }
    }
}
