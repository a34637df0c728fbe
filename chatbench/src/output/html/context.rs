//! What puts the numbers into their place: whether they are a measurement, the parts they are made of, the floor below
//! them, and whether they stayed as they were.
//!
//! Invariant: as everywhere on the page, what a run did not look at is not there.

use serde_json::Value;

use super::part;
use super::table::{flatten, pairs, table};
use crate::output::dig::{count, list, number, text as text_of};
use chatbench_result::units::{count_text, micros_text};

/// The parts of a mixed run.
pub fn parts(result: &Value) -> String {
    let rows = list(result, "/parts").iter().map(|part| {
        let counted = |place: &str| count(part, place).map_or("-".to_owned(), count_text);
        let us = |place: &str| count(part, place).map_or("-".to_owned(), micros_text);
        vec![
            text_of(part, "/scenario").to_owned(),
            counted("/clients"),
            counted("/measured/sent"),
            counted("/measured/delivered"),
            counted("/measured/lost"),
            us("/e2e_time/p50_us"),
            us("/e2e_time/p99_us"),
        ]
    });
    let head = ["", "clients", "sent", "delivered", "lost", "response p50", "response p99"];
    part("Parts", &table(&head, &rows.collect::<Vec<_>>()))
}

/// The other sections.
pub fn sections(result: &Value) -> String {
    let told = |heading: &str, place: &str| {
        let mut rows = Vec::new();
        flatten("", result.pointer(place).unwrap_or(&Value::Null), &mut rows);
        part(heading, &pairs(&rows))
    };
    let mut ratios = Vec::new();
    flatten("", result.pointer("/floor/server_to_floor").unwrap_or(&Value::Null), &mut ratios);
    // A ratio has no unit, whatever the name of what it is of ends in.
    let bare = ratios.into_iter().map(|(name, value)| {
        let number = value.split([' ', '/']).next().unwrap_or_default().to_owned();
        (format!("server to floor: {name}"), number + " ×")
    });
    let floor = [floor(result), pairs(&bare.collect::<Vec<_>>())].concat();
    [told("Validity", "/validity"), told("Drift", "/drift"), part("Floor: a relay that only writes", &floor)]
        .concat()
}

fn floor(result: &Value) -> String {
    let rows = list(result, "/floor/rounds").iter().map(|round| {
        let us = |place: &str| count(round, place).map_or("-".to_owned(), micros_text);
        let cost = |place: &str| number(round, place).map_or("-".to_owned(), |us| format!("{us:.2} µs"));
        let valid = round.get("valid") == Some(&Value::Bool(true));
        vec![
            text_of(round, "/run").to_owned(),
            if valid { "yes" } else { "no" }.to_owned(),
            us("/e2e_p50_us"),
            us("/e2e_p99_us"),
            number(round, "/deliveries_per_s").map_or("-".to_owned(), |rate| format!("{rate:.1}/s")),
            cost("/server_cpu_us_per_delivery"),
        ]
    });
    let head = ["run", "valid", "response p50", "response p99", "deliveries", "CPU per delivery"];
    table(&head, &rows.collect::<Vec<_>>())
}
