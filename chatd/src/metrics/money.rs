//! Settlements, their queues, and audits.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use super::page::{NONE, Page};
use crate::money::audit::Results;
use crate::money::settlement::worker::{Counts, Worker};
use crate::money::watch::Seen;

impl Page<'_> {
    /// What the worker of this node did.
    pub(super) fn settlements(&mut self, worker: &Worker) -> fmt::Result {
        let Counts { settled, repeated, buried, .. } = worker.counts();
        let outcomes = [("settled", settled), ("repeated", repeated), ("buried", buried)];
        self.counters(
            "chatd_settlements_total",
            "Settlements the worker of this node took: applied, applied before, made dead letters.",
            outcomes.map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        self.histograms(
            "chatd_settlement_lag_seconds",
            "From the grab, or the close, to the ledger, of each settlement that was applied.",
            [(NONE, worker.lag().snapshot())],
        )
    }

    /// What waits on its way, as was seen last.
    pub(super) fn road(&mut self, seen: &Seen) -> fmt::Result {
        let waiting = seen.waiting.load(Relaxed);
        self.gauge("chatd_settlements_waiting", "Settlements that are not done, of all nodes.", waiting)?;
        let dead = seen.dead.load(Relaxed);
        self.gauge("chatd_dead_letters", "Settlements that were given up, of all nodes.", dead)?;
        self.gauge(
            "chatd_settlement_oldest_seconds",
            "Age of the oldest settlement that is not done, as far as a queue can tell.",
            seen.oldest_ms.load(Relaxed) as f64 / 1e3,
        )?;
        let stores = [("packets", &seen.packets_ahead_ms), ("ledger", &seen.ledger_ahead_ms)];
        self.gauges(
            "chatd_clock_error_seconds",
            "By how much the clock of this node is off from that of a store.",
            stores
                .map(|(store, ahead)| ([("store", store)], ahead.load(Relaxed).unsigned_abs() as f64 / 1e3)),
        )
    }

    /// How audits ended.
    pub(super) fn audits(&mut self, audits: &Results) -> fmt::Result {
        self.counters(
            "chatd_audits_total",
            "Audits of whole apps that ended on this node: all held, a rule was broken; and pages of one that failed.",
            audits.counts().map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        let Some(last) = audits.last() else { return Ok(()) };
        self.gauge("chatd_audit_broken_rules", "Broken rules that the last audit found.", last.found)?;
        let (took_s, ended_s) = (last.took_ms as f64 / 1e3, last.ended_ms as f64 / 1e3);
        self.gauge(
            "chatd_audit_duration_seconds",
            "From the first page of the last audit to its end.",
            took_s,
        )?;
        self.gauge("chatd_audit_end_time_seconds", "When the last audit ended, Unix time.", ended_s)
    }
}
