//! Who owns what: the ports of a ledger.
//!
//! Double entry: every transfer takes from one account and gives to another, so all balances of an app sum to zero.
//! Accounts are the bank of an app (where deposits come from and withdrawals go; its balance is negative), a wallet for
//! each user, and an escrow for each packet. Only the bank may be overdrawn.
//!
//! The law, which every adapter obeys (`tests/tests/laws/ledger_laws.rs`, `ledger_reading_laws.rs`):
//! - A transfer, once posted, never changes. Its id is unique in the app, by a constraint of the database.
//! - Posting the same id again changes nothing and says so; the same id for something else is refused. An operator's
//!   id for a deposit or a withdrawal may not begin like the ids that chatd makes up.
//! - When a call returns, what it did survives a power cut.
//! - A packet has a time at which somebody must look at it: [`FIRST_LOOK_MS`] after its creation, once it is announced at
//!   its end, then whenever [`Agenda::postpone`] says. With an empty escrow that may be never, and then stays so.
//! - Calls may run in any number of processes at once.

pub(crate) mod book;
pub mod moves;
pub mod records;
pub(crate) mod rows;

use async_trait::async_trait;
use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, Code, PacketId, Refusal, Target, TransferId, UserId};

use self::book::{Account, Posting};
use super::settlement::{Dead, Kind, Settlement};
use super::{Cents, Terms};

/// When a packet is looked at whose creation nobody finished: so long after it was created, in milliseconds.
pub const FIRST_LOOK_MS: u64 = 10_000;

/// Bytes that are kept of a dead letter; a settlement has far less.
pub const KEPT_OF_A_LETTER: usize = 4096;

/// Id of the transfer that funds a packet.
#[must_use]
pub fn funding_id(packet: &PacketId) -> String {
    format!("packet:{packet}")
}

/// What funding a packet did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Funded {
    /// The money left the sender's wallet now.
    Now,
    /// It had before; these were the terms then.
    Before(Terms),
}

/// Whether a transfer was posted by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// By this one.
    Now,
    /// By an earlier one.
    Before,
}

/// What came of a deposit or a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cashed {
    /// Whether by this call.
    pub posted: Posted,
    /// What is in the wallet now.
    pub balance: Cents,
}

/// Money that left an escrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// As a winner's share, or back to the sender.
    pub kind: Kind,
    /// To whom.
    pub user: UserId,
    /// How much.
    pub amount: Cents,
    /// When it was posted, Unix milliseconds.
    pub time_ms: u64,
}

/// A packet as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escrow {
    /// What the packet is.
    pub terms: Terms,
    /// What it still holds; with the last cent of it everything is done for the packet.
    pub balance: Cents,
    /// Whether the message that offers it is known to be in its log.
    pub announced: bool,
}

/// What the names of packets are made with, so that nobody but chatd can tell them in advance.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// At least 128 random bits, as text.
    pub secret: String,
    /// When it was made, Unix milliseconds; packets before it were named without.
    pub made_ms: u64,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("made_ms", &self.made_ms).finish_non_exhaustive()
    }
}

/// Why the ledger did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The wallet, or the escrow, holds less than the transfer asks for.
    #[error("insufficient balance")]
    Insufficient,
    /// The id belongs to another transfer.
    #[error("the transferId was used for another transfer")]
    IdTaken,
    /// The ledger knows no such packet.
    #[error("no such red packet")]
    NoSuchPacket,
    /// The amount is nothing, or would overflow an account.
    #[error("the amount is 0 or too large")]
    TooLarge,
    /// So many red packets of the sender hold money, and no more may.
    #[error("{0} red packets of the sender are open")]
    TooManyOpen(u64),
    /// No page can have ended at the place.
    #[error("is none that a page gave")]
    NoPlace,
    /// The database did not answer; whether it did as asked is unknown.
    #[error("the ledger is unreachable: {0}")]
    Unreachable(String),
    /// The database holds something that cannot be.
    #[error("the ledger is corrupt: {0}")]
    Corrupt(String),
}

impl LedgerError {
    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            LedgerError::Insufficient => Code::InsufficientBalance,
            LedgerError::IdTaken | LedgerError::TooManyOpen(_) => Code::RefusedByRule,
            LedgerError::NoSuchPacket => Code::NotFound,
            LedgerError::TooLarge | LedgerError::NoPlace => Code::BadParameter,
            LedgerError::Unreachable(_) => Code::StoreUnreachable,
            LedgerError::Corrupt(_) => Code::ServerError,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, LedgerError::Unreachable(_))
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unreachable(_) => {
                tracing::warn!(%error, "ledger");
                Refusal::unreachable("ledger")
            }
            LedgerError::Corrupt(_) => {
                tracing::error!(%error, "ledger");
                error.code().into()
            }
            LedgerError::NoPlace => Refusal::parameter("cursor", error),
            rule => Refusal::new(rule.code(), rule.to_string()),
        }
    }
}

