//! Lines of the reader's own form: `{userId} on {nodeId}`.
//!
//! Invariant: one line a row, whatever stands in the values.

use std::str::FromStr;

use crate::failure::Failure;
use crate::output::delimited::backslash;
use crate::report::Report;

/// A form with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(String),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(form: &str) -> Result<Self, String> {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        let mut letters = form.chars().peekable();
        while let Some(c) = letters.next() {
            match (c, letters.peek()) {
                ('{', Some('{')) | ('}', Some('}')) | ('\\', Some('\\')) => text.extend(letters.next()),
                ('\\', Some('t')) => {
                    letters.next();
                    text.push('\t');
                }
                ('{', _) => {
                    let name: String = letters.by_ref().take_while(|c| *c != '}').collect();
                    if name.is_empty() || !form.contains('}') {
                        return Err("a place for a value is written {KEY}, a brace {{".to_owned());
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(Piece::Value(name));
                }
                (c, _) => text.push(c),
            }
        }
        pieces.push(Piece::Text(text));
        match pieces.iter().any(|piece| matches!(piece, Piece::Value(_))) {
            true => Ok(Self(pieces)),
            false => Err("names no value; write for example template='{userId}'".to_owned()),
        }
    }
}

impl Template {
    /// A line for each row.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a list has nothing of a name in it.
    pub fn lines(&self, report: &Report) -> Result<String, Failure> {
        let mut lines = String::new();
        for row in 0..report.rows.len() {
            for piece in &self.0 {
                match piece {
                    Piece::Text(text) => lines.push_str(text),
                    Piece::Value(name) => {
                        let cell = crate::output::view::fact(report, row, name)?;
                        lines.push_str(&backslash(&cell.plain()));
                    }
                }
            }
            lines.push('\n');
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn each_row_is_a_line_of_the_form() {
        let report = Report::of_value(json!([{"userId": "黄\n帝", "on": {"node": 7}}, {"userId": null}]));
        let form: Template = "{userId}\\t{on.node} {{x}}".parse().unwrap();
        assert_eq!(form.lines(&report).unwrap(), "黄\\n帝\t7 {x}\n\t {x}\n");
        assert!(Template::from_str("{nope}").unwrap().lines(&report).is_err());
        let record = Report::of_value(json!({"a": Value::Null, "b": 1}));
        assert_eq!(Template::from_str("{b}{nope}").unwrap().lines(&record).unwrap(), "1\n");
    }

    #[test]
    fn a_form_without_a_value_is_none() {
        for form in ["", "x", "{", "{}", "{{x}}", "a{b"] {
            assert!(form.parse::<Template>().is_err(), "{form}");
        }
    }
}
