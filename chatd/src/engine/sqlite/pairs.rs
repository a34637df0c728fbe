//! The lists of pairs that users have, latest first.
//!
//! Invariant: `pair.time` is not before the newest entry of the log it stands for, and at most [`AHEAD_MS`] after it. So a
//! list is changed once in a while and not with each message; who reads it takes the times of the logs themselves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::conversations::{Found, Page};
use super::log;
use crate::model::Conversation;

/// How far ahead of a message its pair is put into the lists of its users, in milliseconds. A page looks at as many pairs
/// as it lists, and at those in which something was said within so long of where it begins.
const AHEAD_MS: u64 = 60_000;

/// Both users of a pair have a conversation whose newest entry is of this time; gives until when that will be known.
/// Nothing is noted of other conversations.
pub(crate) fn note(
    tables: &Connection,
    conversation: &Conversation,
    log: i64,
    time: u64,
) -> rusqlite::Result<u64> {
    let until = time.saturating_add(AHEAD_MS);
    let Conversation::Pair(app, a, b) = conversation else { return Ok(until) };
    for user in [a, b] {
        tables
            .prepare_cached(
                "INSERT INTO pair(app, user, conversation, time) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET time = excluded.time",
            )?
            .execute(params![app, user.as_str(), log, until])?;
    }
    Ok(until)
}

/// Until when the lists of a pair's users will have it where it belongs; 0 when they have not.
pub(crate) fn listed(tables: &Connection, conversation: &Conversation, log: i64) -> rusqlite::Result<u64> {
    let Conversation::Pair(app, a, b) = conversation else { return Ok(0) };
    let mut until = u64::MAX;
    for user in [a, b] {
        let noted = tables
            .prepare_cached("SELECT time FROM pair WHERE app = ?1 AND user = ?2 AND conversation = ?3")?
            .query_row(params![app, user.as_str(), log], |row| row.get(0));
        until = until.min(noted.optional()?.unwrap_or(0));
    }
    Ok(until)
}

/// The pairs on a page of a user's conversations, if there were no others.
pub(crate) fn page(tables: &Connection, page: &Page) -> rusqlite::Result<Vec<Found>> {
    let Page { app, user, after, limit } = page;
    let after = after.as_ref().map(|after| (Reverse(after.last_time), log::name(&after.conversation)));
    let latest = after.as_ref().map_or(u64::MAX, |(time, _)| time.0.saturating_add(AHEAD_MS));
    let mut pairs = tables.prepare_cached(
        "SELECT c.id, c.name, c.epoch, c.head, c.time, p.time
         FROM pair AS p INDEXED BY pair_by_time CROSS JOIN conversation AS c ON c.id = p.conversation
         WHERE p.app = ?1 AND p.user = ?2 AND p.time <= ?3 ORDER BY p.time DESC",
    )?;
    let mut pairs = pairs.query(params![app, user.as_str(), i64::try_from(latest).unwrap_or(i64::MAX)])?;
    let mut listed: BTreeMap<(Reverse<u64>, String), Found> = BTreeMap::new();
    while let Some(row) = pairs.next()? {
        let until: u64 = row.get(5)?;
        let is_full = listed.len() == *limit;
        if is_full && listed.last_key_value().is_some_and(|((last, _), _)| until < last.0) {
            break;
        }
        let found = Found::read(*app, row)?;
        let place = found.place();
        if after.as_ref().is_none_or(|after| place > *after) {
            listed.insert(place, found);
            if listed.len() > *limit {
                listed.pop_last();
            }
        }
    }
    Ok(listed.into_values().collect())
}
