//! Which clients of a run a process has.
//!
//! Invariant: the shares of all parts together are all clients, and no client is in two.

use std::ops::Range;

use crate::ledger::plan::Plan;

/// One process of several, and its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Receiving clients.
    pub receivers: Range<u32>,
    /// Senders.
    pub senders: Range<u32>,
}

impl Share {
    /// Part `part` of `parts`; the parts differ by one client at most.
    pub fn of(plan: &Plan, part: u32, parts: u32) -> Self {
        let cut = |count: u32, part: u32| {
            // At most `count`, which is a u32.
            (u64::from(count) * u64::from(part) / u64::from(parts.max(1))) as u32
        };
        let slice = |count| cut(count, part)..cut(count, part + 1);
        Self { receivers: slice(plan.receivers), senders: slice(plan.senders) }
    }

    /// The most connections that one of so many parts has of all these plans together.
    pub fn largest<'a>(plans: impl Iterator<Item = &'a Plan> + Clone, parts: u32) -> u64 {
        let of = |part| plans.clone().map(|plan| u64::from(Self::of(plan, part, parts).count(plan))).sum();
        (0..parts).map(of).max().unwrap_or(0)
    }

    /// No clients: those are in other processes.
    pub fn none() -> Self {
        Self { receivers: 0..0, senders: 0..0 }
    }

    /// The connections of these clients.
    pub fn connections(&self, plan: &Plan) -> impl Iterator<Item = u32> + use<> {
        let senders = if plan.senders_connected { self.senders.clone() } else { 0..0 };
        let first = plan.receivers;
        self.receivers.clone().chain(senders.map(move |sender| first + sender))
    }

    /// Whether a connection is one of these.
    pub fn has(&self, plan: &Plan, number: u32) -> bool {
        match plan.sender_at(number) {
            Some(sender) => plan.senders_connected && self.senders.contains(&sender),
            None => self.receivers.contains(&number),
        }
    }

    /// How many connections.
    pub fn count(&self, plan: &Plan) -> u32 {
        let senders = if plan.senders_connected { self.senders.len() } else { 0 };
        // Both are parts of u32 ranges.
        (self.receivers.len() + senders) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::plan::{Shape, tests::plan};

    #[test]
    fn the_parts_are_the_whole() {
        for (receivers, senders, parts) in [(10, 3, 4), (1, 1, 3), (100_000, 1, 6), (7, 7, 7)] {
            let plan = plan(Shape::World, receivers, senders);
            let mut all: Vec<u32> = Vec::new();
            for part in 0..parts {
                let share = Share::of(&plan, part, parts);
                assert_eq!(share.count(&plan) as usize, share.connections(&plan).count());
                assert!(share.connections(&plan).all(|number| share.has(&plan, number)));
                all.extend(share.connections(&plan));
            }
            let largest = (0..parts).map(|part| Share::of(&plan, part, parts).count(&plan)).max();
            assert_eq!(
                Some(Share::largest([&plan, &plan].into_iter(), parts)),
                largest.map(|n| 2 * u64::from(n))
            );
            all.sort_unstable();
            assert_eq!(all, (0..plan.connections()).collect::<Vec<_>>());
        }
        let none = Share::none();
        assert_eq!(none.count(&plan(Shape::World, 5, 5)), 0);
    }
}
