//! Every format, made of a result that a real run wrote, of one with nothing in it, and of a hostile one.
//!
//! Invariant: what a format says is compared with the result it was made of.

mod broken;
mod formats;
mod page;
mod xml;

use serde_json::{Value, json};

use super::findings::Findings;

/// A result of `broadcast`, 20 clients for 4 s, as the program wrote it.
pub const REAL: &str = include_str!("../../../result/tests/results/broadcast.json");
/// A result of `redpacket`.
pub const PACKETS: &str = include_str!("../../../result/tests/results/redpacket.json");

/// A name that would like to be something else.
pub const HOSTILE: &str =
    "</title></style><script>alert(1)</script>\"'&]]>\u{0}\u{1b}[31m\u{202e}|a|\n=1+1,\"x\"";

/// What a real run wrote.
pub fn real(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Of one result.
pub fn findings(result: Value) -> Findings {
    Findings::of(&result).unwrap()
}

/// The smallest thing that is a result.
pub fn bare() -> Value {
    json!({
        "schema": "chatbench.result/v1", "scenario": "connect", "run": "r", "started_unix_ms": 0, "valid": true, "partial": false,
        "verdict": "pass", "exit_code": 0, "reasons": [], "options": {}, "environment": {}, "times": {}, "series": null,
    })
}

/// A comparison of three metrics, one of each kind.
pub fn comparison() -> Value {
    let metric = |name: &str, verdict: &str, ratio: Value, interval: Value| {
        json!({
            "metric": name, "unit": "us", "better": "lower", "verdict": verdict, "reason": "+20.0 %, p 0.011", "min_effect": 0.05,
            "base": 1000.0, "head": 1200.0, "ratio": ratio, "interval": interval,
        })
    };
    json!({
        "schema": "chatbench.comparison/v1", "scenario": "broadcast", "verdict": "regressed", "warnings": ["other kernel"],
        "base": {"label": "old", "rounds": [1, 2, 3, 4, 5]}, "head": {"label": "new", "rounds": [1, 2, 3, 4, 5]},
        "metrics": [
            metric("e2e_time:p(99)", "regressed", json!(1.2), json!([1.1, 1.3])),
            metric("ack_time:p(50)", "unchanged", json!(1.0), json!([0.99, 1.01])),
            metric("lost", "inconclusive", Value::Null, Value::Null),
        ],
    })
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
