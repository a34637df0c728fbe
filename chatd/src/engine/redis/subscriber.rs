//! Keeps Redis subscribed to exactly the topics that are asked for, each where its channel is spoken to.
//!
//! Invariant: what is asked for stands in the shards; of a cluster each master is listened to for itself, and whoever has
//! the slot of a channel now is who brings its messages. What comes of a change of slots is read from the logs.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use redis::{PushKind, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::bundle::{Bundle, Servers};
use super::ear::Ear;
use super::keys::Keys;
use super::link::OnMessage;
use super::log::Logs;
use super::shard::{Arrival, Shard, Wanted};
use crate::model::Topic;

/// Parts of the topics that are delivered independently of each other.
const SHARDS: usize = 4;
/// Longest wait for a topic to be subscribed.
const PATIENCE: Duration = Duration::from_secs(3);

/// The topics asked for, and who listens.
pub(super) struct Subscriptions {
    shards: Vec<Arc<Shard>>,
    hasher: std::hash::RandomState,
    keys: Keys,
    node: u64,
    /// How the channels begin on which the node calls to itself.
    calls: String,
    ways: RwLock<Ways>,
}

/// Who listens where, as far as is known.
#[derive(Default)]
struct Ways {
    servers: Option<Arc<Servers>>,
    /// One for each of the servers, in their order.
    ears: Vec<Arc<Ear>>,
}

impl Ways {
    fn to(&self, channel: &[u8]) -> Option<&Arc<Ear>> {
        let place = self.servers.as_ref()?.place_of(Some(channel))?;
        self.ears.get(place)
    }
}

impl Subscriptions {
    pub(super) fn new(keys: Keys, node: u64) -> (Arc<Self>, Vec<mpsc::Receiver<Arrival>>) {
        let (shards, arrivals) = (0..SHARDS).map(|_| Shard::new()).unzip();
        let (hasher, calls) = (std::hash::RandomState::new(), keys.begin_of_tags());
        (Arc::new(Self { shards, hasher, keys, node, calls, ways: RwLock::default() }), arrivals)
    }

    pub(super) fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// Whether messages are being received.
    pub(super) fn receiving(&self) -> bool {
        let ways = self.ways.read();
        !ways.ears.is_empty() && ways.ears.iter().all(|ear| ear.receiving.load(Relaxed))
    }

    /// What a connection calls for each message: it only finds the shard.
    pub(super) fn on_message(self: &Arc<Self>) -> OnMessage {
        // What holds the connections must not be held by them.
        let this = Arc::downgrade(self);
        Arc::new(move |kind, data| {
            let Some(this) = this.upgrade() else { return true };
            let mut data = data.into_iter();
            let (Some(Value::BulkString(channel)), payload) = (data.next(), data.next()) else { return true };
            if *kind == PushKind::SUnsubscribe {
                // Unless that was asked for, another server has its slot, and this one counts its answers wrong.
                let channel = Bytes::from(channel);
                return !this.shard(&channel).wants(&channel);
            }
            let Some(Value::BulkString(payload)) = payload else { return true };
            if channel.starts_with(this.calls.as_bytes())
                && let Some(ear) = this.ways.read().ears.iter().find(|ear| channel == ear.echo.as_bytes())
            {
                ear.hears();
                return true;
            }
            let channel = Bytes::from(channel);
            this.shard(&channel).offer(Arrival { channel, payload: payload.into() });
            true
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

    pub(super) fn shard(&self, channel: &Bytes) -> &Arc<Shard> {
        let hash = self.hasher.hash_one(channel);
        &self.shards[(hash % SHARDS as u64) as usize]
    }

    /// Whether it is this one who is to listen to the channel.
    pub(super) fn wants(&self, ear: &Arc<Ear>, channel: &Bytes) -> bool {
        self.shard(channel).wants(channel)
            && self.ways.read().to(channel).is_some_and(|own| Arc::ptr_eq(own, ear))
    }

    /// All that one is to listen to.
    pub(super) fn channels(&self, ear: &Arc<Ear>) -> Vec<Bytes> {
        let ways = self.ways.read();
        let all = self.shards.iter().flat_map(|shard| shard.channels());
        all.filter(|channel| ways.to(channel).is_some_and(|own| Arc::ptr_eq(own, ear))).collect()
    }

    pub(super) fn compare(&self, channel: Bytes) {
        // Where nobody has its slot now, it is compared when somebody has.
        if let Some(ear) = self.ways.read().to(&channel) {
            ear.compare([channel]);
        }
    }

    /// Listens to all servers for as long as their links live.
    pub(super) async fn run(self: Arc<Self>, bundle: Bundle, logs: Arc<Logs>) {
        let mut servers = bundle.watch();
        let mut tasks: Vec<(Arc<Ear>, AbortOnDropHandle<()>)> = Vec::new();
        loop {
            let now = servers.borrow_and_update().clone();
            let mut ears = Vec::with_capacity(now.members.len());
            for (place, member) in now.members.iter().enumerate() {
                let Some(echo) = now.name_at(place, |tag| self.keys.echo(self.node, tag)) else { continue };
                let known = tasks.iter().find(|(ear, _)| ear.at == member.at && ear.echo == echo);
                ears.push(match known {
                    Some((ear, _)) => ear.clone(),
                    None => {
                        let ear = Ear::new(member.at.clone(), echo, bundle.has_slots());
                        let task = ear.clone().run(member.link.clone(), self.clone(), logs.clone());
                        tasks.push((ear.clone(), AbortOnDropHandle::new(tokio::spawn(task))));
                        ear
                    }
                });
            }
            *self.ways.write() = Ways { servers: Some(now), ears: ears.clone() };
            tasks.retain(|(ear, _)| ears.iter().any(|known| Arc::ptr_eq(known, ear)));
            let all: Vec<Bytes> = self.shards.iter().flat_map(|shard| shard.channels()).collect();
            ears.iter().for_each(|ear| ear.compare(all.iter().cloned()));
            if servers.changed().await.is_err() {
                // There is but one, and always.
                std::future::pending::<()>().await;
            }
        }
    }
}
