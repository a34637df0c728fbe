//! The rows of a ledger as they are, for the audit: the port.
//!
//! Invariant: nothing is read into anything here. What a row says is given as the database has it, right or wrong, so
//! that one row that cannot be hides no other.
//!
//! The law, which every adapter obeys (`tests/tests/laws/ledger_reading_laws.rs`): pages tile, whatever is posted meanwhile;
//! each answer is of one moment.

use async_trait::async_trait;
use chat_protocol::AppId;
pub use chat_protocol::cursor::PacketPlace as Place;
use sha2::{Digest, Sha256};

use super::{Cents, LedgerError};

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRow {
    /// Its id.
    pub packet: String,
    /// JSON.
    pub terms: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub expires: i64,
    /// Whether the message that offers it is known to be in its log.
    pub announced: bool,
}

impl PacketRow {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { created: self.created, packet: self.packet.clone() }
    }
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// Its id.
    pub id: String,
    /// The account it takes from.
    pub debit: String,
    /// The account it gives to.
    pub credit: String,
    /// How much; a row may have what no transfer can.
    pub amount: Cents,
    /// One word.
    pub kind: String,
    /// The packet it belongs to.
    pub packet: Option<String>,
}

/// A transfer beside what the other tables say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The transfer.
    pub transfer: TransferRecord,
    /// Both of its accounts are there.
    pub has_accounts: bool,
    /// One of its accounts is the escrow of a packet that is there; then it is among that packet's.
    pub is_of_packet: bool,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub balance: Cents,
    /// What its transfers gave it less what they took, within the bounds of the type.
    pub moved: Cents,
    /// It is the escrow of a packet that is there.
    pub is_of_packet: bool,
}

/// A dead letter that an operator gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscardRow {
    /// Its place among those of its app, from 1, without gaps.
    pub place: i64,
    /// Its name in the queue.
    pub letter: String,
    /// Why it was given up.
    pub reason: String,
    /// What had been wrong with it.
    pub cause: String,
    /// The begin of it.
    pub body: Vec<u8>,
    /// When it was given up, Unix milliseconds.
    pub time: i64,
}

impl DiscardRow {
    /// SHA-256 of everything in it, as hexadecimal digits: the row is as it was written.
    #[must_use]
    pub fn digest(&self, app: AppId) -> String {
        let mut digest = Sha256::new();
        for number in [i64::from(app), self.place, self.time] {
            digest.update(number.to_be_bytes());
        }
        for part in [self.letter.as_bytes(), self.reason.as_bytes(), self.cause.as_bytes(), &self.body] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Dead letters that operators gave up, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discards {
    /// By ascending place, each with the digest that was written beside it.
    pub rows: Vec<(DiscardRow, Option<String>)>,
    /// How many there must be in the app.
    pub count: i64,
    /// How many of the first have no digest: an earlier chatd kept them.
    pub unsealed: i64,
}

/// What packets hold, and all transfers that say so, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// By name, the accounts that are there, and what is in them.
    pub balances: Vec<(String, Cents)>,
    /// In the order of posting.
    pub transfers: Vec<TransferRecord>,
}

/// The port. See the law above. A place that no row of the ledger can have may be refused as [`LedgerError::NoPlace`].
#[async_trait]
pub trait Records: Send + Sync {
    /// Packets created at `since_ms` or later and behind `after`, the oldest first, at most `limit`.
    async fn packets(
        &self,
        app: AppId,
        since_ms: u64,
        after: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError>;

    /// Packets before `before`, the newest first, at most `limit`.
    async fn latest(
        &self,
        app: AppId,
        before: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<PacketRow>, LedgerError>;

    /// One packet; none when there is none.
    async fn packet(&self, app: AppId, packet: &str) -> Result<Option<PacketRow>, LedgerError>;

    /// Which of these packets there are.
    async fn known(&self, app: AppId, packets: &[String]) -> Result<Vec<String>, LedgerError>;

    /// The accounts of these names, and every transfer that touches one of them.
    async fn statement(&self, app: AppId, accounts: &[String]) -> Result<Statement, LedgerError>;

    /// Transfers posted at `since_ms` or later with an id behind `after`, by ascending id, at most `limit`.
    async fn postings(
        &self,
        app: AppId,
        since_ms: u64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Placed>, LedgerError>;

    /// Accounts with a name behind `after`, by ascending name, at most `limit`.
    async fn accounts(&self, app: AppId, after: &str, limit: u32) -> Result<Vec<AccountRow>, LedgerError>;

    /// What operators gave up, behind the place `after`, at most `limit`.
    async fn discards(&self, app: AppId, after: u64, limit: u32) -> Result<Discards, LedgerError>;

    /// All accounts together, within the bounds of the type: nothing.
    async fn sum(&self, app: AppId) -> Result<Cents, LedgerError>;
}
