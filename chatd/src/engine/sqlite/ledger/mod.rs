//! The ledger of a node that runs alone, or of a few on one machine: a SQLite file.
//!
//! Invariant: a call is answered after its commit is on the disk, whatever the other databases of the node do.

mod records;
mod schema;
mod tables;

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, PacketId, Target, UserId};
use rusqlite::{Connection, ErrorCode};

use super::writer::Step;
use super::{Close, Database, Fault, Place, Sync};
use crate::clock::Clock;
use crate::money::ledger::book::{self, Account, Book, Posting};
use crate::money::ledger::{
    Agenda, Archive, Cashed, Escrow, Escrows, Funded, LedgerError, Paid, Posted, Secret, Wallets, rows,
};
use crate::money::settlement::{Dead, Settlement};
use crate::money::{Cents, Terms};

/// Its name in a data directory.
const FILE: &str = "ledger.sqlite3";

/// A ledger in a SQLite file.
pub struct EmbeddedLedger {
    database: Database<()>,
}

impl Fault for LedgerError {
    fn unreachable(reason: &dyn Display) -> Self {
        LedgerError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, LedgerError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        let cannot_be = match &error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => true,
            other => matches!(
                other.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        };
        if cannot_be { rows::corrupt(&error) } else { Self::unreachable(&error) }
    }
}

impl EmbeddedLedger {
    /// Opens or creates the ledger of a data directory, which must exist, or one in memory.
    ///
    /// # Errors
    /// A text for the operator when the file cannot be used.
    pub fn open(place: &Place, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        Self::open_as(place, FILE, clock)
    }

    /// Opens or creates this file, in a directory that must exist.
    ///
    /// # Errors
    /// A text for the operator when the file cannot be used.
    pub fn open_file(file: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        let refused = |reason: &dyn Display| format!("cannot use {} as a ledger: {reason}", file.display());
        // SQLite gives names such as ":memory:" and "file:…" a meaning of their own, but no absolute path.
        let whole = std::path::absolute(file).map_err(|error| refused(&error))?;
        let (Some(directory), Some(name)) =
            (whole.parent(), whole.file_name().and_then(|name| name.to_str()))
        else {
            return Err(refused(&"it is no name of a file"));
        };
        Self::open_as(&Place::Directory(directory.to_owned()), name, clock)
    }

    fn open_as(place: &Place, file: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>, String> {
        let database = Database::open(place, file, Sync::Full, schema::STEPS, (), clock)?;
        Ok(Arc::new(Self { database }))
    }
}

#[async_trait]
impl Close for EmbeddedLedger {
    async fn close(&self) {
        self.database.close().await;
    }
}

fn fund(step: &Step<'_, ()>, terms: &Terms, most: u64) -> Result<Funded, LedgerError> {
    if let Some(earlier) = tables::escrow(step.connection, terms.app, &terms.packet)? {
        return Ok(Funded::Before(earlier.terms));
    }
    if most < u64::MAX {
        let open = tables::open_packets(step.connection, terms.app, &terms.sender)?;
        if open >= most {
            return Err(LedgerError::TooManyOpen(open));
        }
    }
    let posting = Posting::fund(terms)?;
    let mut book = tables::open_book(step.connection, [&posting].into_iter())?;
    match book.post(&posting)? {
        Posted::Before => Err(rows::corrupt(&format!("{} is funded and has no terms", terms.packet))),
        Posted::Now => {
            tables::write(step.connection, &book, step.now_ms)?;
            tables::put_terms(step.connection, terms)?;
            Ok(Funded::Now)
        }
    }
}

fn settle(
    step: &Step<'_, ()>,
    settlements: &[Settlement],
) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
    let postings: Vec<_> = settlements.iter().map(Posting::settle).collect();
    let mut book = tables::open_book(step.connection, postings.iter().flatten())?;
    let post = |posting: Result<Posting, LedgerError>| book.post(&posting?);
    let results: Vec<_> = postings.into_iter().map(post).collect();
    tables::write(step.connection, &book, step.now_ms)?;
    Ok(results)
}

