//! The statements on logs: entries that tell of changes, trimming and reading. [`super::append`] has the messages.
//!
//! Invariant: `conversation.head` is the greatest offset ever given, and the offsets of its entries end there
//! without a gap.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{AppId, GroupId, MsgId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::broker::Step;
use super::{conversations, pairs};
use crate::broker::{Event, Outgoing, Page, Range, Receipt, Retention};
use crate::model::{Conversation, Effect, Entry, Skip, epoch::forked, new_epoch};

/// Old entries go in steps of this many, so that most appends delete nothing.
pub const TRIM_STEP: u64 = 64;
/// Old entries removed with one append, about: some milliseconds of the writer's time.
const TRIM_SLICE: u64 = 500;

/// A log without its entries.
pub(crate) struct Head {
    /// Its row.
    pub id: i64,
    /// Which history its offsets belong to.
    pub epoch: Arc<str>,
    /// Offset of the newest entry; 0 when nothing was said.
    pub offset: u64,
    /// Time of the newest entry, Unix milliseconds; 0 when nothing was said.
    pub time: u64,
}

/// Which entry.
#[derive(Clone, Copy)]
pub(crate) struct EntryKey {
    /// The row of its log.
    pub log: i64,
    /// Its number in the log.
    pub offset: u64,
}

/// Appends and publishes an entry that chatd makes itself, whoever its sender is.
pub(crate) fn put(step: &mut Step<'_>, message: Outgoing, effect: Effect) -> rusqlite::Result<Receipt> {
    step.scope.logs.borrow_mut().forget(&message.conversation);
    let head = match head(step.connection, &message.conversation)? {
        Some(head) => head,
        None => create(step, &message.conversation)?,
    };
    let (offset, time) = (head.offset + 1, step.now_ms.max(head.time));
    let receipt = Receipt { offset, epoch: head.epoch.clone(), time, duplicate: false };
    insert(step.connection, head.id, &message, &receipt, &effect)?;
    pairs::note(step.connection, &message.conversation, head.id, time)?;
    conversations::sent(step.connection, head.id, &message.sender, offset)?;
    let newest = EntryKey { log: head.id, offset };
    trim(step.connection, newest, &mut 0, &step.scope.retention, step.now_ms)?;
    let topics = message.conversation.topics();
    let Outgoing { conversation, msg_id, members, skip, .. } = message;
    let entry = Entry { offset, epoch: head.epoch, time, msg_id, members, skip, effect };
    step.publish((topics, Event::Message { conversation, entry }));
    Ok(receipt)
}

/// Writes an entry and moves the end of its log to it.
pub(crate) fn insert(
    tables: &Connection,
    log: i64,
    message: &Outgoing,
    receipt: &Receipt,
    effect: &Effect,
) -> rusqlite::Result<()> {
    let skip = (message.skip != Skip::Nobody).then(|| message.skip.to_string());
    let (joined, gone) = match effect {
        Effect::Joined(user) => (Some(user.as_str()), None),
        Effect::Left(user) => (None, Some(user.as_str())),
        // Nobody reads that the group is no more: the log goes with it.
        Effect::None | Effect::Dismissed => (None, None),
    };
    let Receipt { offset, time, .. } = receipt;
    tables
        .prepare_cached(
            "INSERT INTO entry(conversation, offset, time, msg_id, members, skip, joined, gone)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            log,
            offset,
            time,
            message.msg_id.as_str(),
            &message.members[..],
            skip,
            joined,
            gone
        ])?;
    tables
        .prepare_cached("UPDATE conversation SET head = ?2, time = ?3 WHERE id = ?1")?
        .execute(params![log, offset, time])?;
    Ok(())
}

