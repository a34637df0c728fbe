//! What was done to connections on purpose, and how they came back.

use chatbench_result::model::{Chaos as Found, SlowReaders};
use hdrhistogram::Histogram;

use crate::clock::micros_between;
use crate::ledger::Ledger;
use crate::ledger::flow::Flow;
use crate::ledger::plan::trouble::Chaos;
use chatbench_result::hdr::histogram;

/// Of a run in which so many clients stopped reading; none when nothing was troubled.
pub fn trouble(flow: &Flow, ledger: &Ledger, clients: u64) -> Option<Found> {
    if !flow.plan.trouble.reconnects {
        return None;
    }
    let journal = flow.journal();
    let closed = journal.slow_closed.clone();
    let kept = clients.saturating_sub(closed.values().sum());
    Some(Found {
        cuts: journal.cuts,
        reconnects: journal.reconnects,
        failed_attempts: journal.failed.clone(),
        recovered: ledger.recovered,
        gaps: ledger.gaps,
        absent: ledger.absent,
        slow_readers: (clients > 0).then_some(SlowReaders { clients, kept, closed }),
    })
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
