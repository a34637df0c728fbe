//! The law of red packets, run against every adapter: `redis::…` and `embedded::…`.

use std::collections::{BTreeMap, HashSet};

use chat_protocol::red_packet::State;
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node, dismiss, join, kick};
use chat_tests::money::{
    CREATED_MS, EXPIRES_MS, IDLE, Witness, amounts, cents, closed, packet_id, refund_of, share_of, terms,
    written,
};
use chatd::money::packets::{Grab, PacketError, Snapshot, Winner};
use chatd::money::{Cents, Terms};
use tokio::task::JoinSet;

const HOSTILE: [&str; 8] =
    [r#"a"b"#, r"a\", r#"","amount":0,"x":""#, "{}", "u:a b", "帝 'x'", "%s%d", "] --"];

async fn open(node: &Node, packet: &str, target: &str, shares: &[u64]) -> Terms {
    let terms = terms(packet, target, shares);
    assert_eq!(node.packets.open(&terms, &amounts(shares)).await, Ok(()));
    terms
}

async fn grab(node: &Node, packet: &str, who: &str) -> Result<Grab, PacketError> {
    node.packets.grab(APP, &packet_id(packet), &user(who)).await
}

fn won(amount: u64, number: u32, last: bool) -> Result<Grab, PacketError> {
    Ok(Grab::Won { amount: cents(amount), number, last })
}

fn already(amount: u64) -> Result<Grab, PacketError> {
    Ok(Grab::Already { amount: cents(amount) })
}

async fn snapshot(node: &Node, packet: &str) -> Snapshot {
    let snapshot = node.packets.snapshot(APP, &packet_id(packet)).await.expect("it stands");
    let parts = [snapshot.grabbed, snapshot.refunded, snapshot.open];
    assert_eq!(parts.iter().sum::<Cents>(), snapshot.terms.total);
    snapshot
}

async fn winners(node: &Node, packet: &str) -> Vec<Winner> {
    node.packets.winners(APP, &packet_id(packet), 0, u32::MAX).await.expect("listed")
}

async fn witness(engine: &Engine, node: &Node) -> Witness {
    Witness::new(engine.receiver(node, IDLE).await)
}

async fn a_packet_is_opened_once(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let first = open(&nodes[0], "p", "", &[3, 1]).await;
    let other = terms("p", "user:x", &[100, 200, 300]);
    assert_eq!(nodes[1].packets.open(&other, &amounts(&[100, 200, 300])).await, Ok(()));
    assert_eq!(grab(&nodes[1], "p", "a").await, won(3, 1, false));
    assert_eq!(nodes[0].packets.open(&first, &amounts(&[2, 2])).await, Ok(()));
    assert_eq!(grab(&nodes[0], "p", "b").await, won(1, 2, true));
    assert_eq!(nodes[0].packets.open(&first, &amounts(&[2, 2])).await, Ok(()));
    assert_eq!(grab(&nodes[0], "p", "c").await, Ok(Grab::Empty));
    assert_eq!(snapshot(&nodes[1], "p").await.terms, first, "to the letter");
    let elsewhere = Terms { app: APP + 1, ..first };
    assert_eq!(nodes[0].packets.open(&elsewhere, &amounts(&[2, 2])).await, Ok(()), "apps are apart");
    assert_eq!(grab(&nodes[0], "p", "c").await, Ok(Grab::Empty));
}

async fn shares_that_are_not_the_packet_are_refused(engine: Engine) {
    let node = engine.node().await;
    let terms = terms("p", "", &[3, 1]);
    for shares in [&[][..], &[4], &[2, 1], &[4, 0], &[1, 1, 2], &[i64::MAX as u64, 5]] {
        let opened = node.packets.open(&terms, &amounts(shares)).await;
        assert!(matches!(opened, Err(PacketError::Corrupt(_))), "{shares:?}: {opened:?}");
    }
    assert_eq!(grab(&node, "p", "a").await, Err(PacketError::NoSuchPacket));
}

async fn a_grab_is_share_winner_and_settlement(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let (mut queued, mut wanted) = (Vec::new(), Vec::new());
    for packet in HOSTILE {
        let shares: Vec<u64> = (1..=HOSTILE.len() as u64).collect();
        open(&nodes[0], packet, "", &shares).await;
        wanted.clear();
        for (number, (name, amount)) in (1..).zip(HOSTILE.iter().zip(shares)) {
            let time_ms = CREATED_MS + u64::from(number);
            engine.clock.set(time_ms);
            let last = amount == HOSTILE.len() as u64;
            assert_eq!(grab(&nodes[number as usize % 2], packet, name).await, won(amount, number, last));
            queued.push(share_of(packet, name, amount, time_ms));
            wanted.push(Winner { number, user: user(name), amount: cents(amount), time_ms });
            assert_eq!(winners(&nodes[0], packet).await, wanted);
            let stands = snapshot(&nodes[1], packet).await;
            assert_eq!((stands.grabbed_count, stands.luckiest), (number, Some(user(name))));
            assert_eq!(stands.grabbed, wanted.iter().map(|winner| winner.amount).sum::<Cents>());
        }
    }
    assert_eq!(witness.bodies().await, written(&queued), "byte for byte");
}

async fn a_repeat_answers_the_same_and_queues_nothing(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let terms = open(&nodes[0], "p", "", &[5, 7, 1]).await;
    assert_eq!(grab(&nodes[0], "p", "a").await, won(5, 1, false));
    for node in &nodes {
        assert_eq!(grab(node, "p", "a").await, already(5));
    }
    assert_eq!(grab(&nodes[1], "p", "b").await, won(7, 2, false));
    engine.clock.set(EXPIRES_MS);
    assert_eq!(grab(&nodes[0], "p", "b").await, already(7), "after its time");
    assert_eq!(nodes[0].packets.close(&terms).await, closed(true, 1, true));
    assert_eq!(grab(&nodes[1], "p", "b").await, already(7), "after it was closed");
    let shares = [share_of("p", "a", 5, CREATED_MS), share_of("p", "b", 7, CREATED_MS)];
    let all = [&shares[..], &[refund_of("p", 1, EXPIRES_MS)]].concat();
    assert_eq!(witness.bodies().await, written(&all));
}

async fn only_members_take(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    nodes[0].create("g:1", &["s", "b", "c", "d"]).await;
    open(&nodes[0], "p", "group:g:1", &[1, 2, 3, 4]).await;
    assert_eq!(grab(&nodes[1], "p", "x").await, Err(PacketError::NotForYou));
    assert_eq!(grab(&nodes[1], "p", "b").await, won(1, 1, false));
    assert_eq!(grab(&nodes[1], "p", "s").await, won(2, 2, false), "the sender is a member too");
    nodes[0].change("g:1", kick("s", "b")).await;
    nodes[0].change("g:1", kick("s", "c")).await;
    assert_eq!(grab(&nodes[1], "p", "c").await, Err(PacketError::NotForYou));
    assert_eq!(grab(&nodes[1], "p", "b").await, already(1), "what was won stays won");
    nodes[1].change("g:1", join("x")).await;
    assert_eq!(grab(&nodes[0], "p", "x").await, won(3, 3, false));
    nodes[1].change("g:1", dismiss("s")).await;
    assert_eq!(grab(&nodes[0], "p", "d").await, Err(PacketError::NotForYou));
    assert_eq!(grab(&nodes[0], "p", "x").await, already(3));
    open(&nodes[0], "q", "group:none", &[1]).await;
    assert_eq!(grab(&nodes[0], "q", "s").await, Err(PacketError::NotForYou), "of a group that is not");
    for name in HOSTILE {
        open(&nodes[0], name, &format!("user:{name}"), &[9]).await;
        let begin: String = name.chars().take(1).collect();
        for other in ["s", "x", &begin] {
            assert_eq!(grab(&nodes[1], name, other).await, Err(PacketError::NotForYou));
        }
        assert_eq!(grab(&nodes[1], name, name).await, won(9, 1, true));
    }
}

async fn membership_is_asked_before_the_outcome(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["s", "a"]).await;
    open(&node, "empty", "group:g", &[1]).await;
    assert_eq!(grab(&node, "empty", "a").await, won(1, 1, true));
    let closed = open(&node, "closed", "group:g", &[1]).await;
    node.packets.close(&closed).await.expect("closed");
    open(&node, "late", "group:g", &[1]).await;
    engine.clock.set(EXPIRES_MS);
    for (packet, outcome) in [("empty", Grab::Empty), ("closed", Grab::Expired), ("late", Grab::Expired)] {
        assert_eq!(grab(&node, packet, "x").await, Err(PacketError::NotForYou), "{packet}");
        assert_eq!(grab(&node, packet, "s").await, Ok(outcome), "{packet}");
    }
}

