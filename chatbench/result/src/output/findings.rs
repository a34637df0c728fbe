//! What a report shows: results, and a comparison if there is one.
//!
//! Invariant: each result is of this version's schema, and the comparison too.

use crate::compare::comparison::Comparison;
use crate::model::RunResult;

/// Results and their comparison, as one report has them.
#[derive(Debug)]
pub struct Findings {
    /// In the order they are shown; none where the comparison is shown alone.
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

    /// Of a comparison alone.
    #[must_use]
    pub fn compared(comparison: Comparison) -> Self {
        Self { results: Vec::new(), comparison: Some(comparison), json: None }
    }

    /// What to call them together.
    #[must_use]
    pub fn title(&self) -> String {
        let first = self.results.first().map_or("", |result| &result.scenario);
        match self.results.len() {
            0 => {
                let scenario = self.comparison.as_ref().map_or("", |comparison| &comparison.scenario);
                format!("chatbench comparison of {scenario}")
            }
            1 => format!("chatbench {first}"),
            several => format!("chatbench {first}, {several} results"),
        }
    }
}
