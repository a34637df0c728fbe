//! Who is online, from the sets of the live nodes: a part at a time, so that Redis serves others between two parts.
//!
//! Invariant: names come in byte order, each once, however many sets hold it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chat_protocol::{AppId, UserId};
use redis::Value;

use super::{RedisPresence, malformed};
use crate::presence::{PresenceError, Roster};

/// Names read from each set at a time.
const NAMES: usize = 1_000;
/// Above so many users over several nodes their count is computed once per [`COUNT_FOR`] and app.
const COUNT_EXACTLY: u64 = 1_000;
const COUNT_FOR: Duration = Duration::from_secs(1);

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
        let most = limit.saturating_add(1);
        let mut names: Vec<String> = Vec::new();
        let sum = loop {
            let wanted = (most - names.len()).min(NAMES);
            let from = names.last().map(String::as_str).or(after.map(UserId::as_str));
            let (sum, some) = self.names(sets, from, wanted).await?;
            let is_last = some.len() < wanted;
            names.extend(some.into_iter().take(wanted));
            if is_last || names.len() == most {
                break sum;
            }
        };
        let more = names.len() > limit;
        let users = names.iter().take(limit).filter_map(|name| UserId::new(name).ok()).collect();
        Ok(Roster { count: self.count(app, sets, sum).await?, users, more })
    }

    /// How many names the sets hold, and those after `after`: at least the first `wanted` of them.
    async fn names(
        &self,
        sets: &[String],
        after: Option<&str>,
        wanted: usize,
    ) -> Result<(u64, BTreeSet<String>), PresenceError> {
        let from = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
        let mut pipeline = redis::pipe();
        for set in sets {
            pipeline.cmd("ZCARD").arg(set);
            pipeline.cmd("ZRANGE").arg(set).arg(&from).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(wanted);
        }
        let mut answer = self.link.run_all::<Vec<Value>>(&pipeline).await?.into_iter();
        let (mut sum, mut names) = (0, BTreeSet::new());
        for _ in sets {
            sum += next::<u64>(&mut answer)?;
            names.extend(next::<Vec<String>>(&mut answer)?);
        }
        Ok((sum, names))
    }

    /// Distinct users in the sets. One node: O(1). Several: Redis merges the sets, O(users), so above
    /// [`COUNT_EXACTLY`] the number may be [`COUNT_FOR`] old.
    async fn count(&self, app: AppId, sets: &[String], sum: u64) -> Result<u64, PresenceError> {
        if sets.len() < 2 || sum == 0 {
            return Ok(sum);
        }
        let known = self.counts.lock().get(&app).copied();
        if let Some((_, count)) = known.filter(|(when, _)| sum > COUNT_EXACTLY && when.elapsed() < COUNT_FOR)
        {
            return Ok(count);
        }
        let call = self.scripts.count.call(sets);
        let count = self.link.call(&self.scripts.count, &call).await?;
        self.counts.lock().insert(app, (Instant::now(), count));
        Ok(count)
    }
}

fn next<T: redis::FromRedisValue>(values: &mut impl Iterator<Item = Value>) -> Result<T, PresenceError> {
    redis::from_redis_value(values.next().unwrap_or_default()).map_err(malformed)
}
