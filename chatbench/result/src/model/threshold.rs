//! Conditions with what was found, each value under the name of its unit.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{bytes_text, micros_text};

/// What a value counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Nothing but a number of things.
    #[default]
    #[serde(rename = "count")]
    Count,
    /// Things per second.
    #[serde(rename = "per_s")]
    PerSecond,
    /// A share of one core, in percent.
    #[serde(rename = "percent")]
    Percent,
    /// A share of a whole, 1 for all of it.
    #[serde(rename = "share")]
    Share,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
}

/// How a condition came out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// The condition as it was written.
    pub expression: String,
    /// The measured value; none without a sample.
    pub observed: Option<f64>,
    /// What the value counts.
    pub unit: Unit,
    /// Whether it holds.
    pub ok: bool,
}

impl Unit {
    const ALL: [Unit; 6] =
        [Unit::Micros, Unit::Count, Unit::PerSecond, Unit::Percent, Unit::Share, Unit::Bytes];

    /// The end of a member's name in a result.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::Micros => "us",
            Unit::Count => "count",
            Unit::PerSecond => "per_s",
            Unit::Percent => "percent",
            Unit::Share => "share",
            Unit::Bytes => "bytes",
        }
    }

    /// Values that are compared with each other, all in the unit of the largest.
    #[must_use]
    pub fn texts<const N: usize>(self, values: [f64; N]) -> [String; N] {
        let largest = values.iter().copied().fold(0.0, f64::max);
        let (divisor, name) = match self {
            Unit::Micros if largest >= 1e6 => (1e6, "s"),
            Unit::Micros if largest >= 1e3 => (1e3, "ms"),
            Unit::Bytes if largest >= 1_048_576.0 => (1_048_576.0, "MiB"),
            Unit::Bytes if largest >= 1024.0 => (1024.0, "KiB"),
            _ => return values.map(|value| self.text(value)),
        };
        // What is small beside the largest keeps a digit that counts.
        let small = values.iter().any(|value| *value > 0.0 && value / divisor < 0.1);
        let digits = if small { 3 } else { 2 };
        values.map(|value| format!("{:.digits$} {name}", value / divisor))
    }

    /// A value for a reader.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            // A time of a few microseconds is a quotient, and its digits count.
            Unit::Micros if value < 100.0 && value.fract() != 0.0 => format!("{value:.2} µs"),
            Unit::Micros => micros_text(value as u64),
            Unit::Count => format!("{value}"),
            Unit::PerSecond => format!("{value:.1}/s"),
            Unit::Percent => format!("{value:.1} %"),
            Unit::Share => format!("{:.1} %", value * 100.0),
            Unit::Bytes => bytes_text(value),
        }
    }
}

impl Judged {
    /// Condition and value in words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.expression, self.observed_text())
    }

    /// The value in words.
    #[must_use]
    pub fn observed_text(&self) -> String {
        self.observed.map_or_else(|| "no sample".to_owned(), |value| self.unit.text(value))
    }
}

impl Serialize for Judged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("expression", &self.expression)?;
        map.serialize_entry(&format!("observed_{}", self.unit.suffix()), &self.observed)?;
        map.serialize_entry("ok", &self.ok)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Judged {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Judged;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Judged, A::Error> {
        let mut judged = Judged::default();
        while let Some(name) = map.next_key::<String>()? {
            let unit = name.strip_prefix("observed_");
            match unit.and_then(|suffix| Unit::ALL.into_iter().find(|unit| unit.suffix() == suffix)) {
                Some(unit) => (judged.unit, judged.observed) = (unit, map.next_value()?),
                None if name == "expression" => judged.expression = map.next_value()?,
                None if name == "ok" => judged.ok = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_compared_have_one_unit() {
        assert_eq!(Unit::Micros.texts([812.0, 1_234.0]), ["0.81 ms", "1.23 ms"]);
        assert_eq!(Unit::Micros.texts([2_500_000.0, 30_000.0]), ["2.500 s", "0.030 s"]);
        assert_eq!(Unit::Micros.texts([3.25, 14.5]), ["3.25 µs", "14.50 µs"]);
        assert_eq!(Unit::Bytes.texts([512.0, 2048.0]), ["0.50 KiB", "2.00 KiB"]);
    }
}
