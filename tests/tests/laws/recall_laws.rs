//! The law of recall and of retention by age, run against every adapter: `redis::…` and `embedded::…`.

use chat_protocol::message::{RECALL_WINDOW_MS, Recalled};
use chat_tests::broker::{APP, group, notice, user};
use chat_tests::engine::{Engine, Node, group_id, join, leave, members};
use chatd::broker::{BrokerError, Event, Range, Retention};
use chatd::groups::Change;
use chatd::model::{Conversation, Topic};
use serde_json::{Value, json};

const START: u64 = 1_800_000_000_000;
const WORLD: Conversation = Conversation::World(APP);
const WORLD_TOPIC: Topic = Topic::World(APP);

async fn recall(node: &Node, log: &Conversation, offset: u64, by: &str) -> Result<Recalled, BrokerError> {
    node.broker.recall(log, offset, Some(&user(by))).await
}

async fn operator_recalls(node: &Node, log: &Conversation, offset: u64) -> Result<Recalled, BrokerError> {
    node.broker.recall(log, offset, None).await
}

/// Offset and members of the entries of a topic that tell of recalls.
fn news(node: &Node, topic: &Topic) -> Vec<(u64, Value)> {
    let told = |event| match event {
        Event::Message { entry, .. } if members(&entry)["type"] == "recall" => {
            Some((entry.offset, members(&entry)))
        }
        _ => None,
    };
    node.seen.events(topic).into_iter().filter_map(told).collect()
}

async fn the_content_is_gone_for_good_and_the_place_stays(engine: Engine) {
    let mut node = engine.node().await;
    let log = Conversation::Pair(APP, user("a"), user("b"));
    for id in ["m1", "m2", "m3"] {
        node.say("a", "user:b", id).await.expect("appended");
    }
    let before = node.log(&log).await;
    let recalled = recall(&node, &log, 2, "a").await.expect("recalled");
    let target = "user:b".parse().expect("a target");
    assert_eq!(recalled, Recalled { target, from: user("a"), offset: 2, epoch: before.epoch.to_string() });
    for reopened in [false, true] {
        if reopened {
            node = engine.reopen(node).await;
        }
        for range in [Range::After(0), Range::Before(u64::MAX)] {
            let page = node.broker.read(&log, range, 10).await.expect("read");
            assert_eq!((page.head, &page.epoch, page.entries.len()), (4, &before.epoch, 4));
            let entry = &page.entries[1];
            let old = &before.entries[1];
            assert_eq!((entry.offset, entry.time, &entry.msg_id), (old.offset, old.time, &old.msg_id));
            let kept = json!({"target": "user:b", "type": "recalled", "from": "a", "msgId": "m2"});
            assert_eq!(members(entry), kept, "and nothing else");
            assert_eq!((&page.entries[0], &page.entries[2]), (&before.entries[0], &before.entries[2]));
            assert_eq!(news_of(&members(&page.entries[3])), json!(["user:b", "recall", "a", 2]));
        }
    }
    let repeat = node.say("a", "user:b", "m2").await.expect("answered");
    assert!(repeat.duplicate && repeat.offset == 2);
    assert_eq!(members(&node.log(&log).await.entries[1])["type"], "recalled");
}

/// Target, kind, sender and `recalls` of an entry that tells of a recall.
fn news_of(members: &Value) -> Value {
    json!([members["target"], members["type"], members["from"], members["recalls"]])
}

async fn odd_content_leaves_nothing_behind(engine: Engine) {
    let node = engine.node().await;
    let mut message = chat_tests::engine::said("\u{5e1d}\\:", "", "m\u{1f9e7}{}");
    let from = json!("\u{5e1d}\\:");
    let odd = r#""target":"","type":"text","msg":"\",\"from\":\"x\\u0000\n}","from":"\u5e1d\\:","msgId":"m🧧{}","size":{"from":"y"}"#;
    message.members = odd.into();
    node.broker.append(message).await.expect("appended");
    recall(&node, &WORLD, 1, "\u{5e1d}\\:").await.expect("recalled");
    let kept = json!({"target": "", "type": "recalled", "from": from, "msgId": "m\u{1f9e7}{}"});
    assert_eq!(members(&node.log(&WORLD).await.entries[0]), kept);
}

