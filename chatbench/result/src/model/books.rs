//! The ledger and the rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::paths::Paths;

/// One part of the run: the warm-up or what is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Messages handed to a connection.
    pub sent: u64,
    /// Messages that got an answer.
    pub answered: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Messages answered with another code.
    pub refused: u64,
    /// Messages without an answer; their deliveries are allowed and not expected.
    pub unanswered: u64,
    /// Deliveries that accepted messages call for.
    pub expected: u64,
    /// Expected deliveries that came.
    pub delivered: u64,
    /// Expected deliveries that did not come although the connection was open.
    pub lost: u64,
    /// Expected deliveries that could not come because the server had closed the connection.
    pub disconnected: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries after a message with a higher number.
    pub reordered: u64,
    /// Deliveries later than the bound; they are delivered too.
    pub late: u64,
}

/// The ledger in the result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// Messages of the measured part.
    pub measured: Line,
    /// Messages of the warm-up.
    pub warmup: Line,
    /// Deliveries of messages that were not accepted.
    pub unexpected: u64,
    /// Deliveries to a connection that must not get them.
    pub stray: u64,
    /// Deliveries whose text was not what was sent.
    pub corrupted: u64,
    /// Messages that had different numbers in different places.
    pub misnumbered: u64,
    /// Messages that are not of this run, and frames that are none.
    pub foreign: u64,
    /// How often a connection saw a conversation begin a new history.
    pub epoch_changes: u64,
    /// Refusals by code.
    pub refused_by_code: BTreeMap<u16, u64>,
    /// The first refusal in the server's words.
    pub first_refusal: Option<String>,
    /// Messages that were due and waited for the window.
    pub waited_for_window: u64,
    /// The same, for each way from a sender to a receiver.
    #[serde(default)]
    pub paths: Paths,
}

/// Rates of the measured part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Messages the schedule wanted; null when each waits for its answer.
    pub offered_per_s: Option<f64>,
    /// Messages sent.
    pub sent_per_s: f64,
    /// Messages accepted, from the start of the measured part to the last answer.
    pub accepted_per_s: f64,
    /// Deliveries, from the start of the measured part to the last one.
    pub deliveries_per_s: f64,
    /// Delay of a task of the generator that should run at a set time, at p99.
    pub generator_delay_p99_us: u64,
}

impl Line {
    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Line) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.disconnected += other.disconnected;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.late += other.late;
    }
}

impl Books {
    /// Warm-up and measured part together; what a file says may be any number.
    #[must_use]
    pub fn total(&self, of: impl Fn(&Line) -> u64) -> u64 {
        of(&self.warmup).saturating_add(of(&self.measured))
    }

    /// Adds the books of another part of the run.
    pub fn merge(&mut self, other: Books) {
        self.measured.add(&other.measured);
        self.warmup.add(&other.warmup);
        self.unexpected += other.unexpected;
        self.stray += other.stray;
        self.corrupted += other.corrupted;
        self.misnumbered += other.misnumbered;
        self.foreign += other.foreign;
        self.epoch_changes += other.epoch_changes;
        self.waited_for_window += other.waited_for_window;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        for (code, count) in other.refused_by_code {
            *self.refused_by_code.entry(code).or_default() += count;
        }
        self.paths.merge(other.paths);
    }
}
