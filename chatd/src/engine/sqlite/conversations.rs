//! Read states of a node that runs alone, as a table beside the log.
//!
//! Invariant: a read offset is between 1 and the head of its log; who has read nothing has no row.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::message::{RECALL_KIND, RECALLED_KIND};
use chat_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;

use super::broker::{Embedded, Step};
use super::log::{self, EntryKey};
use super::pairs;
use crate::broker::BrokerError;
use crate::conversations::{Conversations, Head, MAX_LOOK, MAX_UNREAD, Place, State, Unread};
use crate::model::{Conversation, members};

/// Conversations and read states, in the file of the log.
pub struct EmbeddedConversations {
    engine: Arc<Embedded>,
}

impl EmbeddedConversations {
    /// In the tables of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Embedded>) -> Self {
        Self { engine }
    }
}

/// The sender of the entry at `offset` has read it, if they had read everything before it.
pub(crate) fn sent(connection: &Connection, log: i64, sender: &UserId, offset: u64) -> rusqlite::Result<()> {
    if offset == 1 {
        return set(connection, log, sender, offset);
    }
    connection
        .prepare_cached(
            "UPDATE read_state SET offset = ?3 WHERE conversation = ?1 AND user = ?2 AND offset = ?3 - 1",
        )?
        .execute(params![log, sender.as_str(), offset])?;
    Ok(())
}

/// What was said before they joined counts as read.
pub(crate) fn joined(connection: &Connection, log: i64, user: &UserId, since: u64) -> rusqlite::Result<()> {
    set(connection, log, user, since)
}

/// Forgets how far they have read.
pub(crate) fn left(connection: &Connection, log: i64, user: &UserId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM read_state WHERE conversation = ?1 AND user = ?2")?
        .execute(params![log, user.as_str()])?;
    Ok(())
}

/// Writes how far a user has read.
pub(crate) fn set(connection: &Connection, log: i64, user: &UserId, offset: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO read_state(conversation, user, offset) VALUES (?1, ?2, ?3)")?
        .execute(params![log, user.as_str(), offset])?;
    Ok(())
}

/// How far a user has read; 0 when nothing.
pub(crate) fn read_offset(connection: &Connection, log: i64, user: &UserId) -> rusqlite::Result<u64> {
    let found = connection
        .prepare_cached("SELECT offset FROM read_state WHERE conversation = ?1 AND user = ?2")?
        .query_row(params![log, user.as_str()], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

/// The members of a message that decide whether it counts.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    from: UserId,
}

fn unread(tables: &Connection, log: i64, user: &UserId, read: u64, since: u64) -> rusqlite::Result<Unread> {
    let mut statement = tables.prepare_cached(
        "SELECT members, joined IS NULL AND gone IS NULL FROM entry
         WHERE conversation = ?1 AND offset > ?2 AND time >= ?3 ORDER BY offset LIMIT ?4",
    )?;
    // One more than is looked at tells whether there is more.
    let mut rows = statement.query(params![log, read, since, MAX_LOOK + 1])?;
    let (mut count, mut looked) = (0, 0);
    while let Some(row) = rows.next()? {
        if looked == MAX_LOOK {
            return Ok(Unread { count, more: true });
        }
        looked += 1;
        if row.get::<_, bool>(1)? && counts(row.get_ref(0)?.as_blob()?, user) {
            if count == MAX_UNREAD {
                return Ok(Unread { count, more: true });
            }
            count += 1;
        }
    }
    Ok(Unread { count, more: false })
}

fn counts(members: &[u8], user: &UserId) -> bool {
    members::read::<Said>(members)
        .is_ok_and(|said| said.from != *user && said.kind != RECALLED_KIND && said.kind != RECALL_KIND)
}

fn mark(
    step: &Step<'_>,
    user: &UserId,
    conversation: Conversation,
    offset: u64,
) -> Result<State, BrokerError> {
    let tables = step.connection;
    if let Conversation::Group(app, group) = &conversation {
        super::groups::require_member(tables, *app, group, user)?;
    }
    let Some(head) = log::head(tables, &conversation)? else {
        let head = Head::none(conversation);
        return Ok(State { head, read_offset: 0, unread: Unread::default(), last: None });
    };
    let before = read_offset(tables, head.id, user)?;
    let after = before.max(offset.min(head.offset));
    if after > before {
        step.scope.logs.borrow_mut().forget(&conversation);
        set(tables, head.id, user, after)?;
    }
    let since = step.scope.retention.since(step.now_ms);
    let unread = unread(tables, head.id, user, after, since)?;
    let newest = EntryKey { log: head.id, offset: head.offset };
    let last = log::at(tables, newest, &head.epoch, since)?;
    let head = Head { conversation, epoch: head.epoch, last_offset: head.offset, last_time: head.time };
    Ok(State { head, read_offset: after, unread, last })
}

/// The world and the groups of a user.
const JOINED: &str = "WITH mine AS (
         SELECT id FROM conversation WHERE app = ?1 AND name = 'world'
         UNION ALL SELECT conversation FROM member WHERE app = ?1 AND user = ?2
             AND conversation NOT IN (SELECT log FROM ended))
     SELECT c.id, c.name, c.epoch, c.head, c.time
     FROM mine CROSS JOIN conversation AS c ON c.id = mine.id
     WHERE ?3 IS NULL OR c.time < ?3 OR (c.time = ?3 AND c.name > ?4)
     ORDER BY c.time DESC, c.name LIMIT ?5";

