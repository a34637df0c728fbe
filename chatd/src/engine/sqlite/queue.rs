//! The outbox of a node that runs alone, as tables of the money file.
//!
//! Invariant: a settlement is a row of the outbox until it is done or buried. Who has received it is remembered in
//! memory only: what a receiver had is everyone's again when the receiver, or the process, ends.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{AppId, PacketId, UserId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use tokio::time::Instant;

use super::Fault;
use super::money_file::{MoneyFile, Step};
use crate::money::settlement::{
    Backlog, Dead, DeadLetters, Deliveries, Delivery, Depth, LATER, QueueError, Settlement, Tag,
};

/// How long a receiver waits for something to come.
const WAIT: Duration = Duration::from_millis(500);

/// A receiver.
pub struct EmbeddedQueue {
    file: Arc<MoneyFile>,
    receiver: u64,
}

impl EmbeddedQueue {
    /// Of what the packets of `file` queue.
    #[must_use]
    pub fn new(file: Arc<MoneyFile>) -> Self {
        Self { file, receiver: rand::random() }
    }

    async fn take(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let (file, receiver) = (self.file.clone(), self.receiver);
        let work = move |tables: &Connection| {
            // Held before the rows are read: of what another receiver has done meanwhile, either the row is gone or
            // it is still theirs.
            let mut held = file.held.lock();
            let rows = oldest(tables, max.saturating_add(held.len()))?;
            let (mut new, mut due) = (Vec::new(), Vec::new());
            for row in rows {
                match held.get(&row.id) {
                    None => new.push(row),
                    Some(Hold::Until(end)) if *end <= Instant::now() => due.push(row),
                    Some(_) => {}
                }
            }
            // What had to wait, and may have to again, leaves half of the room to what is new.
            due.truncate((max / 2).max(max.saturating_sub(new.len())));
            new.truncate(max - due.len());
            due.append(&mut new);
            held.extend(due.iter().map(|row| (row.id, Hold::By(receiver))));
            Ok::<_, QueueError>(Taken { file: file.clone(), rows: due })
        };
        Ok(self.file.database.query(work).await?.deliveries())
    }

    /// Whatever becomes of the rows, this receiver has them no more.
    fn release(&self, ids: &[i64]) {
        let mut held = self.file.held.lock();
        for id in ids {
            if held.get(id) == Some(&Hold::By(self.receiver)) {
                held.remove(id);
            }
        }
    }
}

/// Why a settlement of the outbox is nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// This receiver has it.
    By(u64),
    /// It could not be applied, and waits until then.
    Until(Instant),
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        self.file.held.lock().retain(|_, hold| *hold != Hold::By(self.receiver));
        self.file.queued.notify_waiters();
    }
}

