//! Bans of a node that runs alone, as a table beside the log.
//!
//! Invariant: a ban that has ended is not read any more, and goes when others of its app are written.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::broker::{Embedded, Step};
use super::{Fault, log};
use crate::bans::{Ban, BanError, Bans, Page};
use crate::clock::Clock;

/// Bans that have ended and go with each new one at most.
const SWEPT: u32 = 64;

/// Who may not come in, in the file of the log.
pub struct EmbeddedBans {
    engine: Arc<Embedded>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedBans {
    /// In the tables of `engine`; bans end by this clock.
    #[must_use]
    pub fn new(engine: Arc<Embedded>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, clock }
    }
}

impl Fault for BanError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        BanError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, BanError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for BanError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

/// The ban that begins at this column: until, since, reason.
fn ban(row: &Row<'_>, at: usize) -> rusqlite::Result<Ban> {
    Ok(Ban { until: row.get(at)?, since: row.get(at + 1)?, reason: row.get(at + 2)? })
}

fn write(tables: &Connection, app: AppId, user: &UserId, ban: &Ban, now: u64) -> rusqlite::Result<()> {
    // A few of those that have ended: each new one takes more of them along than there will be new ones.
    tables
        .prepare_cached(
            "DELETE FROM ban WHERE (app, user) IN
             (SELECT app, user FROM ban WHERE app = ?1 AND until <= ?2 ORDER BY until LIMIT ?3)",
        )?
        .execute(params![app, now, SWEPT])?;
    tables
        .prepare_cached(
            "INSERT OR REPLACE INTO ban(app, user, until, since, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![app, user.as_str(), ban.until, ban.since, ban.reason])?;
    Ok(())
}

fn find(tables: &Connection, app: AppId, user: &UserId, now: u64) -> rusqlite::Result<Option<Ban>> {
    tables
        .prepare_cached("SELECT until, since, reason FROM ban WHERE app = ?1 AND user = ?2 AND until > ?3")?
        .query_row(params![app, user.as_str(), now], |row| ban(row, 0))
        .optional()
}

fn list(tables: &Connection, app: AppId, after: &str, limit: usize, now: u64) -> rusqlite::Result<Page> {
    let mut statement = tables.prepare_cached(
        "SELECT user, until, since, reason FROM ban
         WHERE app = ?1 AND user > ?2 AND until > ?3 ORDER BY user LIMIT ?4",
    )?;
    let mut rows = statement.query(params![app, after, now, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        page.bans.push((log::id(row, 0, UserId::new)?, ban(row, 1)?));
    }
    page.more = page.bans.last().map(|(user, _)| user.clone()).filter(|_| page.bans.len() == limit);
    Ok(page)
}

#[async_trait]
impl Bans for EmbeddedBans {
    async fn ban(&self, app: AppId, user: &UserId, ban: &Ban) -> Result<(), BanError> {
        let (user, ban, now) = (user.clone(), ban.clone(), self.clock.now_ms());
        self.engine
            .change(move |step: &mut Step<'_>| Ok(write(step.connection, app, &user, &ban, now)?))
            .await
    }

    async fn unban(&self, app: AppId, user: &UserId) -> Result<bool, BanError> {
        let (user, now) = (user.clone(), self.clock.now_ms());
        let work = move |step: &mut Step<'_>| {
            let was = find(step.connection, app, &user, now)?.is_some();
            step.connection
                .prepare_cached("DELETE FROM ban WHERE app = ?1 AND user = ?2")?
                .execute(params![app, user.as_str()])?;
            Ok(was)
        };
        self.engine.change(work).await
    }

    async fn find(&self, app: AppId, user: &UserId) -> Result<Option<Ban>, BanError> {
        let (user, now) = (user.clone(), self.clock.now_ms());
        self.engine.look(move |tables: &Connection| Ok(find(tables, app, &user, now)?)).await
    }

    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Page, BanError> {
        let (after, now) = (after.map_or_else(String::new, ToString::to_string), self.clock.now_ms());
        self.engine.query(move |tables: &Connection| Ok(list(tables, app, &after, limit, now)?)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sqlite::{schema, store};

    #[test]
    fn a_new_ban_takes_a_few_of_those_along_that_have_ended() {
        let tables = store::memory(schema::STEPS).unwrap();
        let ban = |until| Ban { until, since: 0, reason: String::new() };
        let user = |number: u32| UserId::new(&format!("u{number}")).unwrap();
        for number in 0..2 * SWEPT {
            write(&tables, 1, &user(number), &ban(10), 0).unwrap();
        }
        let count = || tables.query_row("SELECT count(*) FROM ban", [], |row| row.get::<_, u32>(0)).unwrap();
        for left in [SWEPT + 1, 2, 3] {
            write(&tables, 1, &user(1_000 + left), &ban(100), 50).unwrap();
            assert_eq!(count(), left);
        }
    }
}
