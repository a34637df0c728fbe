//! Rows as the databases give them, and what they mean.
//!
//! Invariant: a row that cannot be is an error, never a guess.

use std::fmt::Display;
use std::str::FromStr;

use chat_protocol::wallet::{Transfer, TransferKind};
use chat_protocol::{AppId, PacketId};

use super::book::{self, Posting};
use super::{Cents, Escrow, LedgerError, Paid};
use crate::money::settlement::Kind;

/// A transfer as its wallet sees it.
pub struct TransferRow {
    pub number: i64,
    pub id: String,
    pub kind: String,
    /// Negative when it left.
    pub amount: Cents,
    pub packet: Option<String>,
    pub time: i64,
}

impl TransferRow {
    pub fn read(self) -> Result<Transfer, LedgerError> {
        Ok(Transfer {
            number: count(self.number)?,
            transfer_id: self.id,
            kind: parsed(&self.kind)?,
            amount: self.amount.get(),
            packet_id: self.packet.as_deref().map(parsed).transpose()?,
            time: count(self.time)?,
        })
    }
}

/// A transfer as a whole.
pub struct PostingRow {
    pub app: u32,
    pub id: String,
    pub debit: String,
    pub credit: String,
    pub amount: Cents,
    pub kind: String,
    pub packet: Option<String>,
}

impl PostingRow {
    pub fn read(self) -> Result<Posting, LedgerError> {
        let PostingRow { app, id, debit, credit, amount, kind, packet } = self;
        Ok(Posting { app, id, debit, credit, amount, kind: parsed(&kind)?, packet })
    }
}

/// A transfer that left an escrow.
pub struct PaidRow {
    pub kind: String,
    /// Name of the account it went to.
    pub credit: String,
    pub amount: Cents,
    pub time: i64,
}

impl PaidRow {
    pub fn read(self) -> Result<Paid, LedgerError> {
        let kind = match parsed(&self.kind)? {
            TransferKind::Grab => Kind::Grab,
            TransferKind::Refund => Kind::Refund,
            other => return Err(corrupt(&format!("a {} left an escrow", other.as_str()))),
        };
        let user = book::owner(&self.credit).ok_or_else(|| corrupt(&"an escrow paid to no wallet"))?;
        let (amount, time_ms) = (held(self.amount)?, count(self.time)?);
        Ok(Paid { kind, user: parsed(user)?, amount, time_ms })
    }
}

/// A packet with the balance of its account.
pub struct EscrowRow {
    /// JSON.
    pub terms: String,
    pub balance: Cents,
    pub announced: bool,
}

impl EscrowRow {
    pub fn read(self) -> Result<Escrow, LedgerError> {
        let terms = serde_json::from_str(&self.terms).map_err(|error| corrupt(&error))?;
        Ok(Escrow { terms, balance: held(self.balance)?, announced: self.announced })
    }
}

/// Names of packets. One that cannot be read is left out, with a word in the log: the others need not wait for it.
pub fn names(rows: Vec<(i64, String)>) -> Vec<(AppId, PacketId)> {
    let read = |(app, packet): (i64, String)| {
        let name = app.try_into().ok().zip(packet.parse().ok());
        if name.is_none() {
            tracing::error!(app, packet, "the ledger has a packet without a proper name");
        }
        name
    };
    rows.into_iter().filter_map(read).collect()
}

/// The rows of a list, or the first thing that is wrong with them.
pub fn all<R, T>(rows: Vec<R>, read: fn(R) -> Result<T, LedgerError>) -> Result<Vec<T>, LedgerError> {
    rows.into_iter().map(read).collect()
}

/// A number that is not negative.
pub fn count(number: i64) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| corrupt(&format!("{number} where no number can be negative")))
}

/// What somebody holds or gets, which is not negative.
pub fn held(cents: Cents) -> Result<Cents, LedgerError> {
    count(cents.get()).map(|_| cents)
}

/// As a database keeps it; what is beyond all times and numbers is the last of them.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Something is there that cannot be.
pub fn corrupt(what: &dyn Display) -> LedgerError {
    LedgerError::Corrupt(what.to_string())
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|error| corrupt(&format!("{text:?}: {error}")))
}
