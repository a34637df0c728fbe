//! What an earlier version of chatd wrote into Redis is taken over by the first node that starts, and nothing of it is lost.

use std::sync::Arc;

use chat_tests::broker::{APP, HandClock, Recorder, group, to_user, user};
use chat_tests::engine::{members, said};
use chat_tests::redis_server::RedisServer;
use chatd::broker::{BrokerError, Log, REPEAT_WINDOW_MS, Range, Retention};
use chatd::clock::SystemClock;
use chatd::conversations::Conversations;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::conversations::RedisConversations;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::groups::Groups;
use chatd::model::{Conversation, Topic, epoch};
use redis::ToRedisArgs;
use redis::aio::MultiplexedConnection;

const EPOCH: &str = "0123456789abcdef";
const TIME: u64 = 1_800_000_000_000;
/// More than two calls move.
const MANY: u64 = 600;

struct Former {
    server: RedisServer,
    raw: MultiplexedConnection,
}

impl Former {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let client = redis::Client::open(server.url().as_str()).expect("a URL");
        let raw = client.get_multiplexed_async_connection().await.expect("connected");
        Self { server, raw }
    }

    async fn run(&mut self, name: &str, words: impl ToRedisArgs) {
        redis::cmd(name).arg(words).query_async::<redis::Value>(&mut self.raw).await.expect("done");
    }

    /// A log of entries with these bodies, from `first` on; those of which the second is true were recalled.
    async fn log(&mut self, name: &str, first: u64, bodies: &[(String, bool)]) {
        let key = |kind: &str| format!("{{chat:{APP}}}:{kind}:{name}");
        let mut number = first;
        for (body, recalled) in bodies {
            let payload = entry(number, body);
            if *recalled {
                self.run("ZADD", (key("stubs"), number, payload)).await;
            } else {
                self.run("XADD", (key("log"), format!("{number}-0"), "m", payload)).await;
            }
            number += 1;
        }
        let words = [
            ("epoch", EPOCH.to_owned()),
            ("number", (number - 1).to_string()),
            ("time", (TIME + number - 1).to_string()),
        ];
        for (field, value) in words {
            self.run("HSET", (key("head"), field, value)).await;
        }
    }

    async fn node(&self) -> Result<Arc<RedisBroker>, BrokerError> {
        let retention = Retention { max_messages: 10_000, max_age_ms: 0 };
        let (clock, seen) = (Arc::<HandClock>::default(), Arc::<Recorder>::default());
        clock.set(TIME + 10_000);
        RedisBroker::connect(&self.server.url(), Keys::default(), 1, retention, clock, Arc::default(), seen)
            .await
    }

    /// Of chatd.
    async fn keys(&mut self) -> Vec<String> {
        redis::cmd("KEYS").arg("*").query_async(&mut self.raw).await.expect("listed")
    }
}

fn entry(number: u64, body: &str) -> String {
    format!("M\n{number}\n{EPOCH}\n{}\n-\n{body}", TIME + number)
}

fn bodies(count: u64) -> Vec<(String, bool)> {
    (1..=count).map(|number| (format!("m{number}\n\"msg\":\"%1 {number}\""), number % 7 == 0)).collect()
}

async fn whole(node: &RedisBroker, conversation: &Conversation, count: u64) {
    let page = node.read(conversation, Range::After(0), 10_000).await.expect("read");
    assert_eq!((page.head, &*page.epoch, page.entries.len() as u64), (count, EPOCH, count));
    for (entry, number) in page.entries.iter().zip(1..) {
        assert_eq!(
            (entry.offset, entry.time, entry.msg_id.as_str()),
            (number, TIME + number, &*format!("m{number}"))
        );
        assert_eq!(members(entry)["msg"], format!("%1 {number}"));
    }
}

fn pair() -> Conversation {
    Conversation::Pair(APP, user("a"), user("b"))
}

