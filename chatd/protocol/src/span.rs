//! A stretch of time as people write it: the same in chatd, chatctl and chatbench.
//!
//! Invariant: what lacks a meaning (no number, a negative one, an unknown unit) is refused, never read as zero.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A stretch of time, zero included, in whole microseconds and at most [`Span::MAX_SECONDS`]. As text `500ms`, `5s`,
/// `1.5s`, `2m`, `1h`; a bare number is seconds, as a text and in a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// The text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a number and us, ms, s, m or h, for example 500ms, 5s or 2m")]
pub struct BadSpan(&'static str);

/// Microseconds of each unit, the largest first.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl Span {
    /// Longest stretch: 30 years or so, which every clock can add to its now.
    pub const MAX_SECONDS: u32 = 1_000_000_000;

    /// So many seconds, at most [`Span::MAX_SECONDS`] of them.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        let seconds = if seconds > Self::MAX_SECONDS { Self::MAX_SECONDS } else { seconds };
        Self(Duration::from_secs(seconds as u64))
    }

    /// Reads a text straight into the standard library's type.
    ///
    /// # Errors
    /// How to write it, when the text is none.
    pub fn duration(text: &str) -> Result<Duration, BadSpan> {
        text.parse().map(Self::get)
    }

    /// The same as the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// In milliseconds; what is left over is dropped.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// In seconds for a clock that knows no less; what is left over counts as a whole one.
    #[must_use]
    pub fn whole_seconds(self) -> u32 {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(Self::MAX_SECONDS)
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let none = || BadSpan("this is no stretch of time");
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[number.len()..] {
            "" => "s",
            unit => unit,
        };
        let (_, unit_us) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(none)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(none());
        }
        let part = part.trim_end_matches('0');
        let part = if part.is_empty() { "0" } else { part };
        let long = || BadSpan("that is too long");
        let scale = 10_u64.checked_pow(u32::try_from(part.len()).map_err(|_| none())?).ok_or_else(none)?;
        let whole: u64 = whole.parse().map_err(|_| long())?;
        let part: u64 = part.parse().map_err(|_| none())?;
        let part = part.checked_mul(unit_us).ok_or_else(none)?;
        if !part.is_multiple_of(scale) {
            return Err(BadSpan("less than a microsecond cannot be told apart"));
        }
        let us = whole.checked_mul(unit_us).and_then(|us| us.checked_add(part / scale)).ok_or_else(long)?;
        let span = Duration::from_micros(us);
        if span > Self::seconds(Self::MAX_SECONDS).0 { Err(long()) } else { Ok(Self(span)) }
    }
}

/// A whole number of the largest unit that fits.
impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        let fitting = UNITS.into_iter().find(|(_, unit)| us > 0 && us.is_multiple_of(u128::from(*unit)));
        match fitting {
            Some((name, unit)) => write!(f, "{}{name}", us / u128::from(unit)),
            None => f.write_str("0s"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Span;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("seconds, or a text such as \"500ms\", \"5s\" or \"2m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Span, E> {
        self.visit_str(&seconds.to_string())
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Span, E> {
        match u64::try_from(seconds) {
            Ok(seconds) => self.visit_u64(seconds),
            Err(_) => Err(E::invalid_value(Unexpected::Other("a negative number"), &self)),
        }
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Span, E> {
        self.visit_str(&seconds.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood_and_written_again() {
        for (text, us, again) in [
            ("0", 0, "0s"),
            ("0ms", 0, "0s"),
            ("250us", 250, "250us"),
            ("500ms", 500_000, "500ms"),
            ("5", 5_000_000, "5s"),
            ("1.5", 1_500_000, "1500ms"),
            ("1.5s", 1_500_000, "1500ms"),
            ("0.25ms", 250, "250us"),
            ("90s", 90_000_000, "90s"),
            ("120s", 120_000_000, "2m"),
            ("1.5h", 5_400_000_000, "90m"),
            ("24h", 86_400_000_000, "24h"),
            ("1.50000000000000000000000s", 1_500_000, "1500ms"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.get(), Duration::from_micros(us), "{text}");
            assert_eq!((span.to_string().as_str(), again.parse()), (again, Ok(span)), "{text}");
        }
    }

    #[test]
    fn everything_else_says_how_to_write_it() {
        for text in [
            "",
            "s",
            "-5s",
            "+5s",
            "5 s",
            "5S",
            "5sec",
            "1d",
            "1.s",
            ".5s",
            "1.5.5s",
            "1e3s",
            "NaN",
            "inf",
            "五s",
            "0.1us",
            "1.0000001s",
            "1000000001",
            "1000000000.5",
            "277778h",
            "99999999999999999999s",
            "0.99999999999999999999999s",
        ] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.ends_with("for example 500ms, 5s or 2m"), "{text:?}: {error}");
        }
        assert_eq!("1000000000".parse(), Ok(Span::seconds(u32::MAX)));
    }

    #[test]
    fn numbers_in_a_file_are_seconds() {
        for (json, text) in [("360", "6m"), ("\"6m\"", "6m"), ("0.5", "500ms"), ("0", "0s")] {
            assert_eq!(serde_json::from_str::<Span>(json).unwrap().to_string(), text, "{json}");
        }
        assert_eq!(serde_json::to_string(&Span::seconds(90)).unwrap(), "\"90s\"");
        for json in ["-1", "null", "true", "\"soon\"", "1e300", "[]"] {
            assert!(serde_json::from_str::<Span>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn whole_seconds_are_never_less() {
        for (text, seconds) in [("0", 0), ("1us", 1), ("999ms", 1), ("1s", 1), ("1001ms", 2)] {
            assert_eq!(text.parse::<Span>().unwrap().whole_seconds(), seconds, "{text}");
        }
    }
}
