//! What there is of files, of a node that runs alone, as tables beside the log.
//!
//! Invariant: a file and the bytes that count for its owner and its app are written in one transaction; a group that is
//! dismissed leaves a note in the same transaction, by which its files end.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::Fault;
use super::broker::{Embedded, Step};
use crate::clock::Clock;
use crate::files::{FileError, FileId, Record, Records, Usage};

/// Files of a dismissed group that end in one step.
const SLICE: usize = 500;
/// Under whom the bytes of an app are counted; no user has this name.
const ALL: &str = "";

/// Which files there are, in the file of the log.
pub struct EmbeddedFiles {
    engine: Arc<Embedded>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedFiles {
    /// In the tables of `engine`; files end by this clock.
    #[must_use]
    pub fn new(engine: Arc<Embedded>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, clock }
    }
}

impl Fault for FileError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        FileError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, FileError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for FileError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

fn read(text: &str) -> Result<Record, FileError> {
    serde_json::from_str(text).map_err(|error| FileError::Corrupt(format!("a file: {error}")))
}

fn held(tables: &Connection, app: AppId, owner: &str) -> rusqlite::Result<u64> {
    tables
        .prepare_cached("SELECT bytes FROM file_usage WHERE app = ?1 AND owner = ?2")?
        .query_row(params![app, owner], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

fn usage(tables: &Connection, app: AppId, user: &str) -> rusqlite::Result<Usage> {
    Ok(Usage { user: held(tables, app, user)?, app: held(tables, app, ALL)? })
}

/// The bytes of an owner and of the app, more or less by so many.
fn count(tables: &Connection, app: AppId, owner: &str, bytes: i64) -> rusqlite::Result<()> {
    for owner in [owner, ALL] {
        tables
            .prepare_cached(
                "INSERT INTO file_usage(app, owner, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET bytes = bytes + ?3",
            )?
            .execute(params![app, owner, bytes])?;
        tables
            .prepare_cached("DELETE FROM file_usage WHERE app = ?1 AND owner = ?2 AND bytes = 0")?
            .execute(params![app, owner])?;
    }
    Ok(())
}

fn add(
    tables: &Connection,
    (app, id): (AppId, &FileId),
    record: &Record,
    ends_ms: u64,
    most: Usage,
) -> Result<(), FileError> {
    let known = "SELECT 1 FROM file WHERE app = ?1 AND id = ?2";
    if tables.prepare_cached(known)?.exists(params![app, id.as_str()])? {
        return Ok(());
    }
    let (owner, bytes) = (record.owner.as_str(), record.kept_bytes());
    usage(tables, app, owner)?.check(bytes, most)?;
    let text = serde_json::to_string(record).map_err(|error| FileError::Corrupt(error.to_string()))?;
    let incarnation = record.incarnation.as_deref().unwrap_or_default();
    tables
        .prepare_cached(
            "INSERT INTO file(app, id, place, incarnation, owner, bytes, ends, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![app, id.as_str(), record.place, incarnation, owner, bytes, ends_ms, text])?;
    Ok(count(tables, app, owner, i64::try_from(bytes).unwrap_or(i64::MAX))?)
}

fn find(tables: &Connection, app: AppId, id: &FileId, now_ms: u64) -> Result<Option<Record>, FileError> {
    let text: Option<String> = tables
        .prepare_cached(
            "SELECT record FROM file WHERE app = ?1 AND id = ?2 AND (ends IS NULL OR ends > ?3)
             AND NOT EXISTS (SELECT 1 FROM file_over AS o
                             WHERE o.app = file.app AND o.place = file.place AND o.incarnation = file.incarnation)",
        )?
        .query_row(params![app, id.as_str(), now_ms], |row| row.get(0))
        .optional()?;
    text.map(|text| read(&text)).transpose()
}

fn due(tables: &Connection, now_ms: u64, limit: usize) -> Result<Vec<(AppId, FileId)>, FileError> {
    let mut statement = tables.prepare_cached("SELECT app, id FROM file WHERE ends <= ?1 LIMIT ?2")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![now_ms, limit], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (app, id) = row?;
        let id = FileId::parse(&id).ok_or_else(|| FileError::Corrupt(format!("the id {id:?}")))?;
        found.push((app, id));
    }
    Ok(found)
}

/// Files of a group that was dismissed end, a few at a time. False: there are no more of it.
fn end_some(tables: &Connection) -> rusqlite::Result<()> {
    let ended = tables
        .prepare_cached(
            "UPDATE file SET ends = 0 WHERE (app, id) IN
             (SELECT f.app, f.id FROM file AS f JOIN file_over AS o USING (app, place, incarnation)
              WHERE f.ends IS NOT 0 LIMIT ?1)",
        )?
        .execute([SLICE])?;
    if ended < SLICE {
        tables.prepare_cached("DELETE FROM file_over")?.execute([])?;
    }
    Ok(())
}

/// Leaves a note that a group is being dismissed, by which its files end.
pub(super) fn over(tables: &Connection, log: i64) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT OR IGNORE INTO file_over(app, place, incarnation)
             SELECT app, 'group' || char(10) || group_id, incarnation FROM chat_group WHERE conversation = ?1",
        )?
        .execute([log])
        .map(drop)
}