/// Removes what is not kept any more; when that is much, as in a log that was silent for long, a part with each append.
/// Nobody reads what is too old meanwhile. `newest` is where the log ends; no entry is from before `oldest`.
pub(crate) fn trim(
    connection: &Connection,
    newest: EntryKey,
    oldest: &mut u64,
    retention: &Retention,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let EntryKey { log, offset: head } = newest;
    if head.is_multiple_of(TRIM_STEP) {
        connection
            .prepare_cached(
                "DELETE FROM entry WHERE conversation = ?1 AND offset <=
                 min(?2, (SELECT min(offset) + ?3 FROM entry WHERE conversation = ?1))",
            )?
            .execute(params![log, head.saturating_sub(retention.max_messages), TRIM_SLICE])?;
    }
    if *oldest < retention.since(now_ms) {
        // Times rise with offsets: the search stops at the first entry that stays.
        connection
            .prepare_cached(
                "DELETE FROM entry WHERE conversation = ?1 AND offset <
                 (SELECT offset FROM entry WHERE conversation = ?1 AND (time >= ?2 OR offset >=
                     (SELECT min(offset) + ?3 FROM entry WHERE conversation = ?1)) ORDER BY offset LIMIT 1)",
            )?
            .execute(params![log, retention.since(now_ms), TRIM_SLICE])?;
        *oldest = self::oldest(connection, log)?.unwrap_or(now_ms);
    }
    Ok(())
}

/// The time of the oldest entry that a log has.
pub(crate) fn oldest(tables: &Connection, log: i64) -> rusqlite::Result<Option<u64>> {
    tables
        .prepare_cached("SELECT time FROM entry WHERE conversation = ?1 ORDER BY offset LIMIT 1")?
        .query_row([log], |row| row.get(0))
        .optional()
}

/// Reads part of a log, nothing from before `since`.
pub(crate) fn read(
    connection: &Connection,
    conversation: &Conversation,
    range: Range,
    limit: usize,
    since: u64,
) -> rusqlite::Result<Page> {
    let Some(head) = head(connection, conversation)? else {
        return Ok(Page { epoch: "".into(), head: 0, entries: Vec::new() });
    };
    let (sql, bound) = match range {
        Range::After(offset) => (
            "SELECT offset, time, msg_id, members, skip, joined, gone FROM entry
             WHERE conversation = ?1 AND offset > ?2 AND time >= ?4 ORDER BY offset LIMIT ?3",
            offset,
        ),
        Range::Before(offset) => (
            "SELECT offset, time, msg_id, members, skip, joined, gone FROM entry
             WHERE conversation = ?1 AND offset < ?2 AND time >= ?4 ORDER BY offset DESC LIMIT ?3",
            offset,
        ),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let bound = i64::try_from(bound).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![head.id, bound, limit, since], |row| entry(row, &head.epoch))?;
    let mut entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if matches!(range, Range::Before(_)) {
        entries.reverse();
    }
    Ok(Page { epoch: head.epoch, head: head.offset, entries })
}

/// The entry of a log whose epoch is `epoch`, nothing from before `since`.
pub(crate) fn at(
    connection: &Connection,
    EntryKey { log, offset }: EntryKey,
    epoch: &Arc<str>,
    since: u64,
) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached(
            "SELECT offset, time, msg_id, members, skip, joined, gone FROM entry
             WHERE conversation = ?1 AND offset = ?2 AND time >= ?3",
        )?
        .query_row(params![log, offset, since], |row| entry(row, epoch))
        .optional()
}

fn entry(row: &Row<'_>, epoch: &Arc<str>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        offset: row.get(0)?,
        epoch: epoch.clone(),
        time: row.get(1)?,
        msg_id: id(row, 2, MsgId::new)?,
        members: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
        skip: skip(row)?,
        effect: effect(row)?,
    })
}

fn skip(row: &Row<'_>) -> rusqlite::Result<Skip> {
    let text = row.get_ref(4)?.as_str_or_null()?;
    text.map_or(Ok(Skip::Nobody), |text| text.parse().map_err(|_| rusqlite::Error::InvalidQuery))
}

fn effect(row: &Row<'_>) -> rusqlite::Result<Effect> {
    if row.get_ref(5)?.as_str_or_null()?.is_some() {
        return Ok(Effect::Joined(id(row, 5, UserId::new)?));
    }
    if row.get_ref(6)?.as_str_or_null()?.is_some() {
        return Ok(Effect::Left(id(row, 6, UserId::new)?));
    }
    Ok(Effect::None)
}