async fn readers_are_told_once(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    nodes[0].create("g", &["a"]).await;
    let inbox = |name| Topic::Inbox(APP, user(name));
    let pair = Conversation::Pair(APP, user("a"), user("b"));
    let all = [
        ("", WORLD, vec![WORLD_TOPIC], 1),
        ("group:g", group("g").0, vec![group("g").1], 2),
        ("user:b", pair, vec![inbox("a"), inbox("b")], 1),
    ];
    for (target, log, topics, offset) in all {
        for topic in &topics {
            nodes[1].follow(topic).await;
        }
        nodes[0].say("a", target, &format!("to {target}")).await.expect("appended");
        let mut running = tokio::task::JoinSet::new();
        for lane in 0..10 {
            let (node, log) = (nodes[lane % 2].clone(), log.clone());
            running.spawn(async move { recall(&node, &log, offset, "a").await.expect("recalled") });
        }
        let answers = running.join_all().await;
        operator_recalls(&nodes[0], &log, offset).await.expect("recalled");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "repeats answer the same");
        for topic in &topics {
            nodes[0].broker.notify(topic, notice("last")).await.expect("sent");
            let is_last = |event: &Event| matches!(event, Event::Notice(notice) if &*notice.cmd == "last");
            let done = async || nodes[1].seen.events(topic).iter().any(is_last);
            chat_tests::wait::until("the last notice", chat_tests::wait::SOON, done).await;
            let told = json!([target, "recall", "a", offset]);
            let found = news(&nodes[1], topic);
            assert_eq!(found.len(), 1, "{topic:?}: {found:?}");
            assert_eq!((found[0].0, news_of(&found[0].1)), (offset + 1, told.clone()), "{topic:?}");
        }
    }
}

async fn a_sender_has_two_minutes_and_an_operator_has_time(engine: Engine) {
    let node = engine.node().await;
    engine.clock.set(START);
    for id in ["m1", "m2", "m3"] {
        node.say("a", "", id).await.expect("appended");
    }
    engine.clock.set(START + RECALL_WINDOW_MS);
    recall(&node, &WORLD, 1, "a").await.expect("just in time");
    engine.clock.set(START + RECALL_WINDOW_MS + 1);
    let late = recall(&node, &WORLD, 2, "a").await;
    assert!(matches!(late, Err(BrokerError::TooLate)), "{late:?}");
    assert_eq!(members(&node.log(&WORLD).await.entries[1])["msg"], "text m2");
    recall(&node, &WORLD, 1, "a").await.expect("a repeat is harmless at any time");
    engine.clock.set(START + 365 * 24 * 3_600_000);
    operator_recalls(&node, &WORLD, 2).await.expect("recalled");
    recall(&node, &WORLD, 2, "a").await.expect("it is recalled already");
    engine.clock.set(START - 5_000);
    recall(&node, &WORLD, 3, "a").await.expect("the clock of another node may lag");
}

async fn only_the_sender_recalls(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o", "a"]).await;
    node.say("a", "group:g", "m").await.expect("appended");
    let (log, _) = group("g");
    for other in ["o", "x"] {
        let refused = recall(&node, &log, 3, other).await;
        assert!(matches!(refused, Err(BrokerError::NotSender)), "{refused:?}");
    }
    assert_eq!(members(&node.log(&log).await.entries[2])["msg"], "text m");
    recall(&node, &log, 3, "a").await.expect("recalled");
    let refused = recall(&node, &log, 3, "o").await;
    assert!(matches!(refused, Err(BrokerError::NotSender)), "{refused:?}");
}

async fn what_is_not_there_cannot_be_recalled(engine: Engine) {
    let node = engine.node().await;
    let missing = async |log: &Conversation, offset| {
        for found in [recall(&node, log, offset, "a").await, operator_recalls(&node, log, offset).await] {
            assert!(matches!(found, Err(BrokerError::NoSuchMessage)), "{offset} of {log:?}: {found:?}");
        }
    };
    missing(&WORLD, 1).await;
    missing(&group("none").0, 1).await;
    node.say("a", "", "m").await.expect("appended");
    for offset in [0, 2, 1 << 53, u64::MAX] {
        missing(&WORLD, offset).await;
    }
    node.create("g", &["a"]).await;
    node.say("a", "group:g", "n").await.expect("appended");
    node.groups.change(APP, &group_id("g"), &Change::Dismiss(user("a"))).await.expect("dismissed");
    missing(&group("g").0, 2).await;
}

async fn what_is_no_longer_kept_cannot_be_recalled(engine: Engine) {
    let node = engine.node_keeping(Retention { max_messages: 100, max_age_ms: 0 }).await;
    for index in 0..1_000 {
        node.say("a", "", &index.to_string()).await.expect("appended");
    }
    let found = operator_recalls(&node, &WORLD, 1).await;
    assert!(matches!(found, Err(BrokerError::NoSuchMessage)), "{found:?}");
    recall(&node, &WORLD, 1_000, "a").await.expect("recalled");
    let page = node.log(&WORLD).await;
    assert_eq!(page.head, 1_001);
    let kinds: Vec<_> =
        page.entries.iter().rev().take(2).map(|entry| members(entry)["type"].clone()).collect();
    assert_eq!(kinds, ["recall", "recalled"]);
}

async fn who_has_left_the_group_still_may(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o"]).await;
    node.change("g", join("a")).await;
    node.say("a", "group:g", "m").await.expect("appended");
    node.change("g", leave("a")).await;
    recall(&node, &group("g").0, 3, "a").await.expect("recalled");
    assert_eq!(
        news_of(&members(&node.log(&group("g").0).await.entries[4])),
        json!(["group:g", "recall", "a", 3])
    );
}

