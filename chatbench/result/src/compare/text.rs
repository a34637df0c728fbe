//! A comparison as text for a person.
//!
//! Invariant: every number has its unit, columns are aligned, the verdict comes last, and no line is wider than
//! [`WIDTH`].

use unicode_width::UnicodeWidthStr;

use super::comparison::{Comparison, MetricChange};
use super::judge::p_text;
use crate::fold::{WIDTH, folded};
use crate::measure::Measure;

/// What a row of the table holds.
pub const COLUMNS: [&str; 7] = ["metric", "base", "head", "change", "95 % interval", "p", "verdict"];

/// The whole text.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut out = folded("", 2, &format!("chatbench {}: {}", comparison.scenario, sides(comparison)));
    let mut reasons = comparison.metrics.iter().map(|metric| &metric.reason);
    let common =
        reasons.next().filter(|first| comparison.metrics.len() > 1 && reasons.all(|reason| reason == *first));
    out += &table(&comparison.metrics, common.is_none());
    if let Some(reason) = common {
        out += &finding(&format!("every metric: {reason}"));
    }
    for warning in &comparison.warnings {
        out += &finding(&format!("warning: {warning}"));
    }
    out += &finding(&format!("method: {}", method(comparison)));
    out + &verdict(comparison)
}

/// The last line; its metrics may need another.
#[must_use]
pub fn verdict(comparison: &Comparison) -> String {
    folded("", 4, &comparison.verdict_text())
}

fn finding(text: &str) -> String {
    folded("  ", 5, text)
}

/// For each metric its verdict, with or without the reason, and below it its numbers: side by side they are too wide for
/// a terminal.
fn table(metrics: &[MetricChange], with_reasons: bool) -> String {
    let numbers = |cells: [String; 7]| {
        let [_, base, head, change, interval, p, _] = cells;
        [base, head, change, interval, p]
    };
    let rows: Vec<[String; 5]> =
        std::iter::once(COLUMNS.map(str::to_owned)).chain(metrics.iter().map(cells)).map(numbers).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
    let line = |row: &[String; 5]| {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
        let line = format!("     {}\n", padded.collect::<Vec<_>>().join("  "));
        // Numbers that nobody measures are not worth a column.
        if line.trim_end().width() <= WIDTH { line } else { folded("     ", 5, &row.join("  ")) }
    };
    let mut rows = rows.iter();
    let mut out = rows.next().map(line).unwrap_or_default();
    for (metric, row) in metrics.iter().zip(rows) {
        let verdict = format!("{}: {}", metric.metric, metric.verdict.text());
        out += &finding(&if with_reasons { format!("{verdict} ({})", metric.reason) } else { verdict });
        out += &line(row);
    }
    out
}

/// Both sides with their rounds.
#[must_use]
pub fn sides(comparison: &Comparison) -> String {
    let side = |label: &str, rounds: usize| {
        format!("{label} ({rounds} {})", if rounds == 1 { "round" } else { "rounds" })
    };
    let (base, head) = (&comparison.base, &comparison.head);
    format!("{} against {}", side(&head.label, head.rounds.len()), side(&base.label, base.rounds.len()))
}

/// How it was compared.
#[must_use]
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
#[must_use]
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
