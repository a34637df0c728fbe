//! Conditions the operator sets: `e2e_time:p(99)<50ms`, `lost==0`.
//!
//! Invariant: a condition on something nobody measured fails; it never passes for want of a sample.

use std::collections::BTreeMap;
use std::str::FromStr;

use hdrhistogram::Histogram;

use crate::units;

/// Metrics with a distribution of times.
pub const TIMES: [&str; 17] = [
    "connect_time",
    "login_time",
    "ack_time",
    "e2e_time",
    "service_time",
    "send_lag_time",
    "fanout_first_time",
    "fanout_median_time",
    "fanout_time",
    "fanout_skew_time",
    "recovery_time",
    "back_time",
    "page_time",
    "grab_won_time",
    "grab_already_time",
    "grab_empty_time",
    "settlement_time",
];
/// Metrics that count.
pub const COUNTERS: [&str; 8] =
    ["lost", "duplicated", "reordered", "gaps", "reconnects", "holes", "repeats", "discrepancies"];

/// Comparisons, the longer spelling before its beginning.
const COMPARISONS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// What was measured, by name of the metric.
#[derive(Debug, Default)]
pub struct Metrics {
    /// In microseconds.
    pub times: BTreeMap<&'static str, Histogram<u64>>,
    /// Counts.
    pub counters: BTreeMap<&'static str, u64>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    metric: String,
    statistic: Statistic,
    comparison: &'static str,
    /// Microseconds for times.
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistic {
    Percentile(f64),
    Mean,
    Min,
    Max,
    Count,
}

/// How a condition came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The condition as it was written.
    pub expression: String,
    /// Whether it holds.
    pub ok: bool,
    /// The measured value, in microseconds for times; none without a sample.
    pub observed: Option<f64>,
    /// Whether that value is a time.
    pub of_time: bool,
    /// Condition and value in words.
    pub words: String,
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
        let (left, right) = (&compact[..at], &compact[at + comparison.len()..]);
        let (metric, statistic) = left.split_once(':').map_or((left, None), |(m, s)| (m, Some(s)));
        let statistic = if TIMES.contains(&metric) {
            Statistic::of_time(statistic)?
        } else if COUNTERS.contains(&metric) {
            counter_statistic(metric, statistic)?
        } else {
            return Err(format!(
                "unknown metric {metric:?}; known are {} and {}",
                TIMES.join(", "),
                COUNTERS.join(", ")
            ));
        };
        let of_time = TIMES.contains(&metric) && statistic != Statistic::Count;
        let bound = if of_time { time_bound(right)? } else { count_bound(right)? };
        Ok(Self { text: text.to_owned(), metric: metric.to_owned(), statistic, comparison, bound })
    }
}

impl Statistic {
    fn of_time(text: Option<&str>) -> Result<Self, String> {
        let text = text.ok_or("a time needs a statistic: p(99), avg, min, med, max or count")?;
        match text {
            "avg" => return Ok(Statistic::Mean),
            "min" => return Ok(Statistic::Min),
            "med" => return Ok(Statistic::Percentile(50.0)),
            "max" => return Ok(Statistic::Max),
            "count" => return Ok(Statistic::Count),
            _ => {}
        }
        let percent = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')')?.parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        percent.map(Statistic::Percentile).ok_or_else(|| {
            format!("unknown statistic {text:?}; known are p(0) to p(100), avg, min, med, max, count")
        })
    }
}

fn counter_statistic(metric: &str, text: Option<&str>) -> Result<Statistic, String> {
    match text {
        None | Some("count") => Ok(Statistic::Count),
        Some(other) => Err(format!("{metric} only counts; {other:?} is no statistic of it")),
    }
}

fn time_bound(text: &str) -> Result<f64, String> {
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("{text:?} needs a unit; write for example 50ms"));
    }
    units::duration(text).map(|bound| bound.as_secs_f64() * 1e6)
}

fn count_bound(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|bound: &f64| bound.is_finite()).ok_or_else(|| format!("{text:?} is no number"))
}

impl Threshold {
    /// Compares with what was measured.
    pub fn judge(&self, metrics: &Metrics) -> Judged {
        let observed = self.observe(metrics);
        let ok = observed.is_some_and(|value| match self.comparison {
            "<=" => value <= self.bound,
            ">=" => value >= self.bound,
            "<" => value < self.bound,
            ">" => value > self.bound,
            "==" => (value - self.bound).abs() < f64::EPSILON,
            _ => (value - self.bound).abs() >= f64::EPSILON,
        });
        let of_time = TIMES.contains(&self.metric.as_str()) && self.statistic != Statistic::Count;
        let words = match observed {
            None => format!("{}: no sample", self.text),
            Some(us) if of_time => format!("{}: {}", self.text, units::micros_text(us as u64)),
            Some(count) => format!("{}: {count}", self.text),
        };
        Judged { expression: self.text.clone(), ok, observed, of_time, words }
    }

    fn observe(&self, metrics: &Metrics) -> Option<f64> {
        let Some(times) = metrics.times.get(self.metric.as_str()) else {
            return metrics.counters.get(self.metric.as_str()).map(|count| *count as f64);
        };
        if times.is_empty() {
            return None;
        }
        Some(match self.statistic {
            Statistic::Percentile(percent) => times.value_at_quantile(percent / 100.0) as f64,
            Statistic::Mean => times.mean(),
            Statistic::Min => times.min() as f64,
            Statistic::Max => times.max() as f64,
            Statistic::Count => times.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::histogram;

    fn metrics() -> Metrics {
        let mut times = histogram();
        (1..=100).for_each(|ms| times.saturating_record(ms * 1000));
        Metrics {
            times: BTreeMap::from([("e2e_time", times), ("ack_time", histogram())]),
            counters: BTreeMap::from([("lost", 2)]),
        }
    }

    #[test]
    fn conditions_hold_or_fail() {
        for (text, ok) in [
            ("e2e_time:p(99)<100ms", true),
            ("e2e_time:p(99) < 50ms", false),
            ("e2e_time:med<=51ms", true),
            ("e2e_time:max>=0.1s", true),
            ("e2e_time:count==100", true),
            ("lost<=2", true),
            ("lost==0", false),
            ("lost:count!=2", false),
            ("ack_time:p(50)<10s", false),
            ("reordered==0", false),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            let judged = threshold.judge(&metrics());
            assert_eq!(judged.ok, ok, "{}", judged.words);
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
            ("lost", "compares nothing"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
