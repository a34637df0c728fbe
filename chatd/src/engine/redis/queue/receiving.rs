//! What a receiver has in its hands, and how it comes there.
//!
//! Invariant: what is in no receiver's hands is in the stream, and comes: what is new at once, what was left behind when
//! nobody renewed the claim to it for a while. Neither keeps the other waiting.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::AppId;
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, Value};
use tokio::time::{Instant, sleep};

use super::entry::{Entry, body};
use crate::engine::redis::bundle::Bundle;
use crate::engine::redis::keys::{Keys, SETTLERS};
use crate::engine::redis::link::{LinkError, Script, deaf};
use crate::engine::redis::site::Site;
use crate::money::settlement::{Delivery, Tag};

/// How long a receiver waits for something to come; shorter than a link waits for an answer.
const BLOCK: Duration = Duration::from_millis(500);
/// How often outboxes are looked at that cannot be waited for together.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Entries read from each outbox, although all apps share what was asked for.
const LEAST_PER_APP: usize = 8;
/// A consumer without work is forgotten after so long without a sign of life.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// One receiver: its links and its hands.
pub(super) struct Desk {
    pub(super) keys: Keys,
    /// Waits for what comes; nothing else may stand behind it.
    reads: Bundle,
    pub(super) others: Bundle,
    consumer: String,
    idle: Duration,
    pub(super) hands: Mutex<Hands>,
    ready: Script,
    renew: Script,
    pub(super) bury: Script,
    pub(super) replay: Script,
}

#[derive(Default)]
pub(super) struct Hands {
    /// Apps whose outbox has its group.
    pub(super) ready: HashSet<AppId>,
    /// Received, neither done nor buried.
    held: HashMap<AppId, HashSet<String>>,
    /// Of these, what nobody has asked for.
    pub(super) spare: VecDeque<Delivery>,
    /// Where the search for abandoned entries goes on.
    cursors: HashMap<AppId, String>,
    /// When it does.
    search_at: Option<Instant>,
}

impl Desk {
    pub(super) async fn open(site: &Site, keys: Keys, idle: Duration) -> Result<Self, LinkError> {
        Ok(Self {
            keys: site.names(keys),
            reads: Bundle::open(site, deaf()).await?,
            others: Bundle::open(site, deaf()).await?,
            consumer: format!("{:016x}", rand::random::<u64>()),
            idle,
            hands: Mutex::default(),
            ready: Script::new(include_str!("ready.lua")),
            renew: Script::new(include_str!("renew.lua")),
            bury: Script::new(include_str!("bury.lua")),
            replay: Script::new(include_str!("replay.lua")),
        })
    }

    pub(super) async fn keep_renewing(self: Arc<Self>) {
        loop {
            sleep(self.idle / 3).await;
            if let Err(error) = self.renew().await {
                tracing::debug!(%error, "claims to settlements are not renewed");
            }
        }
    }

