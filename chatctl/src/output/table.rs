//! Tables for people: columns aligned by what a terminal shows, not by bytes or characters. On a terminal the lines fit:
//! what is too wide is cut and ends in `…`, but for the last column, which goes on below when it is text.
//!
//! Invariant: a cell is escaped before it is measured; no line ends in spaces; no number and no moment is cut.

use std::borrow::Cow;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::calendar::Times;
use crate::output::Look;
use crate::output::json::compact;
use crate::output::wrap;
use crate::report::{Cell, Report, Shown};
use chat_client::escape::escape;

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";
/// Spaces between columns.
const GAP: usize = 2;

/// A list as columns under titles, a record as titles beside values, or the report's own words.
#[must_use]
pub fn render(report: &Report, look: &Look) -> String {
    if let Some(words) = &report.words {
        return words.iter().map(|line| escape(line).into_owned() + "\n").collect();
    }
    if report.rows.is_empty() || report.columns.is_empty() {
        return String::new();
    }
    if report.is_record { beside(report, look) } else { Columns::default().rows(report, look) }
}

/// Columns of a list that comes in pages.
#[derive(Debug, Default)]
pub struct Columns {
    /// Empty before the first page.
    widths: Vec<usize>,
    is_cut: bool,
}

impl Columns {
    /// The next rows, the first time below their titles.
    #[must_use]
    pub fn rows(&mut self, report: &Report, look: &Look) -> String {
        let title = |text: &str| if look.untitled { String::new() } else { escape(text).into_owned() };
        let titles: Vec<String> = report.columns.iter().map(|c| title(&c.title)).collect();
        let show_all = |row: &Vec<Cell>| row.iter().map(|cell| show(cell, &look.times)).collect();
        let rows: Vec<Vec<String>> = report.rows.iter().map(show_all).collect();
        let is_first = self.widths.is_empty();
        let floor =
            if is_first { titles.iter().map(|title| title.width()).collect() } else { self.widths.clone() };
        let column = |i: usize| rows.iter().map(move |row| row[i].width());
        self.widths = floor.iter().enumerate().map(|(i, least)| column(i).fold(*least, usize::max)).collect();
        // A number or a moment that is cut would be another one.
        let is_whole =
            |i: usize| report.rows.iter().all(|row| row[i].value.is_number() || row[i].value.is_boolean());
        let whole: Vec<bool> = (0..titles.len()).map(is_whole).collect();
        let room = look.columns.filter(|_| !look.wide);
        if let Some(columns) = room {
            wrap::fit(&mut self.widths, &whole, columns.saturating_sub(GAP * (titles.len() - 1)));
        }
        // A number in words, such as a time, reads from the left; one in other digits, such as an amount, does not.
        let is_number = |cell: &Cell| cell.value.is_number() && is_in_digits(cell);
        let numeric: Vec<bool> =
            (0..titles.len()).map(|i| report.rows.iter().all(|row| is_number(&row[i]))).collect();
        let goes_on = room.is_some() && whole.last() == Some(&false);
        let head = self.lines(&titles, &numeric, false);
        let head = if look.color { format!("{BOLD}{}{PLAIN}\n", head.trim_end()) } else { head };
        let head = (is_first && !look.untitled).then_some(head);
        head.into_iter().chain(rows.iter().map(|row| self.lines(row, &numeric, goes_on))).collect()
    }

    /// Whether anything was cut so far.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// One row, in as many lines as its last cell needs where that goes on below.
    fn lines(&mut self, cells: &[String], numeric: &[bool], goes_on: bool) -> String {
        let last = cells.len() - 1;
        let mut pieces: Vec<Vec<Cow<'_, str>>> = Vec::with_capacity(cells.len());
        for (at, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            if at == last && goes_on {
                pieces.push(wrap::wrapped(cell, *width).into_iter().map(Cow::Borrowed).collect());
            } else {
                let piece = wrap::cut(cell, *width);
                self.is_cut |= matches!(piece, Cow::Owned(_));
                pieces.push(vec![piece]);
            }
        }
        let height = pieces.iter().map(Vec::len).max().unwrap_or(0);
        let line = |at: usize| {
            let padded = pieces.iter().zip(&self.widths).zip(numeric).map(|((pieces, width), is_number)| {
                let piece = pieces.get(at).map(Cow::as_ref).unwrap_or_default();
                let gap = " ".repeat(width.saturating_sub(piece.width()));
                if *is_number { format!("{gap}{piece}") } else { format!("{piece}{gap}") }
            });
            padded.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned() + "\n"
        };
        (0..height).map(line).collect()
    }
}

