//! A comparison as Markdown, ready to be a comment on a change.
//!
//! Invariant: what comes from outside (names, reasons) cannot break the table or bring markup of its own.

use chat_client::escape::escape;
use std::fmt::Write;

use crate::gate::comparison::{Change, Comparison};
use crate::gate::text::{COLUMNS, cells, method, sides};

/// The whole text.
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

/// Text without a meaning in Markdown, HTML or a terminal.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in escape(&text.replace(['\n', '\r', '\t'], " ")).chars() {
        match letter {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => plain.extend(['\\', letter]),
            '@' => plain.push_str("&#64;"),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(
            plain("a|b\n<script>`x`[y](z) @all **"),
            "a\\|b &lt;script&gt;\\`x\\`\\[y\\](z) &#64;all \\*\\*"
        );
        assert_eq!(plain("\u{1b}[2J\u{202e}gnp\0"), "\\\\u{1b}\\[2J\\\\u{202e}gnp\\\\u{0}");
    }
}
