//! What a report shows: results, and a comparison if there is one.
//!
//! Invariant: each result is of this version's schema, and the comparison too.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::gate::comparison;
use crate::gate::files;
use crate::gate::round::Round;

/// See the file's head.
#[derive(Debug)]
pub struct Findings {
    /// In the order they are shown; at least one.
    pub results: Vec<Value>,
    /// Between them and others.
    pub comparison: Option<Value>,
    /// The only result as it is written, its members in their order.
    pub json: Option<String>,
}

impl Findings {
    /// Of one run.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which every result can.
    pub fn of(result: &impl Serialize) -> serde_json::Result<Self> {
        let json = serde_json::to_string_pretty(result)? + "\n";
        Ok(Self { results: vec![serde_json::to_value(result)?], comparison: None, json: Some(json) })
    }

    /// Reads files of results, baselines and a comparison.
    ///
    /// # Errors
    /// [`Failure`] with the file's name: 1 when it cannot be read, 2 when it is something else.
    pub fn read(paths: &[impl AsRef<Path>], comparison: Option<&Path>) -> Result<Self, Failure> {
        let mut results = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let value = files::json(path)?;
            let rounds = files::read(value, &path.display().to_string()).map_err(Failure::Usage)?;
            results.extend(rounds.into_iter().map(Round::into_result));
        }
        if results.is_empty() {
            return Err(Failure::Usage("report: the files hold no result".to_owned()));
        }
        let json = match results.as_slice() {
            [result] => serde_json::to_string_pretty(result).ok().map(|json| json + "\n"),
            _ => None,
        };
        Ok(Self { results, comparison: comparison.map(read_comparison).transpose()?, json })
    }

    /// What to call them together.
    pub fn title(&self) -> String {
        let first = self.results.first().map_or("", |result| super::dig::text(result, "/scenario"));
        match self.results.len() {
            1 => format!("chatbench {first}"),
            several => format!("chatbench {first}, {several} results"),
        }
    }
}

fn read_comparison(path: &Path) -> Result<Value, Failure> {
    let value = files::json(path)?;
    match value.get("schema").and_then(Value::as_str) {
        Some(comparison::SCHEMA) => Ok(value),
        found => Err(Failure::Usage(format!(
            "{}: {}, and --comparison takes {}; give a file that compare --out NAME.json wrote",
            path.display(),
            found.map_or("has no schema".to_owned(), |found| format!("is of schema {found}")),
            comparison::SCHEMA
        ))),
    }
}
