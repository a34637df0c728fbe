//! Brokers under test, a sink that remembers, and a clock that is moved by hand.
//!
//! Invariant: a test names laws, never an adapter; what differs between adapters is decided here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{AppId, GroupId, MsgId, Target, UserId};
use chatd::broker::{Broker, BrokerError, Event, Fingerprint, Outgoing, Retention, Sink};
use chatd::clock::Clock;
use chatd::counters::Counters;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::keys::Keys;
use chatd::engine::sqlite::broker::{Embedded, Place, Sync};
use chatd::model::{Conversation, Notice, Skip, Topic};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::redis_cluster::RedisCluster;
use crate::redis_server::RedisServer;
use crate::wait::{SOON, until};

/// The app of the tests.
pub const APP: AppId = 7;

/// A user by name.
///
/// # Panics
/// When the name is not valid.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("a valid name")
}

/// A group's conversation and topic.
///
/// # Panics
/// When the name is not valid.
#[must_use]
pub fn group(name: &str) -> (Conversation, Topic) {
    let group = GroupId::new(name).expect("a valid name");
    (Conversation::Group(APP, group.clone()), Topic::Group(APP, group))
}

/// A message to the world room.
#[must_use]
pub fn to_world(sender: &str, msg_id: &str) -> Outgoing {
    message(sender, &Target::World, msg_id)
}

/// A message to a user.
#[must_use]
pub fn to_user(sender: &str, receiver: &str, msg_id: &str) -> Outgoing {
    message(sender, &Target::User(user(receiver)), msg_id)
}