fn forget(tables: &Connection, app: AppId, id: &FileId) -> rusqlite::Result<()> {
    let gone: Option<(String, i64)> = tables
        .prepare_cached("DELETE FROM file WHERE app = ?1 AND id = ?2 RETURNING owner, bytes")?
        .query_row(params![app, id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match gone {
        Some((owner, bytes)) => count(tables, app, &owner, -bytes),
        None => Ok(()),
    }
}

#[async_trait]
impl Records for EmbeddedFiles {
    async fn add(
        &self,
        app: AppId,
        id: &FileId,
        record: &Record,
        ends_ms: u64,
        most: Usage,
    ) -> Result<(), FileError> {
        let (id, record) = (id.clone(), record.clone());
        let work = move |step: &mut Step<'_>| add(step.connection, (app, &id), &record, ends_ms, most);
        self.engine.change(work).await
    }

    async fn usage(&self, app: AppId, user: &UserId) -> Result<Usage, FileError> {
        let user = user.clone();
        self.engine.look(move |tables: &Connection| Ok(usage(tables, app, user.as_str())?)).await
    }

    async fn find(&self, app: AppId, id: &FileId) -> Result<Option<Record>, FileError> {
        let (id, now_ms) = (id.clone(), self.clock.now_ms());
        self.engine.look(move |tables: &Connection| find(tables, app, &id, now_ms)).await
    }

    async fn keep(&self, app: AppId, id: &FileId, ends_ms: Option<u64>) -> Result<bool, FileError> {
        let (id, now_ms) = (id.clone(), self.clock.now_ms());
        let work = move |step: &mut Step<'_>| {
            if find(step.connection, app, &id, now_ms)?.is_none() {
                return Ok(false);
            }
            step.connection
                .prepare_cached("UPDATE file SET ends = ?3 WHERE app = ?1 AND id = ?2")?
                .execute(params![app, id.as_str(), ends_ms])?;
            Ok(true)
        };
        self.engine.change(work).await
    }

    async fn end(&self, app: AppId, id: &FileId) -> Result<(), FileError> {
        let id = id.clone();
        let work = move |step: &mut Step<'_>| {
            step.connection
                .prepare_cached("UPDATE file SET ends = 0 WHERE app = ?1 AND id = ?2")?
                .execute(params![app, id.as_str()])?;
            Ok(())
        };
        self.engine.change(work).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<(AppId, FileId)>, FileError> {
        let now_ms = self.clock.now_ms();
        let noted = |tables: &Connection| {
            let noted = tables.prepare_cached("SELECT 1 FROM file_over")?.exists([])?;
            Ok::<_, FileError>(noted)
        };
        if self.engine.query(noted).await? {
            self.engine.change(|step: &mut Step<'_>| Ok::<_, FileError>(end_some(step.connection)?)).await?;
        }
        self.engine.query(move |tables: &Connection| due(tables, now_ms, limit)).await
    }

    async fn forget(&self, app: AppId, id: &FileId) -> Result<(), FileError> {
        let id = id.clone();
        self.engine.change(move |step: &mut Step<'_>| Ok(forget(step.connection, app, &id)?)).await
    }

    async fn secret(&self) -> Result<String, FileError> {
        let read = |tables: &Connection| {
            let mut statement = tables.prepare_cached("SELECT secret FROM file_secret")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        };
        self.engine.query(read).await
    }
}