async fn fill(former: &mut Former) {
    former.log("world", 1, &bodies(MANY)).await;
    former.log("pair:1:a:b", 1, &bodies(10)).await;
    former.log("inbox:b", 1, &[("x".to_owned(), false)]).await;
    former.log("group:g", 1, &bodies(3)).await;
    let key = |kind: &str| format!("{{chat:{APP}}}:{kind}");
    former.run("HSET", (key("group:g"), "name", "n", "owner", "o", "epoch", EPOCH)).await;
    former.run("ZADD", (key("members:g"), 0, "o")).await;
    former.run("HSET", (key("groups:o"), "g", format!("{EPOCH}\n1"))).await;
    former.run("SADD", (key("peers:a"), "b", "gone")).await;
    former.run("ZADD", (key("pairs:b"), TIME + 10, "a")).await;
    former.run("HSET", (key("reads:a"), "user:b", format!("{EPOCH}\n4"))).await;
    let kept = format!("9\n{EPOCH}\n{}\n{}", TIME + 9, to_user("a", "b", "m9").fingerprint.expect("one"));
    former.run("HSET", (Keys::default().sent(APP, &user("a"), TIME / REPEAT_WINDOW_MS), "m9", kept)).await;
}

#[tokio::test]
async fn what_an_earlier_version_wrote_goes_on_where_it_ended() {
    let mut former = Former::new().await;
    fill(&mut former).await;
    let node = former.node().await.expect("a node");
    whole(&node, &Conversation::World(APP), MANY).await;
    whole(&node, &pair(), 10).await;
    whole(&node, &group("g").0, 3).await;
    for key in former.keys().await {
        let is_former =
            ["log", "head", "stubs", "peers"].iter().any(|kind| key.contains(&format!("}}:{kind}:")));
        assert!(!is_former && !key.contains("inbox:b"), "{key} is left");
    }
    let repeat = node.append(to_user("a", "b", "m9")).await.expect("a repeat");
    assert!(repeat.duplicate && repeat.offset == 9, "{repeat:?}");
    for (to, last) in [("", MANY), ("user:b", 10), ("group:g", 3)] {
        let sender = if to == "group:g" { "o" } else { "a" };
        let next = node.append(said(sender, to, &format!("next {to}"))).await.expect("appended");
        assert_eq!((next.offset, epoch::history(&next.epoch)), (last + 1, EPOCH), "{to}");
    }
    let conversations = RedisConversations::new(&node);
    for name in ["a", "b"] {
        let listed = conversations.list(APP, &user(name), None, 10).await.expect("listed");
        assert_eq!(listed.len(), 2, "{name}: {listed:?}");
        let listed = listed.iter().find(|state| state.head.conversation == pair()).expect("it is listed");
        assert_eq!(listed.read_offset, if name == "a" { 4 } else { 0 });
    }
    assert_eq!(RedisGroups::new(&node, 10).of_user(APP, &user("o")).await.expect("listed").len(), 1);
    drop(node);
    let again = former.node().await.expect("a node");
    assert_eq!(again.read(&pair(), Range::After(0), 100).await.expect("read").head, 11);
}

/// As a node leaves it that dies while it takes over: some of a log is moved, and its lease is not given back.
#[tokio::test]
async fn what_was_half_taken_over_is_finished() {
    let mut former = Former::new().await;
    let all = bodies(MANY);
    former.log("world", 301, &all[300..]).await;
    for (number, (body, _)) in (1..=300).zip(&all) {
        let moved = entry(number, body).replacen("\n-\n", "\n\n-\n", 1);
        former.run("RPUSH", (Keys::default().topic_log(&Topic::World(APP)), moved)).await;
    }
    former.run("SET", (Keys::default().takeover(), 1, "PX", 700)).await;
    let (one, other) = tokio::join!(former.node(), former.node());
    for node in [one, other] {
        whole(&node.expect("a node"), &Conversation::World(APP), MANY).await;
    }
}

