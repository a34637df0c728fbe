//! The SQLite tables of the embedded log, and the statements on them.
//!
//! Invariant: `conversation.head` is the greatest offset ever given, and the offsets of its entries end there
//! without a gap.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{MsgId, UserId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::Sync;
use crate::broker::{Conversation, Entry, Outgoing, Page, REPEAT_WINDOW_MS, Range, Receipt, Retention};

/// Old entries go in steps of this many, so that most appends delete nothing.
const TRIM_STEP: u64 = 64;
/// Message ids forgotten in one transaction at most.
const FORGET_STEP: u32 = 1000;
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE conversation(
        id INTEGER PRIMARY KEY, app INTEGER NOT NULL, name TEXT NOT NULL, epoch TEXT NOT NULL,
        head INTEGER NOT NULL, time INTEGER NOT NULL, UNIQUE(app, name)) STRICT;
    CREATE TABLE entry(
        conversation INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER NOT NULL, msg_id TEXT NOT NULL,
        members BLOB NOT NULL, PRIMARY KEY(conversation, offset)) STRICT, WITHOUT ROWID;
    CREATE TABLE sent(
        app INTEGER NOT NULL, sender TEXT NOT NULL, msg_id TEXT NOT NULL, offset INTEGER NOT NULL,
        epoch TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY(app, sender, msg_id)) STRICT, WITHOUT ROWID;
    CREATE INDEX sent_by_time ON sent(time);
    PRAGMA user_version = 1;";

/// One connection to the tables.
pub struct Store {
    connection: Connection,
    /// Messages since expired message ids were last forgotten.
    since_forgotten: u64,
}

struct Head {
    id: i64,
    epoch: Arc<str>,
    offset: u64,
    time: u64,
}

impl Store {
    /// New tables in memory.
    pub fn memory() -> rusqlite::Result<Self> {
        Self::prepare(Connection::open_in_memory()?)
    }

    /// The tables in a file, created when missing, for writing.
    pub fn file(file: &Path, sync: Sync) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match sync {
            Sync::Normal => "NORMAL",
            Sync::Full => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        Self::prepare(connection)
    }

