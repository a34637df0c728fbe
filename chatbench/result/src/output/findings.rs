//! What a report shows: results, and a comparison if there is one.
//!
//! Invariant: each result is of this version's schema, and the comparison too.

use crate::compare::comparison::Comparison;
use crate::model::RunResult;

/// See the file's head.
#[derive(Debug)]
pub struct Findings {
    /// In the order they are shown; at least one.
    pub results: Vec<RunResult>,
    /// Between them and others.
    pub comparison: Option<Comparison>,
    /// The only result as it is written, its members in their order.
    pub json: Option<String>,
}

impl Findings {
    /// Of one run.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which every result can.
    pub fn of(result: RunResult) -> serde_json::Result<Self> {
        let json = serde_json::to_string_pretty(&result)? + "\n";
        Ok(Self { results: vec![result], comparison: None, json: Some(json) })
    }

    /// What to call them together.
    #[must_use]
    pub fn title(&self) -> String {
        let first = self.results.first().map_or("", |result| &result.scenario);
        match self.results.len() {
            1 => format!("chatbench {first}"),
            several => format!("chatbench {first}, {several} results"),
        }
    }
}
