//! CSV, TSV and bare names: one line a row, for spreadsheets and pipes.
//!
//! Invariant: a reader that follows the format's rules gets every value back, in CSV with the apostrophe before what
//! a spreadsheet would run; CSV and TSV begin with the keys, unless that is not wanted.

use serde_json::Value;

use crate::output::json::compact;
use crate::report::Report;

/// Comma-separated values (RFC 4180) with lines that end in LF. A text that a spreadsheet would run as a formula has
/// an apostrophe before it.
#[must_use]
pub fn csv(report: &Report, titled: bool) -> String {
    delimited(report, titled, ",", guarded, quote)
}

/// Tab-separated values; backslash escapes.
#[must_use]
pub fn tsv(report: &Report, titled: bool) -> String {
    delimited(report, titled, "\t", plain, |value, _| backslash(value))
}

/// The first value of each row.
#[must_use]
pub fn names(report: &Report) -> String {
    report
        .rows
        .iter()
        .filter_map(|row| row.first())
        .map(|cell| backslash(&plain(&cell.value)) + "\n")
        .collect()
}

fn delimited(
    report: &Report,
    titled: bool,
    separator: &str,
    text_of: impl Fn(&Value) -> String,
    write: impl Fn(&str, bool) -> String,
) -> String {
    let keys = report.columns.iter().map(|column| text_of(&column.key.as_str().into())).collect();
    let rows = report.rows.iter().map(|row| row.iter().map(|cell| text_of(&cell.value)).collect());
    let is_alone = report.columns.len() == 1;
    titled
        .then_some(keys)
        .into_iter()
        .chain(rows)
        .filter(|row: &Vec<String>| !row.is_empty())
        .map(|row| row.iter().map(|value| write(value, is_alone)).collect::<Vec<_>>().join(separator) + "\n")
        .collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => compact(other),
    }
}

/// As [`plain`], harmless for a spreadsheet: a user may call themselves `=HYPERLINK(…)`. Numbers stay numbers.
fn guarded(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) => format!("'{text}"),
        other => plain(other),
    }
}

fn quote(value: &str, is_alone: bool) -> String {
    let needs_quotes = value.contains([',', '"', '\r', '\n'])
        || value.starts_with([' ', '\t'])
        || value.ends_with([' ', '\t'])
        // An empty line would not be read as a row.
        || (is_alone && value.is_empty());
    if needs_quotes { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

/// The value in one line without tabs, exactly: `\n`, `\t`, `\r`, `\\`.
#[must_use]
pub fn backslash(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_quotes_what_needs_it() {
        let report = Report::list(
            &[("userId", "USER"), ("x", "X")],
            vec![
                vec!["黄帝".into(), 5.into()],
                vec!["a,b".into(), "say \"hi\"".into()],
                vec![" x".into(), "two\nlines".into()],
                vec![Value::Null.into(), json!({"w": 1, "t": "a,b"}).into()],
            ],
        );
        assert_eq!(
            csv(&report, true),
            "userId,x\n黄帝,5\n\"a,b\",\"say \"\"hi\"\"\"\n\" x\",\"two\nlines\"\n,\"{\"\"t\"\":\"\"a,b\"\",\"\"w\"\":1}\"\n"
        );
    }

    #[test]
    fn an_empty_value_alone_is_still_a_row() {
        let report = Report::list(&[("a", "A")], vec![vec!["".into()]]);
        assert_eq!(csv(&report, true), "a\n\"\"\n");
        assert_eq!(csv(&Report::of_value(Value::Null), true), "");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_guarded() {
        let rows =
            [json!("=1+1"), json!("+1"), json!("-a"), json!("@x"), json!("\t=1"), json!(-5), json!("a=b")];
        let report = Report::list(&[("a", "A")], rows.map(|value| vec![value.into()]).into());
        assert_eq!(csv(&report, true), "a\n'=1+1\n'+1\n'-a\n'@x\n'\t=1\n-5\na=b\n");
    }

    #[test]
    fn tsv_and_names_keep_one_line_a_row() {
        let report = Report::list(&[("a", "A"), ("b", "B")], vec![vec!["x\ty\\".into(), "1\r\n2".into()]]);
        assert_eq!(tsv(&report, true), "a\tb\nx\\ty\\\\\t1\\r\\n2\n");
        assert_eq!(names(&report), "x\\ty\\\\\n");
    }
}