async fn nobody_wins_after_the_time(engine: Engine) {
    let node = engine.node().await;
    open(&node, "p", "", &[1, 2]).await;
    engine.clock.set(EXPIRES_MS - 1);
    assert_eq!(grab(&node, "p", "a").await, won(1, 1, false));
    assert_eq!(snapshot(&node, "p").await.state, State::Open);
    engine.clock.set(EXPIRES_MS);
    assert_eq!(grab(&node, "p", "b").await, Ok(Grab::Expired));
    let stands = snapshot(&node, "p").await;
    assert_eq!((stands.state, stands.open, stands.refunded), (State::Expired, cents(2), cents(0)));
    open(&node, "late", "", &[1]).await;
    assert_eq!(grab(&node, "late", "a").await, Ok(Grab::Expired));
    engine.clock.set(EXPIRES_MS - 1);
    assert_eq!(grab(&node, "p", "b").await, won(2, 2, true));
    engine.clock.set(EXPIRES_MS);
    assert_eq!(grab(&node, "p", "c").await, Ok(Grab::Empty), "nothing was left when its time came");
    assert_eq!(snapshot(&node, "p").await.state, State::Empty);
}

async fn closing_refunds_once(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let terms = open(&nodes[0], "p", "", &[4, 5, 6]).await;
    assert_eq!(grab(&nodes[0], "p", "a").await, won(4, 1, false));
    engine.clock.set(EXPIRES_MS + 5);
    assert_eq!(nodes[1].packets.close(&terms).await, closed(true, 11, true));
    for node in &nodes {
        assert_eq!(node.packets.close(&terms).await, closed(false, 11, true));
        assert_eq!(grab(node, "p", "b").await, Ok(Grab::Expired));
    }
    engine.clock.set(CREATED_MS);
    assert_eq!(grab(&nodes[0], "p", "b").await, Ok(Grab::Expired), "whatever the clock says");
    let stands = snapshot(&nodes[0], "p").await;
    assert_eq!((stands.state, stands.grabbed, stands.refunded), (State::Expired, cents(4), cents(11)));
    let all = [share_of("p", "a", 4, CREATED_MS), refund_of("p", 11, EXPIRES_MS + 5)];
    assert_eq!(witness.bodies().await, written(&all));
}

