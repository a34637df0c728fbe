//! One transaction that posts transfers: lock the accounts, ask the book, write what it says.
//!
//! Invariant: accounts are made and locked in the order of app and name, by whoever posts, so that no two wait for
//! each other; and before a transfer gets its number, so that the numbers of a wallet rise in the order of commits.

use std::collections::BTreeSet;
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use futures_util::future::join4;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::error::{Error, SqlState};
use tokio_postgres::types::ToSql;

use super::connection::{Connection, described};
use super::settings::Begin;
use crate::money::ledger::book::{Account, BANK, Book, Posting};
use crate::money::ledger::rows::{PostingRow, corrupt, signed};
use crate::money::ledger::{FIRST_LOOK_MS, LedgerError, Posted};
use crate::money::{Cents, Terms};

/// How often a transaction that met another one begins again.
const TRIES: u32 = 10;
/// Longest pause before the first repetition, and before any.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(80);

const BEGIN: Begin = Begin { how: "ISOLATION LEVEL READ COMMITTED READ WRITE", more: "" };
/// Somebody was found to hold an account; it is not worth a long wait to see whether they still do.
const BEGIN_BRIEFLY: Begin = Begin { more: "SET LOCAL lock_timeout = '100ms'", ..BEGIN };
const CREATE: &str = "INSERT INTO chat_account(app, name, balance)
    SELECT app, name, 0 FROM unnest($1::bigint[], $2::text[]) AS wanted(app, name)
    ON CONFLICT DO NOTHING";
const LOCK: &str = "SELECT app, name, balance FROM chat_account
    JOIN unnest($1::bigint[], $2::text[]) AS wanted(app, name) USING (app, name)
    ORDER BY app, name FOR UPDATE OF chat_account";
/// Those that nobody holds, of those that there are.
const LOCK_FREE: &str = "SELECT app, name, balance FROM chat_account
    JOIN unnest($1::bigint[], $2::text[]) AS wanted(app, name) USING (app, name)
    ORDER BY app, name FOR UPDATE OF chat_account SKIP LOCKED";
const PRESENT: &str = "SELECT app, name FROM chat_account
    JOIN unnest($1::bigint[], $2::text[]) AS wanted(app, name) USING (app, name)";
const POSTED: &str = "SELECT app, id, debit, credit, amount, kind, packet FROM chat_transfer
    JOIN unnest($1::bigint[], $2::text[]) AS wanted(app, id) USING (app, id)";
const WRITE: &str = "WITH posted AS (
        INSERT INTO chat_transfer(app, id, debit, credit, amount, kind, packet, time)
        SELECT app, id, debit, credit, amount, kind, packet,
            coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
            WITH ORDINALITY AS new(app, id, debit, credit, amount, kind, packet, place)
        ORDER BY place RETURNING 1),
    changed AS (
        UPDATE chat_account SET balance = now.balance
        FROM unnest($9::bigint[], $10::text[], $11::bigint[]) AS now(app, name, balance)
        WHERE chat_account.app = now.app AND chat_account.name = now.name RETURNING 1)
    SELECT (SELECT count(*) FROM posted), (SELECT count(*) FROM changed)";
const PUT_TERMS: &str = "INSERT INTO chat_escrow(app, packet, terms, created, expires, look, target, sender)
    VALUES ($1, $2, $3::text::json, $4, $5, $6, $7, $8)";
const OPEN: &str = "SELECT count(*) FROM chat_escrow AS e
    JOIN chat_account AS a ON a.app = e.app AND a.name = 'escrow:' || packet
    WHERE e.app = $1 AND sender = $2 AND look IS NOT NULL AND balance > 0";

/// What is to be posted in one transaction.
pub struct Batch<'a> {
    pub postings: &'a [&'a Posting],
    /// To be kept with the first of them.
    pub terms: Option<&'a Terms>,
    /// How many packets of that sender may hold money with it.
    pub most_open: u64,
    /// Nothing: by the clock of the database.
    pub now_ms: Option<u64>,
    /// Whether it would rather be done in part than wait for others that hold an account.
    pub divisible: bool,
    /// Where it is remembered that others held one.
    pub holders: Option<&'a Holders>,
}

/// Whether somebody held an account lately for longer than one waits. Not every batch that needs the account waits for
/// them again: that would keep those that need others.
#[derive(Default)]
pub struct Holders(Mutex<Option<Instant>>);

/// How long it is remembered.
const LATELY: Duration = Duration::from_secs(15);

impl Holders {
    fn are_there(&self) -> bool {
        self.0.lock().is_some_and(|found| found.elapsed() < LATELY)
    }

