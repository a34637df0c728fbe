//! Engines under test: a log with its groups, friends and read states, and the nodes that share them.
//!
//! Invariant: a test names laws, never an adapter; what differs between adapters is decided here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{AppId, GroupId, Target, UserId};
use chatd::broker::{Broker, BrokerError, Outgoing, Page, Range, Receipt, Retention};
use chatd::conversations::Conversations;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::conversations::RedisConversations;
use chatd::engine::redis::files::RedisFiles;
use chatd::engine::redis::friends::RedisFriends;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::engine::redis::packets::RedisPackets;
use chatd::engine::redis::queue::RedisQueue;
use chatd::engine::sqlite::Close;
use chatd::engine::sqlite::broker::{Embedded, Place, Sync};
use chatd::engine::sqlite::conversations::EmbeddedConversations;
use chatd::engine::sqlite::files::EmbeddedFiles;
use chatd::engine::sqlite::friends::EmbeddedFriends;
use chatd::engine::sqlite::groups::EmbeddedGroups;
use chatd::engine::sqlite::money_file::MoneyFile;
use chatd::engine::sqlite::packets::EmbeddedPackets;
use chatd::engine::sqlite::queue::EmbeddedQueue;
use chatd::files::Records;
use chatd::friends::{Friends, Limits};
use chatd::groups::{self, Change, Changed, GroupError, Groups};
use chatd::model::{Conversation, Entry, Topic};
use chatd::money::packets::Packets;
use chatd::money::settlement::Queue;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{APP, HandClock, Recorder, message, user};
pub use crate::changes::{dismiss, join, kick, leave};
use crate::redis_server::RedisServer;

/// Everything is kept.
pub const ALL: Retention = Retention { max_messages: 1_000_000, max_age_ms: 0 };

/// Groups a user may be in on these nodes.
pub const GROUPS_PER_USER: u64 = 300;
/// How many users may have to do with one on these nodes.
pub const FRIENDS: Limits = Limits { requests: 20, friends: 30 };

/// Runs each law against each adapter: `redis::…` and `embedded::…`.
#[macro_export]
macro_rules! engine_laws {
    ($($law:ident),+ $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($crate::engine::Engine::redis().await).await;
            })+
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($crate::engine::Engine::embedded()).await;
            })+
        }
    };
}

/// What one node has of an engine.
#[derive(Clone)]
pub struct Node {
    /// Its log and bus.
    pub broker: Arc<dyn Broker>,
    /// Its groups.
    pub groups: Arc<dyn Groups>,
    /// Its friends.
    pub friends: Arc<dyn Friends>,
    /// Its read states.
    pub conversations: Arc<dyn Conversations>,
    /// What there is of its files.
    pub files: Arc<dyn Records>,
    /// Its red packets.
    pub packets: Arc<dyn Packets>,
    /// Where they are, unless in Redis.
    pub money: Option<Arc<MoneyFile>>,
    /// What its broker delivers.
    pub seen: Arc<Recorder>,
}

/// One store and the nodes on it.
pub struct Engine {
    /// The time of all nodes.
    pub clock: Arc<HandClock>,
    /// Members of a group on its nodes, at most.
    pub members_per_group: u64,
    store: Store,
}

enum Store {
    Redis(RedisServer),
    Embedded { directory: TempDir, open: Mutex<Option<Node>> },
}

impl Engine {
    /// On a Redis of its own.
    pub async fn redis() -> Self {
        Self::on_redis(RedisServer::start().await)
    }

    /// On this Redis.
    #[must_use]
    pub fn on_redis(server: RedisServer) -> Self {
        Self { clock: Arc::default(), members_per_group: u64::MAX, store: Store::Redis(server) }
    }

