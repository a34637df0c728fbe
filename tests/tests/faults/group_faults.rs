//! The law of groups and recalls over Redis while links are cut.
//!
//! Invariant: whatever a node missed, it learns in the order of the log.

use std::sync::Arc;

use chat_protocol::Target;
use chat_tests::broker::{APP, HandClock, Recorder, group, user};
use chat_tests::engine::{dismiss, group_id, join, leave, members, said};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::broker::{Broker, Bus, Event, Log, Range, Retention, Sink};
use chatd::clock::Clock;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::groups::Groups;
use chatd::model::{Conversation, Effect, Topic};
use parking_lot::Mutex;

#[derive(Default)]
struct Ear {
    recorder: Recorder,
    interrupted: Mutex<Vec<Topic>>,
}

impl Sink for Ear {
    fn deliver(&self, topic: &Topic, event: &Event) {
        self.recorder.deliver(topic, event);
    }
    fn lost(&self, topic: &Topic) {
        self.recorder.lost(topic);
    }
    fn interrupted(&self, topic: &Topic) {
        self.interrupted.lock().push(topic.clone());
    }
}

struct Node {
    broker: Arc<RedisBroker>,
    groups: Arc<RedisGroups>,
    ear: Arc<Ear>,
}

async fn node(url: &str, max_messages: u64) -> Node {
    node_keeping(url, Retention { max_messages, max_age_ms: 0 }, Arc::default()).await
}

async fn node_keeping(url: &str, retention: Retention, clock: Arc<HandClock>) -> Node {
    let ear = Arc::<Ear>::default();
    let broker = RedisBroker::connect(url, Keys::default(), 7, retention, clock, Arc::default(), ear.clone());
    let broker = broker.await.expect("a broker");
    Node { groups: RedisGroups::new(&broker, u64::MAX), broker, ear }
}

