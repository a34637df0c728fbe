//! Every distribution of a run as an HdrHistogram interval log.
//!
//! Invariant: read back, every histogram equals the one in the result; values are microseconds.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::findings::Findings;
use crate::model::{RunResult, TIMES};

/// The largest value of an interval is shown in milliseconds.
const US_PER_MS: f64 = 1e3;

/// The whole file: an interval for each time of each result, over the whole run, tagged with the metric's name.
///
/// # Errors
/// When a distribution cannot be read.
pub fn text(findings: &Findings) -> Result<String, String> {
    let started = |result: &RunResult| Duration::from_millis(result.started_unix_ms);
    let mut results: Vec<_> = findings.results.iter().collect();
    results.sort_by_key(|result| started(result));
    let begin = results.first().map_or(Duration::ZERO, |result| started(result));
    let base = UNIX_EPOCH.checked_add(begin).unwrap_or(UNIX_EPOCH);
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!("[chatbench; values in microseconds; tags: {}]", TIMES.join(" ")));
    for result in &results {
        let partial = if result.partial { ", partial: stopped before the end" } else { "" };
        let comment = format!("[run {} of {}{partial}]", result.run, result.scenario);
        builder.add_comment(&comment.replace(|letter: char| letter.is_control(), " "));
    }
    builder.with_start_time(base).with_base_time(base).with_max_value_divisor(US_PER_MS);
    let mut writer = builder.begin_log_with(&mut log, &mut serializer).map_err(|error| error.to_string())?;
    for result in results {
        let duration = Duration::from_millis(result.length_ms());
        for (name, _) in result.measured() {
            let Some(whole) = result.histogram(name)? else { continue };
            let start = started(result).saturating_sub(begin);
            writer
                .write_histogram(&whole, start, duration, Tag::new(name))
                .map_err(|error| format!("{name}: {error:?}"))?;
        }
    }
    String::from_utf8(log).map_err(|error| error.to_string())
}
