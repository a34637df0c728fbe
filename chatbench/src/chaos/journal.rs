//! What happened to connections during a run: ends, attempts to come back, recoveries.
//!
//! Invariant: written a few times per connection's life, never per message, so one lock is enough.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::recorder::histogram;

/// See the file's head.
#[derive(Debug)]
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
    pub recovery: Histogram<u64>,
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
            first_floor_ns: u64::MAX,
            last_back_ns: 0,
        }
    }
}
