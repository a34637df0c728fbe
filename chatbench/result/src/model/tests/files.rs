//! Results of every scenario, as runs wrote them, and of versions that knew less.

use serde_json::{Value, json};

use crate::model::RunResult;

/// Each as the program wrote it; those of the first two are of an early version.
pub const FILES: [(&str, &str); 12] = [
    ("broadcast of early", include_str!("../../../tests/results/broadcast.json")),
    ("redpacket of early", include_str!("../../../tests/results/redpacket.json")),
    ("broadcast", include_str!("../../../tests/results/every/broadcast.json")),
    ("connect", include_str!("../../../tests/results/every/connect.json")),
    ("idle", include_str!("../../../tests/results/every/idle.json")),
    ("unicast", include_str!("../../../tests/results/every/unicast.json")),
    ("group", include_str!("../../../tests/results/every/group.json")),
    ("mixed", include_str!("../../../tests/results/every/mixed.json")),
    ("churn", include_str!("../../../tests/results/every/churn.json")),
    ("soak", include_str!("../../../tests/results/every/soak.json")),
    ("history", include_str!("../../../tests/results/every/history.json")),
    ("redpacket", include_str!("../../../tests/results/every/redpacket.json")),
];

/// The members that a value lacks, or has otherwise, by their places.
fn missing(wanted: &Value, found: &Value, place: &str, into: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(members), Value::Object(have)) => {
            for (name, value) in members {
                let found = have.get(name).unwrap_or(&Value::Null);
                missing(value, found, &format!("{place}/{name}"), into);
            }
        }
        (Value::Array(items), Value::Array(have)) if items.len() == have.len() => {
            for (number, (value, found)) in items.iter().zip(have).enumerate() {
                missing(value, found, &format!("{place}/{number}"), into);
            }
        }
        _ if wanted == found => {}
        _ => into.push(place.to_owned()),
    }
}

#[test]
fn what_is_read_is_what_was_written() {
    for (name, text) in FILES {
        let value: Value = serde_json::from_str(text).unwrap();
        let result: RunResult = serde_json::from_str(text).unwrap();
        let again = serde_json::to_value(&result).unwrap();
        let mut lost = Vec::new();
        missing(&value, &again, "", &mut lost);
        assert_eq!(lost, Vec::<String>::new(), "{name}");
        assert_eq!(serde_json::from_value::<RunResult>(again).unwrap(), result, "{name}");
    }
}

#[test]
fn a_file_of_this_version_is_written_again_letter_by_letter() {
    for (name, text) in &FILES[2..] {
        let result: RunResult = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string_pretty(&result).unwrap() + "\n";
        let different = text.lines().zip(again.lines()).find(|(one, other)| one != other);
        assert!(*text == again, "{name}: {different:?}");
    }
}

#[test]
fn every_part_is_read_in_some_file() {
    let all = FILES.map(|(_, text)| serde_json::from_str::<RunResult>(text).unwrap());
    let found = |part: fn(&RunResult) -> bool| all.iter().any(part);
    assert!(found(|result| result.ledger.is_some() && result.rates.is_some() && result.validity.is_some()));
    assert!(found(|result| result.chaos.as_ref().is_some_and(|chaos| chaos.cuts > 0)));
    assert!(found(|result| result.history.is_some()) && found(|result| result.red_packets.is_some()));
    assert!(found(|result| result.idle.is_some()) && found(|result| result.parts.is_some()));
    assert!(found(|result| result.floor.is_some()) && found(|result| !result.thresholds.is_empty()));
    assert!(found(|result| result.drift.is_some()));
    for result in &all {
        assert!(result.options.is_some() && result.environment.is_some() && result.connections.is_some());
        assert!(
            result.series.as_ref().is_some_and(|series| !series.points.is_empty()),
            "{}",
            result.scenario
        );
        assert!(result.measured().count() > 0, "{}", result.scenario);
    }
}

#[test]
fn a_part_that_is_something_else_is_absent_and_the_rest_is_read() {
    let mut value: Value = serde_json::from_str(FILES[2].1).unwrap();
    let whole: RunResult = serde_json::from_value(value.clone()).unwrap();
    value["ledger"]["measured"]["lost"] = json!("none");
    value["times"]["ack_time"] = json!(5);
    value["verdict"] = json!("splendid");
    value["series"]["points"][0]["servers"] = json!(null);
    value["unknown"] = json!({"a": 1});
    let read: RunResult = serde_json::from_value(value).unwrap();
    assert_eq!((&read.ledger, read.verdict, &read.series), (&None, None, &None));
    assert!(!read.times.contains_key("ack_time") && read.times.len() + 1 == whole.times.len());
    assert_eq!(
        (&read.rates, &read.options, &read.processes),
        (&whole.rates, &whole.options, &whole.processes)
    );
    assert!(serde_json::from_value::<RunResult>(json!(5)).is_err());
}
