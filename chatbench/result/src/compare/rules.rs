//! How sides are compared, and why they cannot be.

use std::fmt;
use std::str::FromStr;

use crate::measure::Measure;

/// How to compare.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The metrics that decide; those that fit the scenario when there are none.
    pub metrics: Vec<Wanted>,
    /// The smallest change that matters, of metrics that have none of their own: 0.05 for 5 %.
    pub min_effect: f64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// A metric that decides.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which.
    pub measure: Measure,
    /// Its own smallest effect.
    pub min_effect: Option<f64>,
}

/// Why there is no comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomparable {
    /// The rounds are not of the same thing, or do not have what was asked for.
    Different(String),
    /// A side has no round that is a measurement.
    NothingValid(String),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, effect) = text.split_once('=').map_or((text, None), |(name, rest)| (name, Some(rest)));
        Ok(Self { measure: name.parse()?, min_effect: effect.map(percent).transpose()? })
    }
}

/// Reads `5%` or `5`: above 0 and below 1000.
///
/// # Errors
/// A sentence that says how to write it.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|percent| *percent > 0.0 && *percent < 1000.0);
    number
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("{text:?} is no percentage above 0; write for example 5%"))
}

impl fmt::Display for Incomparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Incomparable::Different(why) | Incomparable::NothingValid(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Incomparable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_may_have_their_own_effect() {
        let metric: Wanted = "e2e_time:p(99)=10%".parse().unwrap();
        assert_eq!((metric.measure.to_string().as_str(), metric.min_effect), ("e2e_time:p(99)", Some(0.1)));
        for (text, says) in
            [("speed", "unknown metric"), ("e2e_time:p(50)=0", "5%"), ("e2e_time:p(50)=x%", "5%")]
        {
            assert!(text.parse::<Wanted>().unwrap_err().contains(says), "{text}");
        }
        for bad in ["-5%", "NaN", "1e9", "", "%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
