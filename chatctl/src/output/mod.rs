//! The formats of data.
//!
//! Invariant: a table is for people and may change; every other format is for programs, is escaped by its own rules
//! and holds the values as the server gave them.

use std::str::FromStr;

use clap::ValueEnum;

use crate::report::Report;

pub mod delimited;
pub mod escape;
pub mod flow;
pub mod json;
pub mod node;
pub mod table;
pub mod yaml;

/// How to write data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// One document.
    Json,
    /// One line a row.
    Jsonl,
    /// One document; every text quoted.
    Yaml,
    /// RFC 4180 with lines that end in LF.
    Csv,
    /// Tabs; tab, newline and backslash in a value are written \t, \n, \\.
    Tsv,
    /// Only the name of each row.
    Name,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
            .map_err(|_| "must be table, json, jsonl, yaml, csv, tsv or name".to_owned())
    }
}

/// The same as [`render`], harmless for a terminal in every format. Formats whose rules know no escapes lose their
/// exactness by this, which only a program would notice.
#[must_use]
pub fn render_for_terminal(report: &Report, format: Format, color: bool) -> String {
    let text = render(report, format, color);
    match format {
        Format::Csv | Format::Tsv | Format::Name => escape::escape_lines(&text),
        Format::Table | Format::Json | Format::Jsonl | Format::Yaml => text,
    }
}

/// The report in this format, with its last newline; empty when there is nothing to show.
#[must_use]
pub fn render(report: &Report, format: Format, color: bool) -> String {
    match format {
        Format::Table => table::render(report, color),
        Format::Json => json::document(&report.tree()),
        Format::Jsonl => json::lines(&report.tree()),
        Format::Yaml => yaml::document(&report.tree()),
        Format::Csv => delimited::csv(report),
        Format::Tsv => delimited::tsv(report),
        Format::Name => delimited::names(report),
    }
}
