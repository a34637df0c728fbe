//! One run, as far as it is compared with others.
//!
//! Invariant: it is read from the result as it is written to a file, whether that file exists or not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::measure::Measure;
use crate::model::{RunResult, SCHEMA};
use crate::verdict::Verdict;

/// Options that may differ between rounds of the same settings: each run draws its own.
const OWN: [&str; 2] = ["app", "seed"];

/// Kinds of JSON that a member of a result must be.
type Kind = fn(&Value) -> bool;

/// What makes a result one, and comparable.
const HEAD: [(&str, Kind); 10] = [
    ("schema", Value::is_string),
    ("reasons", Value::is_array),
    ("options", Value::is_object),
    ("environment", Value::is_object),
    ("run", Value::is_string),
    ("scenario", Value::is_string),
    ("started_unix_ms", Value::is_u64),
    ("exit_code", Value::is_u64),
    ("valid", Value::is_boolean),
    ("partial", Value::is_boolean),
];

/// Times that tell a round in one line.
const TOLD: [&str; 4] = ["e2e_time:p(50)", "e2e_time:p(99)", "page_time:p(50)", "connect_time:p(99)"];

/// A run that took place.
#[derive(Debug, Clone)]
pub struct Round {
    /// Where it comes from, for a reader.
    pub source: String,
    /// The whole result.
    pub result: RunResult,
    /// The options that make rounds comparable, by their place.
    pub settings: BTreeMap<String, Value>,
    /// The machine and the program.
    pub machine: BTreeMap<String, Value>,
}

/// A round in a comparison.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RoundName {
    /// Name of the run.
    pub run: String,
    /// Where it was read, or its number.
    pub source: String,
    /// Its own exit code.
    pub exit_code: u64,
}

impl Round {
    /// Of a result.
    pub fn new(result: RunResult, source: impl Into<String>) -> Self {
        let mut settings = BTreeMap::new();
        flatten("", &json!(result.options), &mut settings);
        if let Some(packets) = &result.red_packets {
            // What of them was asked for and not found.
            let asked = json!({
                "packets": packets.packets, "shares_each": packets.shares_each, "total_cents": packets.total_cents,
                "senders": packets.senders, "via": packets.via, "hot": packets.hot, "rate_per_s": packets.rate_per_s,
            });
            flatten("red_packets", &asked, &mut settings);
        }
        settings.retain(|place, _| !OWN.contains(&place.as_str()));
        let mut machine = BTreeMap::new();
        if let Some(environment) = &result.environment {
            let comparable = json!({
                "cpu_model": environment.cpu_model, "cores": environment.cores, "kernel": environment.kernel,
                "chatbench_version": environment.chatbench_version, "optimised_build": environment.optimised_build,
            });
            flatten("", &comparable, &mut machine);
        }
        Self { source: source.into(), result, settings, machine }
    }

    /// Reads a result.
    ///
    /// # Errors
    /// What it lacks.
    pub fn read(value: Value, source: impl Into<String>) -> Result<Self, String> {
        let source = source.into();
        let lacks = |name: &str| format!("{source}: no result of chatbench: it lacks {name}");
        for (name, is_kind) in HEAD {
            let member = value.get(name).filter(|member| is_kind(member)).ok_or_else(|| lacks(name))?;
            if name == "schema" && member != SCHEMA {
                let other = member.as_str().unwrap_or_default();
                return Err(format!("{source}: is of schema {other}, and this chatbench reads {SCHEMA}"));
            }
        }
        let result = RunResult::deserialize(value).map_err(|error| format!("{source}: {error}"))?;
        if result.options.is_none() {
            return Err(lacks("options"));
        }
        Ok(Self::new(result, source))
    }

    /// A value of it.
    #[must_use]
    pub fn value(&self, measure: &Measure) -> Option<f64> {
        measure.of(&self.result)
    }

    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.result.verdict.unwrap_or(Verdict::Invalid)
    }

    /// Whether its times and rates are a measurement.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.result.valid && !self.result.partial
    }

    /// For a reader of the comparison.
    #[must_use]
    pub fn name(&self) -> RoundName {
        let (run, exit_code) = (self.result.run.clone(), self.result.exit_code);
        RoundName { run, source: self.source.clone(), exit_code }
    }

    /// Why it is as it is, in one line.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.result.reasons.first().map_or("no reason was given", String::as_str)
    }

    /// Verdict and main times in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.verdict().text().to_owned();
        for measure in TOLD.iter().filter_map(|name| name.parse::<Measure>().ok()) {
            if let Some(value) = self.value(&measure) {
                line += &format!(", {measure} {}", measure.unit().text(value));
            }
        }
        if self.verdict() != Verdict::Pass {
            line += &format!(" ({})", self.reason());
        }
        line
    }

    /// What a default comparison looks at.
    #[must_use]
    pub fn is_closed_loop(&self) -> bool {
        let traffic = self.result.options.as_ref().and_then(|options| options.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.rate_per_s.is_none())
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
#[must_use]
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
    use crate::compare::tests::synthetic::result;

    #[test]
    fn settings_are_all_options_but_those_each_run_draws() {
        let round = Round::new(result(1, 1000), "a.json");
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
        let whole = || json!(result(1, 1000));
        let mut old = whole();
        old["schema"] = json!("chatbench.result/v0");
        let mut half = whole();
        half["valid"] = json!("yes");
        let mut strange = whole();
        strange["options"]["clients"] = json!("many");
        for (value, says) in [
            (json!(null), "lacks schema"),
            (json!([1, 2]), "lacks schema"),
            (json!({"schema": 5}), "lacks schema"),
            (json!({"schema": SCHEMA}), "lacks reasons"),
            (old, "result/v0"),
            (half, "lacks valid"),
            (strange, "lacks options"),
        ] {
            let error = Round::read(value, "x.json").unwrap_err();
            assert!(error.starts_with("x.json: ") && error.contains(says), "{error}");
        }
    }
}
