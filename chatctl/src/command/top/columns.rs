//! What stands in the columns of `top`, how wide each is, and which of them a narrow terminal shows.
//!
//! Invariant: every column can be sorted by; what does not fit is left out from the least needed on.

use std::cmp::Ordering;

use chat_client::escape::escape;
use serde_json::Value;

use super::rows::Row;
use super::words::{bytes, count, duration};
use crate::calendar::rough;
use crate::report::{Cell, Report};

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The node's name, as much as tells it from others.
    Node,
    /// Its machine.
    Host,
    /// Where it listens.
    Address,
    /// Connections.
    Open,
    /// Users.
    Users,
    /// Messages a second.
    Messages,
    /// Deliveries a second.
    Deliveries,
    /// Requests a second.
    Requests,
    /// 99th percentile of the lag of deliveries.
    Lag,
    /// Bytes that wait for readers.
    Waiting,
    /// Readers given up.
    Slow,
    /// 99th percentile of Redis.
    Redis,
    /// Refused by limits a second.
    Refused,
    /// Share of one core.
    Cpu,
    /// Memory.
    Memory,
    /// How long it runs.
    Up,
}

/// All of them, from left to right, with the order in which they are given up (the largest first), and their width.
const ALL: [(Column, u8, usize); 16] = [
    (Column::Node, 0, 7),
    (Column::Host, 12, 16),
    (Column::Address, 1, 21),
    (Column::Open, 0, 6),
    (Column::Users, 6, 6),
    (Column::Messages, 2, 6),
    (Column::Deliveries, 3, 6),
    (Column::Requests, 9, 6),
    (Column::Lag, 2, 6),
    (Column::Waiting, 4, 6),
    (Column::Slow, 8, 6),
    (Column::Redis, 7, 6),
    (Column::Refused, 10, 6),
    (Column::Cpu, 5, 6),
    (Column::Memory, 11, 6),
    (Column::Up, 13, 8),
];

impl Column {
    /// Those that fit into a line of so many characters, from left to right.
    #[must_use]
    pub fn fitting(columns: usize) -> Vec<Self> {
        let needed = |least: u8| {
            ALL.iter().filter(|(_, order, _)| *order <= least).map(|(.., width)| width + 1).sum::<usize>() - 1
        };
        let least = (0..=13).rev().find(|least| needed(*least) <= columns).unwrap_or(0);
        ALL.iter().filter(|(_, order, _)| *order <= least).map(|(column, ..)| *column).collect()
    }

    /// The next one to sort by, or the one before.
    #[must_use]
    pub fn beside(self, step: isize) -> Self {
        let at = ALL.iter().position(|(column, ..)| *column == self).unwrap_or(0);
        ALL[at.checked_add_signed(step).map_or(ALL.len() - 1, |at| at % ALL.len())].0
    }

    /// Characters.
    #[must_use]
    pub fn width(self) -> usize {
        ALL.iter().find(|(column, ..)| *column == self).map_or(6, |(.., width)| *width)
    }

    /// How early it is given up; 0 for never.
    fn rank(self) -> u8 {
        ALL.iter().find(|(column, ..)| *column == self).map_or(0, |(_, rank, _)| *rank)
    }

    /// What stands above it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Column::Node => "NODE",
            Column::Host => "HOST",
            Column::Address => "ADDRESS",
            Column::Open => "OPEN",
            Column::Users => "USERS",
            Column::Messages => "MSG/S",
            Column::Deliveries => "OUT/S",
            Column::Requests => "REQ/S",
            Column::Lag => "P99",
            Column::Waiting => "WAIT",
            Column::Slow => "SLOW",
            Column::Redis => "REDIS",
            Column::Refused => "LIM/S",
            Column::Cpu => "CPU",
            Column::Memory => "MEM",
            Column::Up => "UP",
        }
    }

    /// Whether it reads from the left.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Column::Node | Column::Host | Column::Address)
    }

    /// What stands in it.
    #[must_use]
    pub fn text(self, row: &Row, now_ms: u64) -> String {
        let or_none = |number: Option<f64>, words: fn(f64) -> String| number.map_or("-".to_owned(), words);
        let told =
            |number: f64, words: fn(f64) -> String| or_none(row.silent.is_none().then_some(number), words);
        match self {
            Column::Node => escape(row.node.node_id.get(..6).unwrap_or(&row.node.node_id)).into_owned(),
            Column::Host => escape(&row.node.host).into_owned(),
            Column::Address => escape(&row.node.address).into_owned(),
            Column::Open => count(row.open),
            Column::Users => count(row.users),
            Column::Messages => or_none(row.messages, count),
            Column::Deliveries => or_none(row.deliveries, count),
            Column::Requests => or_none(row.requests, count),
            Column::Lag => or_none(row.lag, duration),
            Column::Waiting => told(row.waiting, bytes),
            Column::Slow => told(row.slow, count),
            Column::Redis => or_none(row.redis, duration),
            Column::Refused => or_none(row.refused, count),
            Column::Cpu => or_none(row.cpu, |cores| format!("{:.0}%", cores * 100.0)),
            Column::Memory => told(row.memory, bytes),
            Column::Up => rough(now_ms.saturating_sub(row.node.since)),
        }
    }

    /// Which of two nodes stands first: the larger number, or the text that comes first.
    #[must_use]
    pub fn order(self, a: &Row, b: &Row) -> Ordering {
        let number = |row: &Row| match self {
            Column::Open => row.open,
            Column::Users => row.users,
            Column::Messages => row.messages.unwrap_or(-1.0),
            Column::Deliveries => row.deliveries.unwrap_or(-1.0),
            Column::Requests => row.requests.unwrap_or(-1.0),
            Column::Lag => row.lag.unwrap_or(-1.0),
            Column::Waiting => row.waiting,
            Column::Slow => row.slow,
            Column::Redis => row.redis.unwrap_or(-1.0),
            Column::Refused => row.refused.unwrap_or(-1.0),
            Column::Cpu => row.cpu.unwrap_or(-1.0),
            Column::Memory => row.memory,
            Column::Node | Column::Host | Column::Address | Column::Up => 0.0,
        };
        let first = match self {
            Column::Host => a.node.host.cmp(&b.node.host),
            Column::Address => a.node.address.cmp(&b.node.address),
            Column::Up => a.node.since.cmp(&b.node.since),
            _ => number(b).total_cmp(&number(a)),
        };
        first.then_with(|| a.node.node_id.cmp(&b.node.node_id))
    }
}

