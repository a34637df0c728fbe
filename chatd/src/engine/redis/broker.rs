//! The broker over Redis: a list per log, one script for all messages at hand, Pub/Sub as the bus.
//!
//! Invariant: the bus only says early what the log says for certain. Pub/Sub loses whatever is published while a
//! link is cut, so every message carries its number and everything that does not follow is read from the log.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use redis::Value;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::append::Appends;
use super::bundle::Bundle;
use super::keys::Keys;
use super::link::deaf;
use super::log::Logs;
use super::manner::Manner;
use super::shard::Outlet;
use super::site::{self, Address};
use super::subscriber::Subscriptions;
use super::{codec, manner, recall, takeover};
use crate::broker::{Broker, BrokerError, Bus, Log, Outgoing, Page, Range, Receipt, Retention, Sink};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::model::{Conversation, Notice, Topic};

/// How long what the readiness probe wrote stays.
const PROBE_LIFE_MS: u64 = 60_000;

/// The port over Redis. Its tasks end when it is dropped.
pub struct RedisBroker {
    pub(crate) logs: Arc<Logs>,
    pub(crate) clock: Arc<dyn Clock>,
    appends: Appends,
    subscriptions: Arc<Subscriptions>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl RedisBroker {
    /// Connects; `node` is the random number of this process.
    ///
    /// # Errors
    /// [`BrokerError::Unreachable`] when the URL is unusable, Redis does not answer, or what is in it cannot be used.
    pub async fn connect(
        address: impl Into<Address>,
        keys: Keys,
        node: u64,
        retention: Retention,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        sink: Arc<dyn Sink>,
    ) -> Result<Arc<Self>, BrokerError> {
        let site = site::read(&address.into())?;
        let keys = site.names(keys);
        let (subscriptions, arrivals) = Subscriptions::new(keys.clone(), node);
        // Appends have a connection of their own, so that reading a long page never stands before a message.
        let appends = Bundle::open(&site, deaf()).await?;
        let others = Bundle::open(&site, deaf()).await?;
        others.is_what_it_seems().await?;
        let bus = Bundle::open(&site, subscriptions.on_message()).await?;
        let logs = Arc::new(Logs::new(keys, appends, others, retention));
        takeover::run(&logs).await?;
        let outlet = Arc::new(Outlet { logs: logs.clone(), sink, counters });
        let mut tasks = vec![
            tokio::spawn(subscriptions.clone().run(bus, logs.clone())),
            tokio::spawn(takeover::keep_noted(logs.others.clone(), logs.keys.layout())),
        ];
        for (shard, arrivals) in subscriptions.shards().iter().zip(arrivals) {
            tasks.push(tokio::spawn(shard.clone().run(arrivals, outlet.clone())));
        }
        let tasks = tasks.into_iter().map(AbortOnDropHandle::new).collect();
        let appends = Appends::new(logs.clone(), clock.clone());
        Ok(Arc::new(Self { logs, appends, subscriptions, clock, _tasks: tasks }))
    }

    /// How the server treats what it is given.
    ///
    /// # Errors
    /// [`BrokerError::Unreachable`] when it does not answer or is not yet done loading.
    pub async fn manner(&self) -> Result<Manner, BrokerError> {
        Ok(Manner::of(&self.logs.others).await?)
    }

    /// Looks at the server from time to time, and says when it is no longer what it is `known` to be.
    pub fn watch_manner(&self, known: Manner) -> JoinHandle<()> {
        tokio::spawn(manner::watch(self.logs.others.clone(), known))
    }

    fn channel(&self, topic: &Topic) -> Bytes {
        self.logs.keys.channel(topic).into()
    }
}

#[async_trait]
impl Log for RedisBroker {
    async fn append(&self, message: Outgoing) -> Result<Receipt, BrokerError> {
        let mut outcomes = self.appends.run(vec![message]).await;
        outcomes.pop().unwrap_or_else(|| Err(BrokerError::Corrupt("no outcome".to_owned())))
    }

    async fn append_all(&self, messages: Vec<Outgoing>) -> Vec<Result<Receipt, BrokerError>> {
        self.appends.run(messages).await
    }

    async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        self.logs.read(conversation, range, limit, self.clock.now_ms()).await
    }

    async fn doubt(&self, conversation: &Conversation, epoch: &str, offset: u64) -> Result<(), BrokerError> {
        Ok(self.logs.doubt(conversation, epoch, offset).await?)
    }

    async fn stood(
        &self,
        conversation: &Conversation,
        epoch: &str,
        offset: u64,
    ) -> Result<bool, BrokerError> {
        Ok(self.logs.stood(conversation, epoch, offset).await?)
    }

    async fn recall(
        &self,
        conversation: &Conversation,
        offset: u64,
        by: Option<&UserId>,
    ) -> Result<Recalled, BrokerError> {
        recall::recall(&self.logs, conversation, offset, by, self.clock.now_ms()).await
    }
}

#[async_trait]
impl Bus for RedisBroker {
    async fn notify(&self, topic: &Topic, notice: Notice) -> Result<(), BrokerError> {
        Ok(self.logs.publish(&self.channel(topic), &codec::notice(&notice)).await?)
    }

    /// A caller that drops the future before it returns must call `unsubscribe`.
    async fn subscribe(&self, topic: &Topic) -> Result<(), BrokerError> {
        if self.subscriptions.subscribe(self.channel(topic), topic).await {
            return Ok(());
        }
        Err(BrokerError::Unreachable("redis did not confirm the subscription in time".to_owned()))
    }

    /// A delivery that is under way may still reach the sink; none does once the topic was subscribed again.
    fn unsubscribe(&self, topic: &Topic) {
        self.subscriptions.unsubscribe(self.channel(topic));
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn ready(&self) -> Result<(), BrokerError> {
        let servers = self.logs.appends.servers();
        for (place, member) in servers.members.iter().enumerate() {
            let name = servers.name_at(place, |tag| self.logs.keys.probe(tag));
            let mut probe = redis::cmd("SET");
            probe.arg(name.unwrap_or_default()).arg(1).arg("PX").arg(PROBE_LIFE_MS);
            member.link.run::<Value>(&probe).await?;
        }
        if self.subscriptions.receiving() {
            return Ok(());
        }
        Err(BrokerError::Unreachable("not subscribed".to_owned()))
    }
}
