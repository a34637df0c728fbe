//! The books of each way a message can take: from one sender to one receiver in one conversation.
//!
//! Invariant: every way is counted; only those with a fault are kept, and of them the worst.

use std::collections::BTreeMap;

use chatbench_result::model::{Path, Paths};

use crate::ledger::plan::{Plan, Shape};
use crate::ledger::receiver::Tally;

/// Adds the ways to one receiver.
pub fn add(
    paths: &mut Paths,
    plan: &Plan,
    receiver: u32,
    lost: BTreeMap<u32, u64>,
    tallies: &BTreeMap<u32, Tally>,
    expected_of: impl Fn(u32) -> u64,
) {
    paths.total += ways_to(plan, receiver);
    let mut faults: BTreeMap<u32, (u64, Tally)> =
        tallies.iter().map(|(sender, tally)| (*sender, (0, *tally))).collect();
    for (sender, lost) in lost {
        faults.entry(sender).or_default().0 = lost;
    }
    for (sender, (lost, Tally { duplicated, reordered, late })) in faults {
        let way = Path { sender, receiver, lost, duplicated, reordered, late, ..Path::default() };
        paths.add(way, || {
            let conversation = plan.target(sender).map(|target| target.to_string()).unwrap_or_default();
            (conversation, expected_of(sender))
        });
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
