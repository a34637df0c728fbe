//! A summary in Markdown, ready for a build's page or a comment on a change.
//!
//! Invariant: what comes from outside (names, reasons) cannot break a table or bring markup of its own.

use std::fmt::Write;

use serde_json::Value;

use super::dig::{count, is_partial, list, number, object, reasons, shown, text as text_of, times, verdict};
use super::findings::Findings;
use super::promises::promises;
use crate::gate::markdown::plain;
use crate::gate::measure::Measure;
use chatbench_result::escape::shortened;
use chatbench_result::model::Unit;
use chatbench_result::output::beside::beside;
use chatbench_result::units::{count_text, micros_text};
use chatbench_result::verdict::Verdict;

/// Longer texts are cut: a summary is no log.
const LONGEST: usize = 400;

/// The whole text: a section for each result and one for the comparison.
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

fn section(out: &mut String, result: &Value) {
    let verdict = verdict(result);
    let sign = match verdict {
        Some(Verdict::Pass) => "✅",
        Some(Verdict::Invalid | Verdict::Interrupted) => "❔",
        _ => "❌",
    };
    let words = verdict.map_or("unknown", Verdict::text);
    let partial = if is_partial(result) { " (partial)" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### chatbench {}: {sign} {words}{partial}\n", cell(text_of(result, "/scenario")));
    for reason in reasons(result).take(20) {
        let _ = writeln!(out, "- {}", cell(reason));
    }
    let _ = writeln!(out, "\n{}\n", cell(&setting(result)));
    let _ = writeln!(out, "| time | count | p50 | p90 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|--:|--:|");
    for (name, times) in times(result) {
        let us = |member: &str| count(times, member).map_or("-".to_owned(), micros_text);
        let [p50, p90, p99, p999, max] = ["/p50_us", "/p90_us", "/p99_us", "/p999_us", "/max_us"].map(us);
        let count = count_text(count(times, "/count").unwrap_or(0));
        let _ = writeln!(out, "| {} | {count} | {p50} | {p90} | {p99} | {p999} | {max} |", cell(name));
    }
    let _ = writeln!(out);
    numbers(out, result);
    let more = beside(&serde_json::from_value(result.clone()).unwrap_or_default());
    for one in &more {
        let _ = writeln!(out, "- {} {}", count_text(one.found), cell(&one.what));
    }
    if !more.is_empty() {
        let _ = writeln!(out);
    }
    let thresholds = list(result, "/thresholds");
    if !thresholds.is_empty() {
        let _ = writeln!(out, "| threshold | found | |\n|---|--:|---|");
        for threshold in thresholds {
            let sign = if threshold.get("ok") == Some(&Value::Bool(true)) { "✅" } else { "❌" };
            let (expression, found) = (cell(text_of(threshold, "/expression")), cell(&observed(threshold)));
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

/// Rates, costs and books in one table.
fn numbers(out: &mut String, result: &Value) {
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
pub fn setting(result: &Value) -> String {
    let mut parts =
        vec![format!("{} clients", shown(result.pointer("/options/clients").unwrap_or(&Value::Null)))];
    let traffic = object(result, "/options/traffic");
    for (name, unit) in [("rate_per_s", "/s"), ("stages", ""), ("payload_bytes", " bytes"), ("via", "")] {
        let value = traffic.and_then(|traffic| traffic.get(name)).filter(|value| !value.is_null());
        parts.extend(value.map(|value| format!("{}{unit}", shown(value))));
    }
    parts.push(format!(
        "{} cores of {}",
        number(result, "/environment/cores").unwrap_or(0.0),
        text_of(result, "/environment/cpu_model")
    ));
    parts.push(format!("chatbench {}", text_of(result, "/environment/chatbench_version")));
    parts.join(", ")
}

/// What a threshold found.
pub fn observed(threshold: &Value) -> String {
    for unit in [Unit::Micros, Unit::Count, Unit::PerSecond, Unit::Percent, Unit::Share, Unit::Bytes] {
        if let Some(value) = number(threshold, &format!("/observed_{}", unit.suffix())) {
            return value_text(unit, value);
        }
    }
    "no sample".to_owned()
}

/// A value for a reader, counts with their thousands apart.
pub fn value_text(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count if value >= 0.0 && value.fract() == 0.0 => count_text(value as u64),
        unit => unit.text(value),
    }
}

fn compared(out: &mut String, comparison: &Value) {
    let side = |name: &str| {
        let rounds = list(comparison, &format!("/{name}/rounds")).len();
        format!("{} ({rounds} rounds)", text_of(comparison, &format!("/{name}/label")))
    };
    let verdict = cell(text_of(comparison, "/verdict"));
    let _ = writeln!(
        out,
        "### comparison: {verdict}\n\n{} against {}\n",
        cell(&side("head")),
        cell(&side("base"))
    );
    let _ = writeln!(
        out,
        "| metric | base | head | change | 95 % interval | verdict |\n|---|--:|--:|--:|--:|---|"
    );
    for metric in list(comparison, "/metrics") {
        let [base, head] = sides_text(metric);
        let cells = [
            text_of(metric, "/metric"),
            &base,
            &head,
            &change_percent(metric),
            &interval_text(metric),
            text_of(metric, "/verdict"),
        ];
        let _ = writeln!(out, "| {} |", cells.map(cell).join(" | "));
    }
    for warning in list(comparison, "/warnings").iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "\n- warning: {}", cell(warning));
    }
    let _ = writeln!(out);
}

/// The medians of a compared metric: base, head.
pub fn sides_text(metric: &Value) -> [String; 2] {
    let unit = text_of(metric, "/metric").parse::<Measure>().map(|measure| measure.unit());
    match (["/base", "/head"].map(|side| number(metric, side)), unit) {
        ([Some(base), Some(head)], Ok(Unit::Count)) => {
            [base, head].map(|value| value_text(Unit::Count, value))
        }
        ([Some(base), Some(head)], Ok(unit)) => unit.texts([base, head]),
        (values, _) => values.map(|value| value.map_or("-".to_owned(), |value| value.to_string())),
    }
}

/// How far the head is from the base.
pub fn change_percent(metric: &Value) -> String {
    number(metric, "/ratio").map_or("-".to_owned(), percent)
}

/// How far it may be.
pub fn interval_text(metric: &Value) -> String {
    match (number(metric, "/interval/0"), number(metric, "/interval/1")) {
        (Some(low), Some(high)) => format!("{} … {}", percent(low), percent(high)),
        _ if ["/base_values", "/head_values"].iter().any(|side| list(metric, side).len() == 1) => {
            "one round: no interval".to_owned()
        }
        _ => "-".to_owned(),
    }
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
