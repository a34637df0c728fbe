//! The ledger and the rates as they stand in the result.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::flow::Flow;
use crate::harvest::Effort;
use crate::ledger::paths::Paths;
use crate::ledger::{Ledger, Line};

/// The ledger in the result.
#[derive(Debug, Serialize)]
pub struct Books {
    /// Messages of the measured part.
    pub measured: Line,
    /// Messages of the warm-up.
    pub warmup: Line,
    /// Deliveries of messages that were not accepted.
    pub unexpected: u64,
    /// Deliveries to a connection that must not get them.
    pub stray: u64,
    /// Deliveries whose text was not what was sent.
    pub corrupted: u64,
    /// Messages that had different numbers in different places.
    pub misnumbered: u64,
    /// Messages that are not of this run, and frames that are none.
    pub foreign: u64,
    /// How often a connection saw a conversation begin a new history.
    pub epoch_changes: u64,
    /// Refusals by code.
    pub refused_by_code: BTreeMap<u16, u64>,
    /// The first refusal in the server's words.
    pub first_refusal: Option<String>,
    /// Messages that were due and waited for the window.
    pub waited_for_window: u64,
    /// The same, for each way from a sender to a receiver.
    pub paths: Paths,
}

/// Rates of the measured part.
#[derive(Debug, Serialize)]
pub struct Rates {
    /// Messages the schedule wanted; null when each waits for its answer.
    pub offered_per_s: Option<f64>,
    /// Messages sent.
    pub sent_per_s: f64,
    /// Messages accepted, from the start of the measured part to the last answer.
    pub accepted_per_s: f64,
    /// Deliveries, from the start of the measured part to the last one.
    pub deliveries_per_s: f64,
    /// Delay of a task of the generator that should run at a set time, at p99.
    pub generator_delay_p99_us: u64,
}

impl From<Ledger> for Books {
    fn from(ledger: Ledger) -> Self {
        Self {
            measured: ledger.measured,
            warmup: ledger.warmup,
            unexpected: ledger.unexpected,
            stray: ledger.stray,
            corrupted: ledger.corrupted,
            misnumbered: ledger.misnumbered,
            foreign: ledger.foreign,
            epoch_changes: ledger.epoch_changes,
            refused_by_code: ledger.refused_by_code,
            first_refusal: ledger.first_refusal,
            waited_for_window: ledger.waited_for_window,
            paths: ledger.paths,
        }
    }
}

impl Rates {
    /// Of one run.
    pub fn new(ledger: &Ledger, effort: &Effort, flow: &Flow, offered_per_s: Option<f64>) -> Self {
        let measure_ns = flow.measure_ns.load(std::sync::atomic::Ordering::Relaxed);
        // An interrupted run may have sent nothing in the measured part; then all rates are 0 and not 0/0.
        let seconds = (effort.sending_ns as f64 / 1e9).max(1e-3);
        let until = |time_ns: u64| time_ns.saturating_sub(measure_ns) as f64 / 1e9;
        let (to_delivery, to_answer) = (until(ledger.last_delivery_ns), until(ledger.last_answer_ns));
        let per = |count: u64, seconds: f64| (count as f64 / seconds * 10.0).round() / 10.0;
        Self {
            offered_per_s,
            sent_per_s: per(ledger.measured.sent, seconds),
            accepted_per_s: per(ledger.measured.accepted, seconds.max(to_answer)),
            deliveries_per_s: per(ledger.measured.delivered, seconds.max(to_delivery)),
            generator_delay_p99_us: effort.probe.value_at_quantile(0.99),
        }
    }
}
