//! What every server promises, load or no load, with what was found.
//!
//! Invariant: a promise is listed only when the run could have seen it broken.

use serde_json::Value;

use super::dig::count;
use crate::gate::measure::Measure;

/// What must be 0, by the name it has in a result or as a measure, and what it means.
const NEVER: [(&str, &str); 12] = [
    ("lost", "deliveries that never came"),
    ("duplicated", "deliveries that came again"),
    ("reordered", "deliveries after one with a higher number"),
    ("/ledger/stray", "deliveries to a connection that must not get them"),
    ("corrupted", "deliveries with another text"),
    ("misnumbered", "messages with different numbers in different places"),
    ("holes", "numbers left out of the history"),
    ("repeats", "numbers that came again in the history"),
    ("/history/corrupted", "messages of the history with another text"),
    ("/chaos/absent", "clients that were not back at the end"),
    ("discrepancies", "contradictions between clients, packets, wallets and audit"),
    ("/red_packets/given_up", "grabs that were never answered"),
];

/// Those that are broken only when one has waited long enough.
const AWAITED: [&str; 3] = ["lost", "/chaos/absent", "/red_packets/given_up"];

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub what: &'static str,
    /// How often it was broken.
    pub found: u64,
}

/// The promises of a run.
pub fn promises(result: &Value) -> Vec<Promise> {
    let found = |name: &str| match name.starts_with('/') {
        true => count(result, name),
        false => name.parse::<Measure>().ok()?.of(result).map(|found| found as u64),
    };
    // Nobody waited for these when the run was stopped.
    let stopped = result.get("partial").and_then(Value::as_bool).unwrap_or(false);
    let seen = |name: &str| !stopped || !AWAITED.contains(&name);
    let known = NEVER.iter().filter(|(name, _)| seen(name)).filter_map(|(name, what)| {
        let short = name.rsplit('/').next().unwrap_or(name);
        Some(Promise { name: short, what, found: found(name)? })
    });
    known.collect()
}
