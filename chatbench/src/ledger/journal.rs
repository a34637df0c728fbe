//! What happened to connections during a run: ends, attempts to come back, recoveries.
//!
//! Invariant: written a few times per connection's life, never per message, so one lock is enough.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use chatbench_result::hdr;
use chatbench_result::hdr::histogram;

/// What was done to the server, and when.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Connections cut here.
    pub cuts: u64,
    /// Connections the server closed or lost, by close code; slow readers apart.
    pub closed: BTreeMap<u16, u64>,
    /// The same of slow readers.
    pub slow_closed: BTreeMap<u16, u64>,
    /// Clients that came back, as often as they did.
    pub reconnects: u64,
    /// Attempts to come back that failed, by cause.
    pub failed: BTreeMap<String, u64>,
    /// From the moment a client might reconnect to its last recovered message, in microseconds.
    #[serde(with = "hdr")]
    pub recovery: Histogram<u64>,
    /// From an attempt to come back to the answer to its log-in, of those that succeeded, in microseconds.
    #[serde(with = "hdr")]
    pub reconnect: Histogram<u64>,
    /// When the first cut client might reconnect, in nanoseconds of [`crate::clock`].
    pub first_floor_ns: u64,
    /// When the last cut client was back.
    pub last_back_ns: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            cuts: 0,
            closed: BTreeMap::new(),
            slow_closed: BTreeMap::new(),
            reconnects: 0,
            failed: BTreeMap::new(),
            recovery: histogram(),
            reconnect: histogram(),
            first_floor_ns: u64::MAX,
            last_back_ns: 0,
        }
    }
}

impl Journal {
    /// Adds what happened in another process.
    pub fn merge(&mut self, other: Journal) {
        self.cuts += other.cuts;
        self.reconnects += other.reconnects;
        // Both have the same bounds.
        let _ = self.recovery.add(&other.recovery);
        let _ = self.reconnect.add(&other.reconnect);
        self.first_floor_ns = self.first_floor_ns.min(other.first_floor_ns);
        self.last_back_ns = self.last_back_ns.max(other.last_back_ns);
        for (mine, theirs) in [(&mut self.closed, other.closed), (&mut self.slow_closed, other.slow_closed)] {
            for (code, count) in theirs {
                *mine.entry(code).or_default() += count;
            }
        }
        for (cause, count) in other.failed {
            *self.failed.entry(cause).or_default() += count;
        }
    }
}
