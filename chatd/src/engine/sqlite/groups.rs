//! Groups of a node that runs alone, as tables beside the log.
//!
//! Invariant: a group has exactly one log, its members are rows under the log's id, and `member_count` counts them.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, GroupId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::Fault;
use super::broker::{Embedded, Step};
use super::{files, leftovers, log};
use crate::broker::{BrokerError, Event, Receipt};
use crate::groups::{self, Change, Changed, Group, GroupError, Groups, Joined, Limits, Members, Membership};
use crate::model::{Conversation, Effect, Topic};

/// Groups of a user that are looked up at once; more are read where that keeps nobody waiting.
const FEW: usize = 64;

/// Groups and their members, in the file of the log.
pub struct EmbeddedGroups {
    engine: Arc<Embedded>,
    limits: Limits,
}

impl EmbeddedGroups {
    /// In the tables of `engine`, with so many groups of a user and members of a group.
    #[must_use]
    pub fn new(engine: Arc<Embedded>, limits: impl Into<Limits>) -> Self {
        Self { engine, limits: limits.into() }
    }
}

impl Fault for GroupError {
    fn unreachable(reason: &dyn std::fmt::Display) -> Self {
        GroupError::Unreachable(reason.to_string())
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, GroupError::Unreachable(_))
    }
}

impl From<rusqlite::Error> for GroupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unreachable(&error)
    }
}

/// Refuses who is no member of the group.
pub(crate) fn require_member(
    connection: &Connection,
    app: AppId,
    group: &GroupId,
    user: &UserId,
) -> Result<(), BrokerError> {
    match membership(connection, app, group, user)? {
        None => Err(BrokerError::NoSuchGroup),
        Some(Membership { member: false, .. }) => Err(BrokerError::NotMember),
        Some(Membership { member: true, .. }) => Ok(()),
    }
}

/// None when there is no such group.
fn membership(
    connection: &Connection,
    app: AppId,
    group: &GroupId,
    user: &UserId,
) -> rusqlite::Result<Option<Membership>> {
    connection
        .prepare_cached(
            "SELECT incarnation, EXISTS (SELECT 1 FROM member WHERE conversation = g.conversation AND user = ?3)
             FROM chat_group AS g WHERE app = ?1 AND group_id = ?2",
        )?
        .query_row(params![app, group.as_str(), user.as_str()], |row| {
            Ok(Membership { incarnation: row.get_ref(0)?.as_str()?.into(), member: row.get(1)? })
        })
        .optional()
}

/// A group and the log it owns.
struct Found {
    log: i64,
    group: Group,
}

fn find(connection: &Connection, app: AppId, group: &GroupId) -> rusqlite::Result<Option<Found>> {
    connection
        .prepare_cached(
            "SELECT conversation, name, owner, member_count FROM chat_group WHERE app = ?1 AND group_id = ?2",
        )?
        .query_row(params![app, group.as_str()], |row| {
            let owner = log::id(row, 2, UserId::new)?;
            let group = Group { name: row.get(1)?, owner, member_count: row.get(3)? };
            Ok(Found { log: row.get(0)?, group })
        })
        .optional()
}

/// One group while something is done to it.
struct Scene<'a, 'b> {
    step: &'a mut Step<'b>,
    app: AppId,
    group: &'a GroupId,
    limits: Limits,
}

impl Scene<'_, '_> {
    fn conversation(&self) -> Conversation {
        Conversation::Group(self.app, self.group.clone())
    }

    /// Appends the entry that tells of a change.
    fn tell(
        &mut self,
        kind: &str,
        from: &UserId,
        member: Option<&UserId>,
        effect: Effect,
    ) -> Result<Receipt, GroupError> {
        let entry = groups::news(self.app, self.group, kind, from, member);
        Ok(log::put(self.step, entry, effect)?)
    }

    fn create(&mut self, owner: &UserId, name: &str) -> Result<bool, GroupError> {
        if let Some(found) = find(self.step.connection, self.app, self.group)? {
            return if found.group.owner == *owner { Ok(false) } else { Err(GroupError::Taken) };
        }
        self.require_room(owner)?;
        let tables = self.step.connection;
        if let Some(ownerless) = log::head(tables, &self.conversation())? {
            // Written before there were groups. Its epoch must not live on.
            leftovers::delete(self.step, ownerless.id)?;
        }
        let log = log::create(self.step, &self.conversation())?;
        tables
            .prepare_cached(
                "INSERT INTO chat_group(conversation, app, group_id, name, owner, member_count, incarnation)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
            )?
            .execute(params![log.id, self.app, self.group.as_str(), name, owner.as_str(), &*log.epoch])?;
        let log = log.id;
        let receipt = self.tell("create", owner, None, Effect::Joined(owner.clone()))?;
        self.admit(log, owner, &receipt)?;
        Ok(true)
    }

