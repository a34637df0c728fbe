//! A summary in Markdown, ready for a build's page or a comment on a change.
//!
//! Invariant: what comes from outside (names, reasons) cannot break a table or bring markup of its own.

use std::fmt::Write;

use serde_json::Value;

use super::beside::beside;
use super::findings::Findings;
use super::promises::promises;
use crate::compare::comparison::{Comparison, MetricChange, Side};
use crate::escape::{plain, shortened};
use crate::measure::Measure;
use crate::model::{Judged, RunResult, TimeSummary, Unit};
use crate::units::{count_text, micros_text};
use crate::verdict::Verdict;

/// Longer texts are cut: a summary is no log.
const LONGEST: usize = 400;

/// The whole text: a section for each result and one for the comparison.
#[must_use]
pub fn text(findings: &Findings) -> String {
    let mut out = String::new();
    for result in &findings.results {
        section(&mut out, result);
    }
    if let Some(comparison) = &findings.comparison {
        compared(&mut out, comparison);
    }
    out
}

fn cell(text: &str) -> String {
    plain(&shortened(text, LONGEST))
}

fn section(out: &mut String, result: &RunResult) {
    let sign = match result.verdict {
        Some(Verdict::Pass) => "✅",
        Some(Verdict::Invalid | Verdict::Interrupted) => "❔",
        _ => "❌",
    };
    let words = result.verdict.map_or("unknown", Verdict::text);
    let partial = if result.partial { " (partial)" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### chatbench {}: {sign} {words}{partial}\n", cell(&result.scenario));
    for reason in result.reasons.iter().take(20) {
        let _ = writeln!(out, "- {}", cell(reason));
    }
    let _ = writeln!(out, "\n{}\n", cell(&setting(result)));
    let _ = writeln!(out, "| time | count | p50 | p90 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|--:|--:|");
    for (name, times) in result.measured() {
        let TimeSummary { p50_us, p90_us, p99_us, p999_us, max_us, .. } = times;
        let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(us_text);
        let count = count_text(times.count);
        let _ = writeln!(out, "| {} | {count} | {p50} | {p90} | {p99} | {p999} | {max} |", cell(name));
    }
    let _ = writeln!(out);
    numbers(out, result);
    let more = beside(result);
    for one in &more {
        let _ = writeln!(out, "- {} {}", count_text(one.found), cell(&one.what));
    }
    if !more.is_empty() {
        let _ = writeln!(out);
    }
    if !result.thresholds.is_empty() {
        let _ = writeln!(out, "| threshold | found | |\n|---|--:|---|");
        for threshold in &result.thresholds {
            let sign = if threshold.ok { "✅" } else { "❌" };
            let (expression, found) = (cell(&threshold.expression), cell(&observed(threshold)));
            let _ = writeln!(out, "| {expression} | {found} | {sign} |");
        }
        let _ = writeln!(out);
    }
    let broken: Vec<_> = promises(result).into_iter().filter(|promise| promise.found > 0).collect();
    for promise in &broken {
        let _ = writeln!(out, "- ❌ {}: {} {}", promise.name, count_text(promise.found), promise.what);
    }
    if !broken.is_empty() {
        let _ = writeln!(out);
    }
}

fn us_text(us: &Option<u64>) -> String {
    us.map_or("-".to_owned(), micros_text)
}

/// Rates, costs and books in one table.
fn numbers(out: &mut String, result: &RunResult) {
    let names = [
        "connected",
        "offered_per_s",
        "sent_per_s",
        "deliveries_per_s",
        "expected",
        "delivered",
        "lost",
        "duplicated",
        "reordered",
        "late",
        "grabs_per_s",
        "discrepancies",
        "server_cpu",
        "server_cpu_per_delivery",
        "server_memory",
        "generator_cpu",
        "generator_delay",
    ];
    let found: Vec<(&str, String)> = names
        .into_iter()
        .filter_map(|name| {
            let measure = name.parse::<Measure>().ok()?;
            Some((name, value_text(measure.unit(), measure.of(result)?)))
        })
        .collect();
    if found.is_empty() {
        return;
    }
    let _ = writeln!(out, "| | |\n|---|--:|");
    for (name, value) in found {
        let _ = writeln!(out, "| {} | {value} |", cell(name));
    }
    let _ = writeln!(out);
}

/// What was run, in one line.
#[must_use]
pub fn setting(result: &RunResult) -> String {
    let mut parts = Vec::new();
    if let Some(options) = &result.options {
        parts.push(format!("{} clients", options.clients));
        if let Some(traffic) = &options.traffic {
            // As JSON has it: with a digit behind the point.
            parts.extend(traffic.rate_per_s.map(|rate| format!("{}/s", Value::from(rate))));
            parts.extend(traffic.stages.clone());
            parts.extend([format!("{} bytes", traffic.payload_bytes), traffic.via.clone()]);
        }
    }
    if let Some(environment) = &result.environment {
        parts.push(format!("{} cores of {}", environment.cores, environment.cpu_model));
        parts.push(format!("chatbench {}", environment.chatbench_version));
    }
    parts.join(", ")
}

fn compared(out: &mut String, comparison: &Comparison) {
    let side = |side: &Side| cell(&format!("{} ({} rounds)", side.label, side.rounds.len()));
    let _ = writeln!(
        out,
        "### comparison: {}\n\n{} against {}\n",
        comparison.verdict.text(),
        side(&comparison.head),
        side(&comparison.base)
    );
    let _ = writeln!(
        out,
        "| metric | base | head | change | 95 % interval | verdict |\n|---|--:|--:|--:|--:|---|"
    );
    for metric in &comparison.metrics {
        let [base, head] = sides_text(metric);
        let cells = [
            &metric.metric,
            &base,
            &head,
            &change_percent(metric),
            &interval_text(metric),
            metric.verdict.text(),
        ];
        let _ = writeln!(out, "| {} |", cells.map(cell).join(" | "));
    }
    for warning in &comparison.warnings {
        let _ = writeln!(out, "\n- warning: {}", cell(warning));
    }
    let _ = writeln!(out);
}

/// What a threshold found.
#[must_use]
pub fn observed(threshold: &Judged) -> String {
    threshold.observed.map_or_else(|| "no sample".to_owned(), |value| value_text(threshold.unit, value))
}

/// A value for a reader, counts with their thousands apart.
#[must_use]
pub fn value_text(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count if value >= 0.0 && value.fract() == 0.0 => count_text(value as u64),
        unit => unit.text(value),
    }
}

/// The medians of a compared metric: base, head.
#[must_use]
pub fn sides_text(metric: &MetricChange) -> [String; 2] {
    let values = [metric.base, metric.head];
    match metric.unit {
        Unit::Count => values.map(|value| value_text(Unit::Count, value)),
        unit => unit.texts(values),
    }
}

/// How far the head is from the base.
#[must_use]
pub fn change_percent(metric: &MetricChange) -> String {
    metric.ratio.map_or("-".to_owned(), percent)
}

/// How far it may be.
#[must_use]
pub fn interval_text(metric: &MetricChange) -> String {
    match metric.interval {
        Some([low, high]) => format!("{} … {}", percent(low), percent(high)),
        None if metric.base_values.len().min(metric.head_values.len()) == 1 => {
            "one round: no interval".to_owned()
        }
        None => "-".to_owned(),
    }
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
