//! How many users are online: distinct names over the sets of the live nodes, counted in parts that keep nobody
//! waiting.
//!
//! Invariant: no call makes Redis do more than [`NAMES`] names, or [`COUNT_AT_ONCE`] of all sets together; of all
//! nodes one counts an app at a time, and who asks meanwhile waits for that count. A count knows of whoever came or
//! went before it began, and it is told by all nodes when that was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::AppId;
use redis::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{NAMES, RedisPresence};
use crate::presence::{Count, PresenceError};

/// Up to so many users are counted in one step, anew for everybody who asks.
const COUNT_AT_ONCE: u64 = 1_000;
/// How long a count of more is told again, at least, and how long a failure: whoever waited for it does not try it
/// once more.
const COUNT_FOR: Duration = Duration::from_secs(1);
/// And at least so many times as long as it took: all nodes together spend no more than one part in so many of the time
/// on an app, however many its users are.
const COUNT_SHARE: u32 = 20;
/// But no longer than this, whatever part of the time it takes then.
const COUNT_FOR_AT_MOST: Duration = Duration::from_secs(30);
/// How long one node counts for all at most, also when whoever asked it to has gone; then another may.
const TURN: Duration = Duration::from_secs(5);
/// Pause before it is looked again whether the node whose turn it is has counted, and how often that is done: for as long
/// as its turn is.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;

/// What was counted of an app last; locked while it is counted.
pub(super) type Counts = Arc<Mutex<Option<Counted>>>;

/// A count, as this node tells it again.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// None when it failed.
    users: Option<u64>,
    /// When counting began.
    since: Instant,
    /// Until when it is told.
    until: Instant,
}

impl Counted {
    fn holds(&self) -> bool {
        Instant::now() < self.until
    }

    fn told(self) -> Result<Count, PresenceError> {
        let failed = || PresenceError::Unreachable("a count of who is online failed just now".to_owned());
        Ok(Count { users: self.users.ok_or_else(failed)?, since: self.since })
    }
}

/// What Redis knows of a count for all nodes.
enum Mark {
    /// It stands there.
    Counted(Counted),
    /// A node counts now.
    Counting,
    /// Nothing. Whoever asked for the turn has it.
    Nothing,
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
    /// Distinct users in the sets, of which `sum` is the size of all. One node: O(1). Several: up to [`COUNT_AT_ONCE`]
    /// exact; above, one node reads every name and tells the others, and the number may be older than the call by
    /// [`COUNT_FOR`], or by [`COUNT_SHARE`] times what counting took, up to [`COUNT_FOR_AT_MOST`].
    ///
    /// # Errors
    /// When Redis does not answer, or did not within the last [`COUNT_FOR`].
    pub(super) async fn users_in(&self, app: AppId, sets: &[String], sum: u64) -> Result<u64, PresenceError> {
        match self.few(sets, sum).await? {
            Some(users) => Ok(users),
            None => Ok(self.many(app).await?.users),
        }
    }

    /// Users of an app that are online, and since when that is known. Of many, what was counted a moment ago: while it
    /// is told, this node asks Redis once.
    ///
    /// # Errors
    /// As [`RedisPresence::users_in`].
    pub(super) async fn online(&self, app: AppId) -> Result<Count, PresenceError> {
        let counts = self.counts_of(app);
        let mut known = counts.lock().await;
        if let Some(counted) = known.filter(Counted::holds) {
            return counted.told();
        }
        if let (Mark::Counted(counted), _) = self.look(app, Duration::ZERO).await? {
            *known = Some(counted);
            return counted.told();
        }
        drop(known);
        let since = Instant::now();
        let sets = self.known_sets(app).await?;
        match self.few(&sets, self.size_of(&sets).await?).await? {
            Some(users) => Ok(Count { users, since }),
            None => self.many(app).await,
        }
    }

    fn counts_of(&self, app: AppId) -> Counts {
        self.counts.lock().entry(app).or_default().clone()
    }

    /// Sets of an app on live nodes, while it is known which live.
    async fn known_sets(&self, app: AppId) -> Result<Vec<String>, PresenceError> {
        let live = self.live().await?;
        live.known(())?;
        Ok(self.sets(app, &live.leases))
    }

