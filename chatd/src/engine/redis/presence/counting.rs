//! How many users are online: distinct names over the sets of the live nodes, counted in parts that keep nobody waiting.
//!
//! Invariant: no call makes Redis do more than [`NAMES`] names, or [`COUNT_AT_ONCE`] of all sets together; of all nodes one
//! counts an app at a time, and who asks meanwhile waits for that count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::AppId;
use redis::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{NAMES, RedisPresence};
use crate::presence::PresenceError;

/// Up to so many users are counted in one step, anew for everybody who asks.
const COUNT_AT_ONCE: u64 = 1_000;
/// How long a count of more is told again, at least, and how long a failure: whoever waited for it does not try it once more.
const COUNT_FOR: Duration = Duration::from_secs(1);
/// And at least so many times as long as it took: all nodes together spend no more than one part in so many of the time
/// on an app, however many its users are.
const COUNT_SHARE: u32 = 20;
/// But no longer than this, whatever part of the time it takes then.
const COUNT_FOR_AT_MOST: Duration = Duration::from_secs(60);
/// How long one node counts for all at most; then another may.
const TURN: Duration = Duration::from_secs(30);
/// Pause before it is looked again whether the node whose turn it is has counted, and how often that is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;
/// What stands in the place of the number while a node counts.
const COUNTING: &str = "-";

/// What was counted of an app last; locked while it is counted.
pub(super) type Counts = Arc<Mutex<Option<Counted>>>;

/// A count, as this node tells it again for [`COUNT_FOR`].
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// None when it failed.
    users: Option<u64>,
    at: Instant,
}

/// How long all nodes tell a count again that took so long.
fn stays(took: Duration) -> Duration {
    took.saturating_mul(COUNT_SHARE).clamp(COUNT_FOR, COUNT_FOR_AT_MOST)
}

/// A set on its way through a count.
struct Source<'a> {
    set: &'a str,
    /// Names that were read and are not counted yet, in byte order.
    names: Vec<String>,
    /// The last one that was read.
    last: Option<String>,
    is_read: bool,
}

impl RedisPresence {
    /// Distinct users in the sets, of which `sum` is the size of all. One node: O(1). Several: up to
    /// [`COUNT_AT_ONCE`] exact; above, one node reads every name and tells the others, and the number may be older than the
    /// call by [`COUNT_FOR`], or by [`COUNT_SHARE`] times what counting took, up to [`COUNT_FOR_AT_MOST`].
    ///
    /// # Errors
    /// When Redis does not answer, or did not within the last [`COUNT_FOR`].
    pub(super) async fn count(&self, app: AppId, sets: &[String], sum: u64) -> Result<u64, PresenceError> {
        if sets.len() < 2 || sum == 0 {
            return Ok(sum);
        }
        if sum <= COUNT_AT_ONCE {
            let call = self.scripts.count.call(sets);
            return Ok(self.link.call(&self.scripts.count, &call).await?);
        }
        let counts = self.counts.lock().entry(app).or_default().clone();
        let mut known = counts.lock().await;
        if let Some(counted) = known.filter(|counted| counted.at.elapsed() < COUNT_FOR) {
            let failed = || PresenceError::Unreachable("a count of who is online failed just now".to_owned());
            return counted.users.ok_or_else(failed);
        }
        let users = self.count_for_all(app, sets).await;
        *known = Some(Counted { users: users.as_ref().ok().copied(), at: Instant::now() });
        users
    }

    /// What another node counted a moment ago, or counts now; else this one counts, for the others as well.
    async fn count_for_all(&self, app: AppId, sets: &[String]) -> Result<u64, PresenceError> {
        let key = self.keys.counted(app);
        for _ in 0..LOOKS {
            let mut turn = redis::cmd("SET");
            turn.arg(&key).arg(COUNTING).arg("NX").arg("PX").arg(millis(TURN));
            // A Redis that is full takes no note of a turn, and is read all the same.
            if !matches!(self.link.run::<Option<String>>(&turn).await, Ok(None)) {
                break;
            }
            let mut look = redis::cmd("GET");
            look.arg(&key);
            let found: Option<String> = self.link.run(&look).await?;
            match found.and_then(|found| found.parse().ok()) {
                Some(users) => return Ok(users),
                None => sleep(LOOK_AGAIN).await,
            }
        }
        let began = Instant::now();
        let users = self.distinct(sets).await;
        let mut tell = redis::cmd(if users.is_ok() { "SET" } else { "DEL" });
        tell.arg(&key);
        if let Ok(users) = &users {
            tell.arg(*users).arg("PX").arg(millis(stays(began.elapsed())));
        }
        if let Err(error) = self.link.run::<Value>(&tell).await {
            tracing::debug!(%error, app, "a count of who is online is not told to the other nodes");
        }
        users
    }

    /// Reads all names, a page of each set at a time, and counts those up to the first end of a page: no set has more of
    /// them.
    async fn distinct(&self, sets: &[String]) -> Result<u64, PresenceError> {
        let new = |set| Source { set, names: Vec::new(), last: None, is_read: false };
        let mut sources: Vec<_> = sets.iter().map(|set| new(set.as_str())).collect();
        let mut users = 0;
        while !sources.is_empty() {
            self.read_on(&mut sources).await?;
            let ends =
                sources.iter().filter(|source| !source.is_read).filter_map(|source| source.last.clone());
            let bound = ends.min();
            let mut names: Vec<String> = Vec::new();
            for source in &mut sources {
                let is_within = |name: &String| bound.as_ref().is_none_or(|bound| name <= bound);
                let within = source.names.partition_point(is_within);
                names.extend(source.names.drain(..within));
            }
            names.sort_unstable();
            names.dedup();
            users += names.len() as u64;
            sources.retain(|source| !source.is_read || !source.names.is_empty());
        }
        Ok(users)
    }

    /// The next page of every set of which no name is left.
    async fn read_on(&self, sources: &mut [Source<'_>]) -> Result<(), PresenceError> {
        let mut empty: Vec<_> =
            sources.iter_mut().filter(|source| source.names.is_empty() && !source.is_read).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for source in &empty {
            super::listing::names_after(&mut pipeline, source.set, source.last.as_deref(), NAMES);
        }
        let pages: Vec<Vec<String>> = self.link.run_all(&pipeline).await?;
        for (source, page) in empty.iter_mut().zip(pages) {
            source.is_read = page.len() < NAMES;
            source.last = page.last().cloned();
            source.names = page;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_for_a_share_of_what_it_took() {
        assert_eq!(stays(Duration::from_millis(1)), COUNT_FOR);
        assert_eq!(stays(Duration::from_millis(100)), Duration::from_secs(2));
        assert_eq!(stays(Duration::from_secs(10)), COUNT_FOR_AT_MOST);
    }
}