    /// The tables in a file, for reading beside the writer.
    pub fn reader(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { connection, since_forgotten: 0 })
    }

    fn prepare(connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?,
            SCHEMA_VERSION => {}
            newer => {
                let text = format!("the file has schema version {newer}, this chatd knows {SCHEMA_VERSION}");
                return Err(rusqlite::Error::InvalidParameterName(text));
            }
        }
        Ok(Self { connection, since_forgotten: 0 })
    }

    /// Appends in one transaction: all or, on an error, none.
    pub fn append_all(
        &mut self,
        messages: &[Outgoing],
        retention: Retention,
        now_ms: u64,
    ) -> rusqlite::Result<Vec<Receipt>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let receipts =
            messages.iter().map(|m| append(&transaction, m, retention, now_ms)).collect::<Result<_, _>>()?;
        let since_forgotten = self.since_forgotten + messages.len() as u64;
        let is_time = since_forgotten >= TRIM_STEP;
        if is_time {
            forget(&transaction, now_ms)?;
        }
        transaction.commit()?;
        self.since_forgotten = if is_time { 0 } else { since_forgotten };
        Ok(receipts)
    }

    /// Reads part of a log.
    pub fn read(
        &mut self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> rusqlite::Result<Page> {
        // One transaction, so that head and entries are of the same moment.
        let transaction = self.connection.transaction()?;
        let Some(head) = head(&transaction, conversation)? else {
            return Ok(Page { epoch: "".into(), head: 0, entries: Vec::new() });
        };
        let (sql, bound) = match range {
            Range::After(offset) => (
                "SELECT offset, time, msg_id, members FROM entry
                 WHERE conversation = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3",
                offset,
            ),
            Range::Before(offset) => (
                "SELECT offset, time, msg_id, members FROM entry
                 WHERE conversation = ?1 AND offset < ?2 ORDER BY offset DESC LIMIT ?3",
                offset,
            ),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bound = i64::try_from(bound).unwrap_or(i64::MAX);
        let mut statement = transaction.prepare_cached(sql)?;
        let rows = statement.query_map(params![head.id, bound, limit], |row| {
            let msg_id = row.get_ref(2)?.as_str()?;
            let msg_id = MsgId::new(msg_id).map_err(|_| rusqlite::Error::InvalidQuery)?;
            Ok(Entry {
                offset: row.get(0)?,
                epoch: head.epoch.clone(),
                time: row.get(1)?,
                msg_id,
                members: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
            })
        })?;
        let mut entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        if matches!(range, Range::Before(_)) {
            entries.reverse();
        }
        Ok(Page { epoch: head.epoch, head: head.offset, entries })
    }
}

fn append(
    transaction: &Transaction<'_>,
    message: &Outgoing,
    retention: Retention,
    now_ms: u64,
) -> rusqlite::Result<Receipt> {
    if message.repeatable
        && let Some(first) = sent_before(transaction, message, now_ms)?
    {
        return Ok(first);
    }
    let head = match head(transaction, &message.conversation)? {
        Some(head) => head,
        None => create(transaction, &message.conversation)?,
    };
    let (offset, time) = (head.offset + 1, now_ms.max(head.time));
    transaction
        .prepare_cached(
            "INSERT INTO entry(conversation, offset, time, msg_id, members) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![head.id, offset, time, message.msg_id.as_str(), &message.members[..]])?;
    transaction
        .prepare_cached("UPDATE conversation SET head = ?2, time = ?3 WHERE id = ?1")?
        .execute(params![head.id, offset, time])?;
    if offset.is_multiple_of(TRIM_STEP) {
        transaction
            .prepare_cached("DELETE FROM entry WHERE conversation = ?1 AND offset <= ?2")?
            .execute(params![head.id, offset.saturating_sub(retention.max_messages)])?;
    }
    if message.repeatable {
        remember(transaction, message, offset, &head.epoch, time)?;
    }
    Ok(Receipt { offset, epoch: head.epoch, time, duplicate: false })
}

fn head(transaction: &Transaction<'_>, conversation: &Conversation) -> rusqlite::Result<Option<Head>> {
    transaction
        .prepare_cached("SELECT id, epoch, head, time FROM conversation WHERE app = ?1 AND name = ?2")?
        .query_row(params![conversation.app(), name(conversation)], |row| {
            let epoch = row.get_ref(1)?.as_str()?.into();
            Ok(Head { id: row.get(0)?, epoch, offset: row.get(2)?, time: row.get(3)? })
        })
        .optional()
}

fn create(transaction: &Transaction<'_>, conversation: &Conversation) -> rusqlite::Result<Head> {
    let epoch = super::super::new_epoch();
    transaction
        .prepare_cached("INSERT INTO conversation(app, name, epoch, head, time) VALUES (?1, ?2, ?3, 0, 0)")?
        .execute(params![conversation.app(), name(conversation), &*epoch])?;
    Ok(Head { id: transaction.last_insert_rowid(), epoch, offset: 0, time: 0 })
}

/// Ids hold no control characters, so a line feed separates them without doubt.
fn name(conversation: &Conversation) -> String {
    match conversation {
        Conversation::World(_) => "world".to_owned(),
        Conversation::Group(_, group) => format!("group\n{group}"),
        Conversation::Pair(_, a, b) => format!("pair\n{a}\n{b}"),
    }
}

fn sent_before(
    transaction: &Transaction<'_>,
    message: &Outgoing,
    now_ms: u64,
) -> rusqlite::Result<Option<Receipt>> {
    let (app, sender): (_, &UserId) = (message.conversation.app(), &message.sender);
    transaction
        .prepare_cached(
            "SELECT offset, epoch, time FROM sent WHERE app = ?1 AND sender = ?2 AND msg_id = ?3 AND time > ?4",
        )?
        .query_row(
            params![app, sender.as_str(), message.msg_id.as_str(), now_ms.saturating_sub(REPEAT_WINDOW_MS)],
            |row| {
                let epoch = row.get_ref(1)?.as_str()?.into();
                Ok(Receipt { offset: row.get(0)?, epoch, time: row.get(2)?, duplicate: true })
            },
        )
        .optional()
}

fn remember(
    transaction: &Transaction<'_>,
    message: &Outgoing,
    offset: u64,
    epoch: &str,
    time: u64,
) -> rusqlite::Result<()> {
    let app = message.conversation.app();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO sent(app, sender, msg_id, offset, epoch, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![app, message.sender.as_str(), message.msg_id.as_str(), offset, epoch, time])?;
    Ok(())
}

/// Forgets message ids that cannot be repeated any more, whichever conversation they belong to.
fn forget(transaction: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<()> {
    let expired = now_ms.saturating_sub(REPEAT_WINDOW_MS);
    transaction
        .prepare_cached(
            "DELETE FROM sent WHERE (app, sender, msg_id) IN
             (SELECT app, sender, msg_id FROM sent WHERE time <= ?1 ORDER BY time LIMIT ?2)",
        )?
        .execute(params![expired, FORGET_STEP])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Skip;

    #[test]
    fn message_ids_of_short_conversations_are_forgotten_too() {
        let mut store = Store::memory().unwrap();
        let sender = UserId::new("a").unwrap();
        let mut send = |day: u64, number: u64| {
            let other = UserId::new(&format!("b{day}-{number}")).unwrap();
            let message = Outgoing {
                conversation: Conversation::Pair(1, sender.clone(), other.clone()),
                sender: sender.clone(),
                msg_id: MsgId::new(other.as_str()).unwrap(),
                repeatable: true,
                members: Bytes::from_static(b"\"msg\":\"x\""),
                skip: Skip::Nobody,
            };
            let retention = Retention { max_messages: 10 };
            store.append_all(&[message], retention, day * 2 * REPEAT_WINDOW_MS).unwrap();
        };
        (0..100).for_each(|number| send(1, number));
        (0..100).for_each(|number| send(2, number));
        let count = |row: &rusqlite::Row<'_>| row.get::<_, u64>(0);
        let kept = store.connection.query_row("SELECT count(*) FROM sent", [], count).unwrap();
        assert_eq!(kept, 100, "of the last day only");
    }
}