    async fn renew(&self) -> Result<(), LinkError> {
        let held = self.hands.lock().held.clone();
        for (app, ids) in held.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let mut call = self.renew.call(&[self.keys.outbox(app)]);
            call.arg(SETTLERS).arg(&self.consumer).arg(Vec::from_iter(ids));
            self.others.call::<Value>(&self.renew, &call).await?;
        }
        Ok(())
    }

    pub(super) async fn apps(&self) -> Result<Vec<AppId>, LinkError> {
        self.others.run(redis::cmd("SMEMBERS").arg(self.keys.outboxes())).await
    }

    /// Receives into `spare`: what others left behind and what is new, for which it waits if there is nothing else.
    pub(super) async fn fetch(&self, max: usize) -> Result<(), LinkError> {
        let apps = self.apps().await?;
        if apps.is_empty() {
            sleep(BLOCK).await;
            return Ok(());
        }
        self.prepare(&apps).await?;
        let apps: Vec<AppId> = {
            let hands = self.hands.lock();
            apps.into_iter().filter(|app| hands.ready.contains(app)).collect()
        };
        if apps.is_empty() {
            sleep(BLOCK).await;
            return Ok(());
        }
        let count = (max / apps.len()).max(LEAST_PER_APP);
        // What had to wait, and may have to again, does not keep from what is new.
        let any = self.take_over(&apps, count).await?;
        self.read(&apps, count, !any).await
    }

    async fn prepare(&self, apps: &[AppId]) -> Result<(), LinkError> {
        let fresh: Vec<AppId> = {
            let hands = self.hands.lock();
            apps.iter().copied().filter(|app| !hands.ready.contains(app)).collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        for some in fresh.chunks(self.at_once(fresh.len())) {
            let outboxes: Vec<_> = some.iter().map(|app| self.keys.outbox(*app)).collect();
            let mut call = self.ready.call(&outboxes);
            call.arg(SETTLERS).arg(millis(FORGOTTEN_AFTER));
            let ready: Vec<bool> = self.others.call(&self.ready, &call).await?;
            let ready = some.iter().zip(ready).filter_map(|(app, ready)| ready.then_some(*app));
            self.hands.lock().ready.extend(ready);
        }
        Ok(())
    }

    /// Whether anything was taken over. Looks twice within the idle time, and on while there is more.
    async fn take_over(&self, apps: &[AppId], count: usize) -> Result<bool, LinkError> {
        let mut pipeline = redis::pipe();
        {
            let mut hands = self.hands.lock();
            if hands.search_at.is_some_and(|at| Instant::now() < at) {
                return Ok(false);
            }
            hands.search_at = Some(Instant::now() + self.idle / 2);
            for app in apps {
                let cursor = hands.cursors.get(app).map_or("0-0", String::as_str);
                pipeline.cmd("XAUTOCLAIM").arg(self.keys.outbox(*app)).arg(SETTLERS).arg(&self.consumer);
                pipeline.arg(millis(self.idle)).arg(cursor).arg("COUNT").arg(count);
            }
        }
        let answers: Vec<Vec<Value>> = self.others.run_all(&pipeline).await?;
        let mut hands = self.hands.lock();
        let mut any = false;
        for (app, answer) in apps.iter().zip(answers) {
            // Redis 7 adds a third part.
            let mut parts = answer.into_iter();
            let (Some(cursor), Some(entries)) = (parts.next(), parts.next()) else {
                return Err(LinkError::Corrupt("XAUTOCLAIM answered too little".to_owned()));
            };
            let cursor = String::from_redis_value(cursor).map_err(redis::RedisError::from)?;
            // Redis 6 names entries that are deleted, with nothing in their place.
            let entries = Vec::<Option<Entry>>::from_redis_value(entries).map_err(redis::RedisError::from)?;
            any |= hands.receive(*app, entries.into_iter().flatten());
            if cursor != "0-0" {
                hands.search_at = None;
            }
            hands.cursors.insert(*app, cursor);
        }
        Ok(any)
    }

    /// Apps whose outboxes one command may touch: where they have slots, each has its own.
    fn at_once(&self, all: usize) -> usize {
        if self.reads.has_slots() { 1 } else { all.max(1) }
    }

    async fn read(&self, apps: &[AppId], count: usize, wait: bool) -> Result<(), LinkError> {
        if self.reads.has_slots() {
            return self.read_each(apps, count, wait).await;
        }
        let read = self.read_call(apps, count, wait.then_some(BLOCK));
        let answer: Option<HashMap<String, Vec<Entry>>> = self.reads.wait(&read).await?;
        self.take_read(apps, answer);
        Ok(())
    }

    /// What is new in outboxes of different slots, for which nobody can wait at once: they are looked at in turns.
    async fn read_each(&self, apps: &[AppId], count: usize, wait: bool) -> Result<(), LinkError> {
        let until = Instant::now() + if wait { BLOCK } else { Duration::ZERO };
        loop {
            let mut pipeline = redis::pipe();
            for app in apps {
                pipeline.add_command(self.read_call(&[*app], count, None));
            }
            let answers: Vec<Option<HashMap<String, Vec<Entry>>>> = self.reads.run_all(&pipeline).await?;
            let any = answers.iter().any(Option::is_some);
            for (app, answer) in apps.iter().zip(answers) {
                self.take_read(&[*app], answer);
            }
            if any || Instant::now() >= until {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn read_call(&self, apps: &[AppId], count: usize, wait: Option<Duration>) -> Cmd {
        let outboxes: Vec<String> = apps.iter().map(|app| self.keys.outbox(*app)).collect();
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(SETTLERS).arg(&self.consumer).arg("COUNT").arg(count);
        if let Some(wait) = wait {
            read.arg("BLOCK").arg(millis(wait));
        }
        read.arg("STREAMS").arg(&outboxes).arg(vec![">"; apps.len()]);
        read
    }

    fn take_read(&self, apps: &[AppId], answer: Option<HashMap<String, Vec<Entry>>>) {
        let mut answer = answer.unwrap_or_default();
        let mut hands = self.hands.lock();
        for app in apps {
            hands.receive(*app, answer.remove(&self.keys.outbox(*app)).unwrap_or_default());
        }
    }

    pub(super) fn release(&self, tag: &Tag) -> Option<AppId> {
        let app = AppId::try_from(tag.lane).ok()?;
        if let Some(ids) = self.hands.lock().held.get_mut(&app) {
            ids.remove(&tag.id);
        }
        Some(app)
    }
}

impl Hands {
    /// Whether anything was not in them.
    fn receive(&mut self, app: AppId, entries: impl IntoIterator<Item = Entry>) -> bool {
        let held = self.held.entry(app).or_default();
        let before = self.spare.len();
        for (id, fields) in entries {
            if held.insert(id.clone()) {
                let body = body(&fields);
                self.spare.push_back(Delivery { tag: Tag { lane: app.into(), id }, body });
            }
        }
        self.spare.len() > before
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
