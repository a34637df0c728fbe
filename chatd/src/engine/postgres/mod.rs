//! The ledger of many nodes: tables in a PostgreSQL database.
//!
//! Invariant: every call ends within a bound; one that ended with [`LedgerError::Unreachable`] may have done what was
//! asked, and a repeat finds out.

mod connection;
mod discarding;
mod parameters;
mod pool;
mod posting;
mod reading;
mod records;
mod schema;
mod settings;
mod site;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_protocol::wallet::Transfer;
use chat_protocol::{AppId, PacketId, Target, UserId};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::connection::Connection;
use self::pool::Pool;
pub use self::pool::Refused;
use self::posting::{Batch, Done, Holders};
use crate::clock::Clock;
use crate::money::ledger::book::{self, Account, Posting};
use crate::money::ledger::records::DiscardRow;
use crate::money::ledger::{
    Agenda, Archive, Cashed, Escrow, Escrows, Funded, KEPT_OF_A_LETTER, LedgerError, Paid, Posted, Secret,
    Wallets, rows,
};
use crate::money::settlement::{Dead, Settlement};
use crate::money::{Cents, Terms};

/// How long a call may take, the wait for a connection included.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long making the tables may take, the wait for another chatd that makes them included.
const START_PATIENCE: Duration = Duration::from_secs(60);

const ANNOUNCED: &str = "UPDATE chat_escrow SET announced = TRUE,
        look = CASE WHEN announced OR look IS NULL THEN look ELSE expires END
    WHERE app = $1 AND packet = $2 RETURNING packet";
const TAKE_DUE: &str = "WITH due AS (
        SELECT app, packet FROM chat_escrow WHERE look <= $1 ORDER BY look LIMIT $3 FOR UPDATE SKIP LOCKED)
    UPDATE chat_escrow AS e SET look = $2 FROM due WHERE e.app = due.app AND e.packet = due.packet
    RETURNING e.app, e.packet";
const POSTPONE: &str = "UPDATE chat_escrow AS e
    SET look = CASE WHEN a.balance > 0 OR $3::bigint < 9223372036854775807 THEN $3::bigint END FROM chat_account AS a
    WHERE e.app = $1 AND e.packet = $2 AND look IS NOT NULL AND a.app = e.app AND a.name = 'escrow:' || e.packet
    RETURNING packet";
const HASTEN: &str = "UPDATE chat_escrow SET look = 0
    WHERE app = $1 AND look IS NOT NULL AND target = $2 RETURNING packet";
const WRITABLE: &str = "SELECT current_setting('transaction_read_only') = 'off' FROM chat_ledger";

/// Whether a URL can be used, for the check of the configuration; the server is not asked.
///
/// # Errors
/// A text for the operator, without the password.
pub fn check_url(url: &str) -> Result<(), String> {
    site::read(url).map(drop)
}

/// A ledger in the tables of a PostgreSQL database.
pub struct PostgresLedger {
    pool: Pool,
    clock: Arc<dyn Clock>,
    holders: Holders,
}

impl PostgresLedger {
    /// Connects, and makes or renews the tables in the first schema of the search path, which the URL may name by
    /// `?options=-csearch_path%3DNAME`.
    ///
    /// # Errors
    /// When the server cannot be used.
    pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Refused> {
        let site = site::read(url).map_err(|reason| Refused { reason, passes: false })?;
        let place = site::shown(&site.servers);
        let ledger = Self { pool: Pool::new(site), clock, holders: Holders::default() };
        ledger.pool.greet().await?;
        let prepared =
            timeout(START_PATIENCE, async { schema::prepare(&mut *ledger.pool.lease().await?).await });
        let prepared = prepared.await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        prepared.map_err(|reason| Refused {
            reason: format!("cannot use PostgreSQL at {place} as a ledger: {reason}"),
            passes: false,
        })?;
        Ok(Arc::new(ledger))
    }

    /// Asks over a connection, within [`PATIENCE`].
    async fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.ask_within(PATIENCE, ask).await
    }

    /// Asks over a connection; the wait for one counts too.
    async fn ask_within<T>(
        &self,
        patience: Duration,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let call = async {
            let mut lease = self.pool.lease().await.map_err(LedgerError::Unreachable)?;
            ask(&mut *lease).await
        };
        let late = |_| Err(LedgerError::Unreachable("PostgreSQL did not answer in time".to_owned()));
        timeout(patience, call).await.unwrap_or_else(late)
    }

    async fn post(
        &self,
        postings: &[&Posting],
        funded: Option<(&Terms, u64)>,
        holders: Option<&Holders>,
    ) -> Result<Done, LedgerError> {
        let (now_ms, divisible) = (self.clock.by_hand(), funded.is_none());
        let (terms, most_open) = funded.unzip();
        let most_open = most_open.unwrap_or(u64::MAX);
        let batch = Batch { postings, terms, most_open, now_ms, divisible, holders };
        self.ask(async |connection| posting::post(connection, &batch).await).await
    }

    /// The rows of one statement, which may change something.
    async fn query(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LedgerError> {
        self.ask(async |connection| {
            connection.query(sql, values).await.map_err(|error| posting::refusal(&error))
        })
        .await
    }

    async fn find(&self, app: AppId, packet: &PacketId) -> Result<Option<Escrow>, LedgerError> {
        self.ask(async |connection| reading::escrow(connection, app, packet).await).await
    }
}

