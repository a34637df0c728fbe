//! Tables for people: columns aligned by what a terminal shows, not by bytes or characters. On a terminal the lines
//! fit: columns that a report can spare are left out, what is too wide is cut and ends in `…`, but for the last column,
//! which goes on below when it is text; and what even so has no room side by side stands as records.
//!
//! Invariant: a cell is escaped before it is measured; no line ends in spaces; no number and no moment is cut; what is
//! cut or left out is told.

use std::borrow::Cow;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::output::record::shown;
use crate::output::{Look, record, wrap};
use crate::report::{Cell, Column, Report, Shown};
use crate::style;
use chat_client::escape::escape;

/// Spaces between columns.
const GAP: usize = 2;
/// What can be spared is left out before a text beside it has less room than this.
const EASY: usize = 12;

/// A list as columns under titles, a record as titles beside values, or the report's own words.
#[must_use]
pub fn render(report: &Report, look: &Look) -> String {
    if let Some(words) = &report.words {
        return words.iter().map(|line| escape(line).into_owned() + "\n").collect();
    }
    if report.rows.is_empty() || report.columns.is_empty() {
        return String::new();
    }
    if report.is_record { record::render(report, look) } else { Columns::default().rows(report, look) }
}

/// Columns of a list that comes in pages.
#[derive(Debug, Default)]
pub struct Columns {
    /// Empty before the first page.
    widths: Vec<usize>,
    is_cut: bool,
    left_out: Vec<Column>,
}

impl Columns {
    /// The next rows, the first time below their titles.
    #[must_use]
    pub fn rows(&mut self, report: &Report, look: &Look) -> String {
        if self.widths.is_empty() {
            self.left_out = look.room().map(|room| too_many(report, look, room)).unwrap_or_default();
        }
        match self.left_out.is_empty() {
            true => self.of_all(report, report, look),
            false => self.of_all(&report.without(&self.left_out), report, look),
        }
    }

    /// All columns of a report side by side; where even these have no room, those of the whole one below each other.
    fn of_all(&mut self, report: &Report, all: &Report, look: &Look) -> String {
        let title = |text: &str| if look.untitled { String::new() } else { escape(text).into_owned() };
        let titles: Vec<String> = report.columns.iter().map(|c| title(&c.title)).collect();
        let show_all = |row: &Vec<Cell>| row.iter().map(|cell| shown(cell, &look.times)).collect();
        let rows: Vec<Vec<String>> = report.rows.iter().map(show_all).collect();
        let is_first = self.widths.is_empty();
        let floor =
            if is_first { titles.iter().map(|title| title.width()).collect() } else { self.widths.clone() };
        let column = |i: usize| rows.iter().map(move |row| row[i].width());
        self.widths = floor.iter().enumerate().map(|(i, least)| column(i).fold(*least, usize::max)).collect();
        let whole: Vec<bool> = (0..titles.len()).map(|i| is_whole(report, i)).collect();
        let room = look.room().map(|columns| columns.saturating_sub(GAP * (titles.len() - 1)));
        if let Some(room) = room {
            wrap::fit(&mut self.widths, &whole, room);
            if self.widths.iter().sum::<usize>() > room {
                let between = if is_first { "" } else { "\n" };
                self.left_out.clear();
                return between.to_owned() + &record::render(all, look);
            }
        }
        // A number in words, such as a time, reads from the left; one in other digits, such as an amount, does not.
        let is_number = |cell: &Cell| cell.value.is_number() && is_in_digits(cell);
        let numeric: Vec<bool> =
            (0..titles.len()).map(|i| report.rows.iter().all(|row| is_number(&row[i]))).collect();
        let goes_on = room.is_some() && whole.last() == Some(&false);
        let head = self.lines(&titles, &numeric, false);
        let head = style::title(head.trim_end(), look.color).into_owned() + "\n";
        let head = (is_first && !look.untitled).then_some(head);
        head.into_iter().chain(rows.iter().map(|row| self.lines(row, &numeric, goes_on))).collect()
    }

    /// What a reader should know of what was not shown so far.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_cut {
            let note = "… stands for what did not fit: --wide shows it, --columns leaves others out";
            notes.push(note.to_owned());
        }
        if !self.left_out.is_empty() {
            let titles: Vec<_> = self.left_out.iter().map(|column| column.title.as_str()).collect();
            notes.push(format!("no room for {}: --wide shows all, --columns chooses", titles.join(", ")));
        }
        notes
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