    fn found(&self) {
        *self.0.lock() = Some(Instant::now());
    }
}

/// What became of each posting, and the book after them.
pub type Done = (Vec<Result<Posted, LedgerError>>, Book);

enum Failure {
    Database(Error),
    Ledger(LedgerError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Database(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Failure::Ledger(error)
    }
}

/// Whether the transaction was undone because of another one, and may succeed when it begins again.
fn is_conflict(error: &Error) -> bool {
    let conflicts =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION];
    error.code().is_some_and(|code| conflicts.contains(code))
}

/// Whether others hold a row for longer than one waits.
fn is_held(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// An error of the database in the words of the port.
pub fn refusal(error: &Error) -> LedgerError {
    // Classes 22 and 23: a value or a constraint.
    let cannot_be = |code: &SqlState| code.code().starts_with("22") || code.code().starts_with("23");
    if error.code().is_some_and(cannot_be) {
        corrupt(&described(error))
    } else {
        LedgerError::Unreachable(described(error))
    }
}

/// Posts what may be posted; the rest is refused one by one.
pub async fn post(connection: &mut Connection, batch: &Batch<'_>) -> Result<Done, LedgerError> {
    let (mut wait, mut attempt, mut backoff) = (true, 1, Backoff::half(FIRST_PAUSE, MAX_PAUSE));
    loop {
        let failure = match try_post(connection, batch, wait).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        // When this fails the connection is not used again, and the server undoes what was done on it.
        let undone = connection.rollback().await;
        let error = match failure {
            Failure::Ledger(error) => return Err(error),
            Failure::Database(error) => error,
        };
        if is_held(&error) && batch.divisible && wait && undone.is_ok() {
            if let Some(holders) = batch.holders {
                holders.found();
            }
            (wait, attempt) = (false, attempt + 1);
            continue;
        }
        if !is_conflict(&error) || attempt == TRIES || undone.is_err() {
            return Err(refusal(&error));
        }
        tokio::time::sleep(backoff.pause(rand::random())).await;
        attempt += 1;
    }
}

async fn try_post(connection: &mut Connection, batch: &Batch<'_>, wait: bool) -> Result<Done, Failure> {
    let begin = if batch.holders.is_some_and(Holders::are_there) { BEGIN_BRIEFLY } else { BEGIN };
    let mut book = open_book(connection, batch.postings, begin, if wait { LOCK } else { LOCK_FREE }).await?;
    let held = if wait { BTreeSet::new() } else { held(connection, &book, batch.postings).await? };
    let post = |posting: &&Posting| {
        if held.contains(&posting.from()) || held.contains(&posting.to()) {
            return Err(LedgerError::Unreachable("somebody holds an account".to_owned()));
        }
        book.post(posting)
    };
    let results: Vec<_> = batch.postings.iter().map(post).collect();
    if book.new_postings().is_empty() {
        connection.rollback().await?;
        return Ok((results, book));
    }
    write(connection, &book, batch.now_ms).await?;
    if let Some(terms) = batch.terms {
        // Whoever funds another one waits for the sender's wallet.
        check_open(connection, terms, batch.most_open).await?;
        put_terms(connection, terms).await?;
    }
    connection.commit().await?;
    Ok((results, book))
}

/// Accounts that are there and were not locked.
async fn held(
    connection: &mut Connection,
    book: &Book,
    postings: &[&Posting],
) -> Result<BTreeSet<Account>, Failure> {
    let touched: BTreeSet<_> = postings.iter().flat_map(|posting| [posting.from(), posting.to()]).collect();
    let touched = columns(&touched);
    let present = connection.query(PRESENT, &[&touched.0, &touched.1]).await?;
    let present = present.iter().map(|row| Ok((app(row)?, row.try_get(1)?)));
    let present = present.collect::<Result<Vec<Account>, Failure>>()?;
    Ok(present.into_iter().filter(|account| !book.knows(account)).collect())
}

/// Apps and names side by side, as arrays for a statement.
fn columns(accounts: &BTreeSet<Account>) -> (Vec<i64>, Vec<&str>) {
    accounts.iter().map(|(app, name)| (i64::from(*app), name.as_str())).unzip()
}

/// Begins the transaction and locks what the postings touch: one journey to the server.
async fn open_book(
    connection: &mut Connection,
    postings: &[&Posting],
    begin: Begin,
    lock: &'static str,
) -> Result<Book, Failure> {
    // Packets' accounts are made only when they are funded; a wallet that gives nothing need not exist.
    let new: BTreeSet<_> = postings
        .iter()
        .flat_map(|posting| [Some(posting.to()), (posting.debit == BANK).then(|| posting.from())])
        .flatten()
        .collect();
    let touched: BTreeSet<_> = postings.iter().flat_map(|posting| [posting.from(), posting.to()]).collect();
    let ids: BTreeSet<_> = postings.iter().map(|posting| (posting.app, posting.id.clone())).collect();
    let (new, touched, ids) = (columns(&new), columns(&touched), columns(&ids));
    let create = connection.prepared(CREATE).await?;
    let lock = connection.prepared(lock).await?;
    let posted = connection.prepared(POSTED).await?;
    connection.beginning();
    let (begun, created, locked, found) = join4(
        connection.begin(begin),
        connection.rows(&create, &[&new.0, &new.1]),
        connection.rows(&lock, &[&touched.0, &touched.1]),
        connection.rows(&posted, &[&ids.0, &ids.1]),
    )
    .await;
    begun?;
    created?;
    let mut book = Book::default();
    for row in locked? {
        book.show_account((app(&row)?, row.try_get(1)?), Cents::new(row.try_get(2)?));
    }
    for row in found? {
        let found = PostingRow {
            app: app(&row)?,
            id: row.try_get(1)?,
            debit: row.try_get(2)?,
            credit: row.try_get(3)?,
            amount: Cents::new(row.try_get(4)?),
            kind: row.try_get(5)?,
            packet: row.try_get(6)?,
        };
        book.show_posted(found.read()?);
    }
    Ok(book)
}

/// The first column of a row.
fn app(row: &Row) -> Result<u32, LedgerError> {
    let app: i64 = row.try_get(0).map_err(|error| corrupt(&error))?;
    u32::try_from(app).map_err(|_| corrupt(&format!("{app} is no app")))
}

async fn write(connection: &mut Connection, book: &Book, now_ms: Option<u64>) -> Result<(), Failure> {
    let new = book.new_postings();
    let apps: Vec<_> = new.iter().map(|posting| i64::from(posting.app)).collect();
    let texts = |text: fn(&Posting) -> &str| new.iter().map(text).collect::<Vec<_>>();
    let (ids, debits) = (texts(|posting| &posting.id), texts(|posting| &posting.debit));
    let (credits, kinds) = (texts(|posting| &posting.credit), texts(|posting| posting.kind.as_str()));
    let amounts: Vec<_> = new.iter().map(|posting| posting.amount.get()).collect();
    let packets: Vec<_> = new.iter().map(|posting| posting.packet.as_deref()).collect();
    let changes: Vec<_> = book.changes().collect();
    let changed_apps: Vec<_> = changes.iter().map(|((app, _), _)| i64::from(*app)).collect();
    let names: Vec<_> = changes.iter().map(|((_, name), _)| name.as_str()).collect();
    let balances: Vec<_> = changes.iter().map(|(_, balance)| balance.get()).collect();
    let time = now_ms.map(signed);
    let values: [&(dyn ToSql + Sync); 11] =
        [&time, &apps, &ids, &debits, &credits, &amounts, &kinds, &packets, &changed_apps, &names, &balances];
    let written = connection.query(WRITE, &values).await?;
    let counts = match written.first() {
        Some(row) => (row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?),
        None => (0, 0),
    };
    if counts != (new.len() as i64, changes.len() as i64) {
        return Err(corrupt(&"an account that was locked is not there").into());
    }
    Ok(())
}

async fn put_terms(connection: &mut Connection, terms: &Terms) -> Result<(), Failure> {
    let json = serde_json::to_string(terms).map_err(|error| corrupt(&error))?;
    let look = signed(terms.created_ms.saturating_add(FIRST_LOOK_MS));
    let (created, expires) = (signed(terms.created_ms), signed(terms.expires_ms));
    let (app, target) = (i64::from(terms.app), terms.target.to_string());
    let values: [&(dyn ToSql + Sync); 8] =
        [&app, &terms.packet.as_str(), &json, &created, &expires, &look, &target, &terms.sender.as_str()];
    connection.query(PUT_TERMS, &values).await?;
    Ok(())
}

/// Whether one more packet of the sender may hold money.
async fn check_open(connection: &mut Connection, terms: &Terms, most: u64) -> Result<(), Failure> {
    if most == u64::MAX {
        return Ok(());
    }
    let rows = connection.query(OPEN, &[&i64::from(terms.app), &terms.sender.as_str()]).await?;
    let open = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    match u64::try_from(open) {
        Ok(open) if open < most => Ok(()),
        open => Err(LedgerError::TooManyOpen(open.unwrap_or(u64::MAX)).into()),
    }
}
