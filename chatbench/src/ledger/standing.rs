//! How far a run is.
//!
//! Invariant: the standings of several processes add up to that of the run.

use serde::{Deserialize, Serialize};

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
