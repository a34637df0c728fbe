//! The law of the broker, run against every adapter: `redis::…` and `embedded::…`.

use std::collections::HashSet;

use bytes::Bytes;
use chat_protocol::Target;
use chat_tests::broker::{APP, Peer, World, notice, to_user, to_world, user};
use chat_tests::wait::{SOON, until};
use chatd::broker::{BrokerError, Event, Fingerprint, Outgoing, REPEAT_WINDOW_MS, Range, Receipt};
use chatd::model::{ConnectionId, Conversation, Notice, Skip, Topic};

const WORLD: Topic = Topic::World(APP);
const WORLD_LOG: Conversation = Conversation::World(APP);
const MANY: u64 = 1_000_000;

async fn append(peer: &Peer, message: Outgoing) -> Receipt {
    peer.broker.append(message).await.expect("appended")
}

/// Lets `count` messages of each of the peers race.
async fn race(peers: &[Peer], count: usize) -> Vec<Receipt> {
    let mut running = tokio::task::JoinSet::new();
    for (number, peer) in peers.iter().cloned().enumerate() {
        for index in 0..count {
            let peer = peer.clone();
            running.spawn(async move { append(&peer, to_world("a", &format!("{number}-{index}"))).await });
        }
    }
    running.join_all().await
}

async fn offsets_have_no_gap_under_concurrent_appends(world: World) {
    let peer = world.peer().await;
    let receipts = race(&[peer], 50).await;
    let mut offsets: Vec<u64> = receipts.iter().map(|receipt| receipt.offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=50).collect::<Vec<_>>());
    let epochs: HashSet<&str> = receipts.iter().map(|receipt| &*receipt.epoch).collect();
    assert_eq!(epochs.len(), 1);
}

async fn every_subscriber_sees_the_order_of_offsets(world: World) {
    let peers = [world.peer().await, world.peer().await];
    for peer in &peers {
        peer.broker.subscribe(&WORLD).await.expect("subscribed");
    }
    race(&peers, 100).await;
    for peer in &peers {
        peer.seen.has(&WORLD, 200).await;
        assert_eq!(peer.seen.offsets(&WORLD), (1..=200).collect::<Vec<_>>());
    }
    assert_eq!(peers[0].seen.messages(&WORLD), peers[1].seen.messages(&WORLD));
}

async fn a_repeat_at_the_same_moment_lands_once(world: World) {
    let peers = [world.peer().await, world.peer().await];
    peers[0].broker.subscribe(&WORLD).await.expect("subscribed");
    for round in 0..20 {
        let id = format!("m{round}");
        let (one, two) =
            tokio::join!(append(&peers[0], to_world("a", &id)), append(&peers[1], to_world("a", &id)));
        assert_ne!(one.duplicate, two.duplicate, "exactly one is the repeat");
        assert_eq!(Receipt { duplicate: false, ..one }, Receipt { duplicate: false, ..two });
    }
    append(&peers[0], to_world("a", "last")).await;
    peers[0].seen.has(&WORLD, 21).await;
    assert_eq!(peers[0].seen.offsets(&WORLD), (1..=21).collect::<Vec<_>>());
}

async fn an_id_that_was_used_for_another_message_is_refused(world: World) {
    let peer = world.peer().await;
    append(&peer, to_user("a", "b", "before")).await;
    let first = append(&peer, to_world("a", "m")).await;
    let reworded = Outgoing { fingerprint: Some(Fingerprint::of(b"other words")), ..to_world("a", "m") };
    for other in [to_user("a", "b", "m"), to_user("a", "c", "m"), reworded] {
        let refused = peer.broker.append(other).await;
        assert!(matches!(refused, Err(BrokerError::Used)), "{refused:?}");
    }
    assert_eq!(append(&peer, to_world("a", "m")).await, Receipt { duplicate: true, ..first });
    let other_sender = append(&peer, to_world("b", "m")).await;
    assert!(!other_sender.duplicate, "ids belong to their sender");
    for (message, head) in [(to_user("a", "b", "m"), 1), (to_user("a", "c", "m"), 0), (to_world("a", "m"), 2)]
    {
        let page = peer.broker.read(&message.conversation, Range::After(0), 10).await.expect("read");
        assert_eq!(page.head, head, "nothing is stored of {message:?}");
    }
}

