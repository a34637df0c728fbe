//! Rows that come in pages, written as if they were one report. None is kept, unless all must be known to order them.
//!
//! Invariant: all pages together are one document of the format: one head, one list.

use crate::failure::Failure;
use crate::output::json::compact;
use crate::output::node::Node;
use crate::output::table::Columns;
use crate::output::view::View;
use crate::output::{Format, Look, render};
use crate::report::Report;

/// Where the writing is.
#[derive(Debug)]
pub struct Flow {
    format: Format,
    look: Look,
    view: View,
    columns: Columns,
    is_begun: bool,
    had_rows: bool,
    kept: Option<Report>,
}

impl Flow {
    /// Nothing written yet.
    #[must_use]
    pub fn new(format: Format, look: Look, view: View) -> Self {
        let columns = Columns::default();
        Self { format, look, view, columns, is_begun: false, had_rows: false, kept: None }
    }

    /// The next rows.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a column is asked for that there is not.
    pub fn page(&mut self, report: Report) -> Result<String, Failure> {
        self.had_rows |= !report.rows.is_empty();
        let report = self.view.filtered(report)?;
        if self.view.sort_by.is_none() {
            return self.written(report);
        }
        match &mut self.kept {
            Some(kept) => kept.append(report),
            None => self.kept = Some(report),
        }
        Ok(String::new())
    }

    /// What comes after the last page; `empty` is the report without any row.
    ///
    /// # Errors
    /// As [`Flow::page`].
    pub fn end(&mut self, empty: &Report) -> Result<String, Failure> {
        let last = match self.kept.take() {
            Some(kept) => self.written(self.view.sorted(kept)?)?,
            None => String::new(),
        };
        Ok(last
            + &match (self.is_begun, &self.format) {
                (false, format) => render(&self.view.picked(empty.clone())?, format, &self.look)?,
                (true, Format::Json) => "\n]\n".to_owned(),
                (true, _) => String::new(),
            })
    }

    /// What a reader should know of what was not shown so far.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.columns.notes()
    }

    /// Whether there were rows, and the conditions left none of them.
    #[must_use]
    pub fn is_emptied(&self) -> bool {
        self.had_rows && !self.is_begun
    }

    fn written(&mut self, report: Report) -> Result<String, Failure> {
        if report.rows.is_empty() {
            return Ok(String::new());
        }
        let report = match self.format {
            // A form may name what no column has.
            Format::Template(_) => report,
            _ => self.view.picked(report)?,
        };
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        Ok(match self.format {
            Format::Json => items(&report).iter().enumerate().fold(String::new(), |text, (i, item)| {
                let before = if is_first && i == 0 { "[\n" } else { ",\n" };
                text + before + item
            }),
            Format::Table => self.columns.rows(&report, &self.look),
            Format::Csv | Format::Tsv if !is_first => {
                render(&report, &self.format, &Look { untitled: true, ..self.look.clone() })?
            }
            _ => render(&report, &self.format, &self.look)?,
        })
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
        viewed(format, pages, View::default())
    }

    fn viewed(format: Format, pages: &[&[u64]], view: View) -> String {
        let mut flow = Flow::new(format, Look::default(), view);
        let text: String = pages.iter().map(|page| flow.page(report(page)).unwrap()).collect();
        text + &flow.end(&report(&[])).unwrap()
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
    fn what_must_be_ordered_is_ordered_over_all_pages() {
        let view = View {
            sort_by: Some("-n".parse().unwrap()),
            filters: vec!["n!=2".parse().unwrap()],
            ..View::default()
        };
        assert_eq!(viewed(Format::Csv, &[&[1, 2], &[3]], view.clone()), "n\n3\n1\n");
        let none = View { filters: vec!["n>9".parse().unwrap()], ..View::default() };
        assert_eq!(viewed(Format::Json, &[&[1, 2]], none.clone()), "[]\n");
        let mut flow = Flow::new(Format::Table, Look::default(), none);
        for (page, is_emptied) in [(&[][..], false), (&[1, 2], true), (&[10], false)] {
            flow.page(report(page)).unwrap();
            assert_eq!(flow.is_emptied(), is_emptied, "{page:?}");
        }
    }

    #[test]
    fn nothing_is_an_empty_document() {
        for format in [Format::Json, Format::Csv, Format::Table, Format::Yaml, Format::Jsonl] {
            let alone = render(&report(&[]), &format, &Look::default()).unwrap();
            assert_eq!(written(format.clone(), &[&[]]), alone, "{format:?}");
        }
    }
}