impl Node {
    async fn say(&self, sender: &str, target: &str, id: &str) -> u64 {
        self.broker.append(said(sender, target, id)).await.expect("appended").offset
    }
    fn got(&self, topic: &Topic) -> Vec<(u64, String, Effect)> {
        let of = |event| match event {
            Event::Message { entry, .. } => {
                let kind = members(&entry)["type"].as_str().unwrap_or("").to_owned();
                Some((entry.offset, kind, entry.effect))
            }
            Event::Notice(_) => None,
        };
        self.ear.recorder.events(topic).into_iter().filter_map(of).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_node_learns_of_recalls_and_leavers() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = node(&format!("redis://{}", proxy.address()), 100_000).await;
    let writer = node(&server.url(), 100_000).await;
    let (log, topic) = group("g");
    let inboxes = [Topic::Inbox(APP, user("a")), Topic::Inbox(APP, user("b"))];
    writer.groups.create(APP, &group_id("g"), &user("o"), "n").await.expect("created");
    for topic in inboxes.iter().chain([&topic]) {
        reader.broker.subscribe(topic).await.expect("subscribed");
    }
    writer.groups.change(APP, &group_id("g"), &join("a")).await.expect("joined");
    writer.say("o", "group:g", "3").await;
    writer.say("a", "user:b", "p1").await;
    reader.ear.recorder.has(&topic, 2).await;
    for inbox in &inboxes {
        reader.ear.recorder.has(inbox, 1).await;
    }
    assert!(reader.ear.interrupted.lock().is_empty());
    proxy.cut();
    until("cut", SOON, async || reader.broker.ready().await.is_err()).await;
    writer.say("a", "group:g", "4").await;
    writer.say("o", "group:g", "5").await;
    writer.groups.change(APP, &group_id("g"), &leave("a")).await.expect("left");
    writer.say("o", "group:g", "7").await;
    writer.say("b", "user:a", "p2").await;
    writer.say("a", "user:b", "p3").await;
    writer.say("a", "user:c", "other").await;
    let pair = Conversation::of(APP, &user("a"), &Target::User(user("b")));
    for offset in [3, 4, 6] {
        writer.broker.recall(&log, offset, None).await.expect("recalled");
    }
    for offset in [1, 2] {
        writer.broker.recall(&pair, offset, None).await.expect("recalled");
    }
    proxy.heal();
    reader.ear.recorder.has(&topic, 9).await;
    reader.ear.recorder.has(&inboxes[0], 6).await;
    reader.ear.recorder.has(&inboxes[1], 5).await;
    let plain = |offset, kind: &str| (offset, kind.to_owned(), Effect::None);
    assert_eq!(
        reader.got(&topic),
        [
            (2, "join".to_owned(), Effect::Joined(user("a"))),
            plain(3, "text"),
            plain(4, "recalled"),
            plain(5, "text"),
            (6, "recalled".to_owned(), Effect::Left(user("a"))),
            plain(7, "text"),
            plain(8, "recall"),
            plain(9, "recall"),
            plain(10, "recall")
        ]
    );
    let pairs =
        [plain(1, "text"), plain(2, "recalled"), plain(3, "text"), plain(4, "recall"), plain(5, "recall")];
    assert_eq!(reader.got(&inboxes[1]), pairs);
    assert_eq!(reader.got(&inboxes[0])[..3], pairs[..3]);
    assert_eq!(reader.got(&inboxes[0])[4..], pairs[3..]);
    assert!(reader.ear.recorder.lost_topics().is_empty());
    let told = async || {
        let told = reader.ear.interrupted.lock();
        inboxes.iter().chain([&topic]).all(|topic| told.contains(topic))
    };
    until("interruptions", SOON, told).await;
    are_nowhere(&server.url(), &["text 3\"", "text 4\"", "text p1\"", "text p2\""]).await;
}

/// Nothing of the texts is left in any key.
async fn are_nowhere(url: &str, texts: &[&str]) {
    let client = redis::Client::open(url).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("keys");
    for key in keys {
        let dump: bytes::Bytes =
            redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.expect("dump");
        let dump = String::from_utf8_lossy(&dump).into_owned();
        for gone in texts {
            assert!(!dump.contains(gone), "{gone} in {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dismissal_during_a_cut_is_told_once_and_a_live_one_never() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = node(&format!("redis://{}", proxy.address()), 100_000).await;
    let writer = node(&server.url(), 100_000).await;
    let (_, topic) = group("g");
    let id = group_id("g");
    let create = async || writer.groups.create(APP, &id, &user("o"), "n").await.expect("created");
    reader.broker.subscribe(&topic).await.expect("subscribed");
    create().await;
    for _ in 0..3 {
        writer.groups.change(APP, &id, &dismiss("o")).await.expect("dismissed");
        create().await;
    }
    reader.ear.recorder.has(&topic, 7).await;
    assert!(reader.ear.recorder.lost_topics().is_empty());
    proxy.cut();
    until("cut", SOON, async || reader.broker.ready().await.is_err()).await;
    writer.groups.change(APP, &id, &dismiss("o")).await.expect("dismissed");
    proxy.heal();
    until("told", SOON, async || reader.ear.recorder.lost_topics() == [topic.clone()]).await;
    create().await;
    writer.say("o", "group:g", "2").await;
    reader.ear.recorder.has(&topic, 9).await;
    assert_eq!(reader.ear.recorder.offsets(&topic), [1, 2, 1, 2, 1, 2, 1, 1, 2]);
    assert_eq!(reader.ear.recorder.lost_topics().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stubs_go_with_their_age() {
    let server = RedisServer::start().await;
    let node = node(&server.url(), 50).await;
    let world = Conversation::World(APP);
    let mut head = 0;
    for index in 1..=1000_u64 {
        let offset = node.say("a", "", &index.to_string()).await;
        head += 1;
        assert_eq!(offset, head);
        if index % 3 == 0 || index < 60 {
            node.broker.recall(&world, offset, None).await.expect("recalled");
            head += 1;
        }
        if index % 50 == 7 {
            let page = node.broker.read(&world, Range::After(0), 10_000).await.expect("read");
            let offsets: Vec<u64> = page.entries.iter().map(|entry| entry.offset).collect();
            let first = offsets[0];
            assert_eq!(offsets, (first..=head).collect::<Vec<_>>());
            assert!(offsets.len() as u64 >= 50.min(head), "{}", offsets.len());
            let back = node.broker.read(&world, Range::Before(head), 7).await.expect("read").entries;
            assert_eq!(
                back.iter().map(|entry| entry.offset).collect::<Vec<_>>(),
                (head.saturating_sub(7).max(1)..head).collect::<Vec<_>>()
            );
        }
    }
    let page = node.broker.read(&world, Range::After(0), 10_000).await.expect("read");
    println!("kept {}", page.entries.len());
    assert!(page.entries.len() < 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_nowhere() {
    let (server, clock) = (RedisServer::start().await, Arc::<HandClock>::default());
    let retention = Retention { max_messages: 1_000, max_age_ms: 1_000 };
    let node = node_keeping(&server.url(), retention, clock.clone()).await;
    node.groups.create(APP, &group_id("g"), &user("a"), "n").await.expect("created");
    let targets = ["", "group:g", "user:b"];
    for id in ["1", "2", "3"] {
        for target in targets {
            node.say("a", target, &format!("{id}{target}")).await;
        }
    }
    let pair = Conversation::of(APP, &user("a"), &Target::User(user("b")));
    node.broker.recall(&pair, 2, None).await.expect("recalled");
    clock.set(clock.now_ms() + 1_001);
    for target in targets {
        node.say("a", target, &format!("4{target}")).await;
    }
    are_nowhere(&server.url(), &["text 1", "text 2", "text 3", "recalled"]).await;
}
