//! Groups over Redis, beside their logs.
//!
//! Invariant: one script changes membership and log. A user's own list names the epoch of each group they joined; an
//! entry whose group has another epoch, or is gone, counts for nothing, so dismissing needs to touch no member.

mod dismissed;

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, GroupId, Target, UserId};
use redis::{Cmd, RedisResult, Value};

use self::dismissed::Notes;
use super::broker::RedisBroker;
use super::codec;
use super::keys::OVER;
use super::link::{LinkError, Script};
use super::log::{Life, Logs};
use crate::clock::Clock;
use crate::groups::{
    self, Change, Changed, Dismissed, Group, GroupError, Groups, Joined, Limits, Members, Membership,
};
use crate::model::{Conversation, Effect, Topic};

/// Groups, or entries about former ones, in one round trip.
const CHUNK: usize = 500;

/// The port over Redis.
pub struct RedisGroups {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    change: Script,
    forget: Script,
    notes: Notes,
}

impl RedisGroups {
    /// Over the connections of the broker, with so many groups of a user and members of a group.
    #[must_use]
    pub fn new(broker: &RedisBroker, limits: impl Into<Limits>) -> Arc<Self> {
        let change = concat!(include_str!("../log.lua"), include_str!("change.lua"));
        Arc::new(Self {
            logs: broker.logs.clone(),
            clock: broker.clock.clone(),
            limits: limits.into(),
            change: Script::promising(change),
            forget: Script::new(include_str!("forget.lua")),
            notes: Notes::new(),
        })
    }

    async fn run(&self, app: AppId, group: &GroupId, act: &Act<'_>) -> Result<Changed, GroupError> {
        match self.try_run(app, group, act).await {
            Err(GroupError::TooMany(_)) => {}
            done => return done,
        }
        // Their list may name groups that are gone; reading it forgets them.
        self.of_user(app, act.user).await?;
        self.try_run(app, group, act).await
    }

    async fn try_run(&self, app: AppId, group: &GroupId, act: &Act<'_>) -> Result<Changed, GroupError> {
        let call = |life: &Life| self.change_call(app, group, act, &life.new_epoch());
        let key = self.logs.keys.group(app, group);
        let (_, (outcome, member_count, offset, epoch)): (_, (String, u64, u64, String)) =
            self.logs.call_in_life(&key, &self.change, call).await?;
        let changed = match outcome.as_str() {
            "changed" => true,
            "unchanged" => false,
            "no such group" => return Err(GroupError::NoSuchGroup),
            "taken" => return Err(GroupError::Taken),
            "not the owner" => return Err(GroupError::NotOwner),
            "owner" => return Err(GroupError::Owner),
            "too many" => return Err(GroupError::TooMany(self.limits.groups)),
            "full" => return Err(GroupError::Full(self.limits.members)),
            other => return Err(GroupError::Corrupt(format!("an answer {other:?}"))),
        };
        Ok(Changed { changed, member_count, offset, epoch: epoch.into() })
    }

    fn change_call(&self, app: AppId, group: &GroupId, act: &Act<'_>, fresh: &str) -> Cmd {
        let Act { kind, by, user, effect, name } = act;
        let (keys, conversation) = (&self.logs.keys, Conversation::Group(app, group.clone()));
        let target = Target::Group(group.clone());
        let news = groups::news(app, group, kind, by, (by != user).then_some(*user));
        let (kept, age) = self.logs.kept();
        // What becomes of the files of the group when it is dismissed; no two have the same name.
        let over = format!("{OVER}{fresh}");
        let mut call = self.change.call(&[
            keys.log(&conversation),
            keys.group(app, group),
            keys.members(app, group),
            keys.groups_of(app, user),
            keys.reads(app, user),
            keys.reads(app, by),
            keys.files_of(app, group),
            keys.file_ends(app),
            keys.files_over(app, &over),
        ]);
        call.arg(*kind).arg(by.as_str()).arg(user.as_str()).arg(self.clock.now_ms());
        call.arg(fresh).arg(kept).arg(age).arg(group.as_str()).arg(target.to_string());
        call.arg(keys.channel(&Topic::Group(app, group.clone()))).arg(codec::kind(effect));
        call.arg(codec::body(effect, &news.skip, &news.msg_id, &news.members)).arg(*name);
        call.arg(keys.channel(&Topic::Inbox(app, (*user).clone())));
        call.arg(codec::notice(&groups::notice(group, user))).arg(self.limits.groups);
        call.arg(self.limits.members).arg(over);
        call
    }

