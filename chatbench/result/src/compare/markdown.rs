//! A comparison as Markdown, ready to be a comment on a change.
//!
//! Invariant: what comes from outside (names, reasons) cannot break the table or bring markup of its own.

use std::fmt::Write;

use super::comparison::{Change, Comparison};
use super::text::{COLUMNS, cells, method, sides};
use crate::escape::plain;

/// The whole text.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "### chatbench {}: {} {}\n",
        plain(&comparison.scenario),
        sign(comparison.verdict),
        plain(&comparison.verdict_text())
    );
    let _ = writeln!(out, "{}\n", plain(&sides(comparison)));
    let _ = writeln!(out, "{}", row(&COLUMNS.map(str::to_owned)));
    let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|---|");
    for metric in &comparison.metrics {
        let mut cells = cells(metric).map(|cell| plain(&cell));
        cells[6] = format!("{} {}", sign(metric.verdict), cells[6]);
        let _ = writeln!(out, "{}", row(&cells));
    }
    let _ = writeln!(out);
    for warning in &comparison.warnings {
        let _ = writeln!(out, "- warning: {}", plain(warning));
    }
    let _ = writeln!(out, "\n<details><summary>How this was found</summary>\n");
    for metric in &comparison.metrics {
        let _ = writeln!(out, "- {}: {}", plain(&metric.metric), plain(&metric.reason));
    }
    let _ = writeln!(out, "- {}", plain(&method(comparison)));
    for (name, value) in &comparison.head.environment {
        let _ = writeln!(out, "- {}: {}", plain(name), plain(value.to_string().trim_matches('"')));
    }
    let _ = writeln!(out, "\n</details>");
    out
}

fn sign(change: Change) -> &'static str {
    match change {
        Change::Unchanged => "✅",
        Change::Improved => "🚀",
        Change::Inconclusive => "❔",
        Change::Regressed => "❌",
    }
}
