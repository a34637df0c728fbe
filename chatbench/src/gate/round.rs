//! One run, as far as it is compared with others.
//!
//! Invariant: it is read from the result as it is written to a file, whether that file exists or not.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::gate::measure::Measure;
use chatbench_result::model::SCHEMA;

/// Options that may differ between rounds of the same settings: each run draws its own.
const OWN: [&str; 2] = ["app", "seed"];
/// What of the red packets was asked for and not found.
const PACKETS: [&str; 7] = ["packets", "shares_each", "total_cents", "senders", "via", "hot", "rate_per_s"];
/// What of the environment makes numbers comparable.
const MACHINE: [&str; 5] = ["cpu_model", "cores", "kernel", "chatbench_version", "optimised_build"];

/// A run that took place.
#[derive(Debug, Clone)]
pub struct Round {
    /// Where it comes from, for a reader.
    pub source: String,
    /// Name of the run.
    pub run: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Unix milliseconds.
    pub started_unix_ms: u64,
    /// Its exit code.
    pub exit_code: u64,
    /// Whether its times and rates are a measurement.
    pub usable: bool,
    /// Why it ended as it did.
    pub reasons: Vec<String>,
    /// The options that make rounds comparable, by their place.
    pub settings: BTreeMap<String, Value>,
    /// The machine and the program.
    pub machine: BTreeMap<String, Value>,
    result: Value,
}

/// A round in a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct RoundName {
    /// Name of the run.
    pub run: String,
    /// Where it was read, or its number.
    pub source: String,
    /// Its own exit code.
    pub exit_code: u64,
}

impl Round {
    /// Reads a result.
    ///
    /// # Errors
    /// What it lacks.
    pub fn read(result: Value, source: impl Into<String>) -> Result<Self, String> {
        let source = source.into();
        let lacks = |name: &str| format!("{source}: no result of chatbench: it lacks {name}");
        match result.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => {
                return Err(format!("{source}: is of schema {other}, and this chatbench reads {SCHEMA}"));
            }
            None => return Err(lacks("schema")),
        }
        let text = |name: &str| Some(result.get(name)?.as_str()?.to_owned());
        let flag = |name: &str| result.get(name).and_then(Value::as_bool).ok_or_else(|| lacks(name));
        let number = |name: &str| result.get(name).and_then(Value::as_u64).ok_or_else(|| lacks(name));
        let reasons = result.get("reasons").and_then(Value::as_array).ok_or_else(|| lacks("reasons"))?;
        let mut settings = BTreeMap::new();
        flatten("", result.get("options").ok_or_else(|| lacks("options"))?, &mut settings);
        let packets = PACKETS.iter().filter_map(|name| Some((*name, result.get("red_packets")?.get(name)?)));
        settings.extend(packets.map(|(name, value)| (format!("red_packets.{name}"), value.clone())));
        settings.retain(|place, _| !OWN.contains(&place.as_str()));
        let environment = result.get("environment").ok_or_else(|| lacks("environment"))?;
        let machine =
            MACHINE.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(name)?.clone())));
        Ok(Self {
            run: text("run").ok_or_else(|| lacks("run"))?,
            scenario: text("scenario").ok_or_else(|| lacks("scenario"))?,
            started_unix_ms: number("started_unix_ms")?,
            exit_code: number("exit_code")?,
            usable: flag("valid")? && !flag("partial")?,
            reasons: reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            settings,
            machine: machine.collect(),
            source,
            result,
        })
    }

    /// A value of it.
    pub fn value(&self, measure: &Measure) -> Option<f64> {
        measure.of(&self.result)
    }

    /// The whole result.
    pub fn result(&self) -> &Value {
        &self.result
    }

    /// The whole result, without the rest.
    pub fn into_result(self) -> Value {
        self.result
    }

    /// For a reader of the comparison.
    pub fn name(&self) -> RoundName {
        RoundName { run: self.run.clone(), source: self.source.clone(), exit_code: self.exit_code }
    }

    /// Why it is as it is, in one line.
    pub fn reason(&self) -> &str {
        self.reasons.first().map_or("no reason was given", String::as_str)
    }

    /// What a default comparison looks at.
    pub fn is_closed_loop(&self) -> bool {
        self.settings.get("traffic.rate_per_s").is_some_and(Value::is_null)
    }
}

/// Every value in `value` by its place, such as `traffic.senders`.
fn flatten(place: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                flatten(&place, value, into);
            }
        }
        other => {
            into.insert(place.to_owned(), other.clone());
        }
    }
}

/// What two maps have different, in words; empty when nothing is.
pub fn differences(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> Vec<String> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    let text = |map: &BTreeMap<String, Value>, name: &str| {
        map.get(name).map_or("absent".to_owned(), Value::to_string)
    };
    names
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| format!("{name} {} and {}", text(one, name), text(other, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::tests::synthetic::result;
    use serde_json::json;

    #[test]
    fn settings_are_all_options_but_those_each_run_draws() {
        let round = Round::read(result(1, &[]), "a.json").unwrap();
        assert!(round.settings.contains_key("traffic.rate_per_s") && !round.settings.contains_key("seed"));
        let mut other = round.settings.clone();
        other.insert("clients".into(), json!(7));
        other.remove("heartbeat_ms");
        assert_eq!(differences(&round.settings, &round.settings), Vec::<String>::new());
        assert_eq!(
            differences(&round.settings, &other),
            ["clients 100 and 7", "heartbeat_ms 60000 and absent"]
        );
    }

    #[test]
    fn what_is_no_result_is_refused_with_what_it_lacks() {
        let mut old = result(1, &[]);
        old["schema"] = json!("chatbench.result/v0");
        let mut half = result(1, &[]);
        half["valid"] = json!("yes");
        for (value, says) in [
            (json!(null), "lacks schema"),
            (json!([1, 2]), "lacks schema"),
            (json!({"schema": 5}), "lacks schema"),
            (json!({"schema": SCHEMA}), "lacks reasons"),
            (old, "result/v0"),
            (half, "lacks valid"),
        ] {
            let error = Round::read(value, "x.json").unwrap_err();
            assert!(error.starts_with("x.json: ") && error.contains(says), "{error}");
        }
    }
}