/// The columns that are left out so that the others have room, the least needed ones of those that can be spared.
fn too_many(report: &Report, look: &Look, room: usize) -> Vec<Column> {
    let mut left_out: Vec<Column> = Vec::new();
    if report.columns.iter().all(|column| column.spare.is_none()) {
        return left_out;
    }
    let least = |i: usize| {
        let title = if look.untitled { 0 } else { escape(&report.columns[i].title).width() };
        let all = report.rows.iter().map(|row| shown(&row[i], &look.times).width()).fold(title, usize::max);
        if is_whole(report, i) { all } else { all.min(EASY) }
    };
    let mut kept: Vec<_> = report.columns.iter().enumerate().map(|(i, column)| (column, least(i))).collect();
    while kept.iter().map(|(_, width)| width + GAP).sum::<usize>() > room + GAP {
        let spared = kept.iter().enumerate().filter_map(|(at, (column, _))| Some((column.spare?, at))).min();
        let Some((_, at)) = spared else { break };
        left_out.push(kept.remove(at).0.clone());
    }
    left_out
}

/// Whether nothing in a column may be cut: a number or a moment of which a part is missing would be another one.
fn is_whole(report: &Report, column: usize) -> bool {
    report.rows.iter().all(|row| matches!(row[column].value, Value::Number(_) | Value::Bool(_) | Value::Null))
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

    /// Two rows of a name, two times, a number and a text.
    fn twice() -> Report {
        let row = |name: &str, text: &str| {
            let time = || Cell::moment(1_000);
            vec![name.into(), time(), time(), 1_234_567.into(), text.into()]
        };
        let columns = [("a", "名字"), ("b", "MADE"), ("c", "ENDS"), ("d", "COUNT"), ("e", "TEXT")];
        Report::list(&columns, vec![row("黄帝", "a b"), row(&"长".repeat(21), &"words and more ".repeat(5))])
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in 30..260 {
            let mut table = Columns::default();
            let look = Look { columns: Some(columns), ..Look::default() };
            let text = table.rows(&twice(), &look) + &table.rows(&twice(), &look);
            assert!(text.lines().all(|line| line.width() <= columns), "{columns}: {text}");
            assert_eq!(text.matches("1970-01-01 00:00:01Z").count(), 8, "{columns}: {text}");
        }
        let narrow = render(&twice(), &Look { columns: Some(40), ..Look::default() });
        assert!(narrow.starts_with("名字   黄帝\nMADE   1970-01-01 00:00:01Z\n"), "{narrow}");
        assert!(narrow.contains("TEXT   a b\n\n名字   长"), "{narrow}");
        assert_eq!(narrow.matches('长').count(), 21, "{narrow}");
    }

    #[test]
    fn two_hundred_columns_show_all_of_it_in_one_line_each() {
        let text = render(&twice(), &Look { columns: Some(200), ..Look::default() });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), text.contains('…')), (3, false), "{text}");
        assert_eq!(
            lines[0],
            format!("名字{}MADE{}ENDS{}COUNT  TEXT", " ".repeat(40), " ".repeat(18), " ".repeat(20))
        );
        assert!(lines.iter().all(|line| line.width() <= 200), "{text}");
        let end = |line: &str| line[..line.find("1234567").unwrap_or(0)].width();
        assert_eq!(end(lines[1]), end(lines[2]), "{text}");
    }

    #[test]
    fn what_can_be_spared_is_left_out_before_names_are_cut_short_and_told() {
        let shown = |columns: usize, wide: bool| {
            let mut table = Columns::default();
            let report = twice().sparing(&["c", "b"]);
            let text = table.rows(&report, &Look { columns: Some(columns), wide, ..Look::default() });
            (text.lines().next().unwrap_or_default().to_owned(), table.notes())
        };
        assert!(shown(200, false).1.is_empty());
        let (head, notes) = shown(70, false);
        assert!(head.contains("MADE") && !head.contains("ENDS"), "{head}");
        assert!(notes.iter().any(|note| note.contains("no room for ENDS:")), "{notes:?}");
        let (head, notes) = shown(40, false);
        assert!(!head.contains("MADE") && !head.contains("ENDS") && head.contains("COUNT"), "{head}");
        assert!(notes.iter().any(|note| note.contains("no room for ENDS, MADE:")), "{notes:?}");
        assert!(shown(40, true).0.contains("ENDS") && shown(40, true).1.is_empty());
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
