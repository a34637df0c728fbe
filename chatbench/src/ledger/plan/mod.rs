//! Who sends what to whom in one run, and how a message is numbered.
//!
//! Invariant: the plan never changes during a run; any message has one index, and any connection knows from sender
//! and sequence alone whether it may see the message.

pub mod share;
pub mod timetable;
pub mod trouble;

use chat_protocol::{AppId, GroupId, Target, UserId};

use crate::failure::Failure;
use crate::ledger::plan::trouble::Trouble;
use crate::net::payload::Payload;

/// Most messages one sender may send in a run.
pub const MAX_SEQUENCE: u32 = 20_000_000;

/// To whom the messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everybody in the app but the sender.
    World,
    /// All members of the sender's group but the sender.
    Groups,
    /// Sender number n to receiver number n.
    Pairs,
}

/// The layout of a run. Connections 0‥receivers receive; receivers‥receivers+senders also send.
#[derive(Debug)]
pub struct Plan {
    /// Name of the run, unique among all runs.
    pub run: String,
    /// The app.
    pub app: AppId,
    /// To whom messages go.
    pub shape: Shape,
    /// Connections that only receive.
    pub receivers: u32,
    /// How many send.
    pub senders: u32,
    /// Groups the connections are divided into, each with as many receivers and as many senders; 1 for a world.
    pub groups: u32,
    /// Whether the senders have connections of their own.
    pub senders_connected: bool,
    /// The texts.
    pub payload: Payload,
    /// What is done to the connections on purpose.
    pub trouble: Trouble,
}

impl Plan {
    /// How many connections the run needs.
    pub fn connections(&self) -> u32 {
        self.receivers + if self.senders_connected { self.senders } else { 0 }
    }

