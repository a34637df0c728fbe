//! Who sends what to whom in one run, and how a message is numbered.
//!
//! Invariant: the plan never changes during a run; any message has one index, and any connection knows from sender
//! and sequence alone whether it may see the message.

use chat_protocol::{AppId, Target, UserId};

use crate::failure::Failure;
use crate::wire::payload::Payload;

/// Most messages one sender may send in a run.
pub const MAX_SEQUENCE: u32 = 20_000_000;

/// To whom the messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everybody in the app but the sender.
    World,
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
    /// Whether the senders have connections of their own.
    pub senders_connected: bool,
    /// The texts.
    pub payload: Payload,
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
            Shape::Pairs => self.user(sender).map(Target::User),
        }
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
            Shape::World if self.sender_at(connection) == Some(sender) => None,
            Shape::World => self.index(sender, sequence),
            Shape::Pairs => (connection == sender).then_some(sequence),
        }
    }

    /// How many connections each message should reach while all are open.
    pub fn reach(&self) -> u64 {
        match self.shape {
            Shape::World if self.senders_connected => u64::from(self.connections() - 1),
            Shape::World => u64::from(self.connections()),
            Shape::Pairs => 1,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan(shape: Shape, receivers: u32, senders: u32) -> Plan {
        let payload = Payload::new("run", 64, 1);
        let run = "run".to_owned();
        Plan { run, app: 1, shape, receivers, senders, senders_connected: true, payload }
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
        assert_eq!(plan.reach(), 7);
    }

    #[test]
    fn pairs_see_only_their_own() {
        let plan = plan(Shape::Pairs, 4, 4);
        assert_eq!(plan.mark(2, 2, 9), Some(9));
        assert_eq!(plan.mark(1, 2, 9), None);
        assert_eq!(plan.mark(6, 2, 9), None, "the sender's own connection");
        assert_eq!(plan.target(2).unwrap().to_string(), "user:bench-run-2");
    }
}
