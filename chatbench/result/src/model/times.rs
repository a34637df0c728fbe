//! A distribution of times in a few numbers.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::hdr;

/// Metrics with a distribution of times.
pub const TIMES: [&str; 18] = [
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
    "reconnect_time",
    "back_time",
    "page_time",
    "grab_won_time",
    "grab_already_time",
    "grab_empty_time",
    "settlement_time",
];

/// Percentiles of one metric. Without a sample all but the count are null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSummary {
    /// Samples.
    pub count: u64,
    /// Those of them that are lower bounds: they had not ended when the wait for them did.
    #[serde(default)]
    pub censored: u64,
    /// The smallest.
    pub min_us: Option<u64>,
    /// The arithmetic mean.
    pub mean_us: Option<f64>,
    /// Half of all are not above.
    pub p50_us: Option<u64>,
    /// 90 % are not above.
    pub p90_us: Option<u64>,
    /// 99 % are not above.
    pub p99_us: Option<u64>,
    /// 99.9 % are not above.
    pub p999_us: Option<u64>,
    /// The largest.
    pub max_us: Option<u64>,
    /// All of it: an HdrHistogram of microseconds, V2 deflated, in base64.
    pub hdr: Option<String>,
    /// What the histogram counts in.
    #[serde(default = "micros")]
    pub unit: String,
}

impl TimeSummary {
    /// Of these times, of which `censored` are lower bounds.
    #[must_use]
    pub fn new(times: &Histogram<u64>, censored: u64) -> Self {
        let some = !times.is_empty();
        let quantile = |quantile| some.then(|| times.value_at_quantile(quantile));
        Self {
            count: times.len(),
            censored,
            min_us: some.then(|| times.min()),
            mean_us: some.then(|| (times.mean() * 10.0).round() / 10.0),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: some.then(|| times.max()),
            hdr: some.then(|| hdr::encode(times).ok()).flatten(),
            unit: micros(),
        }
    }
}

fn micros() -> String {
    "us".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdr::histogram;

    #[test]
    fn no_sample_gives_no_number() {
        let mut times = histogram();
        let empty = TimeSummary::new(&times, 0);
        assert_eq!((empty.count, empty.p50_us, empty.mean_us), (0, None, None));
        (1..=1000).for_each(|us| times.saturating_record(us));
        let full = TimeSummary::new(&times, 0);
        assert_eq!((full.min_us, full.p50_us, full.p99_us), (Some(1), Some(500), Some(990)));
        assert_eq!((full.p999_us, full.max_us, full.mean_us), (Some(999), Some(1000), Some(500.5)));
    }
}
