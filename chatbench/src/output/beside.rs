//! What a result counts beside its books, and a reader should not have to look for.
//!
//! Invariant: what is 0 is not told; every format tells the same.

use serde_json::Value;

use super::dig::{count, object, said, times};

/// A count with what it counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where it stands in the result.
    pub place: &'static str,
    /// What is counted.
    pub what: String,
    /// How many, at least 1.
    pub found: u64,
}

/// Counts by themselves.
const SINGLE: [(&str, &str); 4] = [
    ("/ledger/foreign", "messages that are not of this run"),
    ("/history/foreign", "messages of the history that are not of this run"),
    ("/history/corrupted", "messages of the history with another text"),
    ("/connections/unanswered_closes", "closes without an answer"),
];

/// Counts by name, which stands behind the words.
const NAMED: [(&str, &str); 5] = [
    ("/connections/failed", "connections failed:"),
    ("/connections/closed_by_server", "connections closed by the server with code"),
    ("/ledger/refused_by_code", "messages refused with code"),
    ("/red_packets/refused_by_code", "grabs refused with code"),
    ("/history/failed", "requests failed:"),
];

/// All there are.
pub fn beside(result: &Value) -> Vec<Beside> {
    let mut all = Vec::new();
    for (place, what) in SINGLE {
        let found = count(result, place).unwrap_or(0);
        all.push(Beside { place, what: what.to_owned(), found });
    }
    for (place, what) in NAMED {
        for (name, found) in object(result, place).into_iter().flatten() {
            all.push(Beside { place, what: format!("{what} {name}"), found: found.as_u64().unwrap_or(0) });
        }
    }
    for (name, times) in times(result) {
        let what =
            format!("samples of {} time are lower bounds: they had not come when the wait ended", said(name));
        all.push(Beside { place: "/times", what, found: count(times, "/censored").unwrap_or(0) });
    }
    all.retain(|beside| beside.found > 0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_zero_is_told_with_its_cause() {
        let result = json!({
            "ledger": {"foreign": 3, "refused_by_code": {"1011": 2}},
            "history": {"foreign": 0, "failed": {"read: timed out": 4}},
            "connections": {"unanswered_closes": 5, "failed": {"refused": 6}},
            "red_packets": {"refused_by_code": {"1004": 7}},
            "times": {"e2e_time": {"count": 9, "censored": 8}}
        });
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