fn cash(step: &Step<'_, ()>, posting: &Posting, wallet: &Account) -> Result<Cashed, LedgerError> {
    let mut book: Book = tables::open_book(step.connection, [posting].into_iter())?;
    let posted = book.post(posting)?;
    tables::write(step.connection, &book, step.now_ms)?;
    Ok(Cashed { posted, balance: rows::held(book.balance(wallet))? })
}

#[async_trait]
impl Wallets for EmbeddedLedger {
    async fn cash(&self, posting: &Posting, wallet: &Account) -> Result<Cashed, LedgerError> {
        let (posting, wallet) = (posting.clone(), wallet.clone());
        self.database.change(move |step| cash(step, &posting, &wallet)).await
    }

    async fn balance(&self, app: AppId, user: &UserId) -> Result<Cents, LedgerError> {
        let account = (app, book::wallet(user));
        let work =
            move |tables: &Connection| rows::held(tables::balance(tables, &account)?.unwrap_or_default());
        self.database.query(work).await
    }

    async fn transfers(
        &self,
        app: AppId,
        user: &UserId,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Transfer>, LedgerError> {
        let user = user.clone();
        self.database.query(move |tables| tables::transfers(tables, app, &user, before, limit)).await
    }
}

#[async_trait]
impl Escrows for EmbeddedLedger {
    async fn fund_within(&self, terms: &Terms, most: u64) -> Result<Funded, LedgerError> {
        let terms = terms.clone();
        self.database.change(move |step| fund(step, &terms, most)).await
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let settlements = settlements.to_vec();
        self.database.change(move |step| settle(step, &settlements)).await
    }

    async fn escrow(&self, app: AppId, packet: &PacketId) -> Result<Escrow, LedgerError> {
        let packet = packet.clone();
        let found = self.database.query(move |tables| tables::escrow(tables, app, &packet)).await?;
        found.ok_or(LedgerError::NoSuchPacket)
    }

    async fn paid(&self, app: AppId, packet: &PacketId) -> Result<Vec<Paid>, LedgerError> {
        let packet = packet.clone();
        self.database.query(move |tables| tables::paid(tables, app, &packet)).await
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        // Nobody else holds the file.
        self.database.change(|_| Ok::<_, LedgerError>(())).await?;
        self.database.ready().await
    }
}

#[async_trait]
impl Agenda for EmbeddedLedger {
    async fn announced(&self, app: AppId, packet: &PacketId) -> Result<(), LedgerError> {
        let packet = packet.clone();
        self.database.change(move |step| tables::announced(step.connection, app, &packet)).await
    }

    async fn take_due(
        &self,
        now_ms: u64,
        again_ms: u64,
        limit: u32,
    ) -> Result<Vec<(AppId, PacketId)>, LedgerError> {
        self.database.change(move |step| tables::take_due(step.connection, now_ms, again_ms, limit)).await
    }

    async fn postpone(&self, app: AppId, packet: &PacketId, at_ms: u64) -> Result<(), LedgerError> {
        let packet = packet.clone();
        let work = move |step: &mut Step<'_, ()>| Ok(tables::postpone(step.connection, app, &packet, at_ms)?);
        self.database.change(work).await
    }

    async fn hasten(&self, app: AppId, target: &Target) -> Result<(), LedgerError> {
        let target = target.to_string();
        let work = move |step: &mut Step<'_, ()>| Ok(tables::hasten(step.connection, app, &target)?);
        self.database.change(work).await
    }

    async fn now_ms(&self) -> Result<u64, LedgerError> {
        self.database.change(|step| Ok(step.now_ms)).await
    }
}

#[async_trait]
impl Archive for EmbeddedLedger {
    async fn give_up(&self, app: AppId, letter: &Dead, reason: &str) -> Result<(), LedgerError> {
        let (letter, reason) = (letter.clone(), reason.to_owned());
        let work = move |step: &mut Step<'_, ()>| {
            Ok(tables::give_up(step.connection, app, &letter, &reason, step.now_ms)?)
        };
        self.database.change(work).await
    }

    async fn secret(&self) -> Result<Secret, LedgerError> {
        self.database.query(tables::secret).await
    }
}
