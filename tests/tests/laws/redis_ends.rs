//! What is kept in Redis ends: by itself with a greatest age of history, and as a history of its own when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat_tests::broker::{APP, Recorder, user};
use chat_tests::engine::said;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::broker::{Log, Range, Retention};
use chatd::clock::SystemClock;
use chatd::conversations::Conversations;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::conversations::RedisConversations;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::groups::Groups;
use chatd::model::{Conversation, Topic};
use redis::aio::MultiplexedConnection;

struct Bench {
    server: RedisServer,
    raw: MultiplexedConnection,
    keys: Keys,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let client = redis::Client::open(server.url().as_str()).expect("a URL");
        let raw = client.get_multiplexed_async_connection().await.expect("connected");
        Self { server, raw, keys: Keys::default() }
    }

    /// A node that keeps messages so long; 0 is for ever.
    async fn node(&self, max_age: Duration) -> Arc<RedisBroker> {
        let max_age_ms = u64::try_from(max_age.as_millis()).expect("a number");
        let retention = Retention { max_messages: 100, max_age_ms };
        let (url, clock, seen) = (self.server.url(), Arc::new(SystemClock), Arc::<Recorder>::default());
        let broker = RedisBroker::connect(&url, self.keys.clone(), 1, retention, clock, Arc::default(), seen);
        broker.await.expect("a broker")
    }

    /// All keys with the time each has left, in ms; below 0 it has no end.
    async fn left(&mut self) -> BTreeMap<String, i64> {
        let names: Vec<String> =
            redis::cmd("KEYS").arg("*").query_async(&mut self.raw).await.expect("listed");
        let mut left = BTreeMap::new();
        for name in names {
            let ms = redis::cmd("PTTL").arg(&name).query_async(&mut self.raw).await.expect("told");
            left.insert(name, ms);
        }
        left
    }

    /// The keys that are history: of the pair, of both users' lists, and of what was read.
    fn history(&self) -> Vec<String> {
        let mut names = vec![self.keys.log(&pair())];
        for name in ["a", "b"] {
            names.extend([self.keys.pairs(APP, &user(name)), self.keys.reads(APP, &user(name))]);
        }
        names
    }
}

fn pair() -> Conversation {
    Conversation::Pair(APP, user("a"), user("b"))
}

/// Two messages, of which one is taken back, and both sides have read.
async fn talk(node: &Arc<RedisBroker>, round: &str) {
    for number in 0..2 {
        node.append(said("a", "user:b", &format!("{round}-{number}"))).await.expect("appended");
    }
    let page = node.read(&pair(), Range::Before(u64::MAX), 1).await.expect("read");
    node.recall(&pair(), page.head, None).await.expect("recalled");
    let conversations = RedisConversations::new(node);
    for name in ["a", "b"] {
        conversations.read(&user(name), &pair(), u64::MAX).await.expect("read");
    }
}

#[tokio::test]
async fn with_a_greatest_age_every_key_that_a_message_creates_ends() {
    let mut bench = Bench::new().await;
    let age = Duration::from_secs(600);
    talk(&bench.node(age).await, "1").await;
    let (left, history) = (bench.left().await, bench.history());
    assert!(history.iter().all(|name| left.contains_key(name)), "{left:?}");
    for (name, ms) in left {
        // A pair is put into lists a little ahead.
        let most =
            if history.contains(&name) { age.as_millis() * 17 / 16 } else { (28 * 24 + 1) * 3_600_000 };
        let known = name == bench.keys.layout();
        assert!(known || ms > 0 && ms as u128 <= most, "{name}: {ms} ms");
    }
}