async fn closing_an_empty_packet_queues_nothing(engine: Engine) {
    let node = engine.node().await;
    let mut witness = witness(&engine, &node).await;
    let terms = open(&node, "p", "", &[4]).await;
    assert_eq!(grab(&node, "p", "a").await, won(4, 1, true));
    for now in [true, false] {
        assert_eq!(node.packets.close(&terms).await, closed(now, 0, true));
        let stands = snapshot(&node, "p").await;
        assert_eq!((stands.state, stands.grabbed, stands.open), (State::Empty, cents(4), cents(0)));
        assert_eq!(grab(&node, "p", "a").await, already(4));
        assert_eq!(grab(&node, "p", "b").await, Ok(Grab::Empty));
    }
    assert_eq!(witness.bodies().await, written(&[share_of("p", "a", 4, CREATED_MS)]));
}

async fn a_packet_closed_before_it_was_known_is_never_opened(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let terms = terms("p", "", &[1, 2]);
    assert_eq!(nodes[0].packets.close(&terms).await, closed(true, 0, false));
    assert_eq!(nodes[1].packets.open(&terms, &amounts(&[1, 2])).await, Ok(()));
    assert_eq!(nodes[1].packets.close(&terms).await, closed(false, 0, false));
    assert_eq!(grab(&nodes[1], "p", "a").await, Err(PacketError::NoSuchPacket));
    let packet = packet_id("p");
    assert_eq!(nodes[0].packets.snapshot(APP, &packet).await, Err(PacketError::NoSuchPacket));
    assert_eq!(nodes[0].packets.winners(APP, &packet, 0, 9).await, Err(PacketError::NoSuchPacket));
    assert_eq!(witness.bodies().await, Vec::<String>::new());
}

