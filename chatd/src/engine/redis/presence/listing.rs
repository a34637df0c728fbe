//! Who is online, from the sets of the live nodes: a part at a time, so that Redis serves others between two parts.
//!
//! Invariant: names come in byte order, each once, however many sets hold it.

use std::collections::BTreeSet;

use chat_protocol::{AppId, UserId};
use redis::Value;

use super::{NAMES, RedisPresence, malformed};
use crate::presence::{PresenceError, Roster};

impl RedisPresence {
    /// Users in the sets after `after`, at most `limit`.
    pub(super) async fn list_in(
        &self,
        app: AppId,
        sets: &[String],
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Roster, PresenceError> {
        if sets.is_empty() {
            return Ok(Roster::default());
        }
        // One more than asked for tells whether there is more.
        let (sum, names) = self.names_in(sets, after, limit.saturating_add(1)).await?;
        let more = names.len() > limit;
        Ok(Roster { count: self.users_in(app, sets, sum).await?, users: users(&names, limit), more })
    }

    /// The first users in the sets, at most `most`; none of the others is looked at.
    pub(super) async fn some_in(&self, sets: &[String], most: usize) -> Result<Vec<UserId>, PresenceError> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        let (_, names) = self.names_in(sets, None, most).await?;
        Ok(users(&names, most))
    }

    /// How many names the sets hold, one in several of them counted for each, and the first `most` after `after`.
    async fn names_in(
        &self,
        sets: &[String],
        after: Option<&UserId>,
        most: usize,
    ) -> Result<(u64, Vec<String>), PresenceError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let wanted = (most - names.len()).min(NAMES);
            let from = names.last().map(String::as_str).or(after.map(UserId::as_str));
            let (sum, some) = self.names(sets, from, wanted).await?;
            let is_last = some.len() < wanted;
            names.extend(some.into_iter().take(wanted));
            if is_last || names.len() == most {
                return Ok((sum, names));
            }
        }
    }

    /// How many names the sets hold, and those after `after`: at least the first `wanted` of them.
    async fn names(
        &self,
        sets: &[String],
        after: Option<&str>,
        wanted: usize,
    ) -> Result<(u64, BTreeSet<String>), PresenceError> {
        let mut pipeline = redis::pipe();
        for set in sets {
            pipeline.cmd("ZCARD").arg(set);
            names_after(&mut pipeline, set, after, wanted);
        }
        let mut answer = self.link.run_all::<Vec<Value>>(&pipeline).await?.into_iter();
        let (mut sum, mut names) = (0, BTreeSet::new());
        for _ in sets {
            sum += next::<u64>(&mut answer)?;
            names.extend(next::<Vec<String>>(&mut answer)?);
        }
        Ok((sum, names))
    }
}

/// At most `limit` of them.
fn users(names: &[String], limit: usize) -> Vec<UserId> {
    names.iter().take(limit).filter_map(|name| UserId::new(name).ok()).collect()
}

/// Asks for the first `wanted` names of a set behind `after`.
pub(super) fn names_after(pipeline: &mut redis::Pipeline, set: &str, after: Option<&str>, wanted: usize) {
    let from = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
    pipeline.cmd("ZRANGE").arg(set).arg(from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(wanted);
}

fn next<T: redis::FromRedisValue>(values: &mut impl Iterator<Item = Value>) -> Result<T, PresenceError> {
    redis::from_redis_value(values.next().unwrap_or_default()).map_err(malformed)
}