    /// Epochs of groups; none for a group that does not exist, an error for one that is damaged.
    async fn epochs(&self, app: AppId, groups: &[Kept]) -> Result<Vec<Epoch>, LinkError> {
        let mut pipeline = redis::pipe();
        for kept in groups {
            pipeline.cmd("HGET").arg(self.logs.keys.group(app, &kept.group)).arg("epoch");
        }
        let found: Vec<RedisResult<Option<String>>> = self.logs.others.run_each(&pipeline).await?;
        let read = |epoch: RedisResult<_>| match epoch.map_err(LinkError::from) {
            Err(LinkError::Unreachable(detail)) => Err(LinkError::Unreachable(detail)),
            known => Ok(known),
        };
        found.into_iter().map(read).collect()
    }

    /// Removes from a user's list what is about groups that are gone.
    async fn forget(&self, app: AppId, user: &UserId, gone: &[&Kept]) -> Result<(), LinkError> {
        let list = self.logs.keys.groups_of(app, user);
        for chunk in gone.chunks(CHUNK) {
            let mut call = self.forget.call(&vec![list.clone(); chunk.len()]);
            for kept in chunk {
                call.arg(kept.group.as_str()).arg(&kept.value);
            }
            self.logs.others.call::<Value>(&self.forget, &call).await?;
        }
        Ok(())
    }
}

/// Of a group, unless it is damaged.
type Epoch = Result<Option<String>, LinkError>;

/// What is asked of the script.
struct Act<'a> {
    kind: &'a str,
    by: &'a UserId,
    user: &'a UserId,
    effect: Effect,
    name: &'a str,
}

impl<'a> From<&'a Change> for Act<'a> {
    fn from(change: &'a Change) -> Self {
        let (kind, by, user, effect) = match change {
            Change::Join(user) => ("join", user, user, Effect::Joined(user.clone())),
            Change::Leave(user) => ("leave", user, user, Effect::Left(user.clone())),
            Change::Kick { by, member } => ("kick", by, member, Effect::Left(member.clone())),
            Change::Dismiss(by) => ("dismiss", by, by, Effect::Dismissed),
        };
        Self { kind, by, user, effect, name: "" }
    }
}

/// A group in a user's list.
struct Kept {
    group: GroupId,
    since: u64,
    epoch: String,
    /// As it is written: epoch, line feed, offset.
    value: String,
}

impl Kept {
    /// Only chatd writes the list; what it cannot have written is left out.
    fn read((group, value): (String, String)) -> Option<Self> {
        let (epoch, since) = value.split_once('\n')?;
        let (epoch, since) = (epoch.to_owned(), since.parse().ok()?);
        Some(Self { group: GroupId::new(&group).ok()?, since, epoch, value })
    }
}

#[async_trait]
impl Groups for RedisGroups {
    async fn create(
        &self,
        app: AppId,
        group: &GroupId,
        owner: &UserId,
        name: &str,
    ) -> Result<bool, GroupError> {
        let act = Act { kind: "create", by: owner, user: owner, effect: Effect::Joined(owner.clone()), name };
        Ok(self.run(app, group, &act).await?.changed)
    }

    async fn change(&self, app: AppId, group: &GroupId, change: &Change) -> Result<Changed, GroupError> {
        let ends = matches!(change, Change::Dismiss(_));
        // Nobody but who may dismiss it leaves a note.
        if let Change::Dismiss(user) = change
            && self.group(app, group).await?.owner == *user
        {
            self.notes.expect(&self.logs, app, group).await?;
        }
        let changed = self.run(app, group, &change.into()).await?;
        if ends && let Err(error) = self.notes.put(&self.logs, app, group).await {
            tracing::debug!(%error, "a dismissed group is looked after a little later");
        }
        Ok(changed)
    }

    async fn dismissed(&self, limit: usize) -> Result<Vec<Dismissed>, GroupError> {
        Ok(self.notes.due(&self.logs, limit).await?)
    }

