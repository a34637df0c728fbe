//! Read states of a node that runs alone, as a table beside the log.
//!
//! Invariant: a read offset is between 1 and the head of its log; who has read nothing has no row.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Conversations, State};
use crate::broker::embedded::{Embedded, Step, log};
use crate::broker::{BrokerError, Conversation};
use crate::groups;

/// See the file's head.
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

/// The sender of the entry at `offset` has read it, if he had read everything before it.
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

/// What was said before he joined counts as read.
pub(crate) fn joined(connection: &Connection, log: i64, user: &UserId, since: u64) -> rusqlite::Result<()> {
    set(connection, log, user, since)
}

/// Forgets how far he has read.
pub(crate) fn left(connection: &Connection, log: i64, user: &UserId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM read_state WHERE conversation = ?1 AND user = ?2")?
        .execute(params![log, user.as_str()])?;
    Ok(())
}

fn set(connection: &Connection, log: i64, user: &UserId, offset: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO read_state(conversation, user, offset) VALUES (?1, ?2, ?3)")?
        .execute(params![log, user.as_str(), offset])?;
    Ok(())
}

fn read_offset(connection: &Connection, log: i64, user: &UserId) -> rusqlite::Result<u64> {
    let found = connection
        .prepare_cached("SELECT offset FROM read_state WHERE conversation = ?1 AND user = ?2")?
        .query_row(params![log, user.as_str()], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

fn mark(
    tables: &Connection,
    user: &UserId,
    conversation: Conversation,
    offset: u64,
) -> Result<State, BrokerError> {
    if let Conversation::Group(app, group) = &conversation {
        groups::embedded::require_member(tables, *app, group, user)?;
    }
    let Some(head) = log::head(tables, &conversation)? else {
        return Ok(State { conversation, last_offset: 0, last_time: 0, read_offset: 0 });
    };
    let before = read_offset(tables, head.id, user)?;
    let after = before.max(offset.min(head.offset));
    if after > before {
        set(tables, head.id, user, after)?;
    }
    Ok(State { conversation, last_offset: head.offset, last_time: head.time, read_offset: after })
}

fn list(tables: &Connection, app: AppId, user: &UserId) -> rusqlite::Result<Vec<State>> {
    let mut statement = tables.prepare_cached(
        "WITH mine AS (
             SELECT id FROM conversation WHERE app = ?1 AND name = 'world'
             UNION ALL SELECT conversation FROM member WHERE app = ?1 AND user = ?2
             UNION ALL SELECT conversation FROM pair WHERE app = ?1 AND user = ?2)
         SELECT c.name, c.head, c.time, coalesce(r.offset, 0)
         FROM mine CROSS JOIN conversation AS c ON c.id = mine.id
         LEFT JOIN read_state AS r ON r.conversation = c.id AND r.user = ?2 ORDER BY c.name",
    )?;
    let rows = statement.query_map(params![app, user.as_str()], |row| {
        let conversation = log::named(app, row.get_ref(0)?.as_str()?);
        let conversation = conversation.ok_or(rusqlite::Error::InvalidQuery)?;
        let (last_offset, last_time, read_offset) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(State { conversation, last_offset, last_time, read_offset })
    })?;
    let mut states = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let world = Conversation::World(app);
    if states.iter().all(|state| state.conversation != world) {
        states.push(State { conversation: world, last_offset: 0, last_time: 0, read_offset: 0 });
    }
    states.sort_by_key(|state| Reverse(state.last_time));
    Ok(states)
}

#[async_trait]
impl Conversations for EmbeddedConversations {
    async fn list(&self, app: AppId, user: &UserId) -> Result<Vec<State>, BrokerError> {
        let user = user.clone();
        self.engine.query(move |tables| Ok(list(tables, app, &user)?)).await
    }

    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError> {
        let (user, conversation) = (user.clone(), conversation.clone());
        let work = move |step: &mut Step<'_>| mark(step.connection, &user, conversation, offset);
        self.engine.change(work).await
    }
}
