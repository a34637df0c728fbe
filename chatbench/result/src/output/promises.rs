//! What every server promises, load or no load, with what was found.
//!
//! Invariant: a promise is listed only when the run could have seen it broken.

use crate::model::RunResult;

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
#[must_use]
pub fn promises(result: &RunResult) -> Vec<Promise> {
    let ledger = result.ledger.as_ref();
    let (history, chaos, packets) =
        (result.history.as_ref(), result.chaos.as_ref(), result.red_packets.as_ref());
    // Nobody waited for these when the run was stopped.
    let awaited = |found: Option<u64>| found.filter(|_| !result.partial);
    [
        ("lost", "deliveries that never came", awaited(ledger.map(|books| books.total(|line| line.lost)))),
        ("duplicated", "deliveries that came again", ledger.map(|books| books.total(|line| line.duplicated))),
        (
            "reordered",
            "deliveries after one with a higher number",
            ledger.map(|books| books.total(|line| line.reordered)),
        ),
        ("stray", "deliveries to a connection that must not get them", ledger.map(|books| books.stray)),
        ("corrupted", "deliveries with another text", ledger.map(|books| books.corrupted)),
        (
            "misnumbered",
            "messages with different numbers in different places",
            ledger.map(|books| books.misnumbered),
        ),
        ("holes", "numbers left out of the history", history.map(|pages| pages.holes)),
        ("repeats", "numbers that came again in the history", history.map(|pages| pages.repeats)),
        ("corrupted", "messages of the history with another text", history.map(|pages| pages.corrupted)),
        ("absent", "clients that were not back at the end", awaited(chaos.map(|chaos| chaos.absent))),
        (
            "discrepancies",
            "contradictions between clients, packets, wallets and audit",
            packets.and_then(|packets| packets.discrepancies),
        ),
        ("given_up", "grabs that were never answered", awaited(packets.map(|packets| packets.given_up))),
    ]
    .into_iter()
    .filter_map(|(name, what, found)| Some(Promise { name, what, found: found? }))
    .collect()
}
