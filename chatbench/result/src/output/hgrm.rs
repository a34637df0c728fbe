//! A distribution by percentile as text, the way wrk2 prints it and HdrHistogramPlotter reads it.
//!
//! Invariant: a row's value is the histogram's value at the row's percentile, in milliseconds.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::findings::Findings;
use crate::model::{RunResult, TIMES};

/// The time a run is about: the first of these that was measured.
pub const MAIN: [&str; 4] = ["e2e_time", "page_time", "grab_won_time", "connect_time"];
/// Rows for each halving of the distance to 100 %, as HdrHistogram's own output has them.
const TICKS_PER_HALF: u32 = 5;

/// The time that a file's name asks for: `x.ack_time.hgrm`.
#[must_use]
pub fn metric_of(name: &str) -> Option<&'static str> {
    TIMES.iter().find(|time| name.split('.').any(|part| part == **time)).copied()
}

/// The time a result is about.
#[must_use]
pub fn main_time(result: &RunResult) -> &'static str {
    let measured = |name: &&&str| result.measured().any(|(time, _)| time == **name);
    MAIN.iter().find(measured).copied().unwrap_or(MAIN[0])
}

/// The whole file; several results are added.
///
/// # Errors
/// When a distribution cannot be read, or there is none.
pub fn text(findings: &Findings, metric: Option<&'static str>) -> Result<String, String> {
    let metric = metric.or_else(|| findings.results.first().map(main_time)).unwrap_or(MAIN[0]);
    let mut sum: Option<Histogram<u64>> = None;
    for result in &findings.results {
        let Some(one) = result.histogram(metric)? else { continue };
        match &mut sum {
            None => sum = Some(one),
            Some(sum) => sum.add(one).map_err(|error| format!("{metric}: {error}"))?,
        }
    }
    let mut text = sum.map_or_else(|| format!("#[{metric}: no sample]\n"), |sum| distribution(&sum));
    if findings.results.iter().any(|result| result.partial) {
        text += "#[partial: stopped before the end]\n";
    }
    Ok(text)
}

fn distribution(times: &Histogram<u64>) -> String {
    let ms = |us: f64| us / 1e3;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for step in times.iter_quantiles(TICKS_PER_HALF) {
        // As it is printed, so that whoever asks for the printed percentile gets the printed value.
        let quantile = (step.quantile_iterated_to() * 1e12).round() / 1e12;
        let value = times.value_at_quantile(quantile);
        let so_far = times.count_between(0, value);
        // Writing to a string cannot fail.
        let _ = write!(text, "{:12.3} {quantile:2.12} {so_far:10}", ms(value as f64));
        let _ = match quantile < 1.0 {
            true => writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        };
    }
    let (mean, deviation, max) = (ms(times.mean()), ms(times.stdev()), ms(times.max() as f64));
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {:12}]", times.len());
    // The unit of the values is a millisecond, as the plotter takes it to be.
    let sub_buckets = 2 * 10_u64.pow(u32::from(times.sigfig()));
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        times.buckets(),
        sub_buckets.next_power_of_two()
    );
    text
}