    /// Refuses who is in as many groups as are allowed.
    fn require_room(&self, user: &UserId) -> Result<(), GroupError> {
        let limit = i64::try_from(self.limits.groups).unwrap_or(i64::MAX);
        let count = self
            .step
            .connection
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM member WHERE app = ?1 AND user = ?2
                 AND conversation NOT IN (SELECT log FROM ended) LIMIT ?3)",
            )?
            .query_row(params![self.app, user.as_str(), limit], |row| row.get::<_, i64>(0))?;
        if count < limit { Ok(()) } else { Err(GroupError::TooMany(self.limits.groups)) }
    }

    fn admit(&mut self, log: i64, user: &UserId, receipt: &Receipt) -> rusqlite::Result<()> {
        let (tables, since) = (self.step.connection, receipt.offset);
        tables
            .prepare_cached("INSERT INTO member(conversation, user, app, since) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![log, user.as_str(), self.app, since])?;
        super::conversations::joined(tables, log, user, since)?;
        tables
            .prepare_cached("UPDATE chat_group SET member_count = member_count + 1 WHERE conversation = ?1")?
            .execute([log])?;
        let joined = Joined { group: self.group.clone(), since, epoch: receipt.epoch.clone() };
        let inbox = Topic::Inbox(self.app, user.clone());
        self.step.publish((vec![inbox], Event::Notice(joined.notice(user))));
        Ok(())
    }

    fn dismember(&self, log: i64, user: &UserId) -> rusqlite::Result<()> {
        let tables = self.step.connection;
        tables
            .prepare_cached("DELETE FROM member WHERE conversation = ?1 AND user = ?2")?
            .execute(params![log, user.as_str()])?;
        super::conversations::left(tables, log, user)?;
        tables
            .prepare_cached("UPDATE chat_group SET member_count = member_count - 1 WHERE conversation = ?1")?
            .execute([log])?;
        Ok(())
    }

    fn change(&mut self, change: &Change) -> Result<Changed, GroupError> {
        let Found { log, group } =
            find(self.step.connection, self.app, self.group)?.ok_or(GroupError::NoSuchGroup)?;
        let owner = |user: &UserId| *user == group.owner;
        match change {
            Change::Kick { by, .. } | Change::Dismiss(by) if !owner(by) => return Err(GroupError::NotOwner),
            Change::Leave(user) | Change::Kick { member: user, .. } if owner(user) => {
                return Err(GroupError::Owner);
            }
            _ => {}
        }
        let (Change::Join(user)
        | Change::Leave(user)
        | Change::Kick { member: user, .. }
        | Change::Dismiss(user)) = change;
        let member =
            membership(self.step.connection, self.app, self.group, user)?.is_some_and(|of| of.member);
        if member == matches!(change, Change::Join(_)) {
            return self.unchanged(group.member_count);
        }
        let (receipt, member_count) = match change {
            Change::Join(user) => {
                self.require_room(user)?;
                if group.member_count >= self.limits.members {
                    return Err(GroupError::Full(self.limits.members));
                }
                let receipt = self.tell("join", user, None, Effect::Joined(user.clone()))?;
                self.admit(log, user, &receipt)?;
                (receipt, group.member_count + 1)
            }
            Change::Leave(user) => {
                let receipt = self.tell("leave", user, None, Effect::Left(user.clone()))?;
                self.dismember(log, user)?;
                (receipt, group.member_count - 1)
            }
            Change::Kick { by, member } => {
                let receipt = self.tell("kick", by, Some(member), Effect::Left(member.clone()))?;
                self.dismember(log, member)?;
                (receipt, group.member_count - 1)
            }
            Change::Dismiss(by) => {
                let receipt = self.tell("dismiss", by, None, Effect::Dismissed)?;
                self.dismiss(log)?;
                (receipt, 0)
            }
        };
        Ok(Changed { changed: true, member_count, offset: receipt.offset, epoch: receipt.epoch })
    }

    fn unchanged(&self, member_count: u64) -> Result<Changed, GroupError> {
        let head = log::head(self.step.connection, &self.conversation())?.ok_or(GroupError::NoSuchGroup)?;
        Ok(Changed { changed: false, member_count, offset: head.offset, epoch: head.epoch })
    }

    fn dismiss(&self, log: i64) -> rusqlite::Result<()> {
        files::over(self.step.connection, log)?;
        self.step
            .connection
            .prepare_cached("DELETE FROM chat_group WHERE conversation = ?1")?
            .execute([log])?;
        leftovers::delete(self.step, log)
    }
}