async fn what_is_not_there_is_no_packet(engine: Engine) {
    let node = engine.node().await;
    open(&node, "p", "", &[1]).await;
    for (app, packet) in [(APP, "q"), (APP + 1, "p"), (APP, "P"), (0, "p"), (u32::MAX, "shares:p")] {
        let packet = packet_id(packet);
        assert_eq!(node.packets.grab(app, &packet, &user("a")).await, Err(PacketError::NoSuchPacket));
        assert_eq!(node.packets.snapshot(app, &packet).await, Err(PacketError::NoSuchPacket));
        assert_eq!(node.packets.winners(app, &packet, 0, 1).await, Err(PacketError::NoSuchPacket));
    }
}

/// 250 users from two nodes; who is asked twice wins once. How many winners there were, and what they got.
async fn rush(nodes: &[Node; 2], packet: &'static str, mut meanwhile: impl FnMut(usize)) -> (u32, u64) {
    let mut running = JoinSet::new();
    for number in 0..500 {
        let (node, name) = (nodes[number % 2].clone(), format!("u{:03}", number / 2));
        running.spawn(async move { (grab(&node, packet, &name).await.expect("an outcome"), name) });
        meanwhile(number);
    }
    let (mut amounts, mut numbers, mut lasts) = (BTreeMap::new(), HashSet::new(), 0);
    let (mut repeats, mut total) = (Vec::new(), 0);
    for (outcome, name) in running.join_all().await {
        match outcome {
            Grab::Won { amount, number, last } => {
                assert_eq!(amounts.insert(name, amount), None, "nobody wins twice");
                assert!(numbers.insert(number), "{number} is nobody else's");
                (total, lasts) = (total + amount.unsigned(), lasts + u32::from(last));
            }
            Grab::Already { amount } => repeats.push((name, amount)),
            Grab::Empty | Grab::Expired => {}
        }
    }
    assert!(repeats.iter().all(|(name, amount)| amounts.get(name) == Some(amount)));
    let count = u32::try_from(amounts.len()).expect("not so many");
    assert_eq!(numbers, (1..=count).collect());
    let listed = winners(&nodes[0], packet).await;
    assert!(listed.iter().map(|winner| winner.number).eq(1..=count));
    let listed: BTreeMap<_, _> = listed.into_iter().map(|won| (won.user.to_string(), won.amount)).collect();
    assert_eq!(listed, amounts);
    let stands = snapshot(&nodes[1], packet).await;
    assert_eq!((stands.grabbed_count, stands.grabbed), (count, cents(total)));
    assert_eq!(lasts, u32::from(count == stands.terms.count));
    (count, total)
}

async fn concurrent_grabs_of_two_nodes_take_every_share_once(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let shares: Vec<u64> = (1..=100).collect();
    open(&nodes[0], "p", "", &shares).await;
    assert_eq!(rush(&nodes, "p", |_| ()).await, (100, 5050));
    let listed = winners(&nodes[0], "p").await;
    assert!(
        listed.iter().map(|winner| winner.amount.unsigned()).eq(shares),
        "in the order they were opened with"
    );
    let settled: Vec<_> = listed
        .iter()
        .map(|won| share_of("p", won.user.as_str(), won.amount.unsigned(), won.time_ms))
        .collect();
    assert_eq!(witness.bodies().await, written(&settled), "one settlement for each winner");
}

async fn the_end_of_the_time_and_the_last_grabs_come_one_after_the_other(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let terms = open(&nodes[0], "p", "", &[3; 240]).await;
    let (count, total) = rush(&nodes, "p", |number| {
        if number == 300 {
            engine.clock.set(EXPIRES_MS);
        }
    })
    .await;
    assert_eq!(grab(&nodes[0], "p", "late").await, Ok(Grab::Expired), "{count} took a share");
    let closed = nodes[0].packets.close(&terms).await.expect("closed");
    assert_eq!((closed.now, closed.refunded), (true, cents(720 - total)));
    let settled: Cents = witness.settlements().await.iter().map(|settlement| settlement.amount).sum();
    assert_eq!(settled, cents(720));
}

