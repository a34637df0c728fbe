//! Operations for operators of red packets: the audit, and settlements that were given up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::id::{AppId, PacketId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, Rule, parameters};

/// Dead letters in one list at most.
pub const MAX_DEAD_LETTERS: u32 = 1000;
/// Longest reason for giving up a dead letter, in bytes of UTF-8.
pub const MAX_REASON_BYTES: usize = 1024;
/// Broken rules a page of an audit names at most; it counts all.
pub const MAX_VIOLATIONS: usize = 100;
/// Packets, transfers and accounts that one page of an audit looks at, at most.
pub const MAX_AUDIT_PAGE: u32 = 100_000;

/// `/redPacket/audit`.
pub struct Audit;

parameters! {
    /// Parameters of [`Audit`].
    pub struct AuditRequest {
        /// Which world.
        pub app_id: AppId,
        /// Only this packet; all of the app when absent.
        pub packet_id: Option<PacketId>,
        /// Only packets created and transfers posted at this time or later, Unix milliseconds; a cursor knows it.
        pub since: Option<u64>,
        /// The cursor of the page before.
        pub cursor: Option<String> as Kind::Cursor(Cursor::Audit),
        /// Packets, transfers and accounts to look at, 1 to 100000; as many as two seconds allow when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_AUDIT_PAGE as u64),
    }
}

impl AuditRequest {
    /// For the first page of an audit of all of an app.
    #[must_use]
    pub fn all(app_id: AppId) -> Self {
        Self { app_id, packet_id: None, since: None, cursor: None, limit: None }
    }

    /// For an audit of one packet.
    #[must_use]
    pub fn packet(app_id: AppId, packet_id: PacketId) -> Self {
        Self { packet_id: Some(packet_id), ..Self::all(app_id) }
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The packet, unless the whole ledger is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_id: Option<PacketId>,
    /// Which rule, in one word of this list:
    /// `total` (taken, refunded and left are what was put in), `share` (each has one owner or is left),
    /// `winner` (nobody wins twice), `settlement` (a win has one payment of its amount, or it is on its way),
    /// `refund` (what was left went to the sender), `overdue` (on its way for too long), `terms` (both stores tell of
    /// the same packet), `escrow` (a packet has one, which holds what its transfers say), `transfer` (a kind that
    /// chatd posts), `lost` (a packet that holds money is known), `unknown` (the ledger has every packet), `unreadable`,
    /// `ledger` (accounts hold what their transfers say), `deadLetter` (no settlement is a dead letter),
    /// `discard` (what operators gave up for good is kept as it was, and nobody lost money by it).
    pub rule: String,
    /// What was found, with names and amounts.
    pub detail: String,
}

/// Answer of [`Audit`]: what was found in what this page looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditResponse {
    /// Whether every rule holds.
    pub holds: bool,
    /// Packets looked at.
    pub packets: u64,
    /// Transfers looked at, one by one.
    #[serde(default)]
    pub transfers: u64,
    /// Accounts looked at.
    #[serde(default)]
    pub accounts: u64,
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
    /// Sum of all balances of the ledger in this app: 0. Looked at on the last page.
    pub ledger_sum: i64,
    /// How many rules are broken.
    pub violation_count: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// Give it as `cursor` for the next page; absent at the end, and only then everything was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Of nothing: it holds.
impl Default for AuditResponse {
    fn default() -> Self {
        Self {
            holds: true,
            packets: 0,
            transfers: 0,
            accounts: 0,
            total: 0,
            grabbed: 0,
            refunded: 0,
            open: 0,
            unsettled: 0,
            unsettled_amount: 0,
            queued: 0,
            dead_letters: 0,
            ledger_sum: 0,
            violation_count: 0,
            violations: Vec::new(),
            cursor: None,
        }
    }
}

impl AuditResponse {
    /// Adds the next page, so that this is the answer of both.
    pub fn add(&mut self, next: AuditResponse) {
        self.holds &= next.holds;
        self.packets += next.packets;
        self.transfers += next.transfers;
        self.accounts += next.accounts;
        self.total += next.total;
        self.grabbed += next.grabbed;
        self.refunded += next.refunded;
        self.open += next.open;
        self.unsettled += next.unsettled;
        self.unsettled_amount += next.unsettled_amount;
        (self.queued, self.dead_letters) = (next.queued, next.dead_letters);
        self.ledger_sum += next.ledger_sum;
        self.violation_count += next.violation_count;
        self.violations.extend(next.violations);
        self.violations.truncate(MAX_VIOLATIONS);
        self.cursor = next.cursor;
    }
}

impl Operation for Audit {
    const PATH: &'static str = "/redPacket/audit";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str =
        "Proves that no cent is lost, name by name and page by page, or names what is wrong.";
    const RULES: &'static [Rule] =
        &[Rule::Apart("packetId", &["since", "cursor", "limit"]), Rule::Apart("since", &["cursor"])];
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = AuditRequest;
    type Response = AuditResponse;
}

/// Longest name of a dead letter, in bytes.
const MAX_LETTER_BYTES: usize = 256;

/// `/redPacket/deadLetters`.
pub struct DeadLetters;

parameters! {
    /// Parameters of [`DeadLetters`].
    pub struct DeadLettersRequest {
        /// Which world.
        pub app_id: AppId,
        /// At most so many, 1 to 1000; 100 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_DEAD_LETTERS as u64),
    }
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
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = DeadLettersRequest;
    type Response = DeadLettersResponse;
}

/// `/redPacket/replay`.
pub struct Replay;

parameters! {
    /// Parameters of [`Replay`].
    pub struct ReplayRequest {
        /// Which world.
        pub app_id: AppId,
        /// Which dead letter; all of the app when absent.
        pub id: Option<String> as Kind::Line(MAX_LETTER_BYTES),
        /// Pay what this packet owes instead.
        pub packet_id: Option<PacketId>,
    }
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
    const RULES: &'static [Rule] = &[Rule::Apart("packetId", &["id"])];
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = ReplayRequest;
    type Response = ReplayResponse;
}

/// `/redPacket/discard`.
pub struct Discard;

parameters! {
    /// Parameters of [`Discard`].
    pub struct DiscardRequest {
        /// Which world.
        pub app_id: AppId,
        /// Which dead letter.
        pub id: String as Kind::Line(MAX_LETTER_BYTES),
        /// Why, 1 to 1024 bytes without control characters; the ledger keeps it.
        pub reason: String as Kind::Line(MAX_REASON_BYTES),
    }
}

/// Answer of [`Discard`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscardResponse {
    /// How many dead letters of this id there were; copies of one settlement share theirs.
    pub discarded: u64,
}

impl Operation for Discard {
    const PATH: &'static str = "/redPacket/discard";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str =
        "Gives up a dead letter that can never be applied; the ledger keeps it with the reason.";
    const RIGHTS: Rights = Rights::Operator(Scope::Money);
    type Request = DiscardRequest;
    type Response = DiscardResponse;
}
