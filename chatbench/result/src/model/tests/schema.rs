//! The type against `schema/result.v1.json`: they have the same members, and what the schema asks for is asked for here.
//!
//! Invariant: a member that only one of them knows fails the test.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::model::{
    Books, Chaos, Connections, Discrepancy, Drift, Environment, Fairness, Floor, FloorRound, Idle, Judged,
    Options, Pages, Part, Path, Paths, Point, Processes, Rates, RedPackets, RedisPoint, RunResult, SCHEMA,
    Series, ServerPoint, ServerState, SlowReaders, TIMES, Tenth, TimeSummary, Traffic, Unit, Usage, Validity,
};

const TEXT: &str = include_str!("../../../schema/result.v1.json");

/// A result in which no part and no member is left out.
fn whole() -> RunResult {
    let units = [Unit::Micros, Unit::Count, Unit::PerSecond, Unit::Percent, Unit::Share, Unit::Bytes];
    let usage = || Usage { server: Some("h".to_owned()), ..Usage::default() };
    let point = Point {
        servers: vec![ServerPoint { server: Some("h".to_owned()), ..ServerPoint::default() }],
        redis: Some(RedisPoint::default()),
        ..Point::default()
    };
    RunResult {
        schema: SCHEMA.to_owned(),
        options: Some(Options {
            chaos: vec!["jitter".to_owned()],
            traffic: Some(Traffic { grpc_connections: Some(4), ..Traffic::default() }),
            ..Options::default()
        }),
        environment: Some(Environment::default()),
        server_state: ServerState::default(),
        connections: Some(Connections::default()),
        times: TIMES.iter().map(|name| ((*name).to_owned(), TimeSummary::default())).collect(),
        ledger: Some(Books {
            paths: Paths { worst: vec![Path::default()], ..Paths::default() },
            ..Books::default()
        }),
        rates: Some(Rates::default()),
        chaos: Some(Chaos { slow_readers: Some(SlowReaders::default()), ..Chaos::default() }),
        history: Some(Pages::default()),
        red_packets: Some(RedPackets {
            fairness: Some(Fairness { by_arrival: vec![Tenth::default()], chi_square: 9.0 }),
            first_discrepancies: vec![Discrepancy::default()],
            ..RedPackets::default()
        }),
        processes: Some(Processes { generator: usage(), servers: vec![usage()], ..Processes::default() }),
        idle: Some(Idle::default()),
        validity: Some(Validity::default()),
        floor: Some(Floor { rounds: vec![FloorRound::default()], server_to_floor: BTreeMap::new() }),
        parts: Some(vec![Part::default()]),
        drift: Some(Drift::default()),
        series: Some(Series { points: vec![point], ..Series::default() }),
        thresholds: units.map(|unit| Judged { unit, ..Judged::default() }).to_vec(),
        ..RunResult::default()
    }
}

/// The schema of a member, behind its reference.
fn behind<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix('#')) {
        Some(place) => root.pointer(place).expect("a reference that leads somewhere"),
        None => schema,
    }
}

/// Every member a schema knows, by its place; those it requires have a `!`.
fn known(root: &Value, schema: &Value, place: &str, into: &mut BTreeSet<String>) {
    let schema = behind(root, schema);
    if let Some(items) = schema.get("items") {
        known(root, items, place, into);
    }
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}/{name}");
        into.insert(place.clone());
        known(root, member, &place, into);
    }
}

/// Every member of a value, by its place; items of a list share theirs.
fn written(value: &Value, place: &str, into: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        into.insert(place.clone());
        written(value, &place, into);
    }
    value.as_array().into_iter().flatten().for_each(|item| written(item, place, into));
}

/// Panics when only one of a schema and a value, in which nothing is left out, knows a member; gives how many there are.
pub(crate) fn same_members(schema: &Value, value: &Value) -> usize {
    let (mut said, mut found) = (BTreeSet::new(), BTreeSet::new());
    known(schema, schema, "", &mut said);
    written(value, "", &mut found);
    let none = Vec::<&String>::new();
    assert_eq!(said.difference(&found).collect::<Vec<_>>(), none, "only the schema knows them");
    assert_eq!(found.difference(&said).collect::<Vec<_>>(), none, "only the type knows them");
    said.len()
}

#[test]
fn the_type_and_the_schema_know_the_same_members() {
    let members = same_members(&serde_json::from_str(TEXT).unwrap(), &json!(whole()));
    assert!(members > 250, "{members}");
}

/// The object of a schema at each place that leads to it, as a list of names to walk along.
fn objects(root: &Value, schema: &Value, way: &[String], into: &mut Vec<(Vec<String>, Value)>) {
    let schema = behind(root, schema);
    let step = |name: &str| [way, &[name.to_owned()]].concat();
    if let Some(items) = schema.get("items") {
        objects(root, items, &step("0"), into);
    }
    if let Some(members) = schema.get("properties").and_then(Value::as_object) {
        into.push((way.to_vec(), schema.clone()));
        for (name, member) in members {
            objects(root, member, &step(name), into);
        }
    }
}

/// A member that the schema does not ask for may be absent, for old files have none; the part is read all the same.
#[test]
fn what_the_schema_does_not_require_may_be_absent() {
    let schema: Value = serde_json::from_str(TEXT).unwrap();
    let mut all = Vec::new();
    objects(&schema, &schema, &[], &mut all);
    let full = serde_json::to_value(whole()).unwrap();
    let parts = |value: &Value| {
        let read: RunResult = serde_json::from_value(value.clone()).unwrap();
        let again = serde_json::to_value(read).unwrap();
        let there = again.as_object().unwrap().iter().filter(|(_, part)| !part.is_null());
        there.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
    };
    let mut checked = 0;
    for (way, schema) in all.iter().filter(|(way, _)| !way.is_empty()) {
        let required = schema.get("required").cloned().unwrap_or(json!([]));
        for name in schema["properties"].as_object().unwrap().keys() {
            if required.as_array().unwrap().contains(&json!(name)) {
                continue;
            }
            let mut without = full.clone();
            let Some(object) =
                without.pointer_mut(&format!("/{}", way.join("/"))).and_then(Value::as_object_mut)
            else {
                panic!("{way:?}");
            };
            object.remove(name);
            assert_eq!(parts(&without), parts(&full), "{way:?} without {name}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}
