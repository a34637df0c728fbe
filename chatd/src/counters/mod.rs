//! What the node counts about itself; every counter runs from the start of the process.
//!
//! Invariant: counting takes no lock and no memory. What every message or request counts is kept in shards, so that
//! threads that count at once do not wait for each other.

pub mod closes;
pub mod handshakes;
pub mod histogram;
mod limits;
pub mod links;
pub mod requests;
mod sharded;

use std::sync::atomic::{AtomicU64, Ordering};

use self::closes::Closes;
use self::handshakes::Handshakes;
use self::histogram::Histogram;
pub use self::limits::Limit;
use self::limits::Refused;
use self::requests::Requests;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What became of records of what operators do.
#[derive(Debug, Default)]
pub struct Audited {
    /// Written.
    pub records: Counter,
    /// Not written, because the file took none.
    pub failures: Counter,
    /// Refused attempts without a record, because there were too many.
    pub left_out: Counter,
}

/// What became of messages that other nodes were to store.
#[derive(Debug, Default)]
pub struct PassedOn {
    /// Stored.
    pub stored: Counter,
    /// Refused for what they are.
    pub refused: Counter,
    /// Of which no other node said what became of them.
    pub unanswered: Counter,
    /// Attempts after the first of a message.
    pub retries: Counter,
}

/// The node's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// WebSocket connections accepted.
    pub connections: Counter,
    /// How they ended.
    pub closes: Closes,
    /// How those that speak TLS began.
    pub handshakes: Handshakes,
    /// Requests over HTTP and WebSocket, by what they asked for and how they were answered.
    pub requests: Requests,
    /// Messages put into a log.
    pub messages: Counter,
    /// Messages that other nodes were to store.
    pub passed_on: PassedOn,
    /// Frames put into the queue of a connection.
    pub deliveries: Counter,
    /// From the time of a message to its fan-out here, once for each topic.
    pub delivery_lag: Histogram,
    /// Connections closed because they read too slowly.
    pub slow_closes: Counter,
    /// Those of them whose socket took nothing for a while; HTTP connections too.
    pub stalled: Counter,
    /// Those of them for whom most waited when too much waited in all; HTTP connections too.
    pub shed: Counter,
    /// Pings sent to quiet connections.
    pub pings: Counter,
    /// Connections refused or ended because their descriptors were needed.
    pub crowded_out: Counter,
    /// What was refused, or ended, because of a limit.
    pub refused: Refused,
    /// What operators did.
    pub audit: Audited,
    /// Messages fetched from the log because the bus had lost them.
    pub gap_fills: Counter,
    /// Times that messages of a topic were gone from the log as well, and its readers were told.
    pub losses: Counter,
}
