//! Packets of a node that runs alone, as tables of the money file.
//!
//! Invariant: the first `taken` shares of a packet have a user and the others none; one transaction gives a share its
//! user and queues the settlement. Who belongs to a group is asked before it, for groups are in another file: a grab
//! counts for a member at the moment it began.

mod mending;
mod record;

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, PacketId, Target, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use self::mending::{owed, restore};
use super::Fault;
use super::money_file::{MoneyFile, Step};
use super::queue::queue;
use crate::groups::{GroupError, Groups};
use crate::money::packets::record::{Names, Record};
use crate::money::packets::{
    Closed, Contents, Debts, Grab, PacketError, Paid, Shares, Snapshot, Tally, Winner, check_shares,
};
use crate::money::settlement::{Kind, Settlement};
use crate::money::{Cents, Terms};

/// Packets in the money file.
pub struct EmbeddedPackets {
    file: Arc<MoneyFile>,
    groups: Arc<dyn Groups>,
}

impl EmbeddedPackets {
    /// In `file`, for the members of `groups`.
    #[must_use]
    pub fn new(file: Arc<MoneyFile>, groups: Arc<dyn Groups>) -> Self {
        Self { file, groups }
    }

    /// Whether the packet is for the user.
    async fn is_for(&self, app: AppId, packet: &PacketId, user: &UserId) -> Result<bool, PacketError> {
        let packet = packet.clone();
        let work = move |tables: &Connection| terms(tables, app, &packet)?.ok_or(PacketError::NoSuchPacket);
        let terms = self.file.database.query(work).await?;
        match &terms.target {
            Target::World => Ok(true),
            Target::User(only) => Ok(only == user),
            Target::Group(group) => match self.groups.membership(app, group, user).await {
                Ok(membership) => Ok(membership.member && terms.is_of(&membership)),
                Err(GroupError::NoSuchGroup) => Ok(false),
                Err(error) => Err(PacketError::Unreachable(error.to_string())),
            },
        }
    }
}

impl Fault for PacketError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        PacketError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, PacketError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for PacketError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(..) => PacketError::Corrupt(error.to_string()),
            error => Self::unreachable(&error),
        }
    }
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, PacketError> {
    serde_json::to_string(value).map_err(|error| PacketError::Corrupt(error.to_string()))
}

fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    UserId::new(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

/// None for an unknown packet and for one that was closed before it was known.
fn terms(tables: &Connection, app: AppId, packet: &PacketId) -> rusqlite::Result<Option<Terms>> {
    tables
        .prepare_cached("SELECT terms FROM packet WHERE app = ?1 AND packet = ?2 AND terms IS NOT NULL")?
        .query_row(params![app, packet.as_str()], |row| {
            serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, error))
        })
        .optional()
}

/// A packet while something is done to it.
struct Found {
    id: i64,
    known: bool,
    total: Cents,
    count: u32,
    expires_ms: u64,
    taken: u32,
    grabbed: Cents,
    refunded: Option<Cents>,
    era: i64,
}

fn find(tables: &Connection, app: AppId, packet: &PacketId) -> rusqlite::Result<Option<Found>> {
    tables
        .prepare_cached(
            "SELECT id, terms IS NOT NULL, total, count, expires_ms, taken, grabbed, refunded, era
             FROM packet WHERE app = ?1 AND packet = ?2",
        )?
        .query_row(params![app, packet.as_str()], |row| {
            Ok(Found {
                id: row.get(0)?,
                known: row.get(1)?,
                total: row.get(2)?,
                count: row.get(3)?,
                expires_ms: row.get(4)?,
                taken: row.get(5)?,
                grabbed: row.get(6)?,
                refunded: row.get(7)?,
                era: row.get(8)?,
            })
        })
        .optional()
}

fn insert(tables: &Connection, terms: &Terms, era: i64, known: bool) -> Result<i64, PacketError> {
    let text = known.then(|| json(terms)).transpose()?;
    tables
        .prepare_cached(
            "INSERT INTO packet(app, packet, terms, total, count, expires_ms, era)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            terms.app,
            terms.packet.as_str(),
            text,
            terms.total,
            terms.count,
            terms.expires_ms,
            era
        ])?;
    Ok(tables.last_insert_rowid())
}

