//! The books by the way a message takes: from which sender to which receiver.
//!
//! Invariant: the worst ways are kept, however many there are.

use serde::{Deserialize, Serialize};

/// How many of the worst are kept.
const KEPT: usize = 10;

/// Deliveries by way, the worst first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Paths {
    /// Ways from a sender to a receiver in a conversation.
    pub total: u64,
    /// Those on which a delivery was lost.
    pub with_lost: u64,
    /// Those on which one came again.
    pub with_duplicated: u64,
    /// Those on which one came after a later one.
    pub with_reordered: u64,
    /// Those on which one came late.
    pub with_late: u64,
    /// The worst ones.
    pub worst: Vec<Path>,
}

/// One way with faults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The sender, from 0.
    pub sender: u32,
    /// The receiving connection, from 0.
    pub receiver: u32,
    /// Where the sender's messages go.
    pub conversation: String,
    /// Messages of the sender that were accepted, warm-up included: so many should have come.
    pub expected: u64,
    /// Those that did not come.
    pub lost: u64,
    /// Those that came again.
    pub duplicated: u64,
    /// Those that came after a later one of the conversation.
    pub reordered: u64,
    /// Those that came late.
    pub late: u64,
}

impl Path {
    /// What breaks a promise, and what is only late.
    #[must_use]
    pub fn gravity(&self) -> (u64, u64) {
        (self.lost.saturating_add(self.duplicated).saturating_add(self.reordered), self.late)
    }
}

impl Paths {
    /// Counts a way, and keeps it if it is among the worst; only then it is asked for its conversation and for how many
    /// messages should have come.
    pub fn add(&mut self, path: Path, more: impl FnOnce() -> (String, u64)) {
        self.with_lost += u64::from(path.lost > 0);
        self.with_duplicated += u64::from(path.duplicated > 0);
        self.with_reordered += u64::from(path.reordered > 0);
        self.with_late += u64::from(path.late > 0);
        if self.worst.len() >= KEPT && self.worst.last().is_some_and(|last| last.gravity() >= path.gravity())
        {
            return;
        }
        let (conversation, expected) = more();
        self.worst.push(Path { conversation, expected, ..path });
        self.keep_the_worst();
    }

    /// Adds other ways.
    pub fn merge(&mut self, other: Paths) {
        self.total += other.total;
        self.with_lost += other.with_lost;
        self.with_duplicated += other.with_duplicated;
        self.with_reordered += other.with_reordered;
        self.with_late += other.with_late;
        self.worst.extend(other.worst);
        self.keep_the_worst();
    }

    fn keep_the_worst(&mut self) {
        self.worst.sort_by_key(|path| (std::cmp::Reverse(path.gravity()), path.receiver, path.sender));
        self.worst.truncate(KEPT);
    }
}
