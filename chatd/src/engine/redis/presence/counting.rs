//! How many users are online: distinct names over the sets of the live nodes, counted in parts that keep nobody waiting.
//!
//! Invariant: no call makes Redis do more than [`NAMES`] names, or [`COUNT_AT_ONCE`] of all sets together; who asks while
//! an app is counted waits for that count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::AppId;
use tokio::sync::Mutex;

use super::{NAMES, RedisPresence};
use crate::presence::PresenceError;

/// Up to so many users are counted in one step, anew for everybody who asks.
const COUNT_AT_ONCE: u64 = 1_000;
/// How long a count of more is told again, at least.
const COUNT_FOR: Duration = Duration::from_secs(1);
/// And at least so many times as long as it took: counting takes no more than a part of the time, however many there are.
const COUNT_SHARE: u32 = 20;

/// What was counted of an app last; locked while it is counted.
pub(super) type Counts = Arc<Mutex<Option<Counted>>>;

/// A count.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    users: u64,
    at: Instant,
    took: Duration,
}

impl Counted {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < COUNT_FOR.max(self.took * COUNT_SHARE)
    }
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
    /// [`COUNT_AT_ONCE`] exact; above, every name is read, and the number may be older than the call by [`COUNT_FOR`] or
    /// [`COUNT_SHARE`] times what counting took (in all some 20 s for a million users).
    ///
    /// # Errors
    /// When Redis does not answer.
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
        if let Some(counted) = known.filter(Counted::is_fresh) {
            return Ok(counted.users);
        }
        let began = Instant::now();
        let users = self.distinct(sets).await?;
        *known = Some(Counted { users, at: Instant::now(), took: began.elapsed() });
        Ok(users)
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
