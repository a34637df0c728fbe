//! Operations for operators of red packets: the audit, and settlements that were given up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::APP_ID;
use crate::id::{AppId, PacketId, UserId};
use crate::operation::{Effect, Operation};
use crate::params::{Field, Kind};

/// Dead letters in one list at most.
pub const MAX_DEAD_LETTERS: u32 = 1000;
/// Broken rules an audit names at most; it counts all.
pub const MAX_VIOLATIONS: usize = 100;

/// `/redPacket/audit`.
pub struct Audit;

/// Parameters of [`Audit`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRequest {
    /// Which world.
    pub app_id: AppId,
    /// Only this packet; all of the app when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The packet, unless the whole ledger is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
    /// Which rule, in one word of this list: `total`, `winner`, `settlement`, `refund`, `escrow`, `lost`, `ledger`,
    /// `deadLetter`.
    pub rule: String,
    /// What was found, with names and amounts.
    pub detail: String,
}

/// Answer of [`Audit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditResponse {
    /// Whether every rule holds.
    pub holds: bool,
    /// Packets looked at.
    pub packets: u64,
    /// Cents put into them.
    pub total: u64,
    /// Cents taken out by winners.
    pub grabbed: u64,
    /// Cents that go, or have gone, back.
    pub refunded: u64,
    /// Cents that can still be taken.
    pub open: u64,
    /// Shares and refunds that are on their way to the ledger.
    pub unsettled: u64,
    /// Cents of them.
    pub unsettled_amount: u64,
    /// Settlements that wait in the queue, of all apps.
    pub queued: u64,
    /// Settlements that were given up, of all apps.
    pub dead_letters: u64,
    /// Sum of all balances of the ledger in this app: 0.
    pub ledger_sum: i64,
    /// How many rules are broken.
    pub violation_count: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
}

impl Operation for Audit {
    const PATH: &'static str = "/redPacket/audit";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Proves that no cent is lost, packet by packet, or names what is wrong.";
    const FIELDS: &'static [Field] = &[
        APP_ID,
        Field::optional("packetId", Kind::PacketId, "only this packet; all of the app when absent"),
    ];
    const OPERATOR: bool = true;
    type Request = AuditRequest;
    type Response = AuditResponse;
}

/// `/redPacket/deadLetters`.
pub struct DeadLetters;

/// Parameters of [`DeadLetters`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersRequest {
    /// Which world.
    pub app_id: AppId,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A settlement that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its name for [`Replay`].
    pub id: String,
    /// Why it was given up.
    pub reason: String,
    /// The transfer it asks for; absent when it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<String>,
    /// The packet it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
    /// Who is to get the money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
}

/// Answer of [`DeadLetters`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersResponse {
    /// The oldest of them.
    pub dead_letters: Vec<DeadLetter>,
}

impl Operation for DeadLetters {
    const PATH: &'static str = "/redPacket/deadLetters";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Settlements that could not be applied and wait for an operator.";
    const FIELDS: &'static [Field] = &[
        APP_ID,
        Field::optional(
            "limit",
            Kind::Between(1, MAX_DEAD_LETTERS as u64),
            "at most so many, 1 to 1000; 100 when absent",
        ),
    ];
    const OPERATOR: bool = true;
    type Request = DeadLettersRequest;
    type Response = DeadLettersResponse;
}

/// `/redPacket/replay`.
pub struct Replay;

/// Parameters of [`Replay`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayRequest {
    /// Which world.
    pub app_id: AppId,
    /// Which dead letter; all of the app when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// No dead letters, but what this packet owes by its own books and the ledger has not posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
}

/// Answer of [`Replay`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayResponse {
    /// How many settlements were queued again, or, of a packet, applied.
    pub replayed: u64,
}

impl Operation for Replay {
    const PATH: &'static str = "/redPacket/replay";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Queues dead letters again, or pays what a packet still owes; applying a settlement twice is harmless.";
    const FIELDS: &'static [Field] = &[
        APP_ID,
        Field::optional("id", Kind::Text, "which dead letter; all of the app when absent"),
        Field::optional("packetId", Kind::PacketId, "pay what this packet owes instead"),
    ];
    const OPERATOR: bool = true;
    type Request = ReplayRequest;
    type Response = ReplayResponse;
}
