//! What puts the numbers into their place: whether they are a measurement, the parts they are made of, the floor below
//! them, and whether they stayed as they were.
//!
//! Invariant: as everywhere on the page, what a run did not look at is not there.

use super::part;
use super::table::{flatten, pairs, table};
use crate::model::{Floor, RunResult};
use crate::units::{count_text, micros_text};

/// The parts of a mixed run.
pub fn parts(result: &RunResult) -> String {
    let us = |us: Option<u64>| us.map_or("-".to_owned(), micros_text);
    let rows = result.parts.iter().flatten().map(|part| {
        vec![
            part.scenario.clone(),
            count_text(u64::from(part.clients)),
            count_text(part.measured.sent),
            count_text(part.measured.delivered),
            count_text(part.measured.lost),
            us(part.e2e_time.p50_us),
            us(part.e2e_time.p99_us),
        ]
    });
    let head = ["", "clients", "sent", "delivered", "lost", "response p50", "response p99"];
    part("Parts", &table(&head, &rows.collect::<Vec<_>>()))
}

/// The other sections.
pub fn sections(result: &RunResult) -> String {
    [
        part("Validity", &pairs(&flatten(&result.validity))),
        part("Drift", &pairs(&flatten(&result.drift))),
        part("Floor: a relay that only writes", &result.floor.as_ref().map_or(String::new(), floor)),
    ]
    .concat()
}

fn floor(floor: &Floor) -> String {
    let rows = floor.rounds.iter().map(|round| {
        let us = |us: Option<u64>| us.map_or("-".to_owned(), micros_text);
        vec![
            round.run.clone(),
            if round.valid { "yes" } else { "no" }.to_owned(),
            us(round.e2e_p50_us),
            us(round.e2e_p99_us),
            round.deliveries_per_s.map_or("-".to_owned(), |rate| format!("{rate:.1}/s")),
            round.server_cpu_us_per_delivery.map_or("-".to_owned(), |us| format!("{us:.2} µs")),
        ]
    });
    let head = ["run", "valid", "response p50", "response p99", "deliveries", "CPU per delivery"];
    let ratios = floor.server_to_floor.iter().map(|(name, ratio)| {
        (format!("server to floor: {}", name.replace('_', " ").replace("cpu", "CPU")), format!("{ratio:?} ×"))
    });
    table(&head, &rows.collect::<Vec<_>>()) + &pairs(&ratios.collect::<Vec<_>>())
}