#[tokio::test]
async fn a_hole_or_a_lost_end_keeps_its_numbers() {
    let mut former = Former::new().await;
    former.log("world", 1, &bodies(2)).await;
    former.log("world", 6, &bodies(1)).await;
    former.run("HSET", (format!("{{chat:{APP}}}:head:world"), "number", 9)).await;
    former.run("HSET", (format!("{{chat:{APP}}}:head:world"), "epoch", format!("{EPOCH}.1.x"))).await;
    let node = former.node().await.expect("a node");
    let page = node.read(&Conversation::World(APP), Range::After(0), 100).await.expect("read");
    let offsets: Vec<_> = page.entries.iter().map(|entry| entry.offset).collect();
    assert_eq!((page.head, &*page.epoch, offsets), (9, &*format!("{EPOCH}.1.x"), vec![1, 2, 6]));
    for (range, wanted) in [(Range::After(0), [1, 2, 6]), (Range::Before(100), [1, 2, 6])] {
        let some = node.read(&Conversation::World(APP), range, 3).await.expect("read").entries;
        assert_eq!(some.iter().map(|entry| entry.offset).collect::<Vec<_>>(), wanted, "a page is full");
    }
    let next = node.append(said("a", "", "next")).await.expect("appended");
    assert_eq!((next.offset, epoch::order(&page.epoch, &next.epoch)), (10, Some(std::cmp::Ordering::Less)));
}

#[tokio::test]
async fn nothing_is_taken_over_from_nodes_that_live_or_from_a_later_version() {
    let mut former = Former::new().await;
    fill(&mut former).await;
    let ends = chatd::clock::Clock::now_ms(&SystemClock) + 600_000;
    former.run("ZADD", (Keys::default().leases(), ends, "lease")).await;
    let mut before = former.keys().await;
    let refused = former.node().await.err().expect("refused").to_string();
    assert!(refused.contains("1 nodes of an earlier version"), "{refused}");
    let mut after = former.keys().await;
    before.sort();
    after.sort();
    assert_eq!(after, before);
    former.run("DEL", Keys::default().leases()).await;
    former.node().await.expect("they are gone");
    former.run("SET", (Keys::default().layout(), 3)).await;
    let refused = former.node().await.err().expect("refused").to_string();
    assert!(refused.contains("layout 3"), "{refused}");
    former.run("DEL", Keys::default().layout()).await;
    former.run("ZADD", (Keys::default().leases(), ends, "lease")).await;
    assert!(former.node().await.is_err(), "though there is nothing to take over");
}

#[tokio::test]
async fn what_is_damaged_is_left_as_it_is_and_the_rest_taken_over() {
    let mut former = Former::new().await;
    fill(&mut former).await;
    let key = |app: &str, rest: &str| format!("{{chat:{app}}}:{rest}");
    former.run("SET", (key("7", "head:group:x"), "no hash")).await;
    former.log("group:y", 1, &bodies(2)).await;
    former.run("HDEL", (key("7", "head:group:y"), "epoch")).await;
    former.log("group:z", 1, &bodies(2)).await;
    former.run("HSET", (key("7", "head:group:z"), "number", "1e300")).await;
    former.run("SET", (key("zz", "head:foo"), "foreign")).await;
    former.run("SADD", (key("7", "peers:a"), b"\xff".as_slice())).await;
    former.run("SET", (b"{chat:7}:head:group:\xff".as_slice(), "no text")).await;
    let mut left = Vec::new();
    let node = former.node().await.expect("a node");
    whole(&node, &Conversation::World(APP), MANY).await;
    whole(&node, &pair(), 10).await;
    for name in ["head:group:x", "head:group:y", "log:group:y", "head:group:z", "log:group:z"] {
        left.push((
            name,
            redis::cmd("EXISTS").arg(key("7", name)).query_async::<bool>(&mut former.raw).await,
        ));
    }
    assert!(left.iter().all(|(_, exists)| *exists == Ok(true)), "{left:?}");
}
