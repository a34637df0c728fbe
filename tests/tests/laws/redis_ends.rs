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
use chatd::engine::redis::keys::Keys;
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
        let mut names = vec![self.keys.log(&pair()), self.keys.log_head(&pair()), self.keys.stubs(&pair())];
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
        let most = if history.contains(&name) { age.as_millis() } else { 28 * 24 * 3_600_000 };
        assert!(ms > 0 && ms as u128 <= most, "{name}: {ms} ms");
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
    let mut rest: Vec<_> = inboxes.iter().map(|inbox| bench.keys.topic_head(inbox)).collect();
    rest.extend(
        inboxes.iter().flat_map(|inbox| [bench.keys.topic_log(inbox), bench.keys.topic_stubs(inbox)]),
    );
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
        assert!(known && ms > 0, "{name}: {ms} ms");
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
        assert_eq!(ms < 0, history.contains(&name), "{name}: {ms} ms");
    }
}

#[tokio::test]
async fn pairs_that_were_noted_without_a_time_are_listed_and_taken_over() {
    let mut bench = Bench::new().await;
    let node = bench.node(Duration::ZERO).await;
    let mut names = Vec::new();
    for number in 0..3 {
        node.append(said("a", &format!("user:x{number}"), &number.to_string())).await.expect("appended");
        names.push(format!("x{number}"));
    }
    let (pairs, before) = (bench.keys.pairs(APP, &user("a")), bench.keys.peers(APP, &user("a")));
    redis::cmd("DEL").arg(&pairs).query_async::<()>(&mut bench.raw).await.expect("removed");
    redis::cmd("SADD")
        .arg(&before)
        .arg(&names)
        .arg("gone")
        .query_async::<()>(&mut bench.raw)
        .await
        .expect("added");
    let conversations = RedisConversations::new(&node);
    for _ in 0..2 {
        let listed = conversations.heads(APP, &user("a"), None, 10).await.expect("listed");
        let listed: Vec<_> =
            listed.iter().map(|head| head.conversation.named_by(&user("a")).to_string()).collect();
        assert_eq!(listed.len(), 4, "{listed:?}");
        let left = bench.left().await;
        assert!(left.contains_key(&pairs) && !left.contains_key(&before), "{left:?}");
    }
}

/// Prints what a first message to somebody who never came takes. Redis gives each of its three streams 4 KiB at once.
#[tokio::test]
async fn a_message_to_somebody_who_never_came_takes_three_streams_and_little_else() {
    let mut bench = Bench::new().await;
    let node = bench.node(Duration::from_secs(600)).await;
    node.append(said("a", "user:b", "1")).await.expect("appended");
    let (mut streams, mut rest) = (0, 0);
    for name in bench.left().await.into_keys() {
        let mut bytes = redis::cmd("MEMORY");
        let bytes: u64 = bytes.arg("USAGE").arg(&name).query_async(&mut bench.raw).await.expect("told");
        let kind: String = redis::cmd("TYPE").arg(&name).query_async(&mut bench.raw).await.expect("told");
        println!("{bytes:6} {kind} {name}");
        if kind == "stream" { streams += 1 } else { rest += bytes }
    }
    assert_eq!(streams, 3, "the log and the inboxes of both");
    assert!(rest < 4 * 1024, "{rest} bytes");
}
