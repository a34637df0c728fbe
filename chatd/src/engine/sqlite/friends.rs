//! Friendships of a node that runs alone, as a table beside the log.
//!
//! Invariant: of two users who have to do with each other each has a row, and the two mirror each other in all but
//! the block.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::friend::{Asked, Standing};
use chat_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::Fault;
use super::broker::{Embedded, Step};
use super::log;
use crate::friends::{Action, Changed, Circle, FriendError, Friends, Full, Limits, Part};
use crate::model::Conversation;

/// How users stand to each other, in the file of the log.
pub struct EmbeddedFriends {
    engine: Arc<Embedded>,
    limits: Limits,
}

impl EmbeddedFriends {
    /// In the tables of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Embedded>, limits: Limits) -> Self {
        Self { engine, limits }
    }
}

impl Fault for FriendError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        FriendError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, FriendError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for FriendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

/// Whether `user` blocks `other`.
pub(crate) fn blocks(
    connection: &Connection,
    app: AppId,
    user: &UserId,
    other: &UserId,
) -> rusqlite::Result<bool> {
    Ok(View::read(connection, app, user, other)?.blocked)
}

/// How one user stands to another.
#[derive(Clone, PartialEq)]
struct View {
    standing: Standing,
    blocked: bool,
    greeting: Option<String>,
    time: u64,
}

const NOTHING: View = View { standing: Standing::None, blocked: false, greeting: None, time: 0 };

fn number(standing: Standing) -> i64 {
    match standing {
        Standing::None => 0,
        Standing::Requested => 1,
        Standing::Asked => 2,
        Standing::Friends => 3,
    }
}

fn standing(number: i64) -> rusqlite::Result<Standing> {
    let all = [Standing::None, Standing::Requested, Standing::Asked, Standing::Friends];
    let found = usize::try_from(number).ok().and_then(|number| all.get(number).copied());
    found.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

impl View {
    fn read(connection: &Connection, app: AppId, user: &UserId, other: &UserId) -> rusqlite::Result<Self> {
        let found = connection
            .prepare_cached(
                "SELECT standing, blocked, greeting, time FROM relation WHERE app = ?1 AND user = ?2 AND other = ?3",
            )?
            .query_row(params![app, user.as_str(), other.as_str()], |row| {
                let standing = standing(row.get(0)?)?;
                Ok(Self { standing, blocked: row.get(1)?, greeting: row.get(2)?, time: row.get(3)? })
            });
        Ok(found.optional()?.unwrap_or(NOTHING))
    }

    fn write(
        &self,
        connection: &Connection,
        app: AppId,
        user: &UserId,
        other: &UserId,
    ) -> rusqlite::Result<()> {
        let Self { standing, blocked, greeting, time } = self;
        if *standing == Standing::None && !blocked {
            connection
                .prepare_cached("DELETE FROM relation WHERE app = ?1 AND user = ?2 AND other = ?3")?
                .execute(params![app, user.as_str(), other.as_str()])?;
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO relation(app, user, other, standing, blocked, greeting, time)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                app,
                user.as_str(),
                other.as_str(),
                number(*standing),
                blocked,
                greeting,
                time
            ])?;
        Ok(())
    }

    fn stand(&mut self, standing: Standing) {
        *self = Self { standing, blocked: self.blocked, ..NOTHING };
    }
}

/// What the action makes of the views of the acting user and of the other.
fn act(mine: &mut View, theirs: &mut View, action: &Action) -> Result<(), FriendError> {
    let (own, other) = match (action, mine.standing) {
        (Action::Request { .. }, _) if mine.blocked => return Err(FriendError::Blocking),
        (Action::Request { .. }, _) if theirs.blocked => return Err(FriendError::Blocked),
        (Action::Request { greeting, time }, Standing::None) => {
            mine.stand(Standing::Requested);
            theirs.stand(Standing::Asked);
            (theirs.greeting, theirs.time) = (greeting.clone(), *time);
            return Ok(());
        }
        (Action::Request { .. } | Action::Accept, Standing::Asked) => (Standing::Friends, Standing::Friends),
        (Action::Accept, Standing::Friends) => return Ok(()),
        (Action::Accept, _) => return Err(FriendError::NoRequest),
        (Action::Reject, Standing::Asked) => (Standing::None, Standing::None),
        (Action::Reject, _) => return Err(FriendError::NoRequest),
        (Action::Remove, Standing::Friends | Standing::Requested) => (Standing::None, Standing::None),
        (Action::Block, _) => {
            mine.blocked = true;
            (Standing::None, Standing::None)
        }
        (Action::Unblock, _) => {
            mine.blocked = false;
            return Ok(());
        }
        (Action::Request { .. } | Action::Remove, _) => return Ok(()),
    };
    mine.stand(own);
    theirs.stand(other);
    Ok(())
}

/// One side of a relation, before and after.
struct Side<'a> {
    user: &'a UserId,
    mine: bool,
    before: &'a View,
    after: &'a View,
}

impl Side<'_> {
    /// Refuses a list that would be longer than is allowed, but for requests of others, the oldest of which gives way.
    fn require_room(&self, step: &Step<'_>, app: AppId, limits: Limits) -> Result<(), FriendError> {
        let tables = step.connection;
        let Self { user, mine, before, after } = *self;
        if after.blocked && !before.blocked {
            let count = count(tables, app, user, "blocked", limits.friends)?;
            within(count, limits.friends, Full::MyBlocks)?;
        }
        if after.standing == before.standing {
            return Ok(());
        }
        let (of, limit, full) = match (after.standing, mine) {
            (Standing::None, _) => return Ok(()),
            (Standing::Requested, _) => ("standing = 1", limits.requests, Full::MyRequests),
            (Standing::Asked, _) => return Ok(make_way(step, app, user, limits.requests)?),
            (Standing::Friends, true) => ("standing = 3", limits.friends, Full::MyFriends),
            (Standing::Friends, false) => ("standing = 3", limits.friends, Full::TheirFriends),
        };
        within(count(tables, app, user, of, limit)?, limit, full)
    }
}

