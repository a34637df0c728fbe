//! One thing, or rows for whose columns a terminal has no room: titles beside values, one below the other. On a
//! terminal a value that is too long goes on below, in its own column.
//!
//! Invariant: nothing of a value is left out, and a cell is escaped before it is measured; no line ends in spaces.

use std::borrow::Cow;

use chat_client::escape::escape;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::calendar::Times;
use crate::output::json::compact;
use crate::output::{Look, wrap};
use crate::report::{Cell, Report, Shown};
use crate::style;

/// Spaces between titles and values.
const GAP: usize = 2;

/// All rows, with an empty line between two of them.
#[must_use]
pub fn render(report: &Report, look: &Look) -> String {
    let titles: Vec<_> = report.columns.iter().map(|column| escape(&column.title)).collect();
    let rows: Vec<_> = report.rows.iter().map(|row| lines(&titles, row, look)).collect();
    rows.join("\n")
}

fn lines(titles: &[Cow<'_, str>], row: &[Cell], look: &Look) -> String {
    let widest = titles.iter().map(|title| title.width()).max().unwrap_or(0);
    let width = if look.untitled { 0 } else { widest + GAP };
    let room = look.room().map(|columns| columns.saturating_sub(width).max(wrap::NARROWEST));
    let mut text = String::new();
    for (title, cell) in titles.iter().zip(row) {
        let value = shown(cell, &look.times);
        let pieces = room.map_or_else(|| vec![value.as_str()], |room| wrap::wrapped(&value, room));
        for (at, piece) in pieces.into_iter().enumerate() {
            let title = if at == 0 && !look.untitled { &**title } else { "" };
            let gap = " ".repeat(width - title.width());
            let title = if title.is_empty() { Cow::Borrowed("") } else { style::title(title, look.color) };
            text.push_str(format!("{title}{gap}{piece}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// What people read of a cell, escaped.
#[must_use]
pub fn shown(cell: &Cell, times: &Times) -> String {
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

    fn within(columns: usize) -> Look {
        Look { columns: Some(columns), ..Look::default() }
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
    fn a_long_value_goes_on_below_in_its_column() {
        let types = "image/jpeg,image/png,audio/mpeg";
        let report = Report::record([
            ("types", "types", types.into()),
            ("name", "名字", "今天我们在长安喝茶".into()),
            ("n", "n", 5.into()),
        ]);
        let wanted = "types  image/jpeg,\n\
            \u{20}      image/png,\n\
            \u{20}      audio/mpeg\n\
            名字   今天我们在长\n\
            \u{20}      安喝茶\n\
            n      5\n";
        assert_eq!(render(&report, &within(20)), wanted);
        let wide = render(&report, &Look { wide: true, ..within(20) });
        assert!(wide.contains(types) && wide.lines().count() == 3, "{wide}");
        assert_eq!(render(&report, &Look::default()), wide, "without a terminal a value is a line");
        let bare = render(&report, &Look { untitled: true, ..within(12) });
        assert!(bare.starts_with("image/jpeg,\nimage/png,\n"), "{bare}");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_that_has_room_for_titles() {
        let url = format!(
            "/file/{}?appId=1&userId={}&signature={}",
            "f".repeat(32),
            "%E9".repeat(9),
            "5".repeat(64)
        );
        let report = Report::record([("url", "url", url.as_str().into()), ("size", "size", "1×1".into())]);
        for columns in 14..260 {
            let text = render(&report, &within(columns));
            assert!(text.lines().all(|line| line.width() <= columns), "{columns}: {text}");
            let joined: String =
                text.lines().map(|line| line.trim_start_matches("url").trim_start()).collect();
            assert!(joined.starts_with(&url), "{columns}: {text}");
        }
    }
}
