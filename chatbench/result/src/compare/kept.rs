//! Rounds that were kept: one in a result, all of a baseline.
//!
//! Invariant: what is neither is named, with what is wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::comparison::{self, Comparison};
use super::round::Round;
use crate::model::{RunResult, lenient};

/// Name and version of the format of a file with the rounds of a baseline.
pub const BASELINE: &str = "chatbench.baseline/v1";

/// The rounds of a baseline, as they are written.
#[derive(Debug, Serialize)]
pub struct Baseline<'a> {
    environment: Option<&'a BTreeMap<String, Value>>,
    rounds: Vec<&'a RunResult>,
    saved_unix_ms: u64,
    schema: &'static str,
}

/// What a file says that it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "lenient::member")]
    schema: Option<String>,
    #[serde(deserialize_with = "lenient::member")]
    rounds: Option<Vec<Value>>,
}

impl<'a> Baseline<'a> {
    /// Of these rounds, measured where the first one was.
    #[must_use]
    pub fn new(rounds: &'a [Round], saved_unix_ms: u64) -> Self {
        Self {
            environment: rounds.first().map(|round| &round.machine),
            rounds: rounds.iter().map(|round| &round.result).collect(),
            saved_unix_ms,
            schema: BASELINE,
        }
    }
}

/// The same text as it is written anew: what this version does not know of a result is not lost.
#[must_use]
pub fn rewritten(text: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(text).ok()?;
    serde_json::to_string_pretty(&value).ok().map(|json| json + "\n")
}

fn json(text: &[u8], name: &str) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|error| format!("{name} is no JSON: {error}"))
}

/// The rounds in what was in a file of this name.
///
/// # Errors
/// What it is instead of a result or a baseline.
pub fn rounds(text: &[u8], name: &str) -> Result<Vec<Round>, String> {
    let value = json(text, name)?;
    let named = Named::deserialize(&value).unwrap_or_default();
    if named.schema.as_deref() != Some(BASELINE) {
        return Ok(vec![Round::read(value, name)?]);
    }
    let rounds = named.rounds.ok_or_else(|| format!("{name}: a baseline without rounds"))?;
    let numbered = (1..).zip(rounds);
    numbered.map(|(number, round)| Round::read(round, format!("{name} round {number}"))).collect()
}

/// The comparison in what was in a file of this name.
///
/// # Errors
/// What it is instead.
pub fn comparison(text: &[u8], name: &str) -> Result<Comparison, String> {
    let value = json(text, name)?;
    let found = match Named::deserialize(&value).unwrap_or_default().schema {
        Some(schema) if schema == comparison::SCHEMA => {
            return Comparison::deserialize(value).map_err(|error| format!("{name}: {error}"));
        }
        Some(other) => format!("is of schema {other}"),
        None => "has no schema".to_owned(),
    };
    let wanted = comparison::SCHEMA;
    Err(format!(
        "{name}: {found}, and --comparison takes {wanted}; give a file that compare --out NAME.json wrote"
    ))
}
