//! Settlements on their way from a packet to the ledger: the ports of a queue, and who works on it.
//!
//! The law of a queue, which every adapter obeys (`tests/tests/laws/queue_laws.rs`):
//! - What was put in is received at least once, by one receiver at a time, until someone says it is done. A receiver
//!   that ends or loses its link without saying so has not had it.
//! - Nothing is done twice by harm: whoever receives applies a settlement under its own transfer id.
//! - [`Deliveries::bury`] takes a settlement that can never be applied out of the way of the others; it stays as a dead
//!   letter until an operator replays or discards it.
//! - [`Deliveries::later`] takes a settlement that cannot be applied now out of the way of the others for a few seconds;
//!   then somebody receives it again. However many wait like that, what else is put in is received meanwhile.
//! - After an error of [`Deliveries::done`], [`Deliveries::bury`] or [`Deliveries::later`] a delivery may be received
//!   again.

pub mod giving_up;
pub mod relay;
mod retry;
#[cfg(test)]
mod tests;
pub mod worker;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{AppId, PacketId, UserId};
use serde::{Deserialize, Serialize};

use super::Cents;

/// Settlements that are carried or applied at once.
pub(super) const BATCH: usize = 1000;

/// How long a settlement that cannot be applied now is nobody's.
pub(crate) const LATER: Duration = Duration::from_secs(2);

/// What a settlement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A winner's share.
    Grab,
    /// What nobody took, for the sender.
    Refund,
    /// What the escrow of a forgotten packet still held, for the sender. It goes through no queue.
    Rest,
}

impl Kind {
    /// Its name in queues.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Grab => "grab",
            Kind::Refund => "refund",
            Kind::Rest => "rest",
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let kind = [Kind::Grab, Kind::Refund, Kind::Rest].into_iter().find(|kind| kind.as_str() == name);
        kind.ok_or("no kind of settlement")
    }
}

/// Money to be moved from a packet's escrow to a wallet. A queue keeps it part by part, or in its JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settlement {
    /// The world.
    pub app: AppId,
    /// From the escrow of this packet.
    pub packet: PacketId,
    /// What for.
    pub kind: Kind,
    /// To the wallet of this user.
    pub user: UserId,
    /// At least one cent.
    pub amount: Cents,
    /// When the share was taken or the packet closed, Unix milliseconds.
    pub time_ms: u64,
}

impl Settlement {
    /// As it travels where a queue takes bytes.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Id of the transfer that applies it: the same for every repeat, and no other transfer's. A user wins at most
    /// once from a packet, and a packet is refunded, or what is left of it returned, at most once.
    #[must_use]
    pub fn transfer_id(&self) -> String {
        match self.kind {
            Kind::Grab => {
                let length = self.packet.as_str().len().to_string();
                ["grab", &length, self.packet.as_str(), self.user.as_str()].join(":")
            }
            Kind::Refund => format!("refund:{}", self.packet),
            Kind::Rest => format!("rest:{}", self.packet),
        }
    }
}

/// A settlement that was received and is not done yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What the adapter knows it by.
    pub tag: Tag,
    /// What was put in.
    pub body: Bytes,
}

impl Delivery {
    /// What it asks for.
    ///
    /// # Errors
    /// A text for the dead letter when it is no settlement.
    pub fn settlement(&self) -> Result<Settlement, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("no settlement: {error}"))
    }
}

/// An adapter's name for a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Which of the adapter's queues or channels: an app, or a generation of a channel.
    pub lane: u64,
    /// Which delivery of it.
    pub id: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its name for [`DeadLetters::replay`].
    pub id: String,
    /// Why it was buried.
    pub reason: String,
    /// What was put in.
    pub body: Bytes,
}

/// How many settlements a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Not yet done: waiting, and received.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Why a queue did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// It did not answer; whether it did as asked is unknown.
    #[error("the queue is unreachable: {0}")]
    Unreachable(String),
}

/// Settlements on their way to whoever applies them; see the law above.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// The next deliveries, at most `max`, in no promised order; waits until there is one, or returns none after a
    /// while. Deliveries in the hands of this receiver are not given again while it lives.
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError>;

    /// These are applied; they leave the queue.
    async fn done(&self, tags: &[Tag]) -> Result<(), QueueError>;

    /// This one can never be applied, for this reason; it becomes a dead letter.
    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError>;

    /// These cannot be applied now: they are in the hands of this receiver no more, stay in the queue, and come again
    /// to whoever receives in a few seconds. Of what this receiver has no more, nothing is done.
    async fn later(&self, deliveries: &[Delivery]) -> Result<(), QueueError>;
}

/// What a queue holds, for whoever watches it or looks for a settlement.
#[async_trait]
pub trait Backlog: Send + Sync {
    /// Settlements of an app that are not done, received or not, behind the place `after`, at most `limit`, each with its
    /// place. What is there all the while comes. None when this queue cannot tell what it holds.
    async fn waiting(
        &self,
        app: AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<(String, Bytes)>>, QueueError>;

    /// How much it holds.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Age of the oldest settlement that is not done, in milliseconds; none where there is none or nobody can tell.
    async fn oldest_ms(&self) -> Result<Option<u64>, QueueError> {
        Ok(None)
    }
}

/// What can never be applied, for operators.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The oldest dead letters of an app, and those that cannot be read.
    async fn dead(&self, app: AppId, limit: usize) -> Result<Vec<Dead>, QueueError>;

    /// The dead letters of an app, or that cannot be read, which have this id.
    async fn letters(&self, app: AppId, id: &str) -> Result<Vec<Dead>, QueueError>;

    /// Forgets those. How many there were.
    async fn discard(&self, app: AppId, id: &str) -> Result<u64, QueueError>;

    /// Queues dead letters again: one by its id, or all of an app. How many were.
    async fn replay(&self, app: AppId, id: Option<&str>) -> Result<u64, QueueError>;
}

/// A queue with all its parts.
pub trait Queue: Deliveries + Backlog + DeadLetters {}

impl<T: Deliveries + Backlog + DeadLetters> Queue for T {}

/// A queue that others can put settlements into: the far end of a [`relay`].
#[async_trait]
pub trait Publish: Send + Sync {
    /// Returns once all of them are safe in the queue. After an error any of them may be.
    async fn publish(&self, bodies: &[Bytes]) -> Result<(), QueueError>;
}
