//! The times of a run, in microseconds.
//!
//! Invariant: what did not come in time is in them as if it had come at the deadline, and counted apart.

use hdrhistogram::Histogram;

use crate::ledger::recorder::Tape;
use chatbench_result::hdr::histogram;

/// How many samples of a distribution are only lower bounds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Censored {
    /// Messages without an answer.
    pub ack: u64,
    /// Deliveries that did not come.
    pub e2e: u64,
}

/// Distributions of times, in microseconds.
#[derive(Debug, Clone)]
pub struct Times {
    /// From the due time to the answer.
    pub ack: Histogram<u64>,
    /// From the due time to a delivery.
    pub e2e: Histogram<u64>,
    /// From the send to a delivery.
    pub service: Histogram<u64>,
    /// From the due time to the send.
    pub lag: Histogram<u64>,
    /// From the due time to a message's first delivery.
    pub first: Histogram<u64>,
    /// From the due time to the middle one of a message's deliveries.
    pub median: Histogram<u64>,
    /// From the due time to a message's last delivery.
    pub fanout: Histogram<u64>,
    /// From a message's first delivery to its last one.
    pub skew: Histogram<u64>,
    /// Samples that are lower bounds.
    pub censored: Censored,
}

impl Times {
    /// With what the tape holds.
    pub fn new(tape: &Tape) -> Self {
        Self {
            ack: histogram(),
            e2e: tape.e2e.clone(),
            service: tape.service.clone(),
            lag: histogram(),
            first: histogram(),
            median: histogram(),
            fanout: histogram(),
            skew: histogram(),
            censored: Censored::default(),
        }
    }

    /// Where each message has one receiver, its one delivery is the first, the middle and the last.
    pub fn fan_out_of_pairs(&mut self) {
        for times in [&mut self.first, &mut self.median, &mut self.fanout] {
            *times = self.e2e.clone();
        }
    }

    /// Adds the times of another part of the run.
    pub fn merge(&mut self, other: &Times) {
        for (mine, theirs) in [
            (&mut self.ack, &other.ack),
            (&mut self.e2e, &other.e2e),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
            (&mut self.first, &other.first),
            (&mut self.median, &other.median),
            (&mut self.fanout, &other.fanout),
            (&mut self.skew, &other.skew),
        ] {
            // All have the same bounds.
            let _ = mine.add(theirs);
        }
        self.censored.ack += other.censored.ack;
        self.censored.e2e += other.censored.e2e;
    }
}
