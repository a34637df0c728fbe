//! The law of the broker over Redis while links are cut, servers die, and queues overflow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chat_protocol::{GroupId, Target};
use chat_tests::broker::{
    APP, HandClock, Recorder, append_until_done, message, notice, redis_broker, to_user, to_world, user,
};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::redis_server::{RedisServer, rewind};
use chat_tests::wait::{SOON, pace, until};
use chatd::broker::{Broker, BrokerError, Range, Retention};
use chatd::counters::Counters;
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::groups::RedisGroups;
use chatd::engine::redis::keys::Keys;
use chatd::groups::Groups;
use chatd::model::{Conversation, Topic};

const WORLD: Topic = Topic::World(APP);

struct Peer {
    broker: Arc<dyn Broker>,
    seen: Arc<Recorder>,
    counters: Arc<Counters>,
    clock: Arc<HandClock>,
}

async fn try_peer(url: &str, max_messages: u64) -> Result<Peer, BrokerError> {
    let (seen, counters, clock) = <(Arc<Recorder>, Arc<Counters>, Arc<HandClock>)>::default();
    let retention = Retention { max_messages, max_age_ms: 0 };
    let broker = redis_broker(url, retention, clock.clone(), &counters, &seen).await?;
    Ok(Peer { broker, seen, counters, clock })
}

async fn peer(url: &str) -> Peer {
    try_peer(url, 100_000).await.expect("a broker")
}

