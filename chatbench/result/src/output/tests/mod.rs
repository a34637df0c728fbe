//! Every format, made of a result that a real run wrote, of one with nothing in it, and of a hostile one.
//!
//! Invariant: what a format says is compared with the result it was made of.

mod formats;
mod page;
mod xml;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::findings::Findings;
use crate::compare::comparison::{self, Change, Comparison, Method, MetricChange, Side};
use crate::compare::round::RoundName;
use crate::measure::Measure;
use crate::model::RunResult;

/// A result of `broadcast`, 20 clients for 4 s, as the program wrote it.
pub const REAL: &str = include_str!("../../../tests/results/broadcast.json");
/// A result of `redpacket`.
pub const PACKETS: &str = include_str!("../../../tests/results/redpacket.json");

/// A name that would like to be something else.
pub const HOSTILE: &str =
    "</title></style><script>alert(1)</script>\"'&]]>\u{0}\u{1b}[31m\u{202e}|a|\n=1+1,\"x\"";

/// What a real run wrote.
pub fn real(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// As it is read from a file.
pub fn read(result: Value) -> RunResult {
    serde_json::from_value(result).unwrap_or_default()
}

/// Of one result.
pub fn findings(result: Value) -> Findings {
    Findings::of(read(result)).unwrap()
}

/// The smallest thing that is a result.
pub fn bare() -> Value {
    json!({
        "schema": "chatbench.result/v1", "scenario": "connect", "run": "r", "started_unix_ms": 0, "valid": true, "partial": false,
        "verdict": "pass", "exit_code": 0, "reasons": [], "options": {}, "environment": {}, "times": {}, "series": null,
    })
}

/// A comparison of three metrics, one of each kind.
pub fn comparison() -> Comparison {
    let metric = |name: &str, verdict, ratio: Option<f64>, interval| MetricChange {
        metric: name.to_owned(),
        unit: name.parse::<Measure>().unwrap().unit(),
        verdict,
        reason: "+20.0 %, p 0.011".to_owned(),
        min_effect: 0.05,
        base: 1000.0,
        head: 1200.0,
        ratio,
        interval,
        ..MetricChange::default()
    };
    let side = |label: &str| Side {
        label: label.to_owned(),
        rounds: vec![RoundName::default(); 5],
        environment: BTreeMap::new(),
    };
    Comparison {
        schema: comparison::SCHEMA.to_owned(),
        scenario: "broadcast".to_owned(),
        verdict: Change::Regressed,
        base: side("old"),
        head: side("new"),
        method: Method::new(1, 1),
        metrics: vec![
            metric("e2e_time:p(99)", Change::Regressed, Some(1.2), Some([1.1, 1.3])),
            metric("ack_time:p(50)", Change::Unchanged, Some(1.0), Some([0.99, 1.01])),
            metric("lost", Change::Inconclusive, None, None),
        ],
        warnings: vec!["other kernel".to_owned()],
    }
}

/// Every text, number and list of a result made into something else.
pub fn twisted(value: &Value, into: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), twisted(value, into))).collect()
        }
        Value::Array(items) => items.iter().map(|item| twisted(item, into)).collect(),
        _ => into.clone(),
    }
}
