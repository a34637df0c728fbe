//! Presence over Redis: a lease per node, and per app and lease one sorted set of users.
//!
//! Invariant: the sets of a lease count exactly as long as the lease lives, so a dead node's users are offline
//! without a word about any of them, and an idle node costs one script call per renewal. A lease that was cleared
//! away is never taken again: its holder gets a new one, whose sets nobody is clearing. While leases cannot be renewed,
//! that somebody is in none of the live ones says nothing, and is not told as if they were away.

mod clearing;
mod counting;
mod leases;
mod listing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use chat_protocol::node::Node;
use chat_protocol::{AppId, UserId};
use parking_lot::Mutex;
use redis::Value;

use self::counting::Counts;
use self::leases::{Held, Live, Renewal};
use super::bundle::Bundle;
use super::codec;
use super::keys::Keys;
use super::link::{LinkError, Script, deaf};
use super::site::{self, Address};
use crate::model::Topic;
use crate::presence::{Announcer, Change, Count, LEASE_MS, Outcome, Presence, PresenceError, Roster};

/// Changes, or users of a dead node, in one script call: what Redis does in well under 10 ms.
const CHUNK: usize = 500;
/// Names read from each set at a time.
const NAMES: usize = 1_000;

/// The port over Redis. Its connection ends when it is dropped.
pub struct RedisPresence {
    link: Bundle,
    keys: Keys,
    node: u64,
    lease_ms: u64,
    leases_taken: AtomicU64,
    held: Mutex<Held>,
    counts: Mutex<HashMap<AppId, Counts>>,
    announcer: Announcer,
    scripts: Scripts,
}

struct Scripts {
    apply: Script,
    renew: Script,
    count: Script,
    counted: Script,
}

/// What `apply.lua` does about a user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Enter,
    Leave,
    Look,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Act::Enter => "1",
            Act::Leave => "0",
            Act::Look => "?",
        }
    }
}

impl From<bool> for Act {
    fn from(here: bool) -> Self {
        if here { Act::Enter } else { Act::Leave }
    }
}

impl RedisPresence {
    /// Connects and takes a lease; `node` is the random number of this process.
    ///
    /// # Errors
    /// [`PresenceError::Unreachable`] when the URL is unusable or Redis does not answer.
    pub async fn connect(
        address: impl Into<Address>,
        keys: Keys,
        node: u64,
        announcer: Announcer,
    ) -> Result<Arc<Self>, PresenceError> {
        Self::connect_with_lease(address, keys, node, announcer, LEASE_MS).await
    }

    /// As [`RedisPresence::connect`], with leases of another length, for tests that wait for their end.
    ///
    /// # Errors
    /// As [`RedisPresence::connect`].
    pub async fn connect_with_lease(
        address: impl Into<Address>,
        keys: Keys,
        node: u64,
        announcer: Announcer,
        lease_ms: u64,
    ) -> Result<Arc<Self>, PresenceError> {
        let site = site::read(&address.into())?;
        let (link, keys) = (Bundle::open(&site, deaf()).await?, site.names(keys));
        let presence = Self {
            link,
            keys,
            node,
            lease_ms,
            leases_taken: AtomicU64::new(0),
            held: Mutex::new(Held { lease: "".into(), apps: HashSet::new() }),
            counts: Mutex::default(),
            announcer,
            scripts: Scripts {
                apply: Script::new(include_str!("apply.lua")),
                renew: Script::new(include_str!("renew.lua")),
                count: Script::new(include_str!("count.lua")),
                counted: Script::new(include_str!("counted.lua")),
            },
        };
        // Graves are left to `renew`.
        presence.take_lease(false).await?;
        Ok(Arc::new(presence))
    }

    fn lease(&self) -> Arc<str> {
        self.held.lock().lease.clone()
    }

    async fn take_lease(&self, graves: bool) -> Result<Renewal, PresenceError> {
        let number = self.leases_taken.fetch_add(1, Relaxed);
        let lease: Arc<str> = format!("{:016x}-{number}", self.node).into();
        let renewal = self.stand(&lease, true, graves).await?;
        *self.held.lock() = Held { lease, apps: HashSet::new() };
        Ok(renewal)
    }

    async fn stand(&self, lease: &str, new: bool, graves: bool) -> Result<Renewal, PresenceError> {
        let mut call = self.scripts.renew.call(&[self.keys.leases(), self.keys.graves()]);
        call.arg(lease).arg(self.lease_ms).arg(u8::from(new)).arg(u8::from(graves));
        let (state, graves): (u64, Vec<String>) = self.link.call(&self.scripts.renew, &call).await?;
        Ok(if state == 2 { Renewal::Unknown } else { Renewal::Held { had_ended: state == 1, graves } })
    }

