//! What is done for many topics or pairs at once: all of them are looked after, a part of them at a time, and one that is
//! damaged keeps the others from nothing.

use std::collections::HashSet;
use std::sync::Arc;

use chat_tests::broker::{APP, HandClock, Recorder, to_user, user};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::redis_server::{RedisServer, rewind};
use chat_tests::wait::{SOON, until};
use chatd::broker::{Broker, Bus, Log, Retention};
use chatd::conversations::{Conversations, Head, Place};
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::conversations::RedisConversations;
use chatd::engine::redis::keys::Keys;
use chatd::model::{Conversation, Topic};

/// More than two commands' worth.
const PAIRS: usize = 600;

type Node = (Arc<RedisBroker>, Arc<Recorder>, Arc<HandClock>);

async fn node(url: &str) -> Node {
    let (seen, clock) = <(Arc<Recorder>, Arc<HandClock>)>::default();
    let retention = Retention { max_messages: 1_000, max_age_ms: 0 };
    let (number, counters) = (rand::random(), Arc::default());
    let broker =
        RedisBroker::connect(url, Keys::default(), number, retention, clock.clone(), counters, seen.clone());
    (broker.await.expect("a broker"), seen, clock)
}

async fn pairs(node: &Node, after: Option<&Place>, limit: usize) -> Vec<Head> {
    let conversations = RedisConversations::new(&node.0);
    let mut heads = conversations.heads(APP, &user("b"), after, limit).await.expect("listed");
    heads.retain(|head| head.last_offset > 0);
    heads
}

#[tokio::test]
async fn every_pair_behind_an_inbox_that_lost_its_end_gets_one_new_epoch() {
    let server = RedisServer::start().await;
    let (one, other) = (FaultProxy::start(server.address()).await, FaultProxy::start(server.address()).await);
    let readers = [&one, &other].map(|proxy| async { node(&format!("redis://{}", proxy.address())).await });
    let readers = futures_util::future::join_all(readers).await;
    let writer = node(&server.url()).await;
    let inbox = Topic::Inbox(APP, user("b"));
    for (reader, ..) in &readers {
        reader.subscribe(&inbox).await.expect("subscribed");
    }
    let mut last = None;
    for index in 0..PAIRS {
        last = Some(writer.0.append(to_user(&format!("x{index}"), "b", "1")).await.expect("appended"));
    }
    let last = last.expect("one at least");
    for (_, seen, _) in &readers {
        seen.has(&inbox, PAIRS).await;
    }
    [&one, &other].iter().for_each(|proxy| proxy.cut());
    for (reader, ..) in &readers {
        until("the cut is felt", SOON, async || reader.ready().await.is_err()).await;
    }
    let (keys, end) = (Keys::default(), PAIRS as u64 - 1);
    rewind(&server.url(), &keys.topic_log(&inbox), end).await;
    writer.2.set(last.time + 5_000);
    writer.0.append(to_user("x0", "b", "another")).await.expect("appended");
    [&one, &other].iter().for_each(|proxy| proxy.heal());
    for (_, seen, _) in &readers {
        until("told", SOON, async || seen.lost_topics() == [inbox.clone()]).await;
    }
    let heads = pairs(&writer, None, 10 * PAIRS).await;
    assert_eq!(heads.len(), PAIRS);
    for head in heads {
        let generation = head.epoch.split('.').nth(1);
        assert_eq!(generation, Some("1"), "{head:?}");
    }
}

#[tokio::test]
async fn pairs_of_one_time_are_listed_in_pages() {
    let server = RedisServer::start().await;
    let node = node(&server.url()).await;
    for index in 0..PAIRS {
        // Many of one time, so that pages begin between them.
        node.2.set(1_800_000_000_000 + index as u64 / 100);
        node.0.append(to_user(&format!("x{index}"), "b", "1")).await.expect("appended");
    }
    let whole = pairs(&node, None, PAIRS).await;
    for limit in [7, 100, 250] {
        let (mut listed, mut after) = (Vec::<Head>::new(), None);
        loop {
            let page = pairs(&node, after.as_ref(), limit).await;
            let Some(last) = page.last() else { break };
            after = Some(Place { last_time: last.last_time, conversation: last.conversation.clone() });
            listed.extend(page);
        }
        assert_eq!(listed, whole, "pages of {limit}");
    }
    let names: HashSet<&Conversation> = whole.iter().map(|head| &head.conversation).collect();
    assert_eq!(names.len(), PAIRS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_keeps_nobody_elses_messages_back() {
    const USERS: usize = 24;
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let (reader, seen, _) = node(&format!("redis://{}", proxy.address())).await;
    let writer = node(&server.url()).await.0;
    let inbox = |number: usize| Topic::Inbox(APP, user(&format!("u{number}")));
    for number in 0..USERS / 2 {
        reader.subscribe(&inbox(number)).await.expect("subscribed");
    }
    proxy.cut();
    until("the cut is felt", SOON, async || reader.ready().await.is_err()).await;
    for number in 0..USERS {
        writer.append(to_user("a", &format!("u{number}"), &format!("1-{number}"))).await.expect("appended");
    }
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut raw = client.get_multiplexed_async_connection().await.expect("connected");
    for damaged in [0, USERS - 1] {
        let key = Keys::default().topic_log(&inbox(damaged));
        redis::cmd("SET").arg(key).arg("x").query_async::<()>(&mut raw).await.expect("damaged");
    }
    proxy.heal();
    until("told", SOON, async || seen.lost_topics() == [inbox(0)]).await;
    for number in 1..USERS / 2 {
        seen.has(&inbox(number), 1).await;
    }
    let opening = (USERS / 2..USERS).map(|number| {
        let (broker, topic) = (reader.clone(), inbox(number));
        async move { broker.subscribe(&topic).await }
    });
    for opened in futures_util::future::join_all(opening).await {
        opened.expect("subscribed");
    }
    for number in 1..USERS - 1 {
        writer.append(to_user("a", &format!("u{number}"), &format!("2-{number}"))).await.expect("appended");
        seen.has(&inbox(number), if number < USERS / 2 { 2 } else { 1 }).await;
    }
}
