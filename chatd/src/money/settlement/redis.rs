//! The outboxes of all apps in Redis, read by one consumer group.
//!
//! Invariant: an entry is in its stream until it is done or buried. While a receiver lives it renews its claim to what
//! it has; what nobody renewed for a while is taken over by whoever looks next.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::AppId;
use parking_lot::Mutex;
use redis::{FromRedisValue, Value};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Dead, Delivery, Depth, Queue, QueueError, Tag};
use crate::broker::redis::link::{self, Link, LinkError, Script};
use crate::keys::{Keys, SETTLERS};

/// A receiver that was silent for so long is taken for dead.
pub const TAKEN_OVER_AFTER: Duration = Duration::from_secs(5);
/// How long a receiver waits for something to come; shorter than a link waits for an answer.
const BLOCK: Duration = Duration::from_millis(500);
/// Entries read from each outbox, although all apps share what was asked for.
const LEAST_PER_APP: usize = 8;
/// A consumer without work is forgotten after so long without a sign of life.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Dead letters moved in one step.
const REPLAYED_AT_ONCE: u64 = 500;

/// Id of an entry, its fields and values.
type Entry = (String, Vec<Bytes>);

/// A receiver.
pub struct RedisQueue {
    desk: Arc<Desk>,
    _renewal: AbortOnDropHandle<()>,
}

struct Desk {
    keys: Keys,
    /// Waits for what comes; nothing else may stand behind it.
    reads: Link,
    others: Link,
    consumer: String,
    idle: Duration,
    hands: Mutex<Hands>,
    ready: Script,
    renew: Script,
    bury: Script,
    replay: Script,
}

#[derive(Default)]
struct Hands {
    /// Apps whose outbox has its group.
    ready: HashSet<AppId>,
    /// Received, neither done nor buried.
    held: HashMap<AppId, HashSet<String>>,
    /// Of these, what nobody has asked for.
    spare: VecDeque<Delivery>,
    /// Where the search for abandoned entries goes on.
    cursors: HashMap<AppId, String>,
    /// When it does.
    search_at: Option<Instant>,
}

impl RedisQueue {
    /// Connects. What another receiver has not renewed for `idle` is taken over.
    ///
    /// # Errors
    /// [`QueueError::Unreachable`] when the URL is unusable or Redis does not answer.
    pub async fn connect(url: &str, keys: Keys, idle: Duration) -> Result<Arc<Self>, QueueError> {
        let client = link::client(url)?;
        let desk = Arc::new(Desk {
            keys,
            reads: Link::open(&client, Arc::new(|_| ())).await?,
            others: Link::open(&client, Arc::new(|_| ())).await?,
            consumer: format!("{:016x}", rand::random::<u64>()),
            idle,
            hands: Mutex::default(),
            ready: Script::new(include_str!("ready.lua")),
            renew: Script::new(include_str!("renew.lua")),
            bury: Script::new(include_str!("bury.lua")),
            replay: Script::new(include_str!("replay.lua")),
        });
        let renewal = tokio::spawn(desk.clone().keep_renewing());
        Ok(Arc::new(Self { desk, _renewal: AbortOnDropHandle::new(renewal) }))
    }
}

