//! Listens over one link for what a part of the topics brings.
//!
//! Invariant: this task compares what is asked for with what the connection has, and sends the difference. So requests
//! gather while a command is on its way, the last wish counts, and a new connection is only one more difference. A topic
//! is opened, or read from its log, after Redis confirmed its channel.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::link::{ANSWER_TIMEOUT, Link, Live};
use super::log::{Cursor, Logs};
use super::subscriber::Subscriptions;
use crate::model::Topic;

/// Channels in one command.
const CHUNK: usize = 500;
/// Pause before a failed reading of heads is repeated.
const RETRY: Duration = Duration::from_millis(100);
/// How often the node calls to itself over the bus.
const CALL_EVERY: Duration = Duration::from_secs(1);
/// Calls without an echo after which the connection is given up.
const UNHEARD: u32 = 3;

/// Who listens to one server.
pub(super) struct Ear {
    pub(super) at: String,
    /// Channel on which the node hears itself.
    pub(super) echo: String,
    pub(super) receiving: AtomicBool,
    /// Whether its channels have slots.
    has_slots: bool,
    /// Channels whose state must be compared. At most one entry per topic, so it is bounded by them.
    changed: Mutex<HashSet<Bytes>>,
    wake: Notify,
    unheard: AtomicU32,
}

impl Ear {
    pub(super) fn new(at: String, echo: String, has_slots: bool) -> Arc<Self> {
        Arc::new(Self {
            at,
            echo,
            receiving: AtomicBool::new(false),
            has_slots,
            changed: Mutex::default(),
            wake: Notify::new(),
            unheard: AtomicU32::new(0),
        })
    }

    /// The node heard its own call.
    pub(super) fn hears(&self) {
        self.unheard.store(0, Relaxed);
    }

    /// Lets what the connection has of these be compared with what is asked for.
    pub(super) fn compare(&self, channels: impl IntoIterator<Item = Bytes>) {
        self.changed.lock().extend(channels);
        self.wake.notify_one();
    }

    /// Serves one connection after the other for as long as the link lives.
    pub(super) async fn run(self: Arc<Self>, link: Link, all: Arc<Subscriptions>, logs: Arc<Logs>) {
        let mut connections = link.watch();
        loop {
            let Ok(live) = connections.wait_for(Option::is_some).await.map(|live| live.clone()) else {
                return;
            };
            let Some(live) = live else { continue };
            let gone = |now: &Option<Live>| !now.as_ref().is_some_and(|now| now.is(&live));
            let mut connection =
                Connection { live: live.clone(), has: HashSet::new(), has_slots: self.has_slots };
            tokio::select! {
                failed = self.serve(&mut connection, &all, &logs) => {
                    tracing::warn!(error = %failed, "subscriptions");
                    live.reject();
                }
                () = self.call_itself(&logs) => {
                    tracing::warn!("the bus is silent; subscribing anew");
                    live.reject();
                }
                // The link dropped the connection by itself.
                _ = connections.wait_for(gone) => {}
            }
            self.receiving.store(false, Relaxed);
            for channel in &connection.has {
                all.shard(channel).cut(channel);
            }
            if connections.wait_for(gone).await.is_err() {
                return;
            }
        }
    }

    /// Returns when the connection fails.
    async fn serve(
        self: &Arc<Self>,
        connection: &mut Connection,
        all: &Arc<Subscriptions>,
        logs: &Logs,
    ) -> RedisError {
        if let Err(error) = connection.subscribe(&[Bytes::from(self.echo.clone())]).await {
            return error;
        }
        // Told as the others tell, who hold what that needs: its lock is taken last.
        self.compare(all.channels(self));
        self.hears();
        loop {
            let changed: Vec<Bytes> = self.changed.lock().drain().collect();
            if changed.is_empty() {
                self.receiving.store(true, Relaxed);
                self.wake.notified().await;
                continue;
            }
            if let Err(error) = self.apply(connection, changed, all, logs).await {
                return error;
            }
        }
    }

    async fn apply(
        self: &Arc<Self>,
        connection: &mut Connection,
        changed: Vec<Bytes>,
        all: &Arc<Subscriptions>,
        logs: &Logs,
    ) -> Result<(), RedisError> {
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|channel| all.wants(self, channel));
        for chunk in unwanted.chunks(CHUNK) {
            connection.leave(chunk).await?;
        }
        for chunk in wanted.chunks(CHUNK) {
            let joined = connection.join(chunk).await?;
            let opening: Vec<_> = chunk
                .iter()
                .filter_map(|channel| {
                    let (topic, life) = all.shard(channel).confirmed(channel, joined.contains(channel))?;
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
                        all.shard(channel).open(channel, life, head.unwrap_or_else(|_| Cursor::start()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "heads");
                    sleep(RETRY).await;
                    self.compare(opening.into_iter().map(|(channel, ..)| channel.clone()));
                }
            }
        }
        Ok(())
    }

    /// Calls to itself over the bus; returns when a connection that answers commands brings no messages.
    async fn call_itself(&self, logs: &Logs) {
        loop {
            sleep(CALL_EVERY).await;
            if !self.receiving.load(Relaxed) || logs.publish(self.echo.as_bytes(), b"").await.is_err() {
                continue;
            }
            if self.unheard.fetch_add(1, Relaxed) >= UNHEARD {
                return self.hears();
            }
        }
    }
}

/// A connection and the channels it has.
struct Connection {
    live: Live,
    has: HashSet<Bytes>,
    has_slots: bool,
}

impl Connection {
    /// Subscribes to those it does not have, and answers them.
    async fn join(&mut self, channels: &[Bytes]) -> Result<HashSet<Bytes>, RedisError> {
        let new: HashSet<Bytes> =
            channels.iter().filter(|channel| !self.has.contains(*channel)).cloned().collect();
        if !new.is_empty() {
            let names: Vec<Bytes> = new.iter().cloned().collect();
            self.subscribe(&names).await?;
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
        if names.is_empty() {
            return Ok(());
        }
        if self.has_slots {
            in_time(self.each("SUNSUBSCRIBE", &names)).await?;
        } else {
            in_time(self.live.connection.clone().unsubscribe(names)).await?;
        }
        for channel in channels {
            self.has.remove(channel);
        }
        Ok(())
    }

    async fn subscribe(&self, channels: &[Bytes]) -> Result<(), RedisError> {
        let names: Vec<&[u8]> = channels.iter().map(|channel| &channel[..]).collect();
        if self.has_slots {
            return in_time(self.each("SSUBSCRIBE", &names)).await;
        }
        in_time(self.live.connection.clone().subscribe(names)).await
    }

    /// One command for each: those of different slots do not go together.
    async fn each(&self, command: &str, channels: &[&[u8]]) -> Result<(), RedisError> {
        let mut pipeline = redis::pipe();
        for channel in channels {
            pipeline.cmd(command).arg(*channel);
        }
        pipeline.query_async::<Vec<Value>>(&mut self.live.connection.clone()).await.map(drop)
    }
}

async fn in_time(command: impl Future<Output = Result<(), RedisError>>) -> Result<(), RedisError> {
    match timeout(ANSWER_TIMEOUT, command).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
