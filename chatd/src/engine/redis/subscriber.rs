//! Keeps Redis subscribed to exactly the topics that are asked for.
//!
//! Invariant: what is asked for stands in the shards; this task compares it with what the connection has and sends
//! the difference. So requests gather while a command is on its way, the last wish counts, and a new connection is
//! only one more difference. A topic is opened, or read from its log, after Redis confirmed its channel.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{RedisError, Value};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::link::{ANSWER_TIMEOUT, Link, Live, OnMessage};
use super::log::{Cursor, Logs};
use super::shard::{Arrival, Shard, Wanted};
use crate::model::Topic;

/// Parts of the topics that are delivered independently of each other.
const SHARDS: usize = 4;
/// Channels in one command.
const CHUNK: usize = 500;
/// Longest wait for a topic to be subscribed.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause before a failed reading of heads is repeated.
const RETRY: Duration = Duration::from_millis(100);
/// How often the node calls to itself over the bus.
const CALL_EVERY: Duration = Duration::from_secs(1);
/// Calls without an echo after which the connection is given up.
const UNHEARD: u32 = 3;

/// The topics asked for and those whose state must be compared.
pub(super) struct Subscriptions {
    shards: Vec<Arc<Shard>>,
    hasher: std::hash::RandomState,
    /// At most one entry per topic, so it is bounded by them.
    changed: Mutex<HashSet<Bytes>>,
    wake: Notify,
    echo: Bytes,
    unheard: AtomicU32,
    receiving: AtomicBool,
}

impl Subscriptions {
    pub(super) fn new(echo: String) -> (Arc<Self>, Vec<mpsc::Receiver<Arrival>>) {
        let (shards, arrivals) = (0..SHARDS).map(|_| Shard::new()).unzip();
        let subscriptions = Self {
            shards,
            hasher: std::hash::RandomState::new(),
            changed: Mutex::default(),
            wake: Notify::new(),
            echo: echo.into(),
            unheard: AtomicU32::new(0),
            receiving: AtomicBool::new(false),
        };
        (Arc::new(subscriptions), arrivals)
    }

    pub(super) fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// Whether messages are being received.
    pub(super) fn receiving(&self) -> bool {
        self.receiving.load(Relaxed)
    }

    /// What the connection calls for each message: it only finds the shard.
    pub(super) fn on_message(self: &Arc<Self>) -> OnMessage {
        let this = self.clone();
        Arc::new(move |data| {
            let mut data = data.into_iter();
            let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
                (data.next(), data.next())
            else {
                return;
            };
            if channel == this.echo {
                return this.unheard.store(0, Relaxed);
            }
            let channel = Bytes::from(channel);
            this.shard(&channel).offer(Arrival { channel, payload: payload.into() });
        })
    }

    /// Returns true once the topic delivers, false when that takes too long.
    pub(super) async fn subscribe(&self, channel: Bytes, topic: &Topic) -> bool {
        let shard = self.shard(&channel);
        let hear = match shard.want(&channel, topic) {
            Wanted::Open => return true,
            Wanted::Opening(hear, asked_before) => {
                if asked_before {
                    self.compare(channel.clone());
                }
                hear
            }
        };
        if let Ok(Ok(())) = timeout(PATIENCE, hear).await {
            return true;
        }
        if shard.forget_unwanted(&channel) {
            self.compare(channel);
        }
        false
    }

    pub(super) fn unsubscribe(&self, channel: Bytes) {
        self.shard(&channel).forget(&channel);
        self.compare(channel);
    }

    fn shard(&self, channel: &Bytes) -> &Arc<Shard> {
        let hash = self.hasher.hash_one(channel);
        &self.shards[(hash % SHARDS as u64) as usize]
    }

    fn compare(&self, channel: Bytes) {
        self.changed.lock().insert(channel);
        self.wake.notify_one();
    }

    /// Serves one connection after the other for as long as the link lives.
    pub(super) async fn run(self: Arc<Self>, link: Link, logs: Arc<Logs>) {
        let mut connections = link.watch();
        loop {
            let Ok(live) = connections.wait_for(Option::is_some).await.map(|live| live.clone()) else {
                return;
            };
            let Some(live) = live else { continue };
            let gone = |now: &Option<Live>| !now.as_ref().is_some_and(|now| now.is(&live));
            tokio::select! {
                failed = self.serve(&live, &logs) => {
                    tracing::warn!(error = %failed, "subscriptions");
                    live.reject();
                }
                // The link dropped the connection by itself.
                _ = connections.wait_for(gone) => {}
            }
            self.receiving.store(false, Relaxed);
            self.shards.iter().for_each(|shard| shard.cut());
            if connections.wait_for(gone).await.is_err() {
                return;
            }
        }
    }