async fn messages_that_go_together_keep_their_order_and_stand_for_themselves(world: World) {
    let peer = world.peer().await;
    peer.broker.subscribe(&WORLD).await.expect("subscribed");
    let reworded = Outgoing { fingerprint: Some(Fingerprint::of(b"other words")), ..to_world("a", "2") };
    let run = vec![
        to_world("a", "1"),
        to_world("a", "2"),
        reworded,
        to_world("a", "1"),
        to_user("a", "b", "3"),
        to_world("a", "4"),
    ];
    for is_repeat in [false, true] {
        let outcomes = peer.broker.append_all(run.clone()).await;
        let told: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().map(|to| (to.offset, to.duplicate)).ok())
            .collect();
        let of = |offset, again| Some((offset, again || is_repeat));
        assert_eq!(told, [of(1, false), of(2, false), None, of(1, true), of(1, false), of(3, false)]);
        assert!(matches!(outcomes[2], Err(BrokerError::Used)), "{:?}", outcomes[2]);
    }
    append(&peer, to_world("a", "last")).await;
    peer.seen.has(&WORLD, 4).await;
    assert_eq!(peer.seen.offsets(&WORLD), [1, 2, 3, 4]);
    assert!(peer.broker.append_all(Vec::new()).await.is_empty());
}

async fn an_id_is_forgotten_after_the_window_and_not_before(world: World) {
    let peer = world.peer().await;
    let start = 1_800_000_000_000;
    world.clock.set(start);
    append(&peer, to_world("a", "m")).await;
    world.clock.set(start + REPEAT_WINDOW_MS - 1);
    assert!(append(&peer, to_world("a", "m")).await.duplicate);
    world.clock.set(start + REPEAT_WINDOW_MS + 1);
    assert!(!append(&peer, to_world("a", "m")).await.duplicate);
    let own = Outgoing { fingerprint: None, ..to_world("a", "own") };
    assert!(!append(&peer, own.clone()).await.duplicate);
    assert!(!append(&peer, own).await.duplicate, "no repeat is expected of an id chatd made up");
}

async fn a_repeat_is_known_to_a_clock_that_lags(world: World) {
    let peer = world.peer().await;
    // Ids are kept by periods counted from 1970: just after the turn of one, and just before.
    let turn = 1_800_000_000_000_u64.next_multiple_of(REPEAT_WINDOW_MS);
    world.clock.set(turn + 1_000);
    append(&peer, to_world("a", "m")).await;
    world.clock.set(turn - 1_000);
    assert!(append(&peer, to_world("a", "m")).await.duplicate);
}