fn open(tables: &Connection, terms: &Terms, era: i64, shares: &[Cents]) -> Result<(), PacketError> {
    if find(tables, terms.app, &terms.packet)?.is_some() {
        return Ok(());
    }
    let id = insert(tables, terms, era, true)?;
    let mut share = tables.prepare_cached("INSERT INTO share(packet, number, amount) VALUES (?1, ?2, ?3)")?;
    for (number, amount) in (1_u32..).zip(shares) {
        share.execute(params![id, number, amount])?;
    }
    Ok(())
}

/// Who grabs.
struct Taker {
    app: AppId,
    packet: PacketId,
    user: UserId,
    /// Whether the packet is for them.
    admitted: bool,
    /// What the file's life is called now.
    era: i64,
}

fn grab(step: &mut Step<'_>, taker: Taker) -> Result<Grab, PacketError> {
    let Taker { app, packet, user, admitted, era } = taker;
    let (tables, now) = (step.connection, step.now_ms);
    let found = find(tables, app, &packet)?.filter(|found| found.known).ok_or(PacketError::NoSuchPacket)?;
    let had = tables
        .prepare_cached("SELECT amount FROM share WHERE packet = ?1 AND user = ?2")?
        .query_row(params![found.id, user.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(amount) = had {
        return Ok(Grab::Already { amount });
    }
    if !admitted {
        return Err(PacketError::NotForYou);
    }
    if found.taken >= found.count {
        return Ok(Grab::Empty);
    }
    if found.refunded.is_some() || now >= found.expires_ms {
        return Ok(Grab::Expired);
    }
    if found.era != era {
        return Err(PacketError::Doubtful);
    }
    let number = found.taken + 1;
    let amount: Cents = tables
        .prepare_cached(
            "UPDATE share SET user = ?3, time_ms = ?4 WHERE packet = ?1 AND number = ?2 AND user IS NULL
             RETURNING amount",
        )?
        .query_row(params![found.id, number, user.as_str(), now], |row| row.get(0))?;
    tables
        .prepare_cached(
            "UPDATE packet SET taken = ?2, grabbed = grabbed + ?3, best = max(best, ?3),
                 luckiest = CASE WHEN ?3 > best THEN ?4 ELSE luckiest END
             WHERE id = ?1",
        )?
        .execute(params![found.id, number, amount, user.as_str()])?;
    let settlement = Settlement { app, packet, kind: Kind::Grab, user, amount, time_ms: now };
    queue(step, &settlement)?;
    Ok(Grab::Won { amount, number, last: number == found.count })
}

fn close(step: &mut Step<'_>, terms: Terms) -> Result<Closed, PacketError> {
    let (tables, now) = (step.connection, step.now_ms);
    let Some(found) = find(tables, terms.app, &terms.packet)? else {
        insert(tables, &terms, 0, false)?;
        return Ok(Closed { now: true, refunded: Cents::ZERO, known: false });
    };
    if let Found { known: false, .. } | Found { refunded: Some(_), .. } = found {
        let refunded = found.refunded.unwrap_or_default();
        return Ok(Closed { now: false, refunded, known: found.known });
    }
    let rest = found.total.checked_sub(found.grabbed).filter(|rest| *rest >= Cents::ZERO);
    let rest = rest.ok_or_else(|| PacketError::Corrupt("more was taken than put in".to_owned()))?;
    tables
        .prepare_cached("UPDATE packet SET refunded = ?2 WHERE id = ?1")?
        .execute(params![found.id, rest])?;
    tables
        .prepare_cached("DELETE FROM share WHERE packet = ?1 AND number > ?2")?
        .execute(params![found.id, found.taken])?;
    if rest.is_positive() {
        let Terms { app, packet, sender, .. } = terms;
        let settlement =
            Settlement { app, packet, kind: Kind::Refund, user: sender, amount: rest, time_ms: now };
        queue(step, &settlement)?;
    }
    Ok(Closed { now: true, refunded: rest, known: true })
}

fn tally(tables: &Connection, app: AppId, packet: &PacketId) -> rusqlite::Result<Tally> {
    tables
        .prepare_cached(
            "SELECT taken, grabbed, refunded, luckiest FROM packet WHERE app = ?1 AND packet = ?2",
        )?
        .query_row(params![app, packet.as_str()], |row| {
            let luckiest = row.get_ref(3)?.as_str_or_null()?.map(|_| user(row, 3)).transpose()?;
            Ok(Tally { grabbed_count: row.get(0)?, grabbed: row.get(1)?, refunded: row.get(2)?, luckiest })
        })
}

fn winners(tables: &Connection, id: i64, after: u32, limit: u32) -> rusqlite::Result<Vec<Winner>> {
    let mut statement = tables.prepare_cached(
        "SELECT number, user, amount, time_ms FROM share
         WHERE packet = ?1 AND number > ?2 AND user IS NOT NULL ORDER BY number LIMIT ?3",
    )?;
    let winners = statement.query_map(params![id, after, limit], |row| {
        Ok(Winner { number: row.get(0)?, user: user(row, 1)?, amount: row.get(2)?, time_ms: row.get(3)? })
    })?;
    winners.collect()
}

#[async_trait]
impl Shares for EmbeddedPackets {
    async fn now_ms(&self) -> Result<u64, PacketError> {
        Ok(self.file.clock.now_ms())
    }

    async fn open(&self, terms: &Terms, shares: &[Cents]) -> Result<(), PacketError> {
        check_shares(terms, shares)?;
        let (terms, shares) = (terms.clone(), shares.to_vec());
        let era = self.file.era;
        self.file.database.change(move |step| open(step.connection, &terms, era, &shares)).await
    }

    async fn grab(&self, app: AppId, packet: &PacketId, user: &UserId) -> Result<Grab, PacketError> {
        let admitted = self.is_for(app, packet, user).await?;
        let (packet, user, era) = (packet.clone(), user.clone(), self.file.era);
        let taker = Taker { app, packet, user, admitted, era };
        self.file.database.change(move |step| grab(step, taker)).await
    }

    async fn close(&self, terms: &Terms) -> Result<Closed, PacketError> {
        let terms = terms.clone();
        self.file.database.change(move |step| close(step, terms)).await
    }

    async fn snapshot(&self, app: AppId, packet: &PacketId) -> Result<Snapshot, PacketError> {
        let (packet, clock) = (packet.clone(), self.file.clock.clone());
        let work = move |tables: &Connection| {
            let terms = terms(tables, app, &packet)?.ok_or(PacketError::NoSuchPacket)?;
            Snapshot::new(terms, tally(tables, app, &packet)?, clock.now_ms())
        };
        self.file.database.query(work).await
    }

    async fn winners(
        &self,
        app: AppId,
        packet: &PacketId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Winner>, PacketError> {
        let packet = packet.clone();
        let work = move |tables: &Connection| {
            let found = find(tables, app, &packet)?.filter(|found| found.known);
            Ok(winners(tables, found.ok_or(PacketError::NoSuchPacket)?.id, after, limit)?)
        };
        self.file.database.query(work).await
    }
}

#[async_trait]
impl Debts for EmbeddedPackets {
    async fn owed(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError> {
        let settlements = settlements.to_vec();
        let work = move |tables: &Connection| settlements.iter().map(|asked| owed(tables, asked)).collect();
        self.file.database.query(work).await
    }

    async fn restore(&self, terms: &Terms, paid: &[Paid]) -> Result<bool, PacketError> {
        let (terms, paid, era) = (terms.clone(), paid.to_vec(), self.file.era);
        self.file.database.change(move |step| restore(step, &terms, &paid, era)).await
    }
}

#[async_trait]
impl Contents for EmbeddedPackets {
    async fn record(&self, app: AppId, packet: &PacketId) -> Result<Record, PacketError> {
        let packet = packet.clone();
        self.file.database.query(move |tables| record::record(tables, app, &packet)).await
    }

    async fn names(&self, app: AppId, after: Option<&str>, limit: u32) -> Result<Names, PacketError> {
        let after = after.unwrap_or_default().to_owned();
        self.file.database.query(move |tables| Ok(record::names(tables, app, &after, limit)?)).await
    }
}