    /// Returns when the connection fails.
    async fn serve(&self, live: &Live, logs: &Logs) -> RedisError {
        let mut connection = Connection { live: live.clone(), has: HashSet::new() };
        if let Err(error) = connection.live.connection.subscribe(&[&self.echo[..]]).await {
            return error;
        }
        let all = self.shards.iter().flat_map(|shard| shard.channels());
        self.changed.lock().extend(all);
        self.unheard.store(0, Relaxed);
        loop {
            let changed: Vec<Bytes> = self.changed.lock().drain().collect();
            if changed.is_empty() {
                self.receiving.store(true, Relaxed);
                self.wake.notified().await;
                continue;
            }
            if let Err(error) = self.apply(&mut connection, changed, logs).await {
                return error;
            }
        }
    }

    async fn apply(
        &self,
        connection: &mut Connection,
        changed: Vec<Bytes>,
        logs: &Logs,
    ) -> Result<(), RedisError> {
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|channel| self.shard(channel).wants(channel));
        for chunk in unwanted.chunks(CHUNK) {
            connection.leave(chunk).await?;
        }
        for chunk in wanted.chunks(CHUNK) {
            let joined = connection.join(chunk).await?;
            let opening: Vec<_> = chunk
                .iter()
                .filter_map(|channel| {
                    let (topic, life) = self.shard(channel).confirmed(channel, joined.contains(channel))?;
                    Some((channel, topic, life))
                })
                .collect();
            if opening.is_empty() {
                continue;
            }
            let topics: Vec<&Topic> = opening.iter().map(|(_, topic, _)| &**topic).collect();
            match logs.heads(&topics).await {
                Ok(heads) => {
                    for ((channel, _, life), head) in opening.into_iter().zip(heads) {
                        // Into what is damaged nothing can be written until somebody removes it.
                        self.shard(channel).open(channel, life, head.unwrap_or_else(|_| Cursor::start()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "heads");
                    sleep(RETRY).await;
                    opening.into_iter().for_each(|(channel, ..)| self.compare(channel.clone()));
                }
            }
        }
        Ok(())
    }

    /// Calls to itself over the bus: a connection that answers commands but brings no messages is given up.
    pub(super) async fn call_itself(self: Arc<Self>, link: Link, logs: Arc<Logs>) {
        let connections = link.watch();
        loop {
            sleep(CALL_EVERY).await;
            if !self.receiving() || logs.publish(&self.echo, b"").await.is_err() {
                continue;
            }
            if self.unheard.fetch_add(1, Relaxed) < UNHEARD {
                continue;
            }
            self.unheard.store(0, Relaxed);
            tracing::warn!("the bus is silent; subscribing anew");
            if let Some(live) = &*connections.borrow() {
                live.reject();
            }
        }
    }
}

/// A connection and the channels it has.
struct Connection {
    live: Live,
    has: HashSet<Bytes>,
}

impl Connection {
    /// Subscribes to those it does not have, and answers them.
    async fn join(&mut self, channels: &[Bytes]) -> Result<HashSet<Bytes>, RedisError> {
        let new: HashSet<Bytes> =
            channels.iter().filter(|channel| !self.has.contains(*channel)).cloned().collect();
        if !new.is_empty() {
            let names: Vec<&[u8]> = new.iter().map(|channel| &channel[..]).collect();
            in_time(self.live.connection.subscribe(names)).await?;
            self.has.extend(new.iter().cloned());
        }
        Ok(new)
    }

    async fn leave(&mut self, channels: &[Bytes]) -> Result<(), RedisError> {
        let names: Vec<&[u8]> = channels
            .iter()
            .filter(|channel| self.has.contains(*channel))
            .map(|channel| &channel[..])
            .collect();
        if !names.is_empty() {
            in_time(self.live.connection.unsubscribe(names)).await?;
            for channel in channels {
                self.has.remove(channel);
            }
        }
        Ok(())
    }
}

async fn in_time(command: impl Future<Output = Result<(), RedisError>>) -> Result<(), RedisError> {
    match timeout(ANSWER_TIMEOUT, command).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