impl Fault for QueueError {
    fn unreachable(reason: &dyn Display) -> Self {
        QueueError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, QueueError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

struct Queued {
    id: i64,
    app: AppId,
    body: Bytes,
}

/// Rows that are on their way to a receiver. One that gave up before they came has not had them.
struct Taken {
    file: Arc<MoneyFile>,
    rows: Vec<Queued>,
}

impl Taken {
    fn deliveries(mut self) -> Vec<Delivery> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        let delivery =
            |Queued { id, app, body }| Delivery { tag: Tag { lane: app.into(), id: id.to_string() }, body };
        rows.map(delivery).collect()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.rows.is_empty() {
            let mut held = self.file.held.lock();
            for row in &self.rows {
                held.remove(&row.id);
            }
        }
    }
}

/// Columns of the outbox, and of the dead letters, that have what was put in.
const PUT_IN: &str = "app, body, packet, kind, user, amount, time_ms";

/// Puts a settlement into the outbox, in the transaction of what it settles.
pub(super) fn queue(step: &mut Step<'_>, settlement: &Settlement) -> rusqlite::Result<()> {
    let Settlement { app, packet, kind, user, amount, time_ms } = settlement;
    let sql = format!("INSERT INTO outbox({PUT_IN}) VALUES (?1, x'', ?2, ?3, ?4, ?5, ?6)");
    let values = params![app, packet.as_str(), kind.as_str(), user.as_str(), amount, time_ms];
    step.connection.prepare_cached(&sql)?.execute(values)?;
    step.publish(());
    Ok(())
}

/// What was put in, as the port has it, of a row that has [`PUT_IN`] from the column `first` on. A row without parts
/// has the body that an earlier chatd wrote, or something that is no settlement; so has one whose parts are none.
fn body(row: &Row<'_>, first: usize) -> rusqlite::Result<Bytes> {
    if let ValueRef::Null = row.get_ref(first + 5)? {
        return row.get::<_, Vec<u8>>(first + 1).map(Bytes::from);
    }
    Ok(settlement(row, first).map(|settlement| settlement.to_json()).unwrap_or_default())
}

fn settlement(row: &Row<'_>, first: usize) -> Option<Settlement> {
    let text = |column| row.get_ref(first + column).ok()?.as_str().ok();
    Some(Settlement {
        app: row.get(first).ok()?,
        packet: PacketId::new(text(2)?).ok()?,
        kind: text(3)?.parse().ok()?,
        user: UserId::new(text(4)?).ok()?,
        amount: row.get(first + 5).ok()?,
        time_ms: row.get(first + 6).ok()?,
    })
}

fn oldest(tables: &Connection, limit: usize) -> rusqlite::Result<Vec<Queued>> {
    let sql = format!("SELECT id, {PUT_IN} FROM outbox ORDER BY id LIMIT ?1");
    let mut statement = tables.prepare_cached(&sql)?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Queued { id: row.get(0)?, app: row.get(1)?, body: body(row, 1)? })
    })?;
    rows.collect()
}

fn dead(row: &Row<'_>) -> rusqlite::Result<Dead> {
    Ok(Dead { id: row.get::<_, i64>(0)?.to_string(), reason: row.get(1)?, body: body(row, 2)? })
}

/// A name that no row can have is no error: there is nothing of that name.
fn ids<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<i64> {
    names.into_iter().filter_map(|name| name.parse().ok()).collect()
}

