//! Conditions the operator sets: `e2e_time:p(99)<50ms`, `lost==0`.
//!
//! Invariant: a condition on something nobody measured fails; it never passes for want of a sample.

use std::str::FromStr;

use crate::measure::Measure;
use crate::model::{Judged, RunResult, Unit};

/// Comparisons, the longer spelling before its beginning.
const COMPARISONS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// One condition.
#[derive(Debug, Clone)]
pub struct Threshold {
    text: String,
    measure: Measure,
    comparison: &'static str,
    /// In the unit of the measure.
    bound: f64,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let found = COMPARISONS.iter().filter_map(|sign| compact.find(sign).map(|at| (at, *sign)));
        // The leftmost sign; of two at the same place the longer, which stands first in the list.
        let (at, comparison) = found.min_by_key(|(at, _)| *at).ok_or_else(|| {
            format!("{text:?} compares nothing; write for example 'e2e_time:p(99)<50ms' or 'lost==0'")
        })?;
        let measure: Measure = compact[..at].parse()?;
        let bound = bound(measure.unit(), &compact[at + comparison.len()..])?;
        if always_holds(measure.unit(), comparison, bound) {
            return Err(format!("{text:?} always holds and judges nothing; a share is at most 100% (or 1)"));
        }
        Ok(Self { text: text.to_owned(), measure, comparison, bound })
    }
}

/// Whether no value can fail the condition: none is negative, and no share is above the whole.
fn always_holds(unit: Unit, comparison: &str, bound: f64) -> bool {
    let most = if unit == Unit::Share { 1.0 } else { f64::INFINITY };
    match comparison {
        ">=" => bound <= 0.0,
        ">" => bound < 0.0,
        "<=" => bound >= most,
        "<" => bound > most,
        "!=" => bound < 0.0 || bound > most,
        _ => false,
    }
}

/// A time with its unit, spelt as in chat-protocol's `Span`, which this crate does not know.
fn micros(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        "h" => 3.6e9,
        "" => return Err(format!("{text:?} needs a unit; write for example 50ms")),
        unit => return Err(format!("unknown unit {unit:?}; write for example 50ms, 10s or 2m")),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_: &f64| is_number(whole) && is_number(part));
    number.map(|number| number * scale).ok_or_else(|| format!("{text:?} is no time; write for example 50ms"))
}

fn bound(unit: Unit, text: &str) -> Result<f64, String> {
    if unit == Unit::Micros {
        return micros(text);
    }
    let (suffixes, example): (&[(&str, f64)], _) = match unit {
        Unit::Micros | Unit::Count => (&[], "a count such as 0"),
        Unit::PerSecond => (&[("/s", 1.0)], "a rate such as 100/s"),
        Unit::Percent => (&[("%", 1.0)], "percent of one core such as 80%"),
        Unit::Share => (&[("%", 0.01)], "a share such as 99% or 0.99"),
        Unit::Bytes => {
            (&[("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)], "bytes such as 64MiB")
        }
    };
    let scaled = suffixes.iter().find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)));
    let (digits, scale) = scaled.unwrap_or((text, 1.0));
    let number = digits.parse().ok().filter(|bound: &f64| bound.is_finite());
    number.map(|number| number * scale).ok_or_else(|| format!("{text:?} is no number; write {example}"))
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// Compares with what a result has.
    #[must_use]
    pub fn judge(&self, result: &RunResult) -> Judged {
        let observed = self.measure.of(result);
        let ok = observed.is_some_and(|value| match self.comparison {
            "<=" => value <= self.bound,
            ">=" => value >= self.bound,
            "<" => value < self.bound,
            ">" => value > self.bound,
            "==" => (value - self.bound).abs() < f64::EPSILON,
            _ => (value - self.bound).abs() >= f64::EPSILON,
        });
        Judged { expression: self.text.clone(), ok, observed, unit: self.measure.unit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdr::histogram;
    use crate::model::{Books, Line, Processes, Rates, TimeSummary, Usage};

    fn measured() -> RunResult {
        let mut times = histogram();
        (1..=100).for_each(|ms| times.saturating_record(ms * 1000));
        let server = Usage { rss_after_bytes: 2_097_152, ..Usage::default() };
        RunResult {
            times: [
                ("e2e_time".to_owned(), TimeSummary::new(&times, 0)),
                ("ack_time".to_owned(), TimeSummary::new(&histogram(), 0)),
            ]
            .into(),
            ledger: Some(Books { measured: Line { lost: 2, ..Line::default() }, ..Books::default() }),
            rates: Some(Rates {
                offered_per_s: Some(100.0),
                sent_per_s: 98.0,
                deliveries_per_s: 500.5,
                ..Rates::default()
            }),
            processes: Some(Processes {
                servers: vec![server],
                server_cpu_us_per_delivery: Some(4.25),
                ..Processes::default()
            }),
            ..RunResult::default()
        }
    }

    #[test]
    fn conditions_hold_or_fail() {
        let result = measured();
        for (text, ok) in [
            ("e2e_time:p(99)<100ms", true),
            ("e2e_time:p(99) < 50ms", false),
            ("e2e_time:med<=51ms", true),
            ("e2e_time:p(42)<43ms", true),
            ("e2e_time:p(42)<42ms", false),
            ("e2e_time:max>=0.1s", true),
            ("e2e_time:count==100", true),
            ("lost<=2", true),
            ("lost==0", false),
            ("lost:count!=2", false),
            ("ack_time:p(50)<10s", false),
            ("ack_time:count==0", false),
            ("reordered==0", true),
            ("holes==0", false),
            ("achieved>=98%", true),
            ("achieved>0.99", false),
            ("deliveries_per_s>500/s", true),
            ("server_memory<=2MiB", true),
            ("server_memory<1e6", false),
            ("server_cpu_per_delivery<5us", true),
            ("server_cpu<100%", false),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            let judged = threshold.judge(&result);
            assert_eq!(judged.ok, ok, "{}", judged.words());
        }
    }

    #[test]
    fn wrong_conditions_say_what_is_known() {
        for (text, says) in [
            ("latency:p(99)<1ms", "fanout_time"),
            ("e2e_time<1ms", "statistic"),
            ("e2e_time:p(101)<1ms", "p(100)"),
            ("e2e_time:p(99)<1", "unit"),
            ("lost:p(99)<1", "only counts"),
            ("lost<few", "no number"),
            ("achieved:avg>1", "one number"),
            ("server_memory<1TB", "64MiB"),
            ("sent_per_s>1/m", "100/s"),
            ("lost<inf", "no number"),
            ("<5", "unknown metric"),
            ("lost", "compares nothing"),
            ("achieved<=99", "always holds"),
            ("achieved<=100%", "always holds"),
            ("lost>=0", "always holds"),
            ("e2e_time:p(99)>=0us", "always holds"),
            ("duplicated!=-1", "always holds"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
