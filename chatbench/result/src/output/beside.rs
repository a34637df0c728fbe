//! What a result counts beside its books, and a reader should not have to look for.
//!
//! Invariant: what is 0 is not told; every format tells the same.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::words::said;
use crate::model::RunResult;

/// The part of the result that has the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The ledger.
    Ledger,
    /// The history.
    History,
    /// The connections.
    Connections,
    /// The red packets.
    RedPackets,
    /// The times.
    Times,
}

/// A count with what it counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where it stands in the result.
    pub of: Of,
    /// What is counted.
    pub what: String,
    /// How many, at least 1.
    pub found: u64,
}

/// All there are.
#[must_use]
pub fn beside(result: &RunResult) -> Vec<Beside> {
    let mut all = Vec::new();
    let mut add = |of, what: &str, found| all.push(Beside { of, what: what.to_owned(), found });
    let (ledger, history) = (result.ledger.as_ref(), result.history.as_ref());
    let connections = result.connections.as_ref();
    if let Some(ledger) = ledger {
        add(Of::Ledger, "messages that are not of this run", ledger.foreign);
    }
    if let Some(history) = history {
        add(Of::History, "messages of the history that are not of this run", history.foreign);
        add(Of::History, "messages of the history with another text", history.corrupted);
    }
    if let Some(connections) = connections {
        add(Of::Connections, "closes without an answer", connections.unanswered_closes);
        named(&mut add, Of::Connections, "connections failed:", &connections.failed);
        let closed = "connections closed by the server with code";
        named(&mut add, Of::Connections, closed, &connections.closed_by_server);
    }
    if let Some(ledger) = ledger {
        named(&mut add, Of::Ledger, "messages refused with code", &ledger.refused_by_code);
    }
    if let Some(packets) = &result.red_packets {
        named(&mut add, Of::RedPackets, "grabs refused with code", &packets.refused_by_code);
    }
    if let Some(history) = history {
        named(&mut add, Of::History, "requests failed:", &history.failed);
    }
    for (name, times) in result.measured() {
        let what =
            format!("samples of {} time are lower bounds: they had not come when the wait ended", said(name));
        add(Of::Times, &what, times.censored);
    }
    all.retain(|beside| beside.found > 0);
    all
}

/// Counts by name, which stands behind the words.
fn named(add: &mut impl FnMut(Of, &str, u64), of: Of, what: &str, counts: &BTreeMap<impl Display, u64>) {
    for (name, found) in counts {
        add(of, &format!("{what} {name}"), *found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Books, Connections, Pages, RedPackets, TimeSummary};

    #[test]
    fn what_is_not_zero_is_told_with_its_cause() {
        let result = RunResult {
            ledger: Some(Books { foreign: 3, refused_by_code: [(1011, 2)].into(), ..Books::default() }),
            history: Some(Pages { failed: [("read: timed out".to_owned(), 4)].into(), ..Pages::default() }),
            connections: Some(Connections {
                unanswered_closes: 5,
                failed: [("refused".to_owned(), 6)].into(),
                ..Connections::default()
            }),
            red_packets: Some(RedPackets { refused_by_code: [(1004, 7)].into(), ..RedPackets::default() }),
            times: [("e2e_time".to_owned(), TimeSummary { count: 9, censored: 8, ..TimeSummary::default() })]
                .into(),
            ..RunResult::default()
        };
        let told: Vec<String> =
            beside(&result).iter().map(|one| format!("{} {}", one.found, one.what)).collect();
        assert_eq!(
            told,
            [
                "3 messages that are not of this run",
                "5 closes without an answer",
                "6 connections failed: refused",
                "2 messages refused with code 1011",
                "7 grabs refused with code 1004",
                "4 requests failed: read: timed out",
                "8 samples of response time are lower bounds: they had not come when the wait ended"
            ]
        );
    }
}
