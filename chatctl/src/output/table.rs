//! Tables for people: columns aligned by what a terminal shows, not by bytes or characters.
//!
//! Invariant: a cell is escaped before it is measured; no line ends in spaces.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::output::escape::escape;
use crate::output::json::compact;
use crate::report::{Cell, Report};

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// A list as columns under titles, a record as titles beside values, or the report's own words.
#[must_use]
pub fn render(report: &Report, color: bool) -> String {
    if let Some(words) = &report.words {
        return words.iter().map(|line| escape(line).into_owned() + "\n").collect();
    }
    if report.rows.is_empty() || report.columns.is_empty() {
        return String::new();
    }
    if report.is_record { beside(report, color) } else { below(report, color) }
}

fn below(report: &Report, color: bool) -> String {
    let titles: Vec<String> = report.columns.iter().map(|c| escape(&c.title).into_owned()).collect();
    let rows: Vec<Vec<String>> = report.rows.iter().map(|row| row.iter().map(show).collect()).collect();
    let column = |i: usize| rows.iter().map(move |row| row[i].width());
    let widths: Vec<usize> =
        titles.iter().enumerate().map(|(i, title)| column(i).fold(title.width(), usize::max)).collect();
    // A number in words, such as a time, reads from the left; one in other digits, such as an amount, does not.
    let is_number = |cell: &Cell| cell.value.is_number() && cell.shown.as_deref().is_none_or(is_digits);
    let numeric: Vec<bool> =
        (0..titles.len()).map(|i| report.rows.iter().all(|row| is_number(&row[i]))).collect();
    let head = line(&titles, &widths, &numeric);
    let head = if color { format!("{BOLD}{head}{PLAIN}") } else { head };
    let body = rows.iter().map(|row| line(row, &widths, &numeric));
    std::iter::once(head).chain(body).map(|line| line + "\n").collect()
}

fn beside(report: &Report, color: bool) -> String {
    let titles: Vec<_> = report.columns.iter().map(|c| escape(&c.title)).collect();
    let width = titles.iter().map(|title| title.width()).max().unwrap_or(0);
    let pair = |(title, cell): (&std::borrow::Cow<'_, str>, &Cell)| {
        let gap = " ".repeat(width - title.width() + 2);
        let title = if color { format!("{BOLD}{title}{PLAIN}") } else { title.to_string() };
        format!("{title}{gap}{}", show(cell)).trim_end().to_owned() + "\n"
    };
    report.rows.iter().flat_map(|row| titles.iter().zip(row).map(pair)).collect()
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let padded = cells.iter().zip(widths).zip(numeric).map(|((cell, width), is_number)| {
        let gap = " ".repeat(width.saturating_sub(cell.width()));
        if *is_number { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
    });
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn is_digits(shown: &str) -> bool {
    shown.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

fn show(cell: &Cell) -> String {
    match (&cell.shown, &cell.value) {
        (Some(words), _) => escape(words).into_owned(),
        (None, Value::Null) => "-".to_owned(),
        (None, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        (None, Value::String(text)) => escape(text).into_owned(),
        (None, other) => compact(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn chinese_names_and_emoji_align() {
        let report = Report::list(
            &[("userId", "USER"), ("online", "ONLINE"), ("n", "COUNT")],
            vec![
                vec!["黄帝".into(), true.into(), 5.into()],
                vec!["ab".into(), false.into(), 12345678.into()],
                vec!["👋🏽 李白".into(), Value::Null.into(), 0.into()],
            ],
        );
        let text = render(&report, false);
        assert_eq!(
            text,
            "USER     ONLINE     COUNT\n\
             黄帝     yes            5\n\
             ab       no      12345678\n\
             👋🏽 李白  -              0\n"
        );
        let widths: Vec<_> = text.lines().map(UnicodeWidthStr::width).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    }

    #[test]
    fn amounts_stand_below_their_dots() {
        let amount = |cents: i64| vec![crate::money::signed_cell(cents)];
        let report = Report::list(&[("amount", "AMOUNT")], vec![amount(5), amount(123_456), amount(-100)]);
        assert_eq!(render(&report, false), " AMOUNT\n   0.05\n1234.56\n  -1.00\n");
    }

    #[test]
    fn a_record_stands_beside_its_titles() {
        let report = Report::record([
            ("nodeId", "node", "n1".into()),
            ("uptimeMs", "up for", Cell::from(61_000).shown_as("1m 1s")),
            ("x", "节点", "".into()),
        ]);
        assert_eq!(render(&report, false), "node    n1\nup for  1m 1s\n节点\n");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_raw() {
        let evil = "a\u{1b}]0;x\u{7}\n\u{202e}";
        let list = Report::of_value(json!([{evil: evil}]));
        let record = Report::of_value(json!({evil: {evil: [evil]}}));
        let words = record.clone().in_words(vec![evil.to_owned()]);
        for report in [list, record, words] {
            let text = render(&report, false);
            assert!(!text.contains(|c| c != '\n' && crate::output::escape::is_dangerous(c)), "{text:?}");
        }
    }

    #[test]
    fn nothing_to_show_is_nothing() {
        assert_eq!(render(&Report::list(&[("a", "A")], Vec::new()), true), "");
        assert_eq!(render(&Report::of_value(Value::Null), true), "");
    }
}
