//! What is shown of each line of a batch.
//!
//! Invariant: a line that is no message has its number and the reason, and nothing else.

use serde_json::Value;

use super::count::Outcome;
use crate::report::{Cell, Report};

/// What became of a line.
pub struct Told {
    /// Where it stands, from 1.
    pub number: u64,
    /// Who was to get it.
    pub user: Option<String>,
    /// Its id.
    pub msg_id: Option<String>,
    /// What it came to.
    pub outcome: Outcome,
    /// Why it was not sent.
    pub error: Option<String>,
    /// The code of the server's refusal.
    pub code: Option<u16>,
}

impl Told {
    /// Of no line at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { number: 0, user: None, msg_id: None, outcome: Outcome::Skipped, error: None, code: None }
    }

    /// As a row of [`report`].
    #[must_use]
    pub fn row(self) -> Vec<Cell> {
        let text = |text: Option<String>| text.map_or(Cell::from(Value::Null), Cell::from);
        vec![
            text(self.user),
            self.number.into(),
            self.outcome.word().into(),
            text(self.msg_id),
            self.code.map_or(Cell::from(Value::Null), Cell::from),
            text(self.error),
        ]
    }
}

/// The results of lines.
#[must_use]
pub fn report(rows: Vec<Vec<Cell>>) -> Report {
    let columns = [
        ("userId", "USER"),
        ("line", "LINE"),
        ("outcome", "OUTCOME"),
        ("msgId", "MESSAGE"),
        ("code", "CODE"),
        ("error", "ERROR"),
    ];
    Report::list(&columns, rows)
}
