//! What was done to connections on purpose, and how they came back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The part of the result about trouble.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chaos {
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowReaders {
    /// How many.
    pub clients: u64,
    /// Connections the server kept to the end.
    pub kept: u64,
    /// Connections the server closed, by close code; 1006 is a close whose code did not come through.
    pub closed: BTreeMap<u16, u64>,
}