/// A message that nobody skips and that may be repeated.
///
/// # Panics
/// When a name is not valid.
#[must_use]
pub fn message(sender: &str, target: &Target, msg_id: &str) -> Outgoing {
    Outgoing {
        conversation: Conversation::of(APP, &user(sender), target),
        sender: user(sender),
        msg_id: MsgId::new(msg_id).expect("a valid id"),
        fingerprint: Some(Fingerprint::of(format!("{target}\n{msg_id}").as_bytes())),
        members: Bytes::from(format!(r#""msg":"{msg_id}","msgId":"{msg_id}""#)),
        skip: Skip::Nobody,
    }
}

/// A notice that nobody skips.
#[must_use]
pub fn notice(cmd: &str) -> Notice {
    Notice { cmd: cmd.into(), data: Bytes::from_static(br#"{"from":"a"}"#), skip: Skip::Nobody }
}

/// Appends until it succeeds, as a client repeats with the same id.
///
/// # Panics
/// When it does not succeed soon.
pub async fn append_until_done(broker: &Arc<dyn Broker>, message: Outgoing) -> u64 {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        match broker.append(message.clone()).await {
            Ok(receipt) => return receipt.offset,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A clock that is moved by hand.
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    /// Moves it, also backwards.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn by_hand(&self) -> Option<u64> {
        Some(self.now_ms())
    }
}

/// A sink that remembers everything.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<HashMap<Topic, Vec<Event>>>,
    lost: Mutex<Vec<Topic>>,
    /// While it is held, the sink does not return.
    pub gate: Mutex<()>,
}

impl Sink for Recorder {
    fn interrupted(&self, _topic: &Topic) {}

    fn deliver(&self, topic: &Topic, event: &Event) {
        if self.gate.try_lock().is_none() {
            // What this thread of the runtime was to do next must not wait with it.
            tokio::task::block_in_place(|| drop(self.gate.lock()));
        }
        self.events.lock().entry(topic.clone()).or_default().push(event.clone());
    }

    fn lost(&self, topic: &Topic) {
        self.lost.lock().push(topic.clone());
    }
}

impl Recorder {
    /// Everything of a topic, in order of delivery.
    #[must_use]
    pub fn events(&self, topic: &Topic) -> Vec<Event> {
        self.events.lock().get(topic).cloned().unwrap_or_default()
    }

    /// Offset and message id of the messages of a topic, in order of delivery.
    #[must_use]
    pub fn messages(&self, topic: &Topic) -> Vec<(u64, String)> {
        let id = |event| match event {
            Event::Message { entry, .. } => Some((entry.offset, entry.msg_id.to_string())),
            Event::Notice(_) => None,
        };
        self.events(topic).into_iter().filter_map(id).collect()
    }

    /// Offsets of the messages of a topic, in order of delivery.
    #[must_use]
    pub fn offsets(&self, topic: &Topic) -> Vec<u64> {
        self.messages(topic).into_iter().map(|(offset, _)| offset).collect()
    }

    /// Topics that lost messages.
    #[must_use]
    pub fn lost_topics(&self) -> Vec<Topic> {
        self.lost.lock().clone()
    }

    /// Waits until a topic brought so many events.
    ///
    /// # Panics
    /// When it does not soon.
    pub async fn has(&self, topic: &Topic, count: usize) {
        let arrived = async || self.events.lock().get(topic).map_or(0, Vec::len) >= count;
        until(&format!("{count} events of {topic:?}"), SOON, arrived).await;
    }
}

/// A broker and what it delivers.
#[derive(Clone)]
pub struct Peer {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Its sink.
    pub seen: Arc<Recorder>,
    /// Its counters.
    pub counters: Arc<Counters>,
}

/// One store and the nodes on it.
pub struct World {
    /// The time of all nodes.
    pub clock: Arc<HandClock>,
    retention: Retention,
    store: Store,
}

enum Store {
    Redis(RedisServer),
    Embedded { directory: TempDir, open: Mutex<Option<Peer>> },
}

impl World {
    /// On a Redis of its own.
    pub async fn redis(retention: u64) -> Self {
        Self::on(Store::Redis(RedisServer::start().await), retention)
    }

    /// In a Redis Cluster of its own.
    pub async fn cluster(retention: u64) -> Self {
        Self::on(Store::Redis(RedisCluster::of_one().await), retention)
    }

    /// In a directory of its own. All its peers are the same node, for there is no other.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    #[expect(clippy::unused_async, reason = "called like the other")]
    pub async fn embedded(retention: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::on(Store::Embedded { directory, open: Mutex::default() }, retention)
    }

    fn on(store: Store, retention: u64) -> Self {
        let clock = Arc::new(HandClock(AtomicU64::new(1_800_000_000_000)));
        Self { clock, retention: Retention { max_messages: retention, max_age_ms: 0 }, store }
    }

    /// A node.
    ///
    /// # Panics
    /// When the broker does not open.
    pub async fn peer(&self) -> Peer {
        let (seen, counters) = (Arc::<Recorder>::default(), Arc::<Counters>::default());
        match &self.store {
            Store::Redis(server) => {
                let broker =
                    redis_broker(&server.site(), self.retention, self.clock.clone(), &counters, &seen).await;
                Peer { broker: broker.expect("a broker"), seen, counters }
            }
            Store::Embedded { directory, open } => {
                let mut open = open.lock();
                let peer = open.get_or_insert_with(|| {
                    let place = Place::Directory(directory.path().to_owned());
                    let (clock, sink) = (self.clock.clone(), seen.clone());
                    let broker = Embedded::open(&place, Sync::Normal, self.retention, clock, sink);
                    Peer { broker: broker.expect("a broker"), seen, counters }
                });
                peer.clone()
            }
        }
    }

    /// Ends a node, which must be the only one, and starts another on the same store.
    pub async fn reopen(&self, peer: Peer) -> Peer {
        drop(peer);
        if let Store::Embedded { open, .. } = &self.store {
            open.lock().take();
        }
        self.peer().await
    }
}

/// A broker over Redis with its sink.
///
/// # Errors
/// As [`RedisBroker::connect`].
pub async fn redis_broker(
    url: &str,
    retention: Retention,
    clock: Arc<HandClock>,
    counters: &Arc<Counters>,
    seen: &Arc<Recorder>,
) -> Result<Arc<dyn Broker>, BrokerError> {
    let (counters, sink) = (counters.clone(), seen.clone());
    let broker = RedisBroker::connect(url, Keys::default(), rand::random(), retention, clock, counters, sink);
    Ok(broker.await?)
}

impl Default for HandClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_800_000_000_000))
    }
}