/// Ids `0…count`, numbered as they must arrive.
fn all(count: u64) -> Vec<(u64, String)> {
    (0..count).map(|index| (index + 1, index.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_loses_nothing_and_repeats_nothing() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = peer(&format!("redis://{}", proxy.address())).await;
    let writer = peer(&server.url()).await;
    let inbox = Topic::Inbox(APP, user("b"));
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    reader.broker.subscribe(&inbox).await.expect("subscribed");
    for index in 0..500 {
        match index {
            100 => proxy.cut(),
            250 | 400 => proxy.heal(),
            300 => proxy.stall(),
            _ => {}
        }
        append_until_done(&writer.broker, to_world("a", &index.to_string())).await;
        append_until_done(&writer.broker, to_user("a", "b", &format!("to b {index}"))).await;
    }
    reader.seen.has(&WORLD, 500).await;
    reader.seen.has(&inbox, 500).await;
    assert_eq!(reader.seen.messages(&WORLD), all(500));
    assert_eq!(reader.seen.offsets(&inbox), (1..=500).collect::<Vec<_>>());
    assert!(reader.seen.lost_topics().is_empty());
    assert!(reader.counters.gap_fills.get() > 0, "the cut was not felt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_link_is_replaced() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = peer(&format!("redis://{}", proxy.address())).await;
    let writer = peer(&server.url()).await;
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    until("ready", SOON, async || reader.broker.ready().await.is_ok()).await;
    proxy.stall();
    until("not ready", SOON, async || reader.broker.ready().await.is_err()).await;
    append_until_done(&writer.broker, to_world("a", "0")).await;
    proxy.heal();
    reader.seen.has(&WORLD, 1).await;
    until("ready again", SOON, async || reader.broker.ready().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_that_kept_its_data_loses_nothing() {
    let mut server = RedisServer::start_with_aof().await;
    let reader = peer(&server.url()).await;
    let writer = peer(&server.url()).await;
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    let appending = tokio::spawn(async move {
        for index in 0..500 {
            append_until_done(&writer.broker, to_world("a", &index.to_string())).await;
        }
    });
    for arrived in [100, 300] {
        reader.seen.has(&WORLD, arrived).await;
        server.restart().await;
    }
    appending.await.expect("appended");
    reader.seen.has(&WORLD, 500).await;
    assert_eq!(reader.seen.messages(&WORLD), all(500));
    assert!(reader.seen.lost_topics().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_its_data_is_told() {
    let mut server = RedisServer::start().await;
    let node = peer(&server.url()).await;
    node.broker.subscribe(&WORLD).await.expect("subscribed");
    let first = node.broker.append(to_world("a", "1")).await.expect("appended");
    node.seen.has(&WORLD, 1).await;
    server.restart().await;
    until("told", SOON, async || node.seen.lost_topics() == [WORLD]).await;
    append_until_done(&node.broker, to_world("a", "2")).await;
    node.seen.has(&WORLD, 2).await;
    let page = node.broker.read(&Conversation::World(APP), Range::After(0), 10).await.expect("read");
    assert_ne!(page.epoch, first.epoch);
    assert_eq!(node.seen.messages(&WORLD), [(1, "1".to_owned()), (1, "2".to_owned())]);
    assert_eq!(node.seen.lost_topics(), [WORLD]);
}

/// As after a fail-over to a replica that lagged: the log continues from an earlier point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_gets_a_new_epoch() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = peer(&format!("redis://{}", proxy.address())).await;
    let writer = peer(&server.url()).await;
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    let first = writer.broker.append(to_world("a", "1")).await.expect("appended");
    writer.broker.append(to_world("a", "2")).await.expect("appended");
    reader.seen.has(&WORLD, 2).await;
    proxy.cut();
    until("the cut is felt", SOON, async || reader.broker.ready().await.is_err()).await;
    rewind_world(&server.url(), 1).await;
    writer.clock.set(first.time + 5_000);
    let again = writer.broker.append(to_world("a", "another 2")).await.expect("appended");
    assert_eq!((again.offset, &again.epoch), (2, &first.epoch));
    proxy.heal();
    until("told", SOON, async || reader.seen.lost_topics() == [WORLD]).await;
    let next = writer.broker.append(to_world("a", "3")).await.expect("appended");
    assert_ne!(next.epoch, first.epoch);
    reader.seen.has(&WORLD, 3).await;
}

/// The same for two users: what the two said has a log of its own beside their inboxes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_lost_its_end_gets_a_new_epoch() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = peer(&format!("redis://{}", proxy.address())).await;
    let writer = peer(&server.url()).await;
    let inbox = Topic::Inbox(APP, user("b"));
    reader.broker.subscribe(&inbox).await.expect("subscribed");
    let first = writer.broker.append(to_user("a", "b", "1")).await.expect("appended");
    writer.broker.append(to_user("a", "b", "2")).await.expect("appended");
    reader.seen.has(&inbox, 2).await;
    proxy.cut();
    until("the cut is felt", SOON, async || reader.broker.ready().await.is_err()).await;
    let keys = chatd::engine::redis::keys::Keys::default();
    let pair = Conversation::Pair(APP, user("a"), user("b"));
    rewind(&server.url(), &keys.log(&pair), 1).await;
    for name in ["a", "b"] {
        let topic = Topic::Inbox(APP, user(name));
        rewind(&server.url(), &keys.topic_log(&topic), 1).await;
    }
    writer.clock.set(first.time + 5_000);
    let again = writer.broker.append(to_user("a", "b", "another 2")).await.expect("appended");
    assert_eq!((again.offset, &again.epoch), (2, &first.epoch));
    proxy.heal();
    until("told", SOON, async || reader.seen.lost_topics() == [inbox.clone()]).await;
    let page = reader.broker.read(&pair, Range::After(2), 10).await.expect("read");
    assert_ne!(
        page.epoch, first.epoch,
        "who has seen the lost 2 must not believe that they have seen this one"
    );
}

/// Takes the world's log back to an earlier end.
async fn rewind_world(url: &str, number: u64) {
    let keys = chatd::engine::redis::keys::Keys::default();
    rewind(url, &keys.topic_log(&WORLD), number).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_that_the_log_no_longer_holds_is_told() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let reader = peer(&format!("redis://{}", proxy.address())).await;
    let writer = try_peer(&server.url(), 10).await.expect("a broker");
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    append_until_done(&writer.broker, to_world("a", "first")).await;
    reader.seen.has(&WORLD, 1).await;
    proxy.cut();
    until("the cut is felt", SOON, async || reader.broker.ready().await.is_err()).await;
    for index in 0..500 {
        append_until_done(&writer.broker, to_world("a", &index.to_string())).await;
    }
    proxy.heal();
    until("told", SOON, async || reader.seen.lost_topics() == [WORLD]).await;
    append_until_done(&writer.broker, to_world("a", "last")).await;
    reader.seen.has(&WORLD, 2).await;
    assert_eq!(reader.seen.offsets(&WORLD), [1, 502]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_is_made_good_from_the_log() {
    const COUNT: usize = 12_000;
    let server = RedisServer::start().await;
    let (reader, writer) = (peer(&server.url()).await, peer(&server.url()).await);
    reader.broker.subscribe(&WORLD).await.expect("subscribed");
    let (seen, shut) = (reader.seen.clone(), std::sync::mpsc::channel::<()>());
    let (closed, is_closed) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let _held = seen.gate.lock();
        closed.send(()).expect("heard");
        shut.1.recv().expect("told to open");
    });
    is_closed.recv().expect("the gate is closed");
    let mut running = tokio::task::JoinSet::new();
    for lane in 0..50 {
        let broker = writer.broker.clone();
        running.spawn(async move {
            for index in 0..COUNT / 50 {
                broker.append(to_world("a", &format!("{lane}-{index}"))).await.expect("appended");
            }
        });
    }
    running.join_all().await;
    shut.0.send(()).expect("the holder waits");
    holder.join().expect("the gate is open");
    reader.seen.has(&WORLD, COUNT).await;
    assert_eq!(reader.seen.offsets(&WORLD), (1..=COUNT as u64).collect::<Vec<_>>());
    assert!(reader.counters.gap_fills.get() > 0, "the queue did not overflow");
}

/// Groups on a node of their own.
async fn groups_over(url: &str) -> Arc<RedisGroups> {
    let (seen, counters, clock) = <(Arc<Recorder>, Arc<Counters>, Arc<HandClock>)>::default();
    let retention = Retention { max_messages: 100_000, max_age_ms: 0 };
    let broker = RedisBroker::connect(url, Keys::default(), rand::random(), retention, clock, counters, seen);
    RedisGroups::new(&broker.await.expect("a broker"), u64::MAX)
}

/// Every fault in turn on the links of both nodes, while twenty lanes write to groups, a pair and the world.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_loses_nothing_and_repeats_nothing() {
    const LANES: usize = 20;
    const PACE: Duration = Duration::from_millis(2);
    let mut server = RedisServer::start_with_aof().await;
    let proxies = [FaultProxy::start(server.address()).await, FaultProxy::start(server.address()).await];
    let reader = peer(&format!("redis://{}", proxies[0].address())).await;
    let writer = peer(&format!("redis://{}", proxies[1].address())).await;
    let lane_target = |lane: usize| match lane {
        0 => "user:b".to_owned(),
        1..5 => String::new(),
        _ => format!("group:g{}", lane % 5),
    };
    let mut topics = vec![WORLD, Topic::Inbox(APP, user("b"))];
    let owner = groups_over(&server.url()).await;
    for number in 0..5 {
        let id = GroupId::new(&format!("g{number}")).expect("a valid name");
        assert_eq!(owner.create(APP, &id, &user("a"), "a group").await, Ok(true));
        topics.push(Topic::Group(APP, id));
    }
    for topic in &topics {
        reader.broker.subscribe(topic).await.expect("subscribed");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let (broker, stop) = (writer.broker.clone(), stop.clone());
        let target: Target = lane_target(lane).parse().expect("a target");
        lanes.spawn(async move {
            let mut count = 0;
            while !stop.load(Relaxed) {
                append_until_done(&broker, message("a", &target, &format!("{lane}-{count}"))).await;
                count += 1;
                pace(PACE).await;
            }
            (Conversation::of(APP, &user("a"), &target).topics().pop().expect("a topic"), count)
        });
    }
    for round in 0..6 {
        let proxy = &proxies[round % 2];
        match round {
            0 | 1 => proxy.cut(),
            2 | 3 => proxy.stall(),
            _ => server.restart().await,
        }
        let node = [&reader, &writer][round % 2];
        if round < 4 {
            until("the fault is felt", SOON, async || node.broker.ready().await.is_err()).await;
        }
        proxy.heal();
        until("the fault is over", SOON, async || node.broker.ready().await.is_ok()).await;
    }
    stop.store(true, Relaxed);
    let mut written: HashMap<Topic, usize> = HashMap::new();
    for (topic, count) in lanes.join_all().await {
        *written.entry(topic).or_default() += count;
    }
    assert_eq!(written.len(), topics.len());
    for (topic, count) in &written {
        reader.seen.has(topic, *count).await;
        // The first entry of a group tells of its creation.
        let first = if matches!(topic, Topic::Group(..)) { 2 } else { 1 };
        assert_eq!(reader.seen.offsets(topic), (first..first + *count as u64).collect::<Vec<_>>());
        let ids: HashSet<String> = reader.seen.messages(topic).into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), *count, "a repeat landed twice in {topic:?}");
    }
    assert!(reader.seen.lost_topics().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_does_not_reach_a_topic_that_was_left() {
    let server = RedisServer::start().await;
    let node = peer(&server.url()).await;
    node.broker.subscribe(&WORLD).await.expect("subscribed");
    node.broker.notify(&WORLD, notice("one")).await.expect("sent");
    node.seen.has(&WORLD, 1).await;
    node.broker.unsubscribe(&WORLD);
    node.broker.notify(&WORLD, notice("two")).await.expect("sent");
    node.broker.subscribe(&WORLD).await.expect("subscribed");
    node.broker.notify(&WORLD, notice("three")).await.expect("sent");
    node.seen.has(&WORLD, 2).await;
    assert_eq!(node.seen.events(&WORLD).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_requests_fail_in_time_and_recover_with_it() {
    let mut server = RedisServer::start().await;
    let node = peer(&server.url()).await;
    until("ready", SOON, async || node.broker.ready().await.is_ok()).await;
    server.kill();
    until("not ready", SOON, async || node.broker.ready().await.is_err()).await;
    let start = Instant::now();
    let (append, subscribe) =
        tokio::join!(node.broker.append(to_world("a", "1")), node.broker.subscribe(&WORLD));
    assert!(matches!(append, Err(BrokerError::Unreachable(_))), "{append:?}");
    assert!(matches!(subscribe, Err(BrokerError::Unreachable(_))), "{subscribe:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.restart().await;
    let back = Instant::now();
    append_until_done(&node.broker, to_world("a", "1")).await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    node.broker.subscribe(&WORLD).await.expect("subscribed");
    append_until_done(&node.broker, to_world("a", "2")).await;
    node.seen.has(&WORLD, 1).await;
    assert_eq!(node.seen.messages(&WORLD), [(2, "2".to_owned())]);
}

#[tokio::test]
async fn an_unusable_url_is_refused_with_its_reason() {
    for (url, reason) in [
        ("http://127.0.0.1", "redis://"),
        ("rediss://:secret@127.0.0.1:1", "127.0.0.1:1"),
        ("redis+sentinel://:secret@127.0.0.1:1/main", "main of the sentinels 127.0.0.1:1"),
        ("redis+sentinel://127.0.0.1", "name of the master"),
        ("redis-cluster://:secret@127.0.0.1:1", "127.0.0.1:1"),
        ("redis://:secret@127.0.0.1:1", "127.0.0.1:1"),
        ("redis://:secret@127.0.0.1:port", "url"),
    ] {
        let Err(error) = try_peer(url, 1).await.map(drop) else { panic!("{url} is accepted") };
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains("secret"), "{url}: {text}");
    }
}