#[async_trait]
impl Wallets for PostgresLedger {
    async fn cash(&self, posting: &Posting, wallet: &Account) -> Result<Cashed, LedgerError> {
        let (results, book) = self.post(&[posting], None, None).await?;
        let posted = results.into_iter().next();
        let posted = posted.unwrap_or_else(|| Err(rows::corrupt(&"a posting without a result")))?;
        Ok(Cashed { posted, balance: rows::held(book.balance(wallet))? })
    }

    async fn balance(&self, app: AppId, user: &UserId) -> Result<Cents, LedgerError> {
        self.ask(async |connection| reading::balance(connection, app, &book::wallet(user)).await).await
    }

    async fn transfers(
        &self,
        app: AppId,
        user: &UserId,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Transfer>, LedgerError> {
        self.ask(async |connection| reading::transfers(connection, app, user, before, limit).await).await
    }
}

#[async_trait]
impl Escrows for PostgresLedger {
    async fn fund_within(&self, terms: &Terms, most: u64) -> Result<Funded, LedgerError> {
        if let Some(earlier) = self.find(terms.app, &terms.packet).await? {
            return Ok(Funded::Before(earlier.terms));
        }
        let posting = Posting::fund(terms)?;
        let (results, _) = self.post(&[&posting], Some((terms, most)), None).await?;
        match results.into_iter().next() {
            Some(Ok(Posted::Now)) => return Ok(Funded::Now),
            // By another call at the same time.
            Some(Ok(Posted::Before) | Err(LedgerError::IdTaken)) => {}
            Some(Err(refusal)) => return Err(refusal),
            None => return Err(rows::corrupt(&"a posting without a result")),
        }
        let earlier = self.find(terms.app, &terms.packet).await?;
        let without = || rows::corrupt(&format!("{} is funded and has no terms", terms.packet));
        earlier.map(|earlier| Funded::Before(earlier.terms)).ok_or_else(without)
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let postings: Vec<_> = settlements.iter().map(Posting::settle).collect();
        let possible: Vec<_> = postings.iter().flatten().collect();
        if possible.is_empty() {
            return Ok(postings.into_iter().map(|posting| posting.map(|_| Posted::Before)).collect());
        }
        let (results, _) = self.post(&possible, None, Some(&self.holders)).await?;
        let mut results = results.into_iter();
        let missing = || Err(rows::corrupt(&"a posting without a result"));
        let result =
            |posting: Result<Posting, _>| posting.and_then(|_| results.next().unwrap_or_else(missing));
        Ok(postings.into_iter().map(result).collect())
    }

    async fn escrow(&self, app: AppId, packet: &PacketId) -> Result<Escrow, LedgerError> {
        self.find(app, packet).await?.ok_or(LedgerError::NoSuchPacket)
    }

    async fn paid(&self, app: AppId, packet: &PacketId) -> Result<Vec<Paid>, LedgerError> {
        self.ask(async |connection| reading::paid(connection, app, packet).await).await
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        let found = self.query(WRITABLE, &[]).await?;
        let writable = found.first().is_some_and(|row| row.try_get(0).unwrap_or(false));
        if writable { Ok(()) } else { Err(LedgerError::Unreachable("it can only be read".to_owned())) }
    }
}

#[async_trait]
impl Agenda for PostgresLedger {
    async fn announced(&self, app: AppId, packet: &PacketId) -> Result<(), LedgerError> {
        let changed = self.query(ANNOUNCED, &[&i64::from(app), &packet.as_str()]).await?;
        if changed.is_empty() { Err(LedgerError::NoSuchPacket) } else { Ok(()) }
    }

    async fn take_due(
        &self,
        now_ms: u64,
        again_ms: u64,
        limit: u32,
    ) -> Result<Vec<(AppId, PacketId)>, LedgerError> {
        let (now, again) = (rows::signed(now_ms), rows::signed(again_ms));
        let taken = self.query(TAKE_DUE, &[&now, &again, &i64::from(limit)]).await?;
        let names = taken.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let names: Result<_, tokio_postgres::Error> = names.collect();
        Ok(rows::names(names.map_err(|error| rows::corrupt(&error))?))
    }

    async fn postpone(&self, app: AppId, packet: &PacketId, at_ms: u64) -> Result<(), LedgerError> {
        let values: [&(dyn ToSql + Sync); 3] = [&i64::from(app), &packet.as_str(), &rows::signed(at_ms)];
        self.query(POSTPONE, &values).await.map(drop)
    }

    async fn hasten(&self, app: AppId, target: &Target) -> Result<(), LedgerError> {
        self.query(HASTEN, &[&i64::from(app), &target.to_string()]).await.map(drop)
    }

    async fn now_ms(&self) -> Result<u64, LedgerError> {
        match self.clock.by_hand() {
            Some(now_ms) => Ok(now_ms),
            None => self.ask(reading::now_ms).await,
        }
    }
}

#[async_trait]
impl Archive for PostgresLedger {
    async fn give_up(&self, app: AppId, letter: &Dead, reason: &str) -> Result<(), LedgerError> {
        // PostgreSQL has no text with a zero in it.
        let text = |text: &str| text.replace('\0', " ");
        let row = DiscardRow {
            place: 0,
            letter: text(&letter.id),
            reason: text(reason),
            cause: text(&letter.reason),
            body: letter.body[..letter.body.len().min(KEPT_OF_A_LETTER)].to_vec(),
            time: 0,
        };
        let now = self.clock.by_hand().map(rows::signed);
        let put = async |connection: &mut Connection| discarding::put(connection, app, row, now).await;
        self.ask(async |connection| put(connection).await.map_err(|error| posting::refusal(&error))).await
    }

    async fn secret(&self) -> Result<Secret, LedgerError> {
        self.ask(reading::secret).await
    }
}