/// The log, if anything was ever said in it.
pub(crate) fn head(connection: &Connection, conversation: &Conversation) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached("SELECT id, epoch, head, time FROM conversation WHERE app = ?1 AND name = ?2")?
        .query_row(params![conversation.app(), name(conversation)], |row| {
            let epoch = row.get_ref(1)?.as_str()?.into();
            Ok(Head { id: row.get(0)?, epoch, offset: row.get(2)?, time: row.get(3)? })
        })
        .optional()
}

/// A new log with an epoch of its own.
pub(crate) fn create(step: &Step<'_>, conversation: &Conversation) -> rusqlite::Result<Head> {
    let (connection, epoch) = (step.connection, new_epoch());
    connection
        .prepare_cached(
            "INSERT INTO conversation(app, name, epoch, life, head, time) VALUES (?1, ?2, ?3, ?4, 0, 0)",
        )?
        .execute(params![conversation.app(), name(conversation), &*epoch, &*step.scope.life])?;
    Ok(Head { id: connection.last_insert_rowid(), epoch, offset: 0, time: 0 })
}

/// Gives a log a new epoch when a reader has seen `offset` of its present one, which is beyond its end, and that epoch
/// was begun in an earlier life of the store.
pub(crate) fn doubt(
    step: &Step<'_>,
    conversation: &Conversation,
    epoch: &str,
    offset: u64,
) -> rusqlite::Result<()> {
    step.scope.logs.borrow_mut().forget(conversation);
    let changed = step
        .connection
        .prepare_cached(
            "UPDATE conversation SET born = coalesce(born, epoch), epoch = ?4, life = ?5
             WHERE app = ?1 AND name = ?2 AND epoch = ?3 AND head < ?6 AND life IS NOT ?5",
        )?
        .execute(params![
            conversation.app(),
            name(conversation),
            epoch,
            &*forked(epoch),
            &*step.scope.life,
            i64::try_from(offset).unwrap_or(i64::MAX)
        ])?;
    if changed > 0 {
        tracing::error!(?conversation, offset, "a log lost its end, a reader shows; it gets a new epoch");
    }
    Ok(())
}

/// An identifier in a column.
pub(crate) fn id<T, E>(row: &Row<'_>, column: usize, new: fn(&str) -> Result<T, E>) -> rusqlite::Result<T> {
    new(row.get_ref(column)?.as_str()?).map_err(|_| rusqlite::Error::InvalidQuery)
}

/// Ids hold no control characters, so a line feed separates them without doubt.
pub(crate) fn name(conversation: &Conversation) -> String {
    match conversation {
        Conversation::World(_) => "world".to_owned(),
        Conversation::Group(_, group) => format!("group\n{group}"),
        Conversation::Pair(_, a, b) => format!("pair\n{a}\n{b}"),
    }
}

/// The conversation with this name.
pub(crate) fn named(app: AppId, name: &str) -> Option<Conversation> {
    let mut parts = name.split('\n');
    match (parts.next()?, parts.next(), parts.next()) {
        ("world", None, None) => Some(Conversation::World(app)),
        ("group", Some(group), None) => Some(Conversation::Group(app, GroupId::new(group).ok()?)),
        ("pair", Some(a), Some(b)) => {
            Some(Conversation::Pair(app, UserId::new(a).ok()?, UserId::new(b).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sqlite::{schema, store};

    #[test]
    fn many_old_entries_go_a_part_at_a_time() {
        let tables = store::memory(schema::STEPS).unwrap();
        let left = || tables.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, u64>(0)).unwrap();
        for (max_messages, max_age_ms) in [(1_000_000, 100), (64, 0)] {
            let retention = Retention { max_messages, max_age_ms };
            let fill = "DELETE FROM entry;
                WITH RECURSIVE said(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM said WHERE number < 1280)
                INSERT INTO entry(conversation, offset, time, msg_id, members)
                SELECT 1, number, iif(number > 1216, 1000, 1), 'm', x'' FROM said";
            tables.execute_batch(fill).unwrap();
            let mut before = left();
            for _ in 0..3 {
                trim(&tables, EntryKey { log: 1, offset: 1280 }, &mut 0, &retention, 1000).unwrap();
                assert!(before - left() <= TRIM_SLICE + 1, "{retention:?}: {before} and then {}", left());
                before = left();
            }
            assert_eq!(left(), 64, "{retention:?}");
        }
    }
}