async fn a_pair_message_reaches_both_inboxes(world: World) {
    let peers = [world.peer().await, world.peer().await];
    let inbox = |name| Topic::Inbox(APP, user(name));
    for name in ["a", "b", "c"] {
        peers[1].broker.subscribe(&inbox(name)).await.expect("subscribed");
    }
    append(&peers[0], to_user("b", "a", "1")).await;
    append(&peers[0], to_user("a", "b", "2")).await;
    append(&peers[0], to_user("a", "a", "self")).await;
    append(&peers[0], to_user("c", "a", "3")).await;
    peers[1].seen.has(&inbox("a"), 4).await;
    peers[1].seen.has(&inbox("b"), 2).await;
    let texts = |name| peers[1].seen.messages(&inbox(name));
    let named = |list: &[(u64, &str)]| list.iter().map(|(n, id)| (*n, (*id).to_owned())).collect::<Vec<_>>();
    assert_eq!(texts("a"), named(&[(1, "1"), (2, "2"), (1, "self"), (1, "3")]));
    assert_eq!(texts("b"), named(&[(1, "1"), (2, "2")]));
    peers[1].seen.has(&inbox("c"), 1).await;
    let Event::Message { conversation, entry, .. } = peers[1].seen.events(&inbox("b")).remove(0) else {
        panic!("not a message")
    };
    assert_eq!(conversation, Conversation::Pair(APP, user("a"), user("b")));
    assert_eq!(&entry.members[..], br#""msg":"1","msgId":"1""#);
}

async fn the_skip_travels_with_the_message(world: World) {
    let peer = world.peer().await;
    peer.broker.subscribe(&WORLD).await.expect("subscribed");
    let connection = Skip::Connection(ConnectionId { node: u64::MAX, number: 9 });
    let skips = [Skip::Nobody, Skip::User(user("x:\u{7acb}")), connection];
    for (index, skip) in skips.iter().enumerate() {
        append(&peer, Outgoing { skip: skip.clone(), ..to_world("a", &index.to_string()) }).await;
    }
    peer.seen.has(&WORLD, 3).await;
    for (event, wanted) in peer.seen.events(&WORLD).iter().zip(skips) {
        assert!(matches!(event, Event::Message { entry, .. } if entry.skip == wanted), "{event:?}");
    }
}

async fn time_never_falls(world: World) {
    let peer = world.peer().await;
    world.clock.set(1_800_000_005_000);
    let first = append(&peer, to_world("a", "1")).await;
    world.clock.set(1_800_000_001_000);
    let second = append(&peer, to_world("a", "2")).await;
    assert_eq!((first.time, second.time), (1_800_000_005_000, 1_800_000_005_000));
    world.clock.set(1_800_000_006_000);
    assert_eq!(append(&peer, to_world("a", "3")).await.time, 1_800_000_006_000);
}

async fn the_epoch_outlives_the_node(world: World) {
    let peer = world.peer().await;
    let first = append(&peer, to_world("a", "1")).await;
    let peer = world.reopen(peer).await;
    let second = append(&peer, to_world("a", "2")).await;
    assert_eq!((second.offset, &second.epoch), (2, &first.epoch));
    assert!(append(&peer, to_world("a", "1")).await.duplicate);
    let page = peer.broker.read(&WORLD_LOG, Range::After(0), 10).await.expect("read");
    assert_eq!((page.epoch, page.head, page.entries.len()), (first.epoch, 2, 2));
}

async fn pages_tile_the_log(world: World) {
    let peer = world.peer().await;
    let log = Conversation::of(APP, &user("a"), &Target::User(user("b")));
    let empty = peer.broker.read(&log, Range::After(0), 10).await.expect("read");
    assert_eq!((&*empty.epoch, empty.head, empty.entries.len()), ("", 0, 0));
    for index in 1..=23 {
        append(&peer, to_user("a", "b", &index.to_string())).await;
    }
    let (mut forward, mut from) = (Vec::new(), 0);
    loop {
        let page = peer.broker.read(&log, Range::After(from), 5).await.expect("read");
        assert_eq!(page.head, 23);
        let Some(last) = page.entries.last() else { break };
        assert!(page.entries.len() <= 5);
        from = last.offset;
        forward.extend(page.entries);
    }
    let (mut backward, mut to) = (Vec::new(), u64::MAX);
    while to > 1 {
        let mut page = peer.broker.read(&log, Range::Before(to), 5).await.expect("read").entries;
        to = page.first().expect("an entry").offset;
        page.append(&mut backward);
        backward = page;
    }
    assert_eq!(forward.iter().map(|entry| entry.offset).collect::<Vec<_>>(), (1..=23).collect::<Vec<_>>());
    assert_eq!(forward, backward);
    assert_eq!(forward[2].msg_id.as_str(), "3");
    assert_eq!(&forward[2].members[..], br#""msg":"3","msgId":"3""#);
    for (range, limit) in
        [(Range::After(23), 5), (Range::After(u64::MAX), 5), (Range::Before(1), 5), (Range::After(0), 0)]
    {
        let page = peer.broker.read(&log, range, limit).await.expect("read");
        assert_eq!((page.head, page.entries.len()), (23, 0), "{range:?}");
    }
}

async fn retention_drops_the_oldest_only(world: World) {
    let peer = world.peer().await;
    race(std::slice::from_ref(&peer), 1_000).await;
    let page = peer.broker.read(&WORLD_LOG, Range::After(0), 2_000).await.expect("read");
    let first = page.entries.first().expect("an entry").offset;
    assert!(first > 1, "nothing was dropped");
    assert!(page.entries.len() >= 300, "{} of the 300 to be kept", page.entries.len());
    let offsets: Vec<u64> = page.entries.iter().map(|entry| entry.offset).collect();
    assert_eq!(offsets, (first..=1_000).collect::<Vec<_>>());
}

async fn a_topic_can_be_left_and_joined_again(world: World) {
    let peers = [world.peer().await, world.peer().await];
    for round in 0..20 {
        peers[0].broker.subscribe(&WORLD).await.expect("subscribed");
        append(&peers[1], to_world("a", &format!("in{round}"))).await;
        peers[0].seen.has(&WORLD, round + 1).await;
        peers[0].broker.unsubscribe(&WORLD);
    }
    let ids: Vec<String> = peers[0].seen.messages(&WORLD).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, (0..20).map(|round| format!("in{round}")).collect::<Vec<_>>());
    assert!(peers[0].seen.lost_topics().is_empty());
}

async fn a_subscription_misses_nothing_after_it_returned(world: World) {
    let peers = [world.peer().await, world.peer().await];
    let writer = peers[1].clone();
    let writing = tokio::spawn(async move {
        for index in 0..400 {
            append(&writer, to_world("a", &index.to_string())).await;
        }
    });
    while !writing.is_finished() {
        peers[0].broker.subscribe(&WORLD).await.expect("subscribed");
        let before = peers[0].seen.offsets(&WORLD).len();
        let head = peers[0].broker.read(&WORLD_LOG, Range::After(u64::MAX), 1).await.expect("read").head;
        let reached = async || peers[0].seen.offsets(&WORLD).last().is_some_and(|last| *last > head);
        until("a later message", SOON, async || writing.is_finished() || reached().await).await;
        peers[0].broker.unsubscribe(&WORLD);
        let offsets = peers[0].seen.offsets(&WORLD).split_off(before);
        let first = offsets.first().copied().unwrap_or_default();
        assert!(first <= head + 1, "{first} after a subscription confirmed at {head}");
        assert!(offsets.is_sorted_by(|a, b| a + 1 == *b), "{offsets:?}");
    }
    writing.await.expect("written");
}

async fn a_notice_reaches_every_subscriber_in_order(world: World) {
    let peers = [world.peer().await, world.peer().await];
    for peer in &peers {
        peer.broker.subscribe(&WORLD).await.expect("subscribed");
    }
    let wanted = Notice { skip: Skip::User(user("a")), ..notice("enter") };
    peers[0].broker.notify(&WORLD, wanted.clone()).await.expect("sent");
    append(&peers[0], to_world("a", "m")).await;
    peers[0].broker.notify(&WORLD, notice("exit")).await.expect("sent");
    for peer in &peers {
        peer.seen.has(&WORLD, 3).await;
        let events = peer.seen.events(&WORLD);
        assert!(events.contains(&Event::Notice(wanted.clone())));
        assert!(events.contains(&Event::Notice(notice("exit"))));
        assert_eq!(peer.seen.offsets(&WORLD), [1]);
    }
    let page = peers[0].broker.read(&WORLD_LOG, Range::After(0), 10).await.expect("read");
    assert_eq!(page.entries.len(), 1, "notices are not kept");
}

async fn odd_names_and_texts_stay_apart(world: World) {
    let peer = world.peer().await;
    let names = ["a", "a:b", "b", "{", "}", "{x}", "1:a", "\u{5e1d}", " "];
    for name in names {
        peer.broker.subscribe(&Topic::Inbox(APP, user(name))).await.expect("subscribed");
    }
    let text = Bytes::from("\"msg\":\"\\n \u{5e1d} \\u0000 }{\"");
    for name in names {
        append(&peer, Outgoing { members: text.clone(), ..to_user("from:me", name, &format!("to {name}")) })
            .await;
    }
    for name in names {
        let topic = Topic::Inbox(APP, user(name));
        peer.seen.has(&topic, 1).await;
        assert_eq!(peer.seen.messages(&topic), [(1, format!("to {name}"))]);
        assert!(
            matches!(&peer.seen.events(&topic)[0], Event::Message { entry, .. } if entry.members == text)
        );
    }
}

async fn a_working_broker_is_ready(world: World) {
    let peer = world.peer().await;
    let ready = async || peer.broker.ready().await.is_ok();
    until("ready", SOON, ready).await;
}

macro_rules! laws {
    ($($law:ident ($kept:expr)),+ $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(super::World::redis($kept).await).await;
            })+
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(super::World::embedded($kept).await).await;
            })+
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(super::World::cluster($kept).await).await;
            })+
        }
    };
}

laws! {
    offsets_have_no_gap_under_concurrent_appends(super::MANY),
    every_subscriber_sees_the_order_of_offsets(super::MANY),
    a_repeat_at_the_same_moment_lands_once(super::MANY),
    an_id_that_was_used_for_another_message_is_refused(super::MANY),
    messages_that_go_together_keep_their_order_and_stand_for_themselves(super::MANY),
    an_id_is_forgotten_after_the_window_and_not_before(super::MANY),
    a_repeat_is_known_to_a_clock_that_lags(super::MANY),
    a_pair_message_reaches_both_inboxes(super::MANY),
    the_skip_travels_with_the_message(super::MANY),
    time_never_falls(super::MANY),
    the_epoch_outlives_the_node(super::MANY),
    pages_tile_the_log(super::MANY),
    retention_drops_the_oldest_only(300),
    a_topic_can_be_left_and_joined_again(super::MANY),
    a_subscription_misses_nothing_after_it_returned(super::MANY),
    a_notice_reaches_every_subscriber_in_order(super::MANY),
    odd_names_and_texts_stay_apart(super::MANY),
    a_working_broker_is_ready(super::MANY),
}
