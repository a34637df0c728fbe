//! What the processes of a run say to each other: in each line the number of a kind of messages, see
//! [`crate::scenario::kinds`], and what is said of it, as one JSON value.
//!
//! Invariant: every word of the conductor but a question is answered by exactly one report.

use serde::{Deserialize, Serialize};

use crate::harvest::Harvest;
use crate::identity::Identity;
use crate::opening::Opening;
use crate::pulse::Pulse;

/// What a worker is to do, its first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The scenario, see [`crate::args::Scenario::line`].
    pub args: Vec<String>,
    /// What makes it this run.
    pub identity: Identity,
    /// Which part of its clients, from 0.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// How many kinds of messages there are to talk about.
    pub kinds: usize,
}

/// A word to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// All clients are in but these: wait until the server has told of it.
    Settle(Vec<u32>),
    /// The first message is due then, in nanoseconds of the host's clock.
    Start(u64),
    /// No client of any worker is connected any more: send nothing more.
    Forsaken,
    /// Nothing more can come.
    Drained,
    /// What the senders of all workers did, packed.
    Senders(Vec<String>),
    /// The run is over.
    Quit,
    /// The operator wants to stop, all kinds alike.
    Interrupt,
    /// What did your clients of all kinds do since the last question?
    Pulse,
    /// How far are you?
    Stand,
}

/// A word of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// Its clients are in or not.
    Opened(Box<Opening>),
    /// Nothing came any more, or this is why it did.
    Settled(Option<String>),
    /// What its senders did, packed.
    Senders(Vec<String>),
    /// Everything else.
    Harvest(Box<Harvest>),
    /// It cannot go on, with no kind.
    Failed {
        /// What happened.
        cause: String,
        /// What the operator can do.
        next: String,
    },
    /// Answer to [`Word::Pulse`].
    Pulse(Box<Pulse>),
    /// Answer to [`Word::Stand`].
    Standing(Standing),
}

/// How far the clients of a process are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Messages sent.
    pub sent: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Deliveries that those call for, at the clients of all processes.
    pub expected: u64,
    /// Deliveries at these clients.
    pub delivered: u64,
    /// Connections that should read and do not.
    pub away: u64,
    /// Connections that are open.
    #[serde(default)]
    pub open: u64,
    /// Clients that are connected or mean to come back.
    pub live: u64,
    /// Processes that still send.
    pub sending: u64,
}

impl Standing {
    /// Together with another process.
    pub fn add(&mut self, other: Standing) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.away += other.away;
        self.open += other.open;
        self.live += other.live;
        self.sending += other.sending;
    }

    /// Whether nothing more can be expected: all answers are there, all of them 200, and each message has reached all.
    pub fn complete(&self) -> bool {
        self.sending == 0 && self.sent == self.accepted && self.away == 0 && self.delivered >= self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_complete_when_all_of_it_is() {
        let done =
            Standing { sent: 2, accepted: 2, expected: 9, delivered: 4, live: 3, ..Standing::default() };
        assert!(!done.complete(), "the other deliveries are elsewhere");
        let mut all = done;
        all.add(Standing { delivered: 5, ..Standing::default() });
        assert!(all.complete());
        for part in [
            Standing { sending: 1, ..Standing::default() },
            Standing { away: 1, ..Standing::default() },
            Standing { sent: 1, ..Standing::default() },
        ] {
            let mut sum = all;
            sum.add(part);
            assert!(!sum.complete(), "{part:?}");
        }
    }
}