fn members(tables: &Connection, log: i64, after: Option<&UserId>, limit: usize) -> rusqlite::Result<Members> {
    let mut statement = tables.prepare_cached(
        "SELECT user FROM member WHERE conversation = ?1 AND user > ?2 ORDER BY user LIMIT ?3",
    )?;
    // One more than asked for tells whether there is more.
    let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let users = statement.query_map(params![log, after.map_or("", UserId::as_str), rows], |row| {
        log::id(row, 0, UserId::new)
    })?;
    let mut users = users.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = users.len() > limit;
    users.truncate(limit);
    Ok(Members { users, more })
}

/// Whether the user is in no more than a few groups.
fn is_in_few(tables: &Connection, app: AppId, user: &UserId) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM member WHERE app = ?1 AND user = ?2 LIMIT ?3)";
    let few = |row: &rusqlite::Row<'_>| Ok(row.get::<_, usize>(0)? <= FEW);
    tables.prepare_cached(sql)?.query_row(params![app, user.as_str(), FEW + 1], few)
}

fn of_user(tables: &Connection, app: AppId, user: &UserId) -> rusqlite::Result<Vec<Joined>> {
    let mut statement = tables.prepare_cached(
        "SELECT g.group_id, m.since, c.epoch FROM member AS m
         JOIN chat_group AS g ON g.conversation = m.conversation JOIN conversation AS c ON c.id = m.conversation
         WHERE m.app = ?1 AND m.user = ?2 ORDER BY g.group_id",
    )?;
    let joined = statement.query_map(params![app, user.as_str()], |row| {
        let epoch = row.get_ref(2)?.as_str()?.into();
        Ok(Joined { group: log::id(row, 0, GroupId::new)?, since: row.get(1)?, epoch })
    })?;
    joined.collect()
}

#[async_trait]
impl Groups for EmbeddedGroups {
    async fn create(
        &self,
        app: AppId,
        group: &GroupId,
        owner: &UserId,
        name: &str,
    ) -> Result<bool, GroupError> {
        let (group, owner, name, limits) = (group.clone(), owner.clone(), name.to_owned(), self.limits);
        let work =
            move |step: &mut Step<'_>| Scene { step, app, group: &group, limits }.create(&owner, &name);
        self.engine.change(work).await
    }

    async fn change(&self, app: AppId, group: &GroupId, change: &Change) -> Result<Changed, GroupError> {
        let (group, change, limits) = (group.clone(), change.clone(), self.limits);
        let work = move |step: &mut Step<'_>| Scene { step, app, group: &group, limits }.change(&change);
        self.engine.change(work).await
    }

    async fn group(&self, app: AppId, group: &GroupId) -> Result<Group, GroupError> {
        let group = group.clone();
        let found = self.engine.query(move |tables| Ok::<_, GroupError>(find(tables, app, &group)?));
        found.await?.map(|found| found.group).ok_or(GroupError::NoSuchGroup)
    }

    async fn membership(&self, app: AppId, group: &GroupId, user: &UserId) -> Result<Membership, GroupError> {
        let (group, user) = (group.clone(), user.clone());
        let work = move |tables: &Connection| Ok::<_, GroupError>(membership(tables, app, &group, &user)?);
        self.engine.query(work).await?.ok_or(GroupError::NoSuchGroup)
    }

    async fn members(
        &self,
        app: AppId,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Members, GroupError> {
        let (group, after) = (group.clone(), after.cloned());
        let work = move |tables: &Connection| {
            let found = find(tables, app, &group)?.ok_or(GroupError::NoSuchGroup)?;
            Ok(members(tables, found.log, after.as_ref(), limit)?)
        };
        self.engine.query(work).await
    }

    async fn of_user(&self, app: AppId, user: &UserId) -> Result<Vec<Joined>, GroupError> {
        let name = user.clone();
        let few = move |tables: &Connection| {
            Ok(if is_in_few(tables, app, &name)? { Some(of_user(tables, app, &name)?) } else { None })
        };
        if let Some(joined) = self.engine.look::<_, GroupError, _>(few).await? {
            return Ok(joined);
        }
        let user = user.clone();
        self.engine.query(move |tables| Ok(of_user(tables, app, &user)?)).await
    }
}
