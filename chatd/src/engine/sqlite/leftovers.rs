//! What lies under a log that is no more: removed a part at a time, so that others write between two parts.
//!
//! Invariant: nothing finds the log by its name any more. Its row goes with the last of what lies under it, so that no
//! other log is given its number before.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::Visitor;
use super::broker::{LogScope, Step};
use crate::broker::BrokerError;

/// Rows of one table removed in one step at most: some milliseconds of the writer's time.
const SLICE: usize = 500;

/// How long a removal that failed waits for the next try.
const PAUSE: Duration = Duration::from_secs(10);

/// Ends a log with its members, with all that was said in it, and with how far it was read: a small one at once.
pub(crate) fn delete(step: &Step<'_>, log: i64) -> rusqlite::Result<()> {
    let tables = step.connection;
    if remove_some(tables, log)? {
        return Ok(());
    }
    tables
        .prepare_cached("UPDATE conversation SET name = 'ended' || char(10) || id WHERE id = ?1")?
        .execute([log])?;
    tables.prepare_cached("INSERT INTO ended(log) VALUES (?1)")?.execute([log])?;
    // When it is full the remover is told already.
    let _ = step.scope.ended.try_send(());
    Ok(())
}

/// True: nothing of the log is left.
fn remove_some(tables: &Connection, log: i64) -> rusqlite::Result<bool> {
    let mut is_whole = true;
    for sql in [
        "DELETE FROM member WHERE conversation = ?1
         AND user IN (SELECT user FROM member WHERE conversation = ?1 LIMIT ?2)",
        "DELETE FROM read_state WHERE conversation = ?1
         AND user IN (SELECT user FROM read_state WHERE conversation = ?1 LIMIT ?2)",
        "DELETE FROM entry WHERE conversation = ?1
         AND offset IN (SELECT offset FROM entry WHERE conversation = ?1 LIMIT ?2)",
    ] {
        is_whole &= tables.prepare_cached(sql)?.execute(params![log, SLICE])? < SLICE;
    }
    if is_whole {
        for sql in ["DELETE FROM ended WHERE log = ?1", "DELETE FROM conversation WHERE id = ?1"] {
            tables.prepare_cached(sql)?.execute([log])?;
        }
    }
    Ok(is_whole)
}

/// Removes a part of what any log left behind; tells whether there was one.
fn step(step: &mut Step<'_>) -> Result<bool, BrokerError> {
    let first = step
        .connection
        .prepare_cached("SELECT log FROM ended LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if let Some(log) = first {
        remove_some(step.connection, log)?;
    }
    Ok(first.is_some())
}

/// Removes what was left behind in an earlier life too, until the engine has gone. It does not hold the engine, whose
/// end gives the files to the next node.
pub(super) async fn remove(database: Visitor<LogScope>, mut ended: mpsc::Receiver<()>) {
    loop {
        loop {
            match database.change(step).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => match tokio::time::timeout(PAUSE, ended.recv()).await {
                    Ok(None) => return,
                    // What lies there counts for nothing all the same, but takes room.
                    _ => tracing::warn!(%error, "what lies under a log that has ended could not be removed"),
                },
            }
        }
        if ended.recv().await.is_none() {
            return;
        }
    }
}