    /// The leases that have not ended, read anew: a node that has just started counts at once.
    async fn live(&self) -> Result<Live, PresenceError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME").cmd("ZRANGE").arg(self.keys.leases()).arg(0).arg(-1).arg("WITHSCORES");
        let ((seconds, micros), leases): ((u64, u64), Vec<(String, f64)>) =
            self.link.run_all(&pipeline).await?;
        let now = (seconds * 1000 + micros / 1000) as f64;
        let own = self.lease();
        // Another lease may have been renewed as long before this one as lies between two renewals.
        let least = now + self.lease_ms as f64 / 3.0;
        let renewed = own.is_empty() || leases.iter().any(|(lease, ends)| **lease == *own && *ends > least);
        let live = leases.into_iter().filter(|(_, ends)| *ends > now).map(|(lease, _)| lease);
        Ok(Live { leases: live.collect(), renewed })
    }

    /// Sets of an app on live nodes other than `except`.
    async fn live_sets(&self, app: AppId, except: Option<&str>) -> Result<Vec<String>, PresenceError> {
        let mut live = self.live().await?.leases;
        live.retain(|lease| except != Some(lease));
        Ok(self.sets(app, &live))
    }

    fn sets(&self, app: AppId, leases: &[String]) -> Vec<String> {
        leases.iter().map(|lease| self.keys.here(app, lease)).collect()
    }

    /// How many of the sets hold the user.
    async fn holding(&self, sets: &[String], user: &UserId) -> Result<u64, PresenceError> {
        let mut pipeline = redis::pipe();
        for set in sets {
            pipeline.cmd("ZSCORE").arg(set).arg(user.as_str());
        }
        let scores: Vec<Option<f64>> = self.link.run_all(&pipeline).await?;
        Ok(scores.iter().flatten().count() as u64)
    }

    /// Sees to it that whoever finds this lease ended knows that it has users in the app.
    async fn register(&self, lease: &Arc<str>, app: AppId) -> Result<(), PresenceError> {
        if self.held.lock().apps.contains(&app) {
            return Ok(());
        }
        let mut command = redis::cmd("SADD");
        command.arg(self.keys.lease_apps(lease)).arg(app);
        self.link.run::<Value>(&command).await?;
        let mut held = self.held.lock();
        if held.lease == *lease {
            held.apps.insert(app);
        }
        Ok(())
    }

    async fn apply_in(&self, app: AppId, changes: &[&Change]) -> Result<Vec<Outcome>, PresenceError> {
        let lease = self.lease();
        self.register(&lease, app).await?;
        let others = self.live_sets(app, Some(&lease)).await?;
        let sets = [vec![self.keys.here(app, &lease)], others.clone()].concat();
        let changes: Vec<_> = changes.iter().map(|change| (Act::from(change.here), &change.user)).collect();
        let mut outcomes = self.decide(app, &sets, &changes).await?;
        let seems_gone =
            |((act, _), outcome): &(&(Act, _), &mut Outcome)| *act == Act::Leave && outcome.decisive;
        let mut gone: Vec<_> = changes.iter().zip(&mut outcomes).filter(seems_gone).collect();
        if gone.is_empty() {
            return Ok(outcomes);
        }
        // A node that began after the nodes were listed may hold some of them: that is the last word then.
        let mut now = self.live_sets(app, Some(&lease)).await?;
        now.retain(|set| !others.contains(set));
        if !now.is_empty() {
            let look: Vec<_> = gone.iter().map(|((_, user), _)| (Act::Look, *user)).collect();
            for ((_, outcome), found) in gone.iter_mut().zip(self.decide(app, &now, &look).await?) {
                outcome.decisive = !found.decisive;
            }
        }
        Ok(outcomes)
    }

    /// Changes the first of the sets, in view of the others, and announces what that decides.
    async fn decide(
        &self,
        app: AppId,
        sets: &[String],
        changes: &[(Act, &UserId)],
    ) -> Result<Vec<Outcome>, PresenceError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for chunk in changes.chunks(CHUNK) {
            let mut call = self.scripts.apply.call(sets);
            call.arg(self.keys.channel(&Topic::World(app))).arg(self.announcer.limit);
            for (act, user) in chunk {
                let notice = self.announcer.notice(user, *act != Act::Leave);
                call.arg(act.name()).arg(user.as_str()).arg(codec::notice(&notice));
            }
            let answer: Vec<u64> = self.link.call(&self.scripts.apply, &call).await?;
            if answer.len() != 2 * chunk.len() {
                return Err(PresenceError::Corrupt("an answer of another length".to_owned()));
            }
            let outcome = |pair: &[u64]| Outcome { decisive: pair[0] == 1, room_size: pair[1] };
            outcomes.extend(answer.chunks(2).map(outcome));
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl Presence for RedisPresence {
    async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError> {
        let mut by_app: HashMap<AppId, Vec<usize>> = HashMap::new();
        for (index, change) in changes.iter().enumerate() {
            by_app.entry(change.app).or_default().push(index);
        }
        let mut outcomes = vec![Outcome { decisive: false, room_size: 0 }; changes.len()];
        for (app, indexes) in by_app {
            let of_app: Vec<&Change> = indexes.iter().map(|index| &changes[*index]).collect();
            for (index, outcome) in indexes.into_iter().zip(self.apply_in(app, &of_app).await?) {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn is_online(&self, app: AppId, user: &UserId) -> Result<bool, PresenceError> {
        let live = self.live().await?;
        if live.leases.is_empty() {
            return live.known(false);
        }
        match self.holding(&self.sets(app, &live.leases), user).await? {
            0 => live.known(false),
            _ => Ok(true),
        }
    }

    async fn elsewhere(&self, app: AppId, user: &UserId) -> Result<u64, PresenceError> {
        match self.live_sets(app, Some(&self.lease())).await?.as_slice() {
            [] => Ok(0),
            others => self.holding(others, user).await,
        }
    }

    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Roster, PresenceError> {
        let live = self.live().await?;
        live.known(())?;
        self.list_in(app, &self.sets(app, &live.leases), after, limit).await
    }

    async fn some(&self, app: AppId, most: usize) -> Result<Vec<UserId>, PresenceError> {
        let live = self.live().await?;
        live.known(())?;
        self.some_in(&self.sets(app, &live.leases), most).await
    }

    async fn count(&self, app: AppId) -> Result<Count, PresenceError> {
        self.online(app).await
    }

    async fn live_nodes(&self) -> Result<u64, PresenceError> {
        Ok(self.live().await?.leases.len() as u64)
    }

    async fn tell(&self, node: &Node) -> Result<(), PresenceError> {
        let text = serde_json::to_string(node).map_err(|error| PresenceError::Corrupt(error.to_string()))?;
        let mut command = redis::cmd("SET");
        command.arg(self.keys.card(&self.lease())).arg(text).arg("PX").arg(3 * self.lease_ms);
        Ok(self.link.run::<()>(&command).await?)
    }

    async fn nodes(&self) -> Result<Vec<Node>, PresenceError> {
        let leases = self.live().await?.leases;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        leases.iter().for_each(|lease| _ = command.arg(self.keys.card(lease)));
        let texts: Vec<Option<String>> = self.link.run(&command).await?;
        // One of another version may tell otherwise; its lease counts all the same.
        Ok(texts.iter().flatten().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    async fn renew(&self) -> Result<bool, PresenceError> {
        let lease = self.lease();
        let (was_dead, graves) = match self.stand(&lease, false, true).await? {
            Renewal::Held { had_ended, graves } => (had_ended, graves),
            Renewal::Unknown => match self.take_lease(true).await? {
                Renewal::Held { graves, .. } => (true, graves),
                Renewal::Unknown => (true, Vec::new()),
            },
        };
        for grave in graves {
            if let Err(error) = self.bury(&grave).await {
                // The grave is taken up again when its time is over.
                tracing::warn!(%error, "clearing an ended lease");
                break;
            }
        }
        Ok(was_dead)
    }

    async fn resign(&self) -> Result<(), PresenceError> {
        let (lease, apps) = {
            let mut held = self.held.lock();
            (std::mem::replace(&mut held.lease, "".into()), std::mem::take(&mut held.apps))
        };
        let mut gone = redis::cmd("ZREM");
        gone.arg(self.keys.leases()).arg(&*lease);
        self.link.run::<Value>(&gone).await?;
        let mut rest = redis::pipe();
        rest.cmd("DEL").arg(self.keys.lease_apps(&lease)).cmd("DEL").arg(self.keys.card(&lease));
        for app in apps {
            rest.cmd("UNLINK").arg(self.keys.here(app, &lease));
        }
        self.link.run_all::<Value>(&rest).await?;
        Ok(())
    }
}

impl From<LinkError> for PresenceError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => PresenceError::Unreachable(detail),
            LinkError::Corrupt(detail) => PresenceError::Corrupt(detail),
        }
    }
}

fn malformed(error: redis::ParsingError) -> PresenceError {
    PresenceError::Corrupt(error.to_string())
}