    /// In a directory of its own. All its nodes are the same, for there is no other.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    #[must_use]
    pub fn embedded() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::Embedded { directory, open: Mutex::default() };
        Self { clock: Arc::default(), members_per_group: u64::MAX, store }
    }

    /// A node that keeps everything.
    pub async fn node(&self) -> Node {
        self.node_keeping(ALL).await
    }

    /// A node that keeps so much.
    ///
    /// # Panics
    /// When its store does not open.
    pub async fn node_keeping(&self, retention: Retention) -> Node {
        let limits = groups::Limits { groups: GROUPS_PER_USER, members: self.members_per_group };
        match &self.store {
            Store::Redis(server) => redis_node(&server.site(), retention, self.clock.clone(), limits).await,
            Store::Embedded { directory, open } => {
                let open_now = || embedded_node(directory, retention, self.clock.clone(), limits);
                open.lock().get_or_insert_with(open_now).clone()
            }
        }
    }

    /// Someone on the node who receives settlements. On Redis, what another receiver has not renewed for `idle` is
    /// taken over.
    ///
    /// # Panics
    /// When its store does not open.
    pub async fn receiver(&self, node: &Node, idle: Duration) -> Arc<dyn Queue> {
        match (&self.store, &node.money) {
            (_, Some(file)) => Arc::new(EmbeddedQueue::new(file.clone())),
            (Store::Redis(server), None) => {
                RedisQueue::connect(&server.site(), Keys::default(), idle).await.expect("a queue")
            }
            (Store::Embedded { .. }, None) => unreachable!("a node without its file"),
        }
    }

    /// Puts a text into the queue of settlements as if a packet had.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn queue(&self, app: AppId, body: &[u8]) {
        match &self.store {
            Store::Redis(server) => {
                let mut connection = connection(server).await;
                let (mut pipeline, keys) = (redis::pipe(), Keys::default());
                pipeline.sadd(keys.outboxes(), app).ignore().xadd(keys.outbox(app), "*", &[("body", body)]);
                pipeline.exec_async(&mut connection).await.expect("put");
            }
            Store::Embedded { directory, .. } => {
                let put = "INSERT INTO outbox(app, body) VALUES (?1, ?2)";
                money_file(directory).execute(put, (app, body)).expect("put");
            }
        }
    }

    /// Remembers what the store holds of money now.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn remember(&self) {
        match &self.store {
            Store::Redis(server) => {
                redis::cmd("SAVE").exec_async(&mut connection(server).await).await.expect("saved");
            }
            Store::Embedded { directory, .. } => {
                let copy = directory.path().join("remembered");
                let _ = std::fs::remove_file(&copy);
                let name = copy.to_str().expect("a plain name");
                money_file(directory).execute("VACUUM INTO ?1", [name]).expect("copied");
            }
        }
    }

    /// Ends a node, which must be the only one, and its store, and starts both again with what was remembered last.
    ///
    /// # Panics
    /// When the store does not come back.
    pub async fn go_back(&mut self, node: Node) -> Node {
        if let Some(file) = &node.money {
            // What its thread writes at its end must not meet what is copied back.
            file.close().await;
        }
        drop(node);
        match &mut self.store {
            Store::Redis(server) => server.restart().await,
            Store::Embedded { directory, open } => {
                open.lock().take();
                let file = directory.path().join("money.sqlite3");
                for beside in ["money.sqlite3-wal", "money.sqlite3-shm"] {
                    let _ = std::fs::remove_file(directory.path().join(beside));
                }
                std::fs::copy(directory.path().join("remembered"), file).expect("copied back");
            }
        }
        self.node().await
    }

    /// The Redis of the nodes, if they are on one.
    #[must_use]
    pub fn redis_server(&mut self) -> Option<&mut RedisServer> {
        match &mut self.store {
            Store::Redis(server) => Some(server),
            Store::Embedded { .. } => None,
        }
    }

    /// Ends a node, which must be the only one, and starts another on the same store.
    pub async fn reopen(&self, node: Node) -> Node {
        drop(node);
        if let Store::Embedded { open, .. } = &self.store {
            open.lock().take();
        }
        self.node().await
    }
}

async fn connection(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("connected")
}

fn money_file(directory: &TempDir) -> rusqlite::Connection {
    let file = rusqlite::Connection::open(directory.path().join("money.sqlite3")).expect("the file");
    file.busy_timeout(crate::wait::SOON).expect("a time");
    file
}