const MINUTE: Retention = Retention { max_messages: 1_000, max_age_ms: 60_000 };

async fn offsets(node: &Node, log: &Conversation, range: Range) -> Vec<u64> {
    let page = node.broker.read(log, range, 1_000).await.expect("read");
    page.entries.iter().map(|entry| entry.offset).collect()
}

async fn old_messages_go_when_the_next_one_comes(engine: Engine) {
    let node = engine.node_keeping(MINUTE).await;
    let pair = Conversation::Pair(APP, user("a"), user("b"));
    engine.clock.set(START - 200_000);
    node.create("g", &["a"]).await;
    for index in 0..100 {
        engine.clock.set(START + index * 1_000);
        for target in ["", "user:b", "group:g"] {
            node.say("a", target, &format!("{index}{target}")).await.expect("appended");
        }
    }
    for (log, head) in [(WORLD, 100), (pair, 100), (group("g").0, 101)] {
        for range in [Range::After(0), Range::Before(u64::MAX)] {
            assert_eq!(offsets(&node, &log, range).await, (head - 60..=head).collect::<Vec<_>>(), "{log:?}");
        }
    }
    engine.clock.set(START + 3_600_000);
    node.say("a", "", "next").await.expect("appended");
    let page = node.log(&WORLD).await;
    assert_eq!((page.head, page.entries.len()), (101, 1));
    // With the clock of another node, which lags, nothing goes that should stay.
    engine.clock.set(START);
    assert_eq!(node.say("a", "", "lagging").await.expect("appended").offset, 102);
    assert_eq!(offsets(&node, &WORLD, Range::After(0)).await, [101, 102]);
}

async fn old_messages_are_not_read_though_no_other_comes(engine: Engine) {
    let node = engine.node_keeping(MINUTE).await;
    let log = Conversation::Pair(APP, user("a"), user("b"));
    for index in 0..10 {
        engine.clock.set(START + index * 10_000);
        node.say("a", "user:b", &index.to_string()).await.expect("appended");
    }
    // 4 is next to the oldest kept, 8 stands among those that stay.
    for offset in [4, 5, 8] {
        operator_recalls(&node, &log, offset).await.expect("recalled");
    }
    let epoch = node.log(&log).await.epoch;
    // 11 to 13 tell of it.
    for (passed, kept) in [(90_000, 4..=13), (90_001, 5..=13), (115_000, 7..=13), (150_000, 10..=13)] {
        engine.clock.set(START + passed);
        for range in [Range::After(0), Range::After(2), Range::Before(u64::MAX)] {
            assert_eq!(offsets(&node, &log, range).await, kept.clone().collect::<Vec<_>>(), "{passed}");
        }
        let gone = operator_recalls(&node, &log, kept.start() - 1).await;
        assert!(matches!(gone, Err(BrokerError::NoSuchMessage)), "{gone:?}");
    }
    engine.clock.set(START + 150_001);
    let page = node.log(&log).await;
    assert_eq!(
        (page.head, &page.epoch, page.entries.len()),
        (13, &epoch, 0),
        "the place of the next is known"
    );
    assert_eq!(node.say("a", "user:b", "next").await.expect("appended").offset, 14);
    let page = node.log(&log).await;
    assert_eq!((page.head, &page.epoch, page.entries.len()), (14, &epoch, 1), "the same history goes on");
}

async fn the_oldest_page_begins_with_what_is_kept(engine: Engine) {
    let node = engine.node_keeping(Retention { max_messages: 50, max_age_ms: 0 }).await;
    for number in 0..400 {
        node.say("a", "", &number.to_string()).await.expect("appended");
    }
    let kept = node.broker.read(&WORLD, Range::After(0), 1_000).await.expect("read").entries;
    let first = kept[0].offset;
    assert!(first > 100, "{first}");
    for after in [0, 1, first / 2, first - 5, first - 1] {
        let page = node.broker.read(&WORLD, Range::After(after), 10).await.expect("read");
        assert_eq!(page.entries, kept[..10], "after {after}, {first} is the first");
    }
    let page = node.broker.read(&WORLD, Range::Before(first + 4), 10).await.expect("read");
    assert_eq!(page.entries, kept[..4]);
}

chat_tests::engine_laws! {
    the_oldest_page_begins_with_what_is_kept,
    the_content_is_gone_for_good_and_the_place_stays,
    odd_content_leaves_nothing_behind,
    readers_are_told_once,
    a_sender_has_two_minutes_and_an_operator_has_time,
    only_the_sender_recalls,
    what_is_not_there_cannot_be_recalled,
    what_is_no_longer_kept_cannot_be_recalled,
    who_has_left_the_group_still_may,
    old_messages_go_when_the_next_one_comes,
    old_messages_are_not_read_though_no_other_comes,
}

chat_tests::engine_laws_in_a_cluster! {
    readers_are_told_once,
}