/// What users own, and the ways into the ledger and out of it.
#[async_trait]
pub trait Wallets: Send + Sync {
    /// Moves money from the bank to a wallet; answers the balance after it.
    async fn deposit(
        &self,
        app: AppId,
        user: &UserId,
        amount: Cents,
        id: &TransferId,
    ) -> Result<Cashed, LedgerError> {
        let posting = Posting::deposit(app, user, amount, id)?;
        self.cash(&posting, &posting.to()).await
    }

    /// Moves money from a wallet, which must hold it, to the bank; answers the balance after it.
    async fn withdraw(
        &self,
        app: AppId,
        user: &UserId,
        amount: Cents,
        id: &TransferId,
    ) -> Result<Cashed, LedgerError> {
        let posting = Posting::withdraw(app, user, amount, id)?;
        self.cash(&posting, &posting.from()).await
    }

    /// Posts a transfer between the bank and this wallet; what is in the wallet after it.
    async fn cash(&self, posting: &Posting, wallet: &Account) -> Result<Cashed, LedgerError>;

    /// What a wallet holds; nothing for a user without one.
    async fn balance(&self, app: AppId, user: &UserId) -> Result<Cents, LedgerError>;

    /// At most `limit` transfers of a wallet with a number less than `before`, the newest first.
    async fn transfers(
        &self,
        app: AppId,
        user: &UserId,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Transfer>, LedgerError>;
}

/// What packets hold: funded from a wallet, and settled to wallets until nothing is left.
#[async_trait]
pub trait Escrows: Send + Sync {
    /// As [`Escrows::fund_within`], however many packets of the sender are open.
    async fn fund(&self, terms: &Terms) -> Result<Funded, LedgerError> {
        self.fund_within(terms, u64::MAX).await
    }

    /// Moves a packet's total from its sender's wallet to its escrow and keeps its terms, in one step: unless `most`
    /// escrows of the sender's packets in the app, or more, hold money, as is counted in the same step.
    async fn fund_within(&self, terms: &Terms, most: u64) -> Result<Funded, LedgerError>;

    /// Applies settlements: from the escrow to a wallet, under [`Settlement::transfer_id`]. One result for each, in
    /// order; one that is refused, or has to wait for somebody who holds an account, does not hinder the others.
    async fn settle(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError>;

    /// One packet.
    async fn escrow(&self, app: AppId, packet: &PacketId) -> Result<Escrow, LedgerError>;

    /// What left a packet's escrow, shares and refund, in the order of posting.
    async fn paid(&self, app: AppId, packet: &PacketId) -> Result<Vec<Paid>, LedgerError>;

    /// Whether the ledger can be written right now.
    async fn ready(&self) -> Result<(), LedgerError>;
}

/// When somebody must look at a packet; see the law above.
#[async_trait]
pub trait Agenda: Send + Sync {
    /// The message that offers the packet is in its log.
    async fn announced(&self, app: AppId, packet: &PacketId) -> Result<(), LedgerError>;

    /// Takes packets of all apps whose time to be looked at is `now_ms` or earlier, at most `limit`, those that wait
    /// longest; they are due again from `again_ms` on, and nobody else is given them before.
    async fn take_due(
        &self,
        now_ms: u64,
        again_ms: u64,
        limit: u32,
    ) -> Result<Vec<(AppId, PacketId)>, LedgerError>;

    /// The packet is to be looked at then; at [`u64::MAX`], if its escrow is empty, never again. No such packet is no error.
    async fn postpone(&self, app: AppId, packet: &PacketId, at_ms: u64) -> Result<(), LedgerError>;

    /// What was offered to this target and is to be looked at some time is to be looked at now.
    async fn hasten(&self, app: AppId, target: &Target) -> Result<(), LedgerError>;

    /// The time that its transfers go by, Unix milliseconds.
    async fn now_ms(&self) -> Result<u64, LedgerError>;
}

/// What is kept for as long as the ledger is.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Keeps why an operator gave a dead letter up, with the first [`KEPT_OF_A_LETTER`] bytes of it.
    async fn give_up(&self, app: AppId, letter: &Dead, reason: &str) -> Result<(), LedgerError>;

    /// The same for all who use this ledger, for as long as it is kept.
    async fn secret(&self) -> Result<Secret, LedgerError>;
}

/// A ledger with all its parts. Whoever keeps the books shows them too.
pub trait Ledger: Wallets + Escrows + Agenda + Archive + records::Records {}

impl<T: Wallets + Escrows + Agenda + Archive + records::Records> Ledger for T {}
