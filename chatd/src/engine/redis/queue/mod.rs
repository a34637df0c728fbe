//! The outboxes of all apps in Redis, read by one consumer group.
//!
//! Invariant: an entry is in its stream until it is done or buried. While a receiver lives it renews its claim to what
//! it has; what nobody renewed for a while is taken over by whoever looks next. What cannot be applied now is left to
//! that.

mod entry;
mod receiving;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::AppId;
use redis::Value;
use tokio_util::task::AbortOnDropHandle;

use self::entry::{Entry, body, field};
use self::receiving::Desk;
use super::keys::{Keys, SETTLERS};
use super::link::LinkError;
use super::site::{self, Address};
use crate::money::settlement::{Backlog, Dead, DeadLetters, Deliveries, Delivery, Depth, QueueError, Tag};

/// A receiver that was silent for so long is taken for dead.
pub const TAKEN_OVER_AFTER: Duration = Duration::from_secs(5);
/// Dead letters moved in one step.
const REPLAYED_AT_ONCE: u64 = 500;

/// A receiver.
pub struct RedisQueue {
    desk: Arc<Desk>,
    _renewal: AbortOnDropHandle<()>,
}

impl RedisQueue {
    /// Connects. What another receiver has not renewed for `idle` is taken over.
    ///
    /// # Errors
    /// [`QueueError::Unreachable`] when the URL is unusable or Redis does not answer.
    pub async fn connect(
        address: impl Into<Address>,
        keys: Keys,
        idle: Duration,
    ) -> Result<Arc<Self>, QueueError> {
        let site = site::read(&address.into())?;
        let desk = Arc::new(Desk::open(&site, keys, idle).await?);
        let renewal = tokio::spawn(desk.clone().keep_renewing());
        Ok(Arc::new(Self { desk, _renewal: AbortOnDropHandle::new(renewal) }))
    }
}

fn dead((id, fields): Entry) -> Dead {
    let reason = field(&fields, "reason").map(|reason| String::from_utf8_lossy(reason).into_owned());
    Dead { id, reason: reason.unwrap_or_default(), body: body(&fields) }
}

/// Whether Redis takes it for the id of an entry.
fn is_entry_id(text: &str) -> bool {
    text.matches('-').count() == 1 && text.split('-').all(|part| part.parse::<u64>().is_ok())
}

#[async_trait]
impl Deliveries for RedisQueue {
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
        call.arg(SETTLERS).arg(&delivery.tag.id).arg(reason);
        Ok(desk.others.call::<Value>(&desk.bury, &call).await.map(drop)?)
    }

    /// Nobody renews the claim to them, and so they are taken over.
    async fn later(&self, deliveries: &[Delivery]) -> Result<(), QueueError> {
        deliveries.iter().for_each(|delivery| {
            self.desk.release(&delivery.tag);
        });
        Ok(())
    }
}

#[async_trait]
impl Backlog for RedisQueue {
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
        Ok(Some(entries.into_iter().map(|(id, fields)| (id, body(&fields))).collect()))
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
}

#[async_trait]
impl DeadLetters for RedisQueue {
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
