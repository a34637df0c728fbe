//! Rows that come in pages, written as if they were one report, without keeping any.
//!
//! Invariant: all pages together are one document of the format: one head, one list.

use crate::output::json::compact;
use crate::output::node::Node;
use crate::output::table::Columns;
use crate::output::{Format, Look, render};
use crate::report::Report;

/// Where the writing is.
#[derive(Debug)]
pub struct Flow {
    format: Format,
    look: Look,
    columns: Columns,
    is_begun: bool,
}

impl Flow {
    /// Nothing written yet.
    #[must_use]
    pub fn new(format: Format, look: Look) -> Self {
        Self { format, look, columns: Columns::default(), is_begun: false }
    }

    /// The next rows.
    #[must_use]
    pub fn page(&mut self, report: &Report) -> String {
        if report.rows.is_empty() {
            return String::new();
        }
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        match self.format {
            Format::Json => items(report).iter().enumerate().fold(String::new(), |text, (i, item)| {
                let before = if is_first && i == 0 { "[\n" } else { ",\n" };
                text + before + item
            }),
            Format::Table => self.columns.rows(report, self.look),
            Format::Csv | Format::Tsv if !is_first => {
                let text = render(report, self.format, self.look);
                // The head is one line: a newline in a title would have been escaped or is not there.
                text.split_once('\n').map(|(_, rows)| rows.to_owned()).unwrap_or_default()
            }
            _ => render(report, self.format, self.look),
        }
    }

    /// What comes after the last page; `empty` is the report without any row.
    #[must_use]
    pub fn end(self, empty: &Report) -> String {
        match (self.is_begun, self.format) {
            (false, _) => render(empty, self.format, self.look),
            (true, Format::Json) => "\n]\n".to_owned(),
            (true, _) => String::new(),
        }
    }
}

fn items(report: &Report) -> Vec<String> {
    match report.tree() {
        Node::List(items) => items.iter().map(compact).collect(),
        other => vec![compact(&other)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(numbers: &[u64]) -> Report {
        Report::list(&[("n", "N")], numbers.iter().map(|n| vec![(*n).into()]).collect())
    }

    fn written(format: Format, pages: &[&[u64]]) -> String {
        let mut flow = Flow::new(format, Look::default());
        let text: String = pages.iter().map(|page| flow.page(&report(page))).collect();
        text + &flow.end(&report(&[]))
    }

    #[test]
    fn pages_are_one_document() {
        let pages: [&[u64]; 3] = [&[1, 2], &[], &[3]];
        let json: Value = serde_json::from_str(&written(Format::Json, &pages)).unwrap();
        assert_eq!(json, json!([{"n": 1}, {"n": 2}, {"n": 3}]));
        assert_eq!(written(Format::Csv, &pages), "n\n1\n2\n3\n");
        assert_eq!(written(Format::Table, &pages), "N\n1\n2\n3\n");
        assert_eq!(written(Format::Jsonl, &pages), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
        assert_eq!(written(Format::Yaml, &pages), written(Format::Yaml, &[&[1, 2, 3]]));
    }

    #[test]
    fn nothing_is_an_empty_document() {
        for format in [Format::Json, Format::Csv, Format::Table, Format::Yaml, Format::Jsonl] {
            assert_eq!(written(format, &[&[]]), render(&report(&[]), format, Look::default()), "{format:?}");
        }
    }
}
