//! The books of each way a message can take: from one sender to one receiver in one conversation.
//!
//! Invariant: every way is counted; only those with a fault are kept, and of them the worst.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::receiver::Tally;
use crate::plan::{Plan, Shape};

/// How many of the worst are kept.
const KEPT: usize = 10;

/// See the file's head.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    fn gravity(&self) -> (u64, u64) {
        (self.lost + self.duplicated + self.reordered, self.late)
    }
}

impl Paths {
    /// Adds the ways to one receiver.
    pub fn add(
        &mut self,
        plan: &Plan,
        receiver: u32,
        lost: BTreeMap<u32, u64>,
        tallies: &BTreeMap<u32, Tally>,
        expected_of: impl Fn(u32) -> u64,
    ) {
        self.total += ways_to(plan, receiver);
        let mut faults: BTreeMap<u32, (u64, Tally)> =
            tallies.iter().map(|(sender, tally)| (*sender, (0, *tally))).collect();
        for (sender, lost) in lost {
            faults.entry(sender).or_default().0 = lost;
        }
        for (sender, (lost, tally)) in faults {
            self.with_lost += u64::from(lost > 0);
            self.with_duplicated += u64::from(tally.duplicated > 0);
            self.with_reordered += u64::from(tally.reordered > 0);
            self.with_late += u64::from(tally.late > 0);
            let Tally { duplicated, reordered, late } = tally;
            let gravity = (lost + duplicated + reordered, late);
            if self.worst.len() >= KEPT && self.worst.last().is_some_and(|last| last.gravity() >= gravity) {
                continue;
            }
            let conversation = plan.target(sender).map(|target| target.to_string()).unwrap_or_default();
            let expected = expected_of(sender);
            let path = Path { sender, receiver, conversation, expected, lost, duplicated, reordered, late };
            self.worst.push(path);
            self.keep_the_worst();
        }
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

/// How many senders' messages a connection should get.
fn ways_to(plan: &Plan, connection: u32) -> u64 {
    match plan.shape {
        Shape::Pairs => u64::from(plan.sender_at(connection).is_none()),
        Shape::World | Shape::Groups => {
            let itself = plan.sender_at(connection).is_some();
            u64::from(plan.senders / plan.groups) - u64::from(itself)
        }
    }
}
