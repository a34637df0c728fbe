//! Money: red packets, the wallets they are paid from and to, and the proof that no cent is lost.
//!
//! How money travels: a packet is funded by one transfer from the sender's wallet to the packet's escrow
//! ([`ledger`]), opened for everyone to take from ([`packets`]) and offered to its conversation. A grab is one atomic
//! step that takes a share, names its winner and queues the settlement; the worker ([`settlement`]) applies it to the
//! ledger, from the escrow to the winner's wallet. What nobody took travels the same road back to the sender. Whatever
//! the road loses is paid from the packet's own books ([`claims`]), by the [`sweeper`] or an operator.
//!
//! Invariants:
//! - Amounts are whole cents; no float is ever involved.
//! - At every moment, of every packet: total = grabbed + refunded + open.
//! - Every step carries an id of its own and can be repeated; a repeat changes nothing.
//! - The ledger says who owns what; the packets say who won what; the audit compares them.
#![deny(clippy::float_arithmetic)]

pub mod audit;
mod cents;
pub mod claims;
pub mod ledger;
pub mod packets;
pub mod red_packet;
pub mod register;
pub mod settlement;
pub mod split;
pub mod sweeper;
pub mod watch;

use std::sync::Arc;

use chat_protocol::red_packet::Mode;
use chat_protocol::{AppId, MsgId, PacketId, Refusal, Target, UserId};
use serde::{Deserialize, Serialize};

pub use self::cents::{Cents, NoAmount, Total};
use crate::groups::Membership;

/// What a packet is: everything that is settled when it is created and never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The world it belongs to.
    pub app: AppId,
    /// Its id, unique in the app.
    pub packet: PacketId,
    /// Who gives.
    pub sender: UserId,
    /// The conversation it is for, as the sender names it.
    pub target: Target,
    /// Which of the groups that ever had the id of `target`; nothing where it is no group, and where an earlier
    /// chatd created the packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// What is in it.
    pub total: Cents,
    /// Shares it is made of.
    pub count: u32,
    /// How the total becomes shares.
    pub mode: Mode,
    /// Text that goes with it; may be empty.
    pub greeting: String,
    /// Id of the message that offers it.
    pub msg_id: MsgId,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// From when on nobody can take from it, Unix milliseconds.
    pub expires_ms: u64,
}

impl Terms {
    /// Whether the packet was offered to this very group.
    #[must_use]
    pub fn is_of(&self, membership: &Membership) -> bool {
        self.incarnation.as_deref().is_none_or(|incarnation| incarnation == &*membership.incarnation)
    }
}

/// How many red packets of a user may hold money at a time.
pub trait Allowance: Send + Sync {
    /// So many in an app, as of now; [`u64::MAX`] for any number.
    fn most_open(&self) -> u64;

    /// The refusal of one more, of a user who has so many.
    fn too_many_open(&self, open: u64) -> Refusal;
}

/// What operations on money need.
pub struct Money {
    /// Red packets.
    pub red_packets: Arc<red_packet::RedPackets>,
    /// What users own.
    pub wallets: Arc<dyn ledger::Wallets>,
    /// Keeps why operators gave dead letters up.
    pub archive: Arc<dyn ledger::Archive>,
    /// Pays what packets owe, and looks after them where it is told to run.
    pub sweeper: Arc<sweeper::Sweeper>,
    /// The proof.
    pub auditor: audit::Auditor,
    /// The list of packets.
    pub register: register::Register,
    /// What settlements travel over: the engine's own queue, and the one behind it if there is one.
    pub queues: Vec<Arc<dyn settlement::Queue>>,
}
