//! How often something may happen, as people write it.
//!
//! Invariant: what lacks a meaning (no number, a negative one, an unknown unit) is refused, never read as no limit.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// So many times a second, a minute or an hour, or as often as one likes. As text `20/s`, `30/m`, `100/h`; `0` is no
/// limit, and a bare number is a second's, as a text and in a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    times: u64,
    unit: Unit,
}

type Unit = (&'static str, u64);

/// The text is no [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a whole number and /s, /m or /h, for example 20/s or 30/m, or 0 for no limit")]
pub struct BadRate(&'static str);

/// Nanoseconds of each unit.
const UNITS: [Unit; 3] = [("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

impl Rate {
    /// Most times in any unit: what is faster cannot be told from no limit.
    pub const MAX: u64 = 1_000_000;
    /// No limit.
    pub const NONE: Self = Self { times: 0, unit: UNITS[0] };

    /// Nanoseconds between two of them; 0 where there is no limit.
    #[must_use]
    pub const fn interval_ns(self) -> u64 {
        match self.times {
            0 => 0,
            times => self.unit.1 / times,
        }
    }

    /// How often, and in how many milliseconds; none where there is no limit.
    #[must_use]
    pub const fn times_in_ms(self) -> Option<(u64, u64)> {
        match self.times {
            0 => None,
            times => Some((times, self.unit.1 / 1_000_000)),
        }
    }

    /// Whether there is no limit.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.times == 0
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let none = || BadRate("this is no rate");
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let unit = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(none)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(none());
        }
        match number.parse() {
            Ok(0) => Ok(Self::NONE),
            Ok(times @ 1..=Self::MAX) => Ok(Self { times, unit }),
            _ => Err(BadRate("that is more than 1000000")),
        }
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.times {
            0 => f.write_str("0"),
            times => write!(f, "{times}/{}", self.unit.0),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Rate;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("times a second, or a text such as \"20/s\" or \"30/m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, times: u64) -> Result<Rate, E> {
        self.visit_str(&times.to_string())
    }

    fn visit_i64<E: Error>(self, times: i64) -> Result<Rate, E> {
        match u64::try_from(times) {
            Ok(times) => self.visit_u64(times),
            Err(_) => Err(E::invalid_value(Unexpected::Other("a negative number"), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_understood_and_written_again() {
        for (text, interval_ns, again) in [
            ("0", 0, "0"),
            ("0/m", 0, "0"),
            ("1", 1_000_000_000, "1/s"),
            ("20/s", 50_000_000, "20/s"),
            ("30/m", 2_000_000_000, "30/m"),
            ("1/h", 3_600_000_000_000, "1/h"),
            ("1000000/s", 1_000, "1000000/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.interval_ns(), rate.to_string().as_str()), (interval_ns, again), "{text}");
            assert_eq!((rate.is_none(), again.parse()), (interval_ns == 0, Ok(rate)), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, expected) in [
            ("0/m", None),
            ("20", Some((20, 1000))),
            ("30/m", Some((30, 60_000))),
            ("72/h", Some((72, 3_600_000))),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().times_in_ms(), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_says_how_to_write_it() {
        for text in ["", "/s", "-1", "+1/s", "1 /s", "1/d", "1/", "1/s/s", "1.5/s", "1e3", "s", "inf", "五/s"]
        {
            assert_eq!(text.parse::<Rate>(), Err(BadRate("this is no rate")), "{text}");
        }
        for text in ["1000001/s", "99999999999999999999"] {
            assert!(text.parse::<Rate>().unwrap_err().to_string().contains("more than 1000000"), "{text}");
        }
    }
}