    async fn looked_after(&self, dismissed: &[Dismissed]) -> Result<(), GroupError> {
        Ok(self.notes.forget(&self.logs, dismissed).await?)
    }

    async fn group(&self, app: AppId, group: &GroupId) -> Result<Group, GroupError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HMGET").arg(self.logs.keys.group(app, group)).arg("name").arg("owner");
        pipeline.cmd("ZCARD").arg(self.logs.keys.members(app, group));
        let ((name, owner), member_count): ((Option<String>, Option<String>), u64) =
            self.logs.others.run_all(&pipeline).await?;
        let (Some(name), Some(owner)) = (name, owner) else { return Err(GroupError::NoSuchGroup) };
        Ok(Group { name, owner: UserId::new(&owner).map_err(unreachable)?, member_count })
    }

    async fn membership(&self, app: AppId, group: &GroupId, user: &UserId) -> Result<Membership, GroupError> {
        // No transaction: Redis refuses those when it is short of memory. Were the group founded anew between the two,
        // the answer would name the former one, which nobody asks for again.
        let mut pipeline = redis::pipe();
        pipeline.cmd("HMGET").arg(self.logs.keys.group(app, group)).arg("owner").arg("epoch");
        pipeline.cmd("ZSCORE").arg(self.logs.keys.members(app, group)).arg(user.as_str());
        let ((owner, epoch), score): ((Option<String>, Option<String>), Option<f64>) =
            self.logs.others.run_all(&pipeline).await?;
        if owner.is_none() {
            return Err(GroupError::NoSuchGroup);
        }
        Ok(Membership { incarnation: epoch.unwrap_or_default().into(), member: score.is_some() })
    }

    async fn members(
        &self,
        app: AppId,
        group: &GroupId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Members, GroupError> {
        let from = after.map_or_else(|| "-".to_owned(), |user| format!("({user}"));
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("EXISTS").arg(self.logs.keys.group(app, group));
        pipeline.cmd("ZRANGE").arg(self.logs.keys.members(app, group)).arg(from).arg("+").arg("BYLEX");
        // One more than asked for tells whether there is more.
        pipeline.arg("LIMIT").arg(0).arg(limit.saturating_add(1).min(i64::MAX as usize));
        let (exists, names): (bool, Vec<String>) = self.logs.others.run_all(&pipeline).await?;
        if !exists {
            return Err(GroupError::NoSuchGroup);
        }
        let users = names.iter().take(limit).filter_map(|name| UserId::new(name).ok()).collect();
        Ok(Members { users, more: names.len() > limit })
    }

    async fn of_user(&self, app: AppId, user: &UserId) -> Result<Vec<Joined>, GroupError> {
        let mut list = redis::cmd("HGETALL");
        list.arg(self.logs.keys.groups_of(app, user));
        let list: Vec<(String, String)> = self.logs.others.run(&list).await?;
        let list: Vec<Kept> = list.into_iter().filter_map(Kept::read).collect();
        let (mut joined, mut gone) = (Vec::with_capacity(list.len()), Vec::new());
        for chunk in list.chunks(CHUNK) {
            for (kept, epoch) in chunk.iter().zip(self.epochs(app, chunk).await?) {
                match epoch {
                    Ok(Some(epoch)) if epoch == kept.epoch => {
                        let epoch = epoch.into();
                        joined.push(Joined { group: kept.group.clone(), since: kept.since, epoch });
                    }
                    Ok(_) => gone.push(kept),
                    // It keeps its members from nothing else, and they are in it when it is mended.
                    Err(error) => {
                        let key = self.logs.keys.group(app, &kept.group);
                        tracing::error!(key, %error, "damaged; the group is left out of the lists of its members");
                    }
                }
            }
        }
        if let Err(error) = self.forget(app, user, &gone).await {
            // They count for nothing all the same, and are met again.
            tracing::debug!(%error, "forgetting former groups");
        }
        joined.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(joined)
    }
}

impl From<LinkError> for GroupError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => GroupError::Unreachable(detail),
            LinkError::Corrupt(detail) => GroupError::Corrupt(detail),
        }
    }
}

fn unreachable(error: impl std::fmt::Display) -> GroupError {
    GroupError::Unreachable(error.to_string())
}
