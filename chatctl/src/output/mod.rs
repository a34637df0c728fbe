//! The formats of data.
//!
//! Invariant: a table is for people and may change; every other format is for programs, is escaped by its own rules
//! and holds the values as the server gave them.

use std::str::FromStr;
use std::sync::Arc;

use crate::calendar::Times;
use crate::failure::Failure;
use crate::output::template::Template;
use crate::report::Report;

pub mod delimited;
pub mod flow;
pub mod json;
pub mod node;
pub mod record;
pub mod table;
pub mod template;
pub mod view;
pub mod wrap;
pub mod yaml;

/// How to write data.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Lines of the reader's own form.
    Template(Arc<Template>),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(form) = text.strip_prefix("template=") {
            return form.parse().map(|template| Self::Template(Arc::new(template)));
        }
        let formats = [Self::Table, Self::Json, Self::Jsonl, Self::Yaml, Self::Csv, Self::Tsv, Self::Name];
        let found = Self::NAMES.into_iter().zip(formats).find(|(name, _)| *name == text);
        let found = found.map(|(_, format)| format);
        found.ok_or_else(|| {
            "must be table, json, jsonl, yaml, csv, tsv, name or template='{KEY} …'".to_owned()
        })
    }
}

impl Format {
    /// How each is written, but for templates.
    pub const NAMES: [&str; 7] = ["table", "json", "jsonl", "yaml", "csv", "tsv", "name"];

    /// Whether errors are told in it too.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// Where data goes to, and how it is liked there.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Titles stand out.
    pub color: bool,
    /// Characters in a line of the terminal; none without a terminal, where nothing is made to fit.
    pub columns: Option<usize>,
    /// Nothing is made to fit on a terminal either.
    pub wide: bool,
    /// Values without titles.
    pub untitled: bool,
    /// How moments are told.
    pub times: Times,
}

impl Look {
    /// Characters that a line may have; none where nothing is made to fit.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        self.columns.filter(|_| !self.wide)
    }
}

/// The report in this format, with its last newline; empty when there is nothing to show.
///
/// # Errors
/// [`Failure::Usage`] when a template names what is not there.
pub fn render(report: &Report, format: &Format, look: &Look) -> Result<String, Failure> {
    Ok(for_reader(of_format(report, format, look)?, format, look))
}

/// Makes text harmless for a terminal in every format. Formats whose rules know no escapes lose their exactness by
/// this, which only a program would notice.
fn for_reader(text: String, format: &Format, look: &Look) -> String {
    match format {
        Format::Csv | Format::Tsv | Format::Name | Format::Template(_) if look.columns.is_some() => {
            chat_client::escape::escape_lines(&text)
        }
        _ => text,
    }
}

fn of_format(report: &Report, format: &Format, look: &Look) -> Result<String, Failure> {
    Ok(match format {
        Format::Table => table::render(report, look),
        Format::Json => json::document(&report.tree()),
        Format::Jsonl => json::lines(&report.tree()),
        Format::Yaml => yaml::document(&report.tree()),
        Format::Csv => delimited::csv(report, !look.untitled),
        Format::Tsv => delimited::tsv(report, !look.untitled),
        Format::Name => delimited::names(report),
        Format::Template(template) => template.lines(report)?,
    })
}
