//! A comparison as text for a person.
//!
//! Invariant: every number has its unit, columns are aligned, and the verdict comes last.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::gate::comparison::{Comparison, MetricChange};
use crate::gate::judge::p_text;
use crate::gate::measure::Measure;
use crate::report::human::WIDTH;

/// What a row of the table holds.
pub const COLUMNS: [&str; 7] = ["metric", "base", "head", "change", "95 % interval", "p", "verdict"];

/// The whole text.
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let rows: Vec<[String; 7]> =
        std::iter::once(COLUMNS.map(str::to_owned)).chain(comparison.metrics.iter().map(cells)).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "chatbench {}: {}", comparison.scenario, sides(comparison));
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 | 6 => write!(line, "  {cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let mut reasons = comparison.metrics.iter().map(|metric| &metric.reason);
    match reasons.next() {
        Some(first) if comparison.metrics.len() > 1 && reasons.all(|reason| reason == first) => {
            folded(&mut out, &format!("every metric: {first}"));
        }
        _ => {
            for metric in &comparison.metrics {
                folded(&mut out, &format!("{}: {}", metric.metric, metric.reason));
            }
        }
    }
    for warning in &comparison.warnings {
        folded(&mut out, &format!("warning: {warning}"));
    }
    folded(&mut out, &format!("method: {}", method(comparison)));
    let _ = writeln!(out, "{}", comparison.verdict_text());
    out
}

/// A sentence in as many lines as it needs, the first a little to the left.
fn folded(out: &mut String, text: &str) {
    let mut row = String::from(" ");
    for word in text.split(' ') {
        if row.width() + 1 + word.width() > WIDTH && !row.trim().is_empty() {
            out.push_str(&row);
            out.push('\n');
            row = " ".repeat(4);
        }
        row.push(' ');
        row.push_str(word);
    }
    out.push_str(&row);
    out.push('\n');
}

/// Both sides with their rounds.
pub fn sides(comparison: &Comparison) -> String {
    let side = |label: &str, rounds: usize| {
        format!("{label} ({rounds} {})", if rounds == 1 { "round" } else { "rounds" })
    };
    let (base, head) = (&comparison.base, &comparison.head);
    format!("{} against {}", side(&head.label, head.rounds.len()), side(&base.label, base.rounds.len()))
}

/// How it was compared.
pub fn method(comparison: &Comparison) -> String {
    let method = &comparison.method;
    format!(
        "medians of rounds; p: {}, corrected after {}, level {}; interval: {}, {} draws, seed {}; at least {} rounds a side",
        method.test,
        method.correction,
        method.level,
        method.interval,
        method.resamples,
        method.seed,
        method.min_rounds
    )
}

/// One metric, as [`COLUMNS`] says.
pub fn cells(metric: &MetricChange) -> [String; 7] {
    let unit = metric.metric.parse::<Measure>().map(|measure| measure.unit());
    let values = [metric.base, metric.head];
    let [base, head] = match &unit {
        Ok(unit) => unit.texts(values),
        Err(_) => values.map(|value| value.to_string()),
    };
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        metric.metric.clone(),
        base,
        head,
        or_dash(metric.ratio.map(percent)),
        match metric.interval {
            Some([low, high]) => format!("{} … {}", percent(low), percent(high)),
            None if metric.base_values.len().min(metric.head_values.len()) == 1 => "one round".to_owned(),
            None => "-".to_owned(),
        },
        or_dash(metric.p_corrected.map(p_text)),
        metric.verdict.text().to_owned(),
    ]
}
