//! What one process brings in at the end of a run.
//!
//! Invariant: merging loses nothing: counts add up, distributions are added bucket by bucket.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::ledger::Receipts;
use crate::ledger::journal::Journal;
use crate::ledger::sender::Sender;
use crate::phases::opening::Opening;
use crate::watch::process::Sample;
use crate::watch::pulse::Pulse;
use crate::watch::servers::Observed;
use chatbench_result::hdr;
use chatbench_result::hdr::histogram;

/// Counts and distributions of one process, or of several together.
#[derive(Debug, Serialize, Deserialize)]
pub struct Harvest {
    /// How the connections were opened.
    pub opening: Opening,
    /// Why the run began into news of the log-ins, if it did.
    pub unsettled: Option<String>,
    /// What the generator did and cost.
    pub effort: Effort,
    /// What all senders of the run did. Each process knows it from the conductor.
    #[serde(skip)]
    pub senders: Vec<Sender>,
    /// What the receivers saw.
    pub receipts: Receipts,
    /// What happened to the connections.
    pub journal: Journal,
    /// What no look at a worker has seen yet.
    pub rest: Option<Pulse>,
    /// Connections that left books.
    pub outcomes: u64,
    /// Connections the server did not close in time.
    pub unanswered_closes: u64,
    /// Signs of life sent.
    pub heartbeats: u64,
}

/// What the generator did and cost.
#[derive(Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Delay of the probe before the first message, in microseconds.
    #[serde(with = "hdr")]
    pub probe_before: Histogram<u64>,
    /// The same while messages were sent and came.
    #[serde(with = "hdr")]
    pub probe: Histogram<u64>,
    /// The same after the last one.
    #[serde(with = "hdr")]
    pub probe_after: Histogram<u64>,
    /// The generator before the first connection, at the start of the measured part, and after it.
    pub own: [Sample; 3],
    /// The watched servers at the last two moments.
    #[serde(skip)]
    pub servers: Observed,
    /// From the start of the measured part to the last send, in nanoseconds.
    pub sending_ns: u64,
    /// From the start of the measured part to the end of the drain, in nanoseconds.
    pub measured_ns: u64,
    /// Threads that had clients.
    pub threads: u32,
    /// Processes that took part.
    pub processes: u32,
}

impl Harvest {
    /// Adds what another process brought in.
    pub fn merge(&mut self, other: Harvest) {
        self.opening.merge(other.opening);
        self.unsettled = self.unsettled.take().or(other.unsettled);
        self.effort.merge(&other.effort);
        self.receipts.merge(other.receipts);
        self.journal.merge(other.journal);
        self.outcomes += other.outcomes;
        self.unanswered_closes += other.unanswered_closes;
        self.heartbeats += other.heartbeats;
    }
}

impl Effort {
    /// Of this process, before it did anything.
    pub fn new(before: Sample) -> Self {
        Self {
            probe_before: histogram(),
            probe: histogram(),
            probe_after: histogram(),
            own: [before; 3],
            servers: None,
            sending_ns: 0,
            measured_ns: 0,
            threads: 1,
            processes: 1,
        }
    }

    /// Adds that of another part of the run in the same process, whose CPU and memory are the same.
    pub fn merge_beside(&mut self, other: &Effort) {
        let (own, threads, processes) = (self.own, self.threads, self.processes);
        self.merge(other);
        (self.own, self.threads, self.processes) = (own, threads, processes);
    }

    /// Adds that of another process.
    pub fn merge(&mut self, other: &Effort) {
        for (mine, theirs) in [
            (&mut self.probe_before, &other.probe_before),
            (&mut self.probe, &other.probe),
            (&mut self.probe_after, &other.probe_after),
        ] {
            // All have the same bounds.
            let _ = mine.add(theirs);
        }
        for (mine, theirs) in self.own.iter_mut().zip(other.own) {
            *mine = *mine + theirs;
        }
        self.sending_ns = self.sending_ns.max(other.sending_ns);
        self.measured_ns = self.measured_ns.max(other.measured_ns);
        self.threads += other.threads;
        self.processes += other.processes;
    }
}
