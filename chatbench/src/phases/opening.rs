//! How the connections of a run were opened, and who is not in.
//!
//! Invariant: every connection asked for is either counted as logged in or named as missing.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::micros;
use crate::failure::Failure;
use crate::ledger::plan::Plan;
use crate::net::door;
use crate::phases::progress::Progress;
use chatbench_result::hdr;
use chatbench_result::hdr::histogram;
use chatbench_result::units::count_text;

/// Connections that are in, and who is missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// Connections asked for.
    pub wanted: u32,
    /// Connections logged in.
    pub connected: u32,
    /// TCP and handshake, in microseconds.
    #[serde(with = "hdr")]
    pub connect: Histogram<u64>,
    /// Log-in, in microseconds.
    #[serde(with = "hdr")]
    pub login: Histogram<u64>,
    /// Failed ones by cause.
    pub failures: BTreeMap<String, u64>,
    /// Connections that are not in: they failed, or the operator stopped before their turn.
    pub missing: Vec<u32>,
    /// From the first attempt to the last result.
    pub wall: Duration,
}

impl Opening {
    /// Of a run without connections.
    pub fn none() -> Self {
        Self::new(0)
    }

    /// Before the first attempt.
    pub fn new(wanted: u32) -> Self {
        Self {
            wanted,
            connected: 0,
            connect: histogram(),
            login: histogram(),
            failures: BTreeMap::new(),
            missing: Vec::new(),
            wall: Duration::ZERO,
        }
    }

    /// Counts an attempt; one that needed no connection only when it failed.
    pub fn note(&mut self, result: Result<Option<door::Times>, String>, progress: &dyn Progress) {
        match result {
            Ok(None) => {}
            Ok(Some(times)) => {
                self.connected += 1;
                self.connect.saturating_record(micros(times.connect).max(1));
                self.login.saturating_record(micros(times.login).max(1));
                progress.count(u64::from(self.connected));
            }
            Err(cause) => *self.failures.entry(cause).or_default() += 1,
        }
    }

    /// Adds the connections of another process, which were opened at the same time.
    pub fn merge(&mut self, other: Opening) {
        self.wanted += other.wanted;
        self.connected += other.connected;
        // All have the same bounds.
        let _ = self.connect.add(&other.connect);
        let _ = self.login.add(&other.login);
        for (cause, count) in other.failures {
            *self.failures.entry(cause).or_default() += count;
        }
        self.missing.extend(other.missing);
        self.wall = self.wall.max(other.wall);
    }

    /// Senders of the plan that are not in.
    pub fn missing_senders(&self, plan: &Plan) -> u64 {
        self.missing.iter().filter(|number| plan.sender_at(**number).is_some()).count() as u64
    }

    /// Whether there is anything to measure: clients are in, and one that sends where some should. Clients that are
    /// not in because the operator stopped are no reason against it.
    pub fn is_enough(&self, plan: &Plan) -> bool {
        let all_silent = plan.senders_connected && self.missing_senders(plan) == u64::from(plan.senders);
        self.failures.is_empty() || (self.connected > 0 && (plan.senders == 0 || !all_silent))
    }

    /// What went wrong and what to do about it, when something did.
    pub fn trouble(&self) -> Option<(String, &'static str)> {
        let failed: u64 = self.failures.values().sum();
        let (cause, _) = self.failures.iter().max_by_key(|(_, count)| **count)?;
        let next = match cause.as_str() {
            cause if cause.contains("refused (os error") => {
                "start chatd there, or name its address with --server"
            }
            cause if cause.contains("log-in refused") => {
                "see what the server's configuration asks of a log-in"
            }
            cause if cause.contains("503") => "the server is full: fewer --clients, or raise its limit",
            _ => "look at the server's log, or try fewer --clients or a lower --connect-rate",
        };
        let (failed, wanted) = (count_text(failed), count_text(u64::from(self.wanted)));
        Some((format!("{failed} of {wanted} clients did not get in; most often: {cause}"), next))
    }

    /// The same as a reason not to go on.
    pub fn failure(&self) -> Option<Failure> {
        self.trouble().map(|(cause, next)| Failure::could_not_run(cause, next))
    }
}
