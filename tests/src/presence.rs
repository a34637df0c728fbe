//! Presence under test: nodes, and somebody who hears what they announce.
//!
//! Invariant: what is announced is read from the bus, as every node reads it.

use std::ops::Deref;
use std::sync::Arc;

use chat_protocol::AppId;
use chatd::broker::{Broker, Event, Retention};
use chatd::engine::redis::keys::Keys;
use chatd::engine::redis::presence::RedisPresence;
use chatd::engine::sqlite::broker::{Embedded, Place, Sync};
use chatd::engine::sqlite::presence::EmbeddedPresence;
use chatd::model::Topic;
use chatd::presence::{Announcer, LEASE_MS, Presence};
use serde_json::Value;

use crate::broker::{HandClock, Recorder, redis_broker};
use crate::redis_server::RedisServer;
use crate::wait::{SOON, until};

/// The app of the tests.
pub const APP: AppId = 7;

/// Users online above which nothing is announced.
pub const LIMIT: u64 = 1_000;
const ALL: Retention = Retention { max_messages: 100, max_age_ms: 0 };

/// One node's presence.
pub type Node = Arc<dyn Presence>;

/// One node, and somebody who hears what is announced.
pub struct Heard {
    /// The node.
    pub node: Node,
    /// Hears it.
    pub listener: Listener,
}

impl Deref for Heard {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// Hears the announcements of an app.
pub struct Listener {
    seen: Arc<Recorder>,
    _broker: Arc<dyn Broker>,
}

impl Listener {
    /// Hears a Redis.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn on(server: &RedisServer) -> Self {
        let seen = Arc::<Recorder>::default();
        let broker =
            redis_broker(&server.url(), ALL, Arc::<HandClock>::default(), &Arc::default(), &seen).await;
        let broker = broker.expect("a broker");
        broker.subscribe(&Topic::World(APP)).await.expect("subscribed");
        Self { seen, _broker: broker }
    }

    /// Command and user of each announcement so far.
    ///
    /// # Panics
    /// When one is not readable.
    #[must_use]
    pub fn told(&self) -> Vec<(String, String)> {
        let events = self.seen.events(&Topic::World(APP)).into_iter();
        let told = events.filter_map(|event| match event {
            Event::Notice(notice) => Some(notice),
            Event::Message { .. } => None,
        });
        told.map(|notice| {
            let data: Value = serde_json::from_slice(&notice.data).expect("JSON");
            (notice.cmd.to_string(), data["from"].as_str().expect("a name").to_owned())
        })
        .collect()
    }

    /// The same, once the last of them is about `last`.
    ///
    /// # Panics
    /// When that does not come soon.
    pub async fn announced(&self, last: &str) -> Vec<(String, String)> {
        let arrived = || self.told().last().is_some_and(|(_, user)| user == last);
        until(&format!("{last} is announced"), SOON, async || arrived()).await;
        self.told()
    }
}

/// Announces up to [`LIMIT`].
fn announcer() -> Announcer {
    Announcer { limit: LIMIT, clock: Arc::<HandClock>::default() }
}

/// A node that runs alone.
///
/// # Panics
/// When it does not open.
#[must_use]
pub fn embedded() -> Heard {
    let seen = Arc::<Recorder>::default();
    let clock = Arc::<HandClock>::default();
    let engine = Embedded::open(&Place::Memory, Sync::Normal, ALL, clock, seen.clone()).expect("an engine");
    let node = Arc::new(EmbeddedPresence::new(engine.clone(), announcer()));
    Heard { node, listener: Listener { seen, _broker: engine } }
}

/// The one node on this Redis.
pub async fn redis(server: &RedisServer) -> Heard {
    Heard { node: node(server, 1, LEASE_MS).await, listener: Listener::on(server).await }
}

/// One node more, whose number no other has.
///
/// # Panics
/// When it does not come up.
pub async fn node(server: &RedisServer, number: u64, lease_ms: u64) -> Node {
    // On a node its broker comes up first.
    drop(Listener::on(server).await);
    let url = server.url();
    let presence = RedisPresence::connect_with_lease(&url, Keys::default(), number, announcer(), lease_ms);
    presence.await.expect("a node")
}

/// So many nodes with leases of this length.
///
/// # Panics
/// When one does not come up.
pub async fn nodes<const N: usize>(server: &RedisServer, lease_ms: u64) -> [Node; N] {
    let mut nodes = Vec::new();
    for number in 0..N as u64 {
        nodes.push(node(server, number, lease_ms).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!())
}