async fn a_close_among_grabs_leaves_no_cent(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let mut witness = witness(&engine, &nodes[0]).await;
    let terms = open(&nodes[0], "p", "", &[7; 249]).await;
    let mut closing = JoinSet::new();
    let (_, total) = rush(&nodes, "p", |number| {
        if number >= 250 && number % 10 == 0 {
            let (node, terms) = (nodes[number / 10 % 2].clone(), terms.clone());
            closing.spawn(async move { node.packets.close(&terms).await.expect("closed") });
        }
    })
    .await;
    let closed = closing.join_all().await;
    assert_eq!(closed.iter().filter(|closed| closed.now).count(), 1);
    let refund = cents(7 * 249 - total);
    assert!(closed.iter().all(|closed| closed.known && closed.refunded == refund), "{closed:?}");
    let settled: Cents = witness.settlements().await.iter().map(|settlement| settlement.amount).sum();
    assert_eq!(settled, cents(7 * 249));
}

async fn the_luckiest_is_the_first_with_the_greatest_share(engine: Engine) {
    let node = engine.node().await;
    open(&node, "p", "", &[2, 9, 1, 9, 3]).await;
    assert_eq!(snapshot(&node, "p").await.luckiest, None);
    for (name, luckiest) in [("a", "a"), ("b", "b"), ("c", "b"), ("d", "b"), ("e", "b")] {
        grab(&node, "p", name).await.expect("won");
        assert_eq!(snapshot(&node, "p").await.luckiest, Some(user(luckiest)), "after {name}");
    }
}

async fn ten_thousand_shares_are_a_packet(engine: Engine) {
    let node = engine.node().await;
    let shares: Vec<u64> = (1..=10_000).collect();
    let terms = open(&node, "p", "", &shares).await;
    assert_eq!(terms.total, cents(50_005_000));
    let mut running = JoinSet::new();
    for number in 0..2_500 {
        let node = node.clone();
        running.spawn(async move { grab(&node, "p", &format!("u{number}")).await.expect("won") });
    }
    let grabbed = running.join_all().await;
    assert!(grabbed.iter().all(|grab| matches!(grab, Grab::Won { last: false, .. })));
    let mut listed = Vec::new();
    for (limit, pages) in [(1000, 3), (999, 3), (u32::MAX, 1), (2_500, 1)] {
        listed.clear();
        for _ in 0..pages {
            let after = listed.last().map_or(0, |winner: &Winner| winner.number);
            listed.extend(node.packets.winners(APP, &packet_id("p"), after, limit).await.expect("listed"));
        }
        assert!(listed.iter().map(|winner| winner.number).eq(1..=2_500), "pages of {limit}");
    }
    for (after, limit) in [(2_500, 5), (0, 0), (u32::MAX, u32::MAX), (10_000, 1)] {
        assert_eq!(node.packets.winners(APP, &packet_id("p"), after, limit).await, Ok(vec![]));
    }
    let stands = snapshot(&node, "p").await;
    assert_eq!((stands.grabbed, stands.open), (cents(3_126_250), cents(46_878_750)));
    assert_eq!(node.packets.close(&terms).await.expect("closed").refunded, cents(46_878_750));
}

async fn a_packet_outlives_the_node(engine: Engine) {
    let node = engine.node().await;
    let terms = open(&node, "p", "", &[4, 5]).await;
    assert_eq!(grab(&node, "p", "a").await, won(4, 1, false));
    let node = engine.reopen(node).await;
    assert_eq!(grab(&node, "p", "a").await, already(4));
    assert_eq!(node.packets.close(&terms).await, closed(true, 5, true));
    let node = engine.reopen(node).await;
    assert_eq!(node.packets.close(&terms).await, closed(false, 5, true));
    let all = [share_of("p", "a", 4, CREATED_MS), refund_of("p", 5, CREATED_MS)];
    assert_eq!(witness(&engine, &node).await.bodies().await, written(&all));
}

chat_tests::engine_laws! {
    a_packet_is_opened_once,
    shares_that_are_not_the_packet_are_refused,
    a_grab_is_share_winner_and_settlement,
    a_repeat_answers_the_same_and_queues_nothing,
    only_members_take,
    membership_is_asked_before_the_outcome,
    nobody_wins_after_the_time,
    closing_refunds_once,
    closing_an_empty_packet_queues_nothing,
    a_packet_closed_before_it_was_known_is_never_opened,
    what_is_not_there_is_no_packet,
    concurrent_grabs_of_two_nodes_take_every_share_once,
    the_end_of_the_time_and_the_last_grabs_come_one_after_the_other,
    a_close_among_grabs_leaves_no_cent,
    the_luckiest_is_the_first_with_the_greatest_share,
    ten_thousand_shares_are_a_packet,
    a_packet_outlives_the_node,
}