fn embedded_node(at: &TempDir, retention: Retention, clock: Arc<HandClock>, limits: groups::Limits) -> Node {
    let (place, seen) = (Place::Directory(at.path().to_owned()), Arc::<Recorder>::default());
    let engine =
        Embedded::open(&place, Sync::Normal, retention, clock.clone(), seen.clone()).expect("an engine");
    let groups = Arc::new(EmbeddedGroups::new(engine.clone(), limits));
    let money = MoneyFile::open(&place, clock.clone()).expect("a file for money");
    Node {
        files: Arc::new(EmbeddedFiles::new(engine.clone(), clock.clone())),
        packets: Arc::new(EmbeddedPackets::new(money.clone(), groups.clone())),
        money: Some(money),
        broker: engine.clone(),
        groups,
        friends: Arc::new(EmbeddedFriends::new(engine.clone(), FRIENDS)),
        conversations: Arc::new(EmbeddedConversations::new(engine)),
        seen,
    }
}

async fn redis_node(url: &str, retention: Retention, clock: Arc<HandClock>, limits: groups::Limits) -> Node {
    let (seen, counters) = (Arc::<Recorder>::default(), Arc::default());
    let sink = seen.clone();
    let broker = RedisBroker::connect(url, Keys::default(), rand::random(), retention, clock, counters, sink);
    let broker = broker.await.expect("a broker");
    Node {
        groups: RedisGroups::new(&broker, limits),
        friends: RedisFriends::new(&broker, FRIENDS),
        conversations: RedisConversations::new(&broker),
        files: Arc::new(RedisFiles::new(&broker)),
        packets: RedisPackets::new(&broker),
        money: None,
        broker,
        seen,
    }
}

impl Node {
    /// Says something as chatd does; the message's id is its text.
    ///
    /// # Errors
    /// As the broker's append.
    pub async fn say(&self, sender: &str, target: &str, msg_id: &str) -> Result<Receipt, BrokerError> {
        self.broker.append(said(sender, target, msg_id)).await
    }

    /// Changes a group and expects that it can be.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn change(&self, group: &str, change: Change) -> Changed {
        self.try_change(group, change).await.expect("changed")
    }

    /// Changes a group.
    ///
    /// # Errors
    /// As the groups' change.
    pub async fn try_change(&self, group: &str, change: Change) -> Result<Changed, GroupError> {
        self.groups.change(APP, &group_id(group), &change).await
    }

    /// Creates a group of these members, the first of whom owns it.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn create(&self, group: &str, members: &[&str]) {
        let (owner, others) = members.split_first().expect("an owner");
        let created = self.groups.create(APP, &group_id(group), &user(owner), "its name").await;
        assert_eq!(created, Ok(true));
        for member in others {
            assert!(self.change(group, join(member)).await.changed);
        }
    }

    /// A whole log.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn log(&self, conversation: &Conversation) -> Page {
        self.broker.read(conversation, Range::After(0), 10_000).await.expect("read")
    }

    /// Subscribes to a topic.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn follow(&self, topic: &Topic) {
        self.broker.subscribe(topic).await.expect("subscribed");
    }
}

/// A message with all members of a push; its id is its text.
///
/// # Panics
/// When a name is not valid.
#[must_use]
pub fn said(sender: &str, target: &str, msg_id: &str) -> Outgoing {
    let to: Target = target.parse().expect("a target");
    let text = |text: &str| Value::from(text).to_string();
    let (to_json, words) = (text(target), text(&format!("text {msg_id}")));
    let (from, id) = (text(sender), text(msg_id));
    let members = format!(r#""target":{to_json},"type":"text","msg":{words},"from":{from},"msgId":{id}"#);
    Outgoing { members: Bytes::from(members), ..message(sender, &to, msg_id) }
}

/// The members of an entry as a JSON object.
///
/// # Panics
/// When they are none.
#[must_use]
pub fn members(entry: &Entry) -> Value {
    let object = [b"{", &entry.members[..], b"}"].concat();
    serde_json::from_slice(&object).expect("JSON members")
}

/// A group by name.
///
/// # Panics
/// When the name is not valid.
#[must_use]
pub fn group_id(name: &str) -> GroupId {
    GroupId::new(name).expect("a valid name")
}

/// Names of users.
#[must_use]
pub fn names(users: &[UserId]) -> Vec<&str> {
    users.iter().map(UserId::as_str).collect()
}