#[tokio::test]
async fn a_pair_that_was_silent_for_the_greatest_age_leaves_nothing_and_begins_anew() {
    let mut bench = Bench::new().await;
    let node = bench.node(Duration::from_secs(3)).await;
    let first = node.append(said("a", "user:b", "first")).await.expect("appended");
    talk(&node, "1").await;
    let history = bench.history();
    let inboxes = ["a", "b"].map(|name| Topic::Inbox(APP, user(name)));
    let rest: Vec<_> = inboxes.iter().map(|inbox| bench.keys.topic_log(inbox)).collect();
    let server = bench.server.url();
    let gone = async || {
        let client = redis::Client::open(server.as_str()).expect("a URL");
        let mut raw = client.get_multiplexed_async_connection().await.expect("connected");
        let mut exists = redis::cmd("EXISTS");
        history.iter().for_each(|name| _ = exists.arg(name));
        exists.query_async::<u64>(&mut raw).await.expect("told") == 0
    };
    until("all of it has ended", SOON, gone).await;
    for (name, ms) in bench.left().await {
        let known = rest.contains(&name) || name.contains(":sent:");
        assert!(known && ms > 0 || name == bench.keys.layout(), "{name}: {ms} ms");
    }
    let listed = RedisConversations::new(&node).heads(APP, &user("b"), None, 10).await.expect("listed");
    assert_eq!(listed.len(), 1, "the world alone: {listed:?}");
    let repeat = node.append(said("a", "user:b", "first")).await.expect("a repeat");
    assert!(repeat.duplicate && repeat.epoch == first.epoch, "ids are remembered for a day");
    let next = node.append(said("a", "user:b", "next")).await.expect("appended");
    assert!(next.offset == 1 && next.epoch != first.epoch, "{next:?} is another history than {first:?}");
}

#[tokio::test]
async fn who_writes_to_ever_new_users_keeps_only_those_of_late() {
    let mut bench = Bench::new().await;
    let node = bench.node(Duration::from_millis(300)).await;
    let (pairs, reads) = (bench.keys.pairs(APP, &user("a")), bench.keys.reads(APP, &user("a")));
    for number in 0..20 {
        node.append(said("a", &format!("user:x{number}"), &number.to_string())).await.expect("appended");
    }
    for number in 20.. {
        node.append(said("a", &format!("user:x{number}"), &number.to_string())).await.expect("appended");
        let first =
            redis::cmd("ZSCORE").arg(&pairs).arg("x0").query_async::<Option<f64>>(&mut bench.raw).await;
        let read = redis::cmd("HEXISTS").arg(&reads).arg("user:x0").query_async::<bool>(&mut bench.raw).await;
        if (first.expect("told"), read.expect("told")) == (None, false) {
            return;
        }
        assert!(number < 20_000, "nothing is forgotten");
    }
}

#[tokio::test]
async fn without_a_greatest_age_what_is_history_stays_even_if_there_was_one_before() {
    let mut bench = Bench::new().await;
    talk(&bench.node(Duration::from_secs(600)).await, "1").await;
    talk(&bench.node(Duration::ZERO).await, "2").await;
    let (left, history) = (bench.left().await, bench.history());
    for (name, ms) in left {
        assert_eq!(ms < 0, history.contains(&name) || name == bench.keys.layout(), "{name}: {ms} ms");
    }
}

/// Prints what a first message takes in each kind of conversation; in a group with what founding it takes.
#[tokio::test]
async fn a_first_message_takes_little() {
    for (to, most) in [("", 1_000), ("group:g", 1_100), ("user:b", 1_500)] {
        let mut bench = Bench::new().await;
        let node = bench.node(Duration::from_secs(600)).await;
        if to.starts_with("group:") {
            let groups = RedisGroups::new(&node, u64::MAX);
            groups.create(APP, &"g".parse().expect("an id"), &user("a"), "g").await.expect("created");
        }
        node.append(said("a", to, "1")).await.expect("appended");
        let mut all = 0;
        for name in bench.left().await.into_keys() {
            let mut bytes = redis::cmd("MEMORY");
            let bytes: u64 = bytes.arg("USAGE").arg(&name).query_async(&mut bench.raw).await.expect("told");
            println!("{bytes:6} {name}");
            if name != bench.keys.layout() {
                all += bytes;
            }
        }
        assert!(all <= most, "{to:?}: {all} bytes");
    }
}
