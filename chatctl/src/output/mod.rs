//! The formats of data.
//!
//! Invariant: a table is for people and may change; every other format is for programs, is escaped by its own rules
//! and holds the values as the server gave them.

use std::str::FromStr;

use clap::ValueEnum;

use crate::report::Report;

pub mod delimited;
pub mod flow;
pub mod json;
pub mod node;
pub mod table;
pub mod wrap;
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
    /// RFC 4180 with lines that end in LF; an apostrophe before what a spreadsheet would run.
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

/// Where data goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Titles stand out.
    pub color: bool,
    /// Characters in a line of the terminal; none without a terminal, where nothing is made to fit.
    pub columns: Option<usize>,
}

/// The report in this format, with its last newline; empty when there is nothing to show.
#[must_use]
pub fn render(report: &Report, format: Format, look: Look) -> String {
    for_reader(of_format(report, format, look), format, look)
}

/// Makes text harmless for a terminal in every format. Formats whose rules know no escapes lose their exactness by
/// this, which only a program would notice.
fn for_reader(text: String, format: Format, look: Look) -> String {
    match format {
        Format::Csv | Format::Tsv | Format::Name if look.columns.is_some() => {
            chat_client::escape::escape_lines(&text)
        }
        _ => text,
    }
}

fn of_format(report: &Report, format: Format, look: Look) -> String {
    match format {
        Format::Table => table::render(report, look),
        Format::Json => json::document(&report.tree()),
        Format::Jsonl => json::lines(&report.tree()),
        Format::Yaml => yaml::document(&report.tree()),
        Format::Csv => delimited::csv(report),
        Format::Tsv => delimited::tsv(report),
        Format::Name => delimited::names(report),
    }
}