/// When so many ask a user, takes the oldest request back.
fn make_way(step: &Step<'_>, app: AppId, user: &UserId, most: u64) -> rusqlite::Result<()> {
    let tables = step.connection;
    if count(tables, app, user, "standing = 2", most)? < most {
        return Ok(());
    }
    let oldest = tables
        .prepare_cached(
            "SELECT other FROM relation WHERE app = ?1 AND user = ?2 AND standing = 2 ORDER BY time, other LIMIT 1",
        )?
        .query_row(params![app, user.as_str()], |row| log::id(row, 0, UserId::new))?;
    for (one, other) in [(user, &oldest), (&oldest, user)] {
        let mut view = View::read(tables, app, one, other)?;
        view.stand(Standing::None);
        view.write(tables, app, one, other)?;
    }
    forget(step, app, user, &oldest);
    Ok(())
}

/// What is remembered of their conversation may be over.
fn forget(step: &Step<'_>, app: AppId, user: &UserId, other: &UserId) {
    let (a, b) = if user <= other { (user, other) } else { (other, user) };
    step.scope.logs.borrow_mut().forget(&Conversation::Pair(app, a.clone(), b.clone()));
}

fn within(count: u64, limit: u64, full: Full) -> Result<(), FriendError> {
    if count < limit { Ok(()) } else { Err(FriendError::TooMany(full, limit)) }
}

/// Relations of a user of this kind, counted up to `most`.
fn count(tables: &Connection, app: AppId, user: &UserId, of: &str, most: u64) -> rusqlite::Result<u64> {
    let rows = format!("SELECT 1 FROM relation WHERE app = ?1 AND user = ?2 AND {of} LIMIT ?3");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    tables
        .prepare_cached(&format!("SELECT count(*) FROM ({rows})"))?
        .query_row(params![app, user.as_str(), most], |row| row.get(0))
}

/// A page of those who have to do with a user.
struct Page {
    app: AppId,
    user: UserId,
    part: Part,
    /// Behind whom it begins.
    after: Option<UserId>,
    /// How many it holds at most.
    limit: usize,
}

fn circle(tables: &Connection, page: &Page) -> rusqlite::Result<Circle> {
    let Page { app, user, part, after, limit } = page;
    let of = match part {
        Part::Asked => "standing = 2",
        Part::Others => "(standing IN (1, 3) OR blocked)",
    };
    let mut statement = tables.prepare_cached(&format!(
        "SELECT other, standing, blocked, greeting, time FROM relation
         WHERE app = ?1 AND user = ?2 AND other > ?3 AND {of} ORDER BY other LIMIT ?4"
    ))?;
    // One more than asked for tells whether there is more.
    let most = i64::try_from(*limit).unwrap_or(i64::MAX).saturating_add(1);
    let after = after.as_ref().map_or("", UserId::as_str);
    let mut rows = statement.query(params![app, user.as_str(), after, most])?;
    let (mut circle, mut last, mut left) = (Circle::default(), None, *limit);
    while let Some(row) = rows.next()? {
        if left == 0 {
            circle.more = last;
            break;
        }
        left -= 1;
        let other = log::id(row, 0, UserId::new)?;
        last = Some(other.clone());
        if *part == Part::Asked {
            circle.asked.push(Asked { from: other, greeting: row.get(3)?, time: row.get(4)? });
            continue;
        }
        if row.get(2)? {
            circle.blocked.push(other.clone());
        }
        match standing(row.get(1)?)? {
            Standing::Requested => circle.requested.push(other),
            Standing::Friends => circle.friends.push(other),
            Standing::None | Standing::Asked => {}
        }
    }
    Ok(circle)
}

#[async_trait]
impl Friends for EmbeddedFriends {
    async fn act(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<Changed, FriendError> {
        let (user, other, action, limits) = (user.clone(), other.clone(), action.clone(), self.limits);
        let work = move |step: &mut Step<'_>| {
            let tables = step.connection;
            let my_before = View::read(tables, app, &user, &other)?;
            let their_before = View::read(tables, app, &other, &user)?;
            let (mut mine, mut theirs) = (my_before.clone(), their_before.clone());
            act(&mut mine, &mut theirs, &action)?;
            let changed = my_before != mine || their_before != theirs;
            if changed {
                forget(step, app, &user, &other);
                let own = Side { user: &user, mine: true, before: &my_before, after: &mine };
                let their = Side { user: &other, mine: false, before: &their_before, after: &theirs };
                own.require_room(step, app, limits)?;
                their.require_room(step, app, limits)?;
                mine.write(tables, app, &user, &other)?;
                theirs.write(tables, app, &other, &user)?;
            }
            Ok(Changed { standing: mine.standing, blocked: mine.blocked, changed })
        };
        self.engine.change(work).await
    }

    async fn circle(
        &self,
        app: AppId,
        user: &UserId,
        part: Part,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Circle, FriendError> {
        let page = Page { app, user: user.clone(), part, after: after.cloned(), limit };
        self.engine.query(move |tables| Ok(circle(tables, &page)?)).await
    }
}