    /// Names in all sets, one in several of them counted for each.
    async fn size_of(&self, sets: &[String]) -> Result<u64, PresenceError> {
        if sets.is_empty() {
            return Ok(0);
        }
        let mut pipeline = redis::pipe();
        for set in sets {
            pipeline.cmd("ZCARD").arg(set);
        }
        let sizes: Vec<u64> = self.link.run_all(&pipeline).await?;
        Ok(sizes.iter().sum())
    }

    /// Distinct users in the sets, counted now; none when there are too many for that.
    async fn few(&self, sets: &[String], sum: u64) -> Result<Option<u64>, PresenceError> {
        if sets.len() < 2 || sum == 0 {
            return Ok(Some(sum));
        }
        if sum > COUNT_AT_ONCE {
            return Ok(None);
        }
        let call = self.scripts.count.call(sets);
        Ok(Some(self.link.call(&self.scripts.count, &call).await?))
    }

    /// The same of however many: what was counted a moment ago, or is counted now.
    async fn many(&self, app: AppId) -> Result<Count, PresenceError> {
        let counts = self.counts_of(app);
        let mut known = counts.lock().await;
        if let Some(counted) = known.filter(Counted::holds) {
            return counted.told();
        }
        let counted = self.count_for_all(app).await;
        let now = Instant::now();
        let failed = Counted { users: None, since: now, until: now + COUNT_FOR };
        *known = Some(counted.as_ref().copied().unwrap_or(failed));
        counted?.told()
    }

    /// What another node counted a moment ago, or counts now; else this one counts, for the others as well.
    async fn count_for_all(&self, app: AppId) -> Result<Counted, PresenceError> {
        let (mut began_ms, mut has_turn) = (0, false);
        for _ in 0..LOOKS {
            let (mark, now_ms) = self.look(app, TURN).await?;
            began_ms = now_ms;
            match mark {
                Mark::Counted(counted) => return Ok(counted),
                Mark::Counting => sleep(LOOK_AGAIN).await,
                Mark::Nothing => {
                    has_turn = true;
                    break;
                }
            }
        }
        let since = Instant::now();
        let users = match self.everybody(app).await {
            // The turn, which would be given up below, is another node's.
            Err(error) if !has_turn => return Err(error),
            users => users,
        };
        let life = stays(since.elapsed());
        let mut tell = redis::cmd(if users.is_ok() { "SET" } else { "DEL" });
        tell.arg(self.keys.counted(app));
        if let Ok(users) = &users {
            tell.arg(format!("{users} {began_ms}")).arg("PX").arg(millis(life));
        }
        if let Err(error) = self.link.run::<Value>(&tell).await {
            tracing::debug!(%error, app, "a count of who is online is not told to the other nodes");
        }
        Ok(Counted { users: Some(users?), since, until: Instant::now() + life })
    }

    /// What is known of a count for all nodes, and the time of Redis in milliseconds. A turn that lasts so long is
    /// taken when nobody has it and it is not zero.
    async fn look(&self, app: AppId, turn: Duration) -> Result<(Mark, u64), PresenceError> {
        let mut call = self.scripts.counted.call(&[self.keys.counted(app)]);
        call.arg(millis(turn));
        let sent = Instant::now();
        let (users, age_ms, life_ms, now_ms): (i64, u64, u64, u64) =
            self.link.call(&self.scripts.counted, &call).await?;
        let mark = match u64::try_from(users) {
            Ok(users) => {
                // A millisecond more, for what both times of Redis were cut by.
                let age = Duration::from_millis(age_ms.saturating_add(1));
                let since = sent.checked_sub(age).unwrap_or(sent);
                Mark::Counted(Counted {
                    users: Some(users),
                    since,
                    until: sent + Duration::from_millis(life_ms),
                })
            }
            Err(_) if users == -1 => Mark::Nothing,
            Err(_) => Mark::Counting,
        };
        Ok((mark, now_ms))
    }

    /// Everybody who is online, counted name by name.
    async fn everybody(&self, app: AppId) -> Result<u64, PresenceError> {
        self.distinct(&self.known_sets(app).await?).await
    }

    /// Reads all names, a page of each set at a time, and counts those up to the first end of a page: no set has more
    /// of them.
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
        assert_eq!(stays(Duration::from_secs(10)), Duration::from_secs(30), "bounded");
    }
}