impl Desk {
    async fn keep_renewing(self: Arc<Self>) {
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

    async fn apps(&self) -> Result<Vec<AppId>, LinkError> {
        self.others.run(redis::cmd("SMEMBERS").arg(self.keys.outboxes())).await
    }

    /// Receives into `spare`: what others left behind, else what is new, for which it waits.
    async fn fetch(&self, max: usize) -> Result<(), LinkError> {
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
        if !self.take_over(&apps, count).await? {
            self.read(&apps, count).await?;
        }
        Ok(())
    }

    async fn prepare(&self, apps: &[AppId]) -> Result<(), LinkError> {
        let fresh: Vec<AppId> = {
            let hands = self.hands.lock();
            apps.iter().copied().filter(|app| !hands.ready.contains(app)).collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        let mut call = self.ready.call(&fresh.iter().map(|app| self.keys.outbox(*app)).collect::<Vec<_>>());
        call.arg(SETTLERS).arg(millis(FORGOTTEN_AFTER));
        let ready: Vec<bool> = self.others.call(&self.ready, &call).await?;
        let ready = fresh.into_iter().zip(ready).filter_map(|(app, ready)| ready.then_some(app));
        self.hands.lock().ready.extend(ready);
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

    async fn read(&self, apps: &[AppId], count: usize) -> Result<(), LinkError> {
        let outboxes: Vec<String> = apps.iter().map(|app| self.keys.outbox(*app)).collect();
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(SETTLERS).arg(&self.consumer).arg("COUNT").arg(count);
        read.arg("BLOCK").arg(millis(BLOCK)).arg("STREAMS").arg(&outboxes).arg(vec![">"; apps.len()]);
        let answer: Option<HashMap<String, Vec<Entry>>> = self.reads.run(&read).await?;
        let mut answer = answer.unwrap_or_default();
        let mut hands = self.hands.lock();
        for (app, outbox) in apps.iter().zip(&outboxes) {
            hands.receive(*app, answer.remove(outbox).unwrap_or_default());
        }
        Ok(())
    }

    fn release(&self, tag: &Tag) -> Option<AppId> {
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
                let body = field(&fields, b"body");
                self.spare.push_back(Delivery { tag: Tag { lane: app.into(), id }, body });
            }
        }
        self.spare.len() > before
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Empty when there is none, which is no settlement.
fn field(fields: &[Bytes], name: &[u8]) -> Bytes {
    let found = fields.chunks_exact(2).find(|pair| pair[0] == name);
    found.map(|pair| pair[1].clone()).unwrap_or_default()
}

fn dead((id, fields): Entry) -> Dead {
    let reason = String::from_utf8_lossy(&field(&fields, b"reason")).into_owned();
    Dead { id, reason, body: field(&fields, b"body") }
}

/// Whether Redis takes it for the id of an entry.
fn is_entry_id(text: &str) -> bool {
    text.matches('-').count() == 1 && text.split('-').all(|part| part.parse::<u64>().is_ok())
}

#[async_trait]
impl Queue for RedisQueue {
    /// Several calls at once share one link, on which one waits behind the other.
    async fn receive(&self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let desk = &self.desk;
        if desk.hands.lock().spare.is_empty()
            && let Err(error) = desk.fetch(max).await
        {
            // Perhaps Redis lost its data, and with it the groups.
            desk.hands.lock().ready.clear();
            return Err(error.into());
        }
        let mut hands = desk.hands.lock();
        let count = max.min(hands.spare.len());
        Ok(hands.spare.drain(..count).collect())
    }

    async fn done(&self, tags: &[Tag]) -> Result<(), QueueError> {
        let mut by_app = BTreeMap::<AppId, Vec<&str>>::new();
        for tag in tags {
            if let Some(app) = self.desk.release(tag) {
                by_app.entry(app).or_default().push(&tag.id);
            }
        }
        if by_app.is_empty() {
            return Ok(());
        }
        // No transaction: Redis refuses those when it is short of memory, which this frees. Each command can be repeated,
        // and an entry is done from the first on.
        let mut pipeline = redis::pipe();
        for (app, ids) in by_app {
            let outbox = self.desk.keys.outbox(app);
            pipeline.cmd("XACK").arg(&outbox).arg(SETTLERS).arg(&ids);
            pipeline.cmd("XDEL").arg(&outbox).arg(&ids);
        }
        Ok(self.desk.others.run_all::<Value>(&pipeline).await.map(drop)?)
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let desk = &self.desk;
        let Some(app) = desk.release(&delivery.tag) else { return Ok(()) };
        let mut call = desk.bury.call(&[desk.keys.outbox(app), desk.keys.dead_letters(app)]);
        call.arg(SETTLERS).arg(&delivery.tag.id).arg(&delivery.body[..]).arg(reason);
        Ok(desk.others.call::<Value>(&desk.bury, &call).await.map(drop)?)
    }

    async fn waiting(
        &self,
        app: AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<(String, Bytes)>>, QueueError> {
        let mut read = redis::cmd("XRANGE");
        let first = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        read.arg(self.desk.keys.outbox(app)).arg(first).arg("+").arg("COUNT").arg(limit.max(1));
        let entries: Vec<Entry> = self.desk.others.run(&read).await?;
        Ok(Some(entries.into_iter().map(|(id, fields)| (id, field(&fields, b"body"))).collect()))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let apps = self.desk.apps().await?;
        if apps.is_empty() {
            return Ok(Depth::default());
        }
        let mut pipeline = redis::pipe();
        for app in apps {
            pipeline.cmd("XLEN").arg(self.desk.keys.outbox(app));
            pipeline.cmd("XLEN").arg(self.desk.keys.dead_letters(app));
        }
        let lengths: Vec<u64> = self.desk.others.run_all(&pipeline).await?;
        let sum = |which| lengths.iter().skip(which).step_by(2).sum();
        Ok(Depth { waiting: sum(0), dead: sum(1) })
    }

    async fn oldest_ms(&self) -> Result<Option<u64>, QueueError> {
        let apps = self.desk.apps().await?;
        if apps.is_empty() {
            return Ok(None);
        }
        let mut pipeline = redis::pipe();
        for app in apps {
            pipeline.cmd("XRANGE").arg(self.desk.keys.outbox(app)).arg("-").arg("+").arg("COUNT").arg(1);
        }
        let firsts: Vec<Vec<Entry>> = self.desk.others.run_all(&pipeline).await?;
        let (seconds, micros): (u64, u64) = self.desk.others.run(&redis::cmd("TIME")).await?;
        let born = |(id, _): &Entry| id.split_once('-')?.0.parse::<u64>().ok();
        let oldest = firsts.iter().filter_map(|entries| entries.first().and_then(born)).min();
        Ok(oldest.map(|born| (seconds * 1000 + micros / 1000).saturating_sub(born)))
    }

    async fn dead(&self, app: AppId, limit: usize) -> Result<Vec<Dead>, QueueError> {
        // A count of zero is answered with nothing at all, which is no list.
        let (letters, count) = (self.desk.keys.dead_letters(app), limit.clamp(1, i64::MAX as usize));
        let mut read = redis::cmd("XRANGE");
        read.arg(letters).arg("-").arg("+").arg("COUNT").arg(count);
        let letters: Vec<Entry> = self.desk.others.run(&read).await?;
        Ok(letters.into_iter().take(limit).map(dead).collect())
    }

    async fn letters(&self, app: AppId, id: &str) -> Result<Vec<Dead>, QueueError> {
        if !is_entry_id(id) {
            return Ok(Vec::new());
        }
        let mut read = redis::cmd("XRANGE");
        read.arg(self.desk.keys.dead_letters(app)).arg(id).arg(id);
        let letters: Vec<Entry> = self.desk.others.run(&read).await?;
        Ok(letters.into_iter().map(dead).collect())
    }

    async fn discard(&self, app: AppId, id: &str) -> Result<u64, QueueError> {
        if !is_entry_id(id) {
            return Ok(0);
        }
        let mut forget = redis::cmd("XDEL");
        Ok(self.desk.others.run(forget.arg(self.desk.keys.dead_letters(app)).arg(id)).await?)
    }

    async fn replay(&self, app: AppId, id: Option<&str>) -> Result<u64, QueueError> {
        let desk = &self.desk;
        let (outbox, letters) = (desk.keys.outbox(app), desk.keys.dead_letters(app));
        let (first, last) = match id {
            Some(id) if is_entry_id(id) => (id, id.to_owned()),
            Some(_) => return Ok(0),
            None => {
                // Up to the newest of now: what is buried again meanwhile stays.
                let mut newest = redis::cmd("XREVRANGE");
                newest.arg(&letters).arg("+").arg("-").arg("COUNT").arg(1);
                let newest: Vec<Entry> = desk.others.run(&newest).await?;
                let Some((id, _)) = newest.into_iter().next() else { return Ok(0) };
                ("-", id)
            }
        };
        let mut all = 0;
        loop {
            let mut call = desk.replay.call(&[outbox.clone(), letters.clone()]);
            call.arg(first).arg(&last).arg(REPLAYED_AT_ONCE);
            let some: u64 = desk.others.call(&desk.replay, &call).await?;
            all += some;
            if some < REPLAYED_AT_ONCE {
                return Ok(all);
            }
        }
    }
}

impl From<LinkError> for QueueError {
    fn from(error: LinkError) -> Self {
        QueueError::Unreachable(error.to_string())
    }
}