#[async_trait]
impl Deliveries for EmbeddedQueue {
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let mut queued = pin!(self.file.queued.notified());
        // What comes after the look is not missed.
        queued.as_mut().enable();
        let taken = self.take(max).await?;
        if !taken.is_empty() || tokio::time::timeout(WAIT, queued).await.is_err() {
            return Ok(taken);
        }
        self.take(max).await
    }

    async fn done(&self, tags: &[Tag]) -> Result<(), QueueError> {
        let ids = ids(tags.iter().map(|tag| tag.id.as_str()));
        let rows = ids.clone();
        let work = move |step: &mut Step<'_>| {
            let mut delete = step.connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
            for id in rows {
                delete.execute([id])?;
            }
            Ok(())
        };
        let done = self.file.database.change(work).await;
        self.release(&ids);
        done
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let ids = ids([delivery.tag.id.as_str()]);
        let (rows, reason) = (ids.clone(), reason.to_owned());
        let work = move |step: &mut Step<'_>| {
            let put = format!(
                "INSERT INTO dead_letter(reason, {PUT_IN}) SELECT ?2, {PUT_IN} FROM outbox WHERE id = ?1"
            );
            for id in rows {
                step.connection.prepare_cached(&put)?.execute(params![id, reason])?;
                step.connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            }
            Ok(())
        };
        let buried = self.file.database.change(work).await;
        self.release(&ids);
        buried
    }

    async fn later(&self, deliveries: &[Delivery]) -> Result<(), QueueError> {
        let (mut held, end) = (self.file.held.lock(), Instant::now() + LATER);
        for id in ids(deliveries.iter().map(|delivery| delivery.tag.id.as_str())) {
            if let Some(hold) = held.get_mut(&id).filter(|hold| **hold == Hold::By(self.receiver)) {
                *hold = Hold::Until(end);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Backlog for EmbeddedQueue {
    async fn waiting(
        &self,
        app: AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<(String, Bytes)>>, QueueError> {
        let after: i64 = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        let work = move |tables: &Connection| {
            let sql =
                format!("SELECT id, {PUT_IN} FROM outbox WHERE app = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = tables.prepare_cached(&sql)?;
            let rows = statement.query_map(params![app, after, limit], |row| {
                Ok((row.get::<_, i64>(0)?.to_string(), body(row, 1)?))
            })?;
            Ok(Some(rows.collect::<rusqlite::Result<_>>()?))
        };
        self.file.database.query(work).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let work = |tables: &Connection| {
            let sql = "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM dead_letter)";
            let depth = tables
                .prepare_cached(sql)?
                .query_row([], |row| Ok(Depth { waiting: row.get(0)?, dead: row.get(1)? }))?;
            Ok(depth)
        };
        self.file.database.query(work).await
    }

    async fn oldest_ms(&self) -> Result<Option<u64>, QueueError> {
        let oldest = self.file.database.query(|tables| Ok::<_, QueueError>(oldest(tables, 1)?)).await?;
        let settlement = oldest.first().and_then(|row| serde_json::from_slice::<Settlement>(&row.body).ok());
        let now_ms = self.file.clock.now_ms();
        Ok(settlement.map(|settlement| now_ms.saturating_sub(settlement.time_ms)))
    }
}

#[async_trait]
impl DeadLetters for EmbeddedQueue {
    async fn dead(&self, app: AppId, limit: usize) -> Result<Vec<Dead>, QueueError> {
        let work = move |tables: &Connection| {
            let sql =
                format!("SELECT id, reason, {PUT_IN} FROM dead_letter WHERE app = ?1 ORDER BY id LIMIT ?2");
            let mut statement = tables.prepare_cached(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![app, limit], dead)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        self.file.database.query(work).await
    }

    async fn letters(&self, app: AppId, id: &str) -> Result<Vec<Dead>, QueueError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(Vec::new()) };
        let work = move |tables: &Connection| {
            let sql = format!("SELECT id, reason, {PUT_IN} FROM dead_letter WHERE app = ?1 AND id = ?2");
            let mut statement = tables.prepare_cached(&sql)?;
            let rows = statement.query_map(params![app, id], dead)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        self.file.database.query(work).await
    }

    async fn discard(&self, app: AppId, id: &str) -> Result<u64, QueueError> {
        let Ok(id) = id.parse::<i64>() else { return Ok(0) };
        let work = move |step: &mut Step<'_>| {
            let sql = "DELETE FROM dead_letter WHERE app = ?1 AND id = ?2";
            Ok(step.connection.prepare_cached(sql)?.execute(params![app, id])? as u64)
        };
        self.file.database.change(work).await
    }

    async fn replay(&self, app: AppId, id: Option<&str>) -> Result<u64, QueueError> {
        let only = id.map(|id| id.parse::<i64>());
        let Ok(only) = only.transpose() else { return Ok(0) };
        let work = move |step: &mut Step<'_>| {
            let (tables, chosen) = (step.connection, "WHERE app = ?1 AND (?2 IS NULL OR id = ?2)");
            let queue =
                format!("INSERT INTO outbox({PUT_IN}) SELECT {PUT_IN} FROM dead_letter {chosen} ORDER BY id");
            let replayed = tables.prepare_cached(&queue)?.execute(params![app, only])?;
            tables
                .prepare_cached(&format!("DELETE FROM dead_letter {chosen}"))?
                .execute(params![app, only])?;
            step.publish(());
            Ok(replayed as u64)
        };
        self.file.database.change(work).await
    }
}
