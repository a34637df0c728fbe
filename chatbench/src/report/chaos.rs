//! What was done to connections on purpose, and how they came back.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::chaos::Chaos;
use crate::clock::micros_between;
use crate::flow::Flow;
use crate::ledger::Ledger;
use crate::recorder::histogram;
use crate::units::count_text;

/// The part of the result about trouble.
#[derive(Debug, Serialize)]
pub struct ChaosReport {
    /// Connections cut by the generator.
    pub cuts: u64,
    /// How often a client came back.
    pub reconnects: u64,
    /// Attempts to come back that failed, by cause.
    pub failed_attempts: BTreeMap<String, u64>,
    /// Deliveries that recovery brought.
    pub recovered: u64,
    /// Recoveries the server called incomplete.
    pub gaps: u64,
    /// Clients not connected when the run ended.
    pub absent: u64,
    /// Clients that stopped reading; null without any.
    pub slow_readers: Option<SlowReaders>,
}

/// How the clients fared that stopped reading.
#[derive(Debug, Serialize)]
pub struct SlowReaders {
    /// How many.
    pub clients: u64,
    /// Connections the server kept to the end.
    pub kept: u64,
    /// Connections the server closed, by close code; 1006 is a close whose code did not come through.
    pub closed: BTreeMap<u16, u64>,
}

impl ChaosReport {
    /// Of a run in which so many clients stopped reading; none when nothing was troubled.
    pub fn new(flow: &Flow, ledger: &Ledger, clients: u64) -> Option<Self> {
        if !flow.plan.trouble.reconnects {
            return None;
        }
        let journal = flow.journal();
        let closed = journal.slow_closed.clone();
        let kept = clients.saturating_sub(closed.values().sum());
        Some(Self {
            cuts: journal.cuts,
            reconnects: journal.reconnects,
            failed_attempts: journal.failed.clone(),
            recovered: ledger.recovered,
            gaps: ledger.gaps,
            absent: ledger.absent,
            slow_readers: (clients > 0).then_some(SlowReaders { clients, kept, closed }),
        })
    }

    /// For a reader.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} cuts, {} reconnects, {} messages recovered, {} gaps",
            count_text(self.cuts),
            count_text(self.reconnects),
            count_text(self.recovered),
            count_text(self.gaps)
        )];
        for (cause, count) in &self.failed_attempts {
            lines.push(format!("{} attempts failed: {cause}", count_text(*count)));
        }
        if let Some(slow) = &self.slow_readers {
            let closed = slow.closed.iter().map(|(code, count)| format!(", code {code}: {count}"));
            lines.push(format!(
                "{} slow readers: {} kept{}",
                slow.clients,
                slow.kept,
                closed.collect::<String>()
            ));
        }
        lines
    }
}

/// From the moment all clients of an avalanche might reconnect to the last one's return; empty unless all came back.
pub fn back_time(flow: &Flow, ledger: &Ledger) -> Histogram<u64> {
    let (mut times, journal) = (histogram(), flow.journal());
    let avalanche = matches!(flow.plan.trouble.cuts, Some(Chaos::Avalanche { .. }));
    if avalanche && journal.cuts > 0 && ledger.absent == 0 {
        times.saturating_record(micros_between(journal.first_floor_ns, journal.last_back_ns).max(1));
    }
    times
}