/// A page of the list of a user's conversations.
pub(crate) struct Page {
    pub app: AppId,
    pub user: UserId,
    /// Behind which it begins.
    pub after: Option<Place>,
    /// How many it holds at most.
    pub limit: usize,
}

/// A conversation on a page.
pub(crate) struct Found {
    /// The row of its log; 0 for a world in which nothing was said.
    pub log: i64,
    pub head: Head,
}

impl Found {
    /// From id, name, epoch, head and time of a row.
    pub(crate) fn read(app: AppId, row: &Row<'_>) -> rusqlite::Result<Self> {
        let conversation = log::named(app, row.get_ref(1)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)?;
        let epoch = row.get_ref(2)?.as_str()?.into();
        let (last_offset, last_time) = (row.get(3)?, row.get(4)?);
        Ok(Self { log: row.get(0)?, head: Head { conversation, epoch, last_offset, last_time } })
    }

    /// Where it stands in a list: the latest first.
    pub(crate) fn place(&self) -> (Reverse<u64>, String) {
        (Reverse(self.head.last_time), log::name(&self.head.conversation))
    }
}

fn heads(tables: &Connection, page: &Page) -> rusqlite::Result<Vec<Found>> {
    let Page { app, user, after, limit } = page;
    let (app, after, limit) = (*app, after.as_ref(), *limit);
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let (time, name) =
        (after.map(|after| after.last_time), after.map(|after| log::name(&after.conversation)));
    let mut joined = tables.prepare_cached(JOINED)?;
    let joined =
        joined.query_map(params![app, user.as_str(), time, name, rows], |row| Found::read(app, row))?;
    let mut heads = joined.collect::<rusqlite::Result<Vec<_>>>()?;
    heads.extend(pairs::page(tables, page)?);
    heads.sort_by_cached_key(Found::place);
    heads.truncate(limit);
    let world = Conversation::World(app);
    let listed = after.is_some_and(|after| after.last_time == 0 && after.conversation == world);
    if heads.len() < limit && !listed && log::head(tables, &world)?.is_none() {
        heads.push(Found { log: 0, head: Head::none(world) });
    }
    Ok(heads)
}

fn list(tables: &Connection, page: &Page, since: u64) -> rusqlite::Result<Vec<State>> {
    let state = |Found { log, head }| {
        let read_offset = read_offset(tables, log, &page.user)?;
        let unread = unread(tables, log, &page.user, read_offset, since)?;
        let newest = EntryKey { log, offset: head.last_offset };
        let last = log::at(tables, newest, &head.epoch, since)?;
        Ok(State { head, read_offset, unread, last })
    };
    heads(tables, page)?.into_iter().map(state).collect()
}

#[async_trait]
impl Conversations for EmbeddedConversations {
    async fn heads(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Head>, BrokerError> {
        let page = Page { app, user: user.clone(), after: after.cloned(), limit };
        let found = self.engine.query(move |tables| Ok::<_, BrokerError>(heads(tables, &page)?));
        Ok(found.await?.into_iter().map(|found| found.head).collect())
    }

    async fn list(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<State>, BrokerError> {
        let page = Page { app, user: user.clone(), after: after.cloned(), limit };
        let since = self.engine.since();
        self.engine.query(move |tables| Ok(list(tables, &page, since)?)).await
    }

    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError> {
        let (user, conversation) = (user.clone(), conversation.clone());
        let work = move |step: &mut Step<'_>| mark(step, &user, conversation, offset);
        self.engine.change(work).await
    }

    async fn read_by(
        &self,
        conversation: &Conversation,
        users: &[UserId],
    ) -> Result<(Arc<str>, Vec<u64>), BrokerError> {
        let (conversation, users) = (conversation.clone(), users.to_vec());
        let look = move |tables: &Connection| {
            let Some(head) = log::head(tables, &conversation)? else {
                return Ok(("".into(), vec![0; users.len()]));
            };
            let offsets = users.iter().map(|user| read_offset(tables, head.id, user));
            Ok((head.epoch, offsets.collect::<rusqlite::Result<_>>()?))
        };
        self.engine.look(look).await
    }
}