fn beside(report: &Report, look: &Look) -> String {
    let titles: Vec<_> = report.columns.iter().map(|c| escape(&c.title)).collect();
    let width = titles.iter().map(|title| title.width()).max().unwrap_or(0);
    let pair = |(title, cell): (&Cow<'_, str>, &Cell)| {
        let shown = show(cell, &look.times);
        if look.untitled {
            return shown + "\n";
        }
        let gap = " ".repeat(width - title.width() + 2);
        let title = if look.color { format!("{BOLD}{title}{PLAIN}") } else { title.to_string() };
        format!("{title}{gap}{shown}").trim_end().to_owned() + "\n"
    };
    report.rows.iter().flat_map(|row| titles.iter().zip(row).map(pair)).collect()
}

fn is_in_digits(cell: &Cell) -> bool {
    match &cell.shown {
        Shown::Itself => true,
        Shown::Words(words) => is_digits(words),
        Shown::Moment => false,
    }
}

fn is_digits(shown: &str) -> bool {
    shown.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

fn show(cell: &Cell, times: &Times) -> String {
    match (&cell.shown, &cell.value) {
        (Shown::Words(words), _) => escape(words).into_owned(),
        (Shown::Moment, value) => times.moment(value.as_u64().unwrap_or_default()),
        (_, Value::Null) => "-".to_owned(),
        (_, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        (_, Value::String(text)) => escape(text).into_owned(),
        (_, other) => compact(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn colored() -> Look {
        Look { color: true, ..Look::default() }
    }

    #[test]
    fn one_long_name_does_not_break_the_other_rows() {
        let row = |n: u64, name: &str, text: &str| {
            vec![n.into(), Cell::from(n).shown_as("2026-11-28 10:00:00Z"), name.into(), text.into()]
        };
        let rows = vec![
            row(1, &"黄".repeat(21), "hello"),
            row(2, "马超", &"word ".repeat(30)),
            row(3, "b", "short"),
        ];
        let report = Report::list(&[("n", "N"), ("time", "TIME"), ("from", "FROM"), ("text", "TEXT")], rows);
        let text = render(&report, &Look { columns: Some(80), ..Look::default() });
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with(" short")).count(), 1, "{text}");
        assert_eq!(
            text.lines().find(|line| line.contains('黄')).map(|line| line.matches('…').count()),
            Some(1),
            "{text}"
        );
        let wide = render(&report, &Look { columns: Some(80), wide: true, ..Look::default() });
        assert_eq!((wide.matches('黄').count(), wide.matches('…').count(), wide.lines().count()), (21, 0, 4));
        let bare = render(&report, &Look { untitled: true, ..Look::default() });
        assert!(!bare.contains("FROM") && bare.lines().count() == 3, "{bare}");
        assert_eq!(text.matches("word").count(), 30, "{text}");
        assert_eq!(text.matches("2026-11-28 10:00:00Z").count(), 3, "{text}");
        let unbound = render(&report, &Look::default());
        assert_eq!(unbound.lines().count(), 4, "without a terminal a row is a line");
    }

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
        let text = render(&report, &Look::default());
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
        assert_eq!(render(&report, &Look::default()), " AMOUNT\n   0.05\n1234.56\n  -1.00\n");
    }

    #[test]
    fn a_record_stands_beside_its_titles() {
        let report = Report::record([
            ("nodeId", "node", "n1".into()),
            ("uptimeMs", "up for", Cell::from(61_000).shown_as("1m 1s")),
            ("x", "节点", "".into()),
        ]);
        assert_eq!(render(&report, &Look::default()), "node    n1\nup for  1m 1s\n节点\n");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_raw() {
        let evil = "a\u{1b}]0;x\u{7}\n\u{202e}";
        let list = Report::of_value(json!([{evil: evil}]));
        let record = Report::of_value(json!({evil: {evil: [evil]}}));
        let words = record.clone().in_words(vec![evil.to_owned()]);
        for report in [list, record, words] {
            let text = render(&report, &Look::default());
            assert!(!text.contains(|c| c != '\n' && chat_client::escape::is_dangerous(c)), "{text:?}");
        }
    }

    #[test]
    fn nothing_to_show_is_nothing() {
        assert_eq!(render(&Report::list(&[("a", "A")], Vec::new()), &colored()), "");
        assert_eq!(render(&Report::of_value(Value::Null), &colored()), "");
    }
}