/// All of it for programs, and as a table.
#[must_use]
pub fn report(rows: &[Row], now_ms: u64) -> Report {
    let columns = [
        ("nodeId", Column::Node),
        ("host", Column::Host),
        ("address", Column::Address),
        ("connections", Column::Open),
        ("users", Column::Users),
        ("messagesPerSecond", Column::Messages),
        ("deliveriesPerSecond", Column::Deliveries),
        ("requestsPerSecond", Column::Requests),
        ("deliveryP99Seconds", Column::Lag),
        ("waitingBytes", Column::Waiting),
        ("slowCloses", Column::Slow),
        ("redisP99Seconds", Column::Redis),
        ("refusalsPerSecond", Column::Refused),
        ("cpuCores", Column::Cpu),
        ("memoryBytes", Column::Memory),
        ("since", Column::Up),
    ];
    let titles: Vec<_> = columns.iter().map(|(key, column)| (*key, column.title())).collect();
    let cells = |row: &Row| columns.iter().map(|(_, column)| cell(*column, row, now_ms)).collect();
    let mut spared: Vec<_> = columns.iter().filter(|(_, column)| column.rank() > 0).collect();
    spared.sort_by_key(|(_, column)| std::cmp::Reverse(column.rank()));
    let spared: Vec<&str> = spared.iter().map(|(key, _)| *key).collect();
    Report::list(&titles, rows.iter().map(cells).collect()).sparing(&spared)
}

fn cell(column: Column, row: &Row, now_ms: u64) -> Cell {
    let value: Value = match column {
        Column::Node => row.node.node_id.as_str().into(),
        Column::Host => row.node.host.as_str().into(),
        Column::Address => row.node.address.as_str().into(),
        Column::Up => row.node.since.into(),
        Column::Open => whole(row.open),
        Column::Users => whole(row.users),
        Column::Messages => row.messages.into(),
        Column::Deliveries => row.deliveries.into(),
        Column::Requests => row.requests.into(),
        Column::Lag => row.lag.into(),
        Column::Waiting => whole(row.waiting),
        Column::Slow => whole(row.slow),
        Column::Redis => row.redis.into(),
        Column::Refused => row.refused.into(),
        Column::Cpu => row.cpu.into(),
        Column::Memory => whole(row.memory),
    };
    Cell::from(value).shown_as(column.text(row, now_ms))
}

/// A count, which has no fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 2^53")]
fn whole(number: f64) -> Value {
    Value::from(number.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::top::rows::{rows, tests::told};
    use crate::output::{Look, table};
    use std::time::Instant;

    #[test]
    fn a_wider_terminal_shows_more_and_none_too_much() {
        let mut before = 0;
        for width in 30..260 {
            let shown = Column::fitting(width);
            let needed: usize = shown.iter().map(|column| column.width() + 1).sum::<usize>() - 1;
            assert!(needed <= width && shown.len() >= before, "{width}: {shown:?}");
            before = shown.len();
        }
        assert_eq!(before, ALL.len());
        let at_eighty = Column::fitting(80);
        assert!(
            [Column::Open, Column::Messages, Column::Lag, Column::Waiting]
                .iter()
                .all(|c| at_eighty.contains(c))
        );
    }

    #[test]
    fn a_table_fits_as_the_view_does() {
        let page = "chatd_connections 9\nchatd_queued_bytes 2048\n";
        let (rows, _) = rows(&[told("abcdefgh", Instant::now(), 0, Ok(page))], &[]);
        let head = |columns: usize| {
            let look = Look { columns: Some(columns), ..Look::default() };
            let text = table::render(&report(&rows, 0), &look);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            text.lines()
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(head(200).len(), ALL.len());
        let at_eighty = head(80);
        assert!(
            ["NODE", "ADDRESS", "OPEN", "MSG/S", "P99", "WAIT"]
                .iter()
                .all(|title| at_eighty.contains(&(*title).to_owned()))
        );
        assert!(!at_eighty.contains(&"UP".to_owned()), "{at_eighty:?}");
    }

    #[test]
    fn each_column_leads_to_the_next_and_around() {
        let mut column = Column::Node;
        for _ in 0..ALL.len() {
            assert_eq!(column.beside(1).beside(-1), column);
            column = column.beside(1);
        }
        assert_eq!(column, Column::Node);
    }

    #[test]
    fn the_busiest_stands_first_and_who_says_nothing_shows_no_rates() {
        let begun = Instant::now();
        let page = "chatd_connections 9\nchatd_queued_bytes 2048\n";
        let (mut rows, _) = rows(&[told("a", begun, 0, Err("gone")), told("b", begun, 0, Ok(page))], &[]);
        rows.sort_by(|a, b| Column::Open.order(a, b));
        assert_eq!(rows[0].node.node_id, "b");
        let shown = [Column::Waiting, Column::Messages, Column::Open].map(|column| column.text(&rows[1], 0));
        assert_eq!(shown, ["-", "-", "7"]);
        assert_eq!(Column::Waiting.text(&rows[0], 0), "2.0K");
    }
}