    /// The user of a connection or of an unconnected sender.
    ///
    /// # Errors
    /// Never with the names of this plan; the type asks.
    pub fn user(&self, number: u32) -> Result<UserId, Failure> {
        UserId::new(&format!("bench-{}-{number}", self.run))
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The number of a sender's user.
    pub fn user_of_sender(&self, sender: u32) -> u32 {
        self.receivers + sender
    }

    /// Which sender a connection is, if it is one.
    pub fn sender_at(&self, connection: u32) -> Option<u32> {
        connection.checked_sub(self.receivers)
    }

    /// Where a sender's messages go.
    ///
    /// # Errors
    /// As [`Plan::user`].
    pub fn target(&self, sender: u32) -> Result<Target, Failure> {
        match self.shape {
            Shape::World => Ok(Target::World),
            Shape::Groups => self.group(sender % self.groups).map(Target::Group),
            Shape::Pairs => self.user(sender).map(Target::User),
        }
    }

    /// The name of a group.
    ///
    /// # Errors
    /// As [`Plan::user`].
    pub fn group(&self, group: u32) -> Result<GroupId, Failure> {
        GroupId::new(&format!("bench-{}-g{group}", self.run))
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// Which group a connection belongs to. The members of one follow each other, so that several servers share each
    /// group; senders take turns over the groups.
    pub fn group_of(&self, connection: u32) -> u32 {
        match self.sender_at(connection) {
            Some(sender) => sender % self.groups,
            None => connection / self.members(),
        }
    }

    /// The conversation a connection must not miss anything of, as its user names it.
    ///
    /// # Errors
    /// As [`Plan::user`].
    pub fn follows(&self, connection: u32) -> Result<Target, Failure> {
        match (self.shape, self.sender_at(connection)) {
            (Shape::World, _) => Ok(Target::World),
            (Shape::Groups, _) => self.group(self.group_of(connection)).map(Target::Group),
            (Shape::Pairs, None) => self.user(self.user_of_sender(connection)).map(Target::User),
            (Shape::Pairs, Some(sender)) => self.user(sender).map(Target::User),
        }
    }

    /// Whether a connection stops reading when the measured part begins.
    pub fn is_slow(&self, connection: u32) -> bool {
        connection < self.receivers && self.trouble.is_slow(connection)
    }

    /// How many connections stop reading.
    pub fn slow(&self) -> u64 {
        self.slow_in(0..self.receivers)
    }

    /// How many of these receivers stop reading.
    pub fn slow_in(&self, receivers: std::ops::Range<u32>) -> u64 {
        self.trouble.slow_below(receivers.end) - self.trouble.slow_below(receivers.start)
    }

    /// Receivers of each group.
    fn members(&self) -> u32 {
        (self.receivers / self.groups).max(1)
    }

    /// The number of a message among all messages; `None` when no sender of this plan can have sent it.
    pub fn index(&self, sender: u32, sequence: u32) -> Option<u32> {
        if sender >= self.senders || sequence >= MAX_SEQUENCE {
            return None;
        }
        sequence.checked_mul(self.senders)?.checked_add(sender)
    }

    /// Sender and sequence of the message with this index.
    pub fn message(&self, index: u32) -> (u32, u32) {
        (index % self.senders, index / self.senders)
    }

    /// Where a connection keeps its mark for a message; `None` when it must not get it.
    pub fn mark(&self, connection: u32, sender: u32, sequence: u32) -> Option<u32> {
        match self.shape {
            Shape::World | Shape::Groups => {
                let others = self.group_of(connection) == sender % self.groups;
                let others = others && self.sender_at(connection) != Some(sender);
                // The index among the messages of the group: sender s is number s / groups of its group.
                others.then(|| Some(self.index(sender, sequence)? / self.groups)).flatten()
            }
            Shape::Pairs => (connection == sender).then_some(sequence),
        }
    }

    /// Which set of messages a sender's belong to: all connections that follow the same conversation share a set.
    pub fn set_of_sender(&self, sender: u32) -> u32 {
        if self.shape == Shape::Pairs { sender } else { sender % self.groups }
    }

    /// Which set a connection receives.
    pub fn set_of(&self, connection: u32) -> u32 {
        if self.shape == Shape::Pairs { connection } else { self.group_of(connection) }
    }

    /// Where a message stands in its set.
    pub fn place(&self, sender: u32, sequence: u32) -> Option<u32> {
        let index = self.index(sender, sequence)?;
        Some(if self.shape == Shape::Pairs { sequence } else { index / self.groups })
    }

    /// Sender and sequence of the message at a place of a set.
    pub fn message_at(&self, set: u32, place: u32) -> (u32, u32) {
        if self.shape == Shape::Pairs {
            return (set, place);
        }
        self.message(place.saturating_mul(self.groups).saturating_add(set))
    }

    /// How many connections each message of a sender must reach while all are open.
    pub fn reach(&self, sender: u32) -> u64 {
        if self.shape == Shape::Pairs {
            return u64::from(!self.is_slow(sender));
        }
        let (group, members) = (sender % self.groups, self.members());
        let slow = |group: u32| self.trouble.slow_below(group * members);
        let others = if self.senders_connected { self.senders / self.groups - 1 } else { 0 };
        u64::from(members) - (slow(group + 1) - slow(group)) + u64::from(others)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan(shape: Shape, receivers: u32, senders: u32) -> Plan {
        let payload = Payload::new("run", 64, 1);
        let run = "run".to_owned();
        let trouble = Trouble::default();
        Plan { run, app: 1, shape, receivers, senders, groups: 1, senders_connected: true, payload, trouble }
    }

    #[test]
    fn each_message_has_one_index() {
        let plan = plan(Shape::World, 5, 3);
        for index in 0..100 {
            let (sender, sequence) = plan.message(index);
            assert_eq!(plan.index(sender, sequence), Some(index));
        }
        assert_eq!(plan.index(3, 0), None);
        assert_eq!(plan.index(0, MAX_SEQUENCE), None);
    }

    #[test]
    fn a_sender_does_not_see_its_own_world_message() {
        let plan = plan(Shape::World, 5, 3);
        assert_eq!(plan.mark(6, 1, 0), None);
        assert_eq!(plan.mark(5, 1, 0), Some(1));
        assert_eq!(plan.mark(0, 1, 2), Some(7));
        assert_eq!(plan.reach(0), 7);
    }

    #[test]
    fn pairs_see_only_their_own() {
        let plan = plan(Shape::Pairs, 4, 4);
        assert_eq!(plan.mark(2, 2, 9), Some(9));
        assert_eq!(plan.mark(1, 2, 9), None);
        assert_eq!(plan.mark(6, 2, 9), None, "the sender's own connection");
        assert_eq!(plan.target(2).unwrap().to_string(), "user:bench-run-2");
    }

    #[test]
    fn groups_are_apart_and_their_messages_lie_dense() {
        let mut plan = plan(Shape::Groups, 6, 4);
        plan.groups = 2;
        assert_eq!((0..10).map(|n| plan.group_of(n)).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 0, 1, 0, 1]);
        assert_eq!(plan.mark(0, 0, 0), Some(0));
        assert_eq!(plan.mark(0, 2, 0), Some(1), "the second sender of the first group");
        assert_eq!(plan.mark(0, 0, 1), Some(2));
        assert_eq!(plan.mark(0, 1, 0), None, "a sender of the other group");
        assert_eq!(plan.mark(8, 0, 0), Some(0), "another sender of the group");
        assert_eq!(plan.mark(8, 2, 0), None, "its own message");
        for (sender, sequence) in [(0, 0), (1, 0), (2, 5), (3, 7)] {
            let place = plan.place(sender, sequence).unwrap();
            assert_eq!(plan.message_at(plan.set_of_sender(sender), place), (sender, sequence));
        }
        assert_eq!(plan.reach(1), 4);
        assert_eq!(plan.follows(4).unwrap().to_string(), "group:bench-run-g1");
        plan.trouble.slow_permille = 400;
        assert_eq!((plan.slow(), plan.reach(0), plan.reach(1)), (2, 3, 3));
    }
}
