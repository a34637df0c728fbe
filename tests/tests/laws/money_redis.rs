//! What is kept of red packets in Redis, and what a cut link or lost data does to them and to their settlements.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::red_packet::State;
use chat_tests::broker::{APP, HandClock, Recorder, user};
use chat_tests::engine::ALL;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::money::{IDLE, Witness, amounts, cents, packet_id, receive, terms};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, pace, until};
use chatd::clock::{Clock, SystemClock};
use chatd::engine::redis::broker::RedisBroker;
use chatd::engine::redis::keys::{Keys, SETTLERS};
use chatd::engine::redis::packets::RedisPackets;
use chatd::engine::redis::queue::RedisQueue;
use chatd::money::Terms;
use chatd::money::packets::{Grab, PacketError, Shares};
use chatd::money::settlement::{Deliveries, Queue};
use redis::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

const DAYS_30: i64 = 30 * 24 * 60 * 60;

async fn raw(server: &RedisServer, command: &[&str]) -> Value {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.expect("an answer")
}

/// Seconds a key has left; −1 when it stays, −2 when it is gone.
async fn left(server: &RedisServer, key: &str) -> i64 {
    match raw(server, &["TTL", key]).await {
        Value::Int(seconds) => seconds,
        other => panic!("{other:?}"),
    }
}

async fn packets(url: &str) -> Arc<RedisPackets> {
    packets_by(url, Arc::<HandClock>::default()).await
}

async fn packets_by(url: &str, clock: Arc<dyn Clock>) -> Arc<RedisPackets> {
    let seen = Arc::<Recorder>::default();
    let broker = RedisBroker::connect(url, Keys::default(), 1, ALL, clock, Arc::default(), seen);
    RedisPackets::new(&broker.await.expect("a broker"))
}

async fn queue(url: &str) -> Arc<RedisQueue> {
    RedisQueue::connect(url, Keys::default(), IDLE).await.expect("a queue")
}

#[tokio::test]
async fn a_finished_packet_is_kept_for_thirty_days() {
    let server = RedisServer::start().await;
    let (packets, keys) = (packets(&server.url()).await, Keys::default());
    for (packet, shares) in [("taken", &[1][..]), ("closed", &[1, 1]), ("open", &[1, 1])] {
        let (id, terms) = (packet_id(packet), terms(packet, "", shares));
        packets.open(&terms, &amounts(shares)).await.expect("opened");
        packets.grab(APP, &id, &user("a")).await.expect("won");
        if packet == "closed" {
            packets.close(&terms).await.expect("closed");
        }
        for key in [keys.packet(APP, &id), keys.winners(APP, &id)] {
            let left = left(&server, &key).await;
            let kept = if packet == "open" { left == -1 } else { (DAYS_30 - 600..=DAYS_30).contains(&left) };
            assert!(kept, "{key}: {left}");
        }
        let shares = left(&server, &keys.shares(APP, &id)).await;
        assert_eq!(shares, if packet == "open" { -1 } else { -2 });
    }
    let lost = terms("lost", "", &[1]);
    packets.close(&lost).await.expect("closed");
    assert!(left(&server, &keys.packet(APP, &lost.packet)).await >= DAYS_30 - 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grabs_over_a_link_that_is_cut_again_and_again_win_once() {
    const USERS: usize = 150;
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let packets = packets(&format!("redis://{}", proxy.address())).await;
    let terms = terms("p", "", &[3; 100]);
    packets.open(&terms, &amounts(&[3; 100])).await.expect("opened");
    let mut running = JoinSet::new();
    for number in 0..USERS {
        let node = packets.clone();
        running.spawn(async move {
            let name = user(&format!("u{number}"));
            // What became of a grab without an answer its repeat tells.
            let deadline = Instant::now() + SOON;
            loop {
                match node.grab(APP, &packet_id("p"), &name).await {
                    Err(PacketError::Unreachable(error)) => {
                        assert!(Instant::now() < deadline, "{error}");
                        pace(Duration::from_millis(20)).await;
                    }
                    outcome => return outcome.expect("an outcome"),
                }
            }
        });
        if number % 30 == 29 {
            proxy.cut();
            until("the cut was felt", SOON, async || packets.snapshot(APP, &terms.packet).await.is_err())
                .await;
            proxy.heal();
            until("the link is back", SOON, async || packets.snapshot(APP, &terms.packet).await.is_ok())
                .await;
        }
    }
    let outcomes = running.join_all().await;
    let having = |outcome: &&Grab| matches!(outcome, Grab::Won { .. } | Grab::Already { .. });
    assert_eq!(outcomes.iter().filter(having).count(), 100);
    let snapshot = packets.snapshot(APP, &terms.packet).await.expect("it stands");
    assert_eq!((snapshot.grabbed_count, snapshot.grabbed, snapshot.open), (100, cents(300), cents(0)));
    let mut witness = Witness::new(queue(&server.url()).await);
    assert_eq!(witness.bodies().await.len(), 100, "a settlement for each winner");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_without_a_link_had_goes_to_another() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let one: Arc<dyn Queue> = queue(&format!("redis://{}", proxy.address())).await;
    let other: Arc<dyn Queue> = queue(&server.url()).await;
    let packets = packets(&server.url()).await;
    packets.open(&terms("p", "", &[1]), &amounts(&[1])).await.expect("opened");
    packets.grab(APP, &packet_id("p"), &user("a")).await.expect("won");
    let had = receive(&one, 1).await;
    proxy.stall();
    let taken_over = receive(&other, 1).await;
    assert_eq!(taken_over[0].body, had[0].body);
    proxy.heal();
    let tags = [taken_over[0].tag.clone()];
    until("back", SOON, async || one.depth().await.is_ok()).await;
    other.done(&tags).await.expect("done");
    one.done(&[had[0].tag.clone()]).await.expect("it was done");
    assert_eq!(one.depth().await.expect("its depth").waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_consumer_group_is_made_again() {
    let server = RedisServer::start().await;
    let (packets, queue): (_, Arc<dyn Queue>) = (packets(&server.url()).await, queue(&server.url()).await);
    packets.open(&terms("p", "", &[1; 10]), &amounts(&[1; 10])).await.expect("opened");
    let outbox = Keys::default().outbox(APP);
    for (round, lose) in [&["XGROUP", "DESTROY", &outbox, SETTLERS][..], &["DEL", &outbox], &["FLUSHALL"]]
        .into_iter()
        .enumerate()
    {
        packets.grab(APP, &packet_id("p"), &user(&format!("u{round}"))).await.expect("won");
        let received = receive(&queue, 1).await;
        queue.done(&[received[0].tag.clone()]).await.expect("done");
        raw(&server, lose).await;
        packets.open(&terms("p", "", &[1; 10]), &amounts(&[1; 10])).await.expect("opened");
        packets.grab(APP, &packet_id("p"), &user(&format!("v{round}"))).await.expect("won");
        let mut received = Vec::new();
        until("what was put in after the loss", SOON, async || {
            received.extend(queue.receive(10).await.unwrap_or_default());
            !received.is_empty()
        })
        .await;
        let winner = received[0].settlement().expect("a settlement").user;
        assert_eq!(winner, user(&format!("v{round}")), "after {lose:?}");
        queue.done(&[received[0].tag.clone()]).await.expect("done");
    }
}

/// Of a node whose clock is off by so much.
struct Off(i64);

impl Clock for Off {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms().saturating_add_signed(self.0)
    }
}

#[tokio::test]
async fn the_clock_of_redis_decides_whatever_the_nodes_say() {
    const MINUTE_MS: i64 = 60_000;
    let server = RedisServer::start().await;
    let nodes = [
        packets_by(&server.url(), Arc::new(Off(-10 * MINUTE_MS))).await,
        packets_by(&server.url(), Arc::new(Off(10 * MINUTE_MS))).await,
    ];
    let created_ms = nodes[0].now_ms().await.expect("a time");
    assert!(nodes[1].now_ms().await.expect("a time").abs_diff(created_ms) < MINUTE_MS.unsigned_abs());
    let until = |packet, expires_ms| Terms { created_ms, expires_ms, ..terms(packet, "", &[1, 2, 3]) };
    let open = until("open", created_ms + 5 * MINUTE_MS.unsigned_abs());
    let over = until("over", created_ms - 1);
    for given in [&open, &over] {
        nodes[0].open(given, &amounts(&[1, 2, 3])).await.expect("opened");
    }
    for (node, name) in nodes.iter().zip(["a", "b"]) {
        let taken = node.grab(APP, &open.packet, &user(name)).await;
        assert!(matches!(taken, Ok(Grab::Won { .. })), "{name}: {taken:?}");
        assert_eq!(node.grab(APP, &over.packet, &user(name)).await, Ok(Grab::Expired), "{name}");
        for (given, state) in [(&open, State::Open), (&over, State::Expired)] {
            let snapshot = node.snapshot(APP, &given.packet).await.expect("known");
            assert_eq!(snapshot.state, state, "{name} of {}", given.packet);
        }
    }
    let winners = nodes[1].winners(APP, &open.packet, 0, 2).await.expect("listed");
    for winner in winners {
        assert!(winner.time_ms.abs_diff(created_ms) < MINUTE_MS.unsigned_abs(), "{winner:?}");
    }
}

#[tokio::test]
async fn without_memory_nobody_wins_and_what_was_won_is_settled() {
    let server = RedisServer::start().await;
    let (packets, keys) = (packets(&server.url()).await, Keys::default());
    let (given, ending) = (terms("p", "", &[1, 2, 3]), terms("q", "", &[4, 5]));
    packets.open(&given, &amounts(&[1, 2, 3])).await.expect("opened");
    packets.open(&ending, &amounts(&[4, 5])).await.expect("opened");
    for packet in [&given, &ending] {
        packets.grab(APP, &packet.packet, &user("a")).await.expect("won");
    }
    let before = queue(&server.url()).await;
    let held = receive(&(before.clone() as Arc<dyn Queue>), 2).await;

    raw(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = packets.grab(APP, &given.packet, &user("b")).await;
    assert!(matches!(refused, Err(PacketError::Unreachable(_))), "{refused:?}");
    assert_eq!(packets.grab(APP, &given.packet, &user("a")).await, Ok(Grab::Already { amount: cents(1) }));
    let snapshot = packets.snapshot(APP, &given.packet).await.expect("it can be asked");
    assert_eq!((snapshot.grabbed, snapshot.open), (cents(1), cents(5)));
    assert_eq!(packets.winners(APP, &given.packet, 0, 9).await.expect("they can be asked").len(), 1);
    let closed = packets.close(&ending).await.expect("ended");
    assert_eq!((closed.now, closed.refunded), (true, cents(5)));
    before.done(&[held[0].tag.clone()]).await.expect("done");
    before.bury(&held[1], "no memory").await.expect("buried");
    // One that begins only now.
    let after: Arc<dyn Queue> = queue(&server.url()).await;
    let refund = receive(&after, 1).await;
    after.done(&[refund[0].tag.clone()]).await.expect("done");
    let depth = after.depth().await.expect("its depth");
    assert_eq!((depth.waiting, depth.dead), (0, 1));

    raw(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    let won = packets.grab(APP, &given.packet, &user("b")).await;
    assert_eq!(won, Ok(Grab::Won { amount: cents(2), number: 2, last: false }), "the refused had no share");
    let Value::Array(shares) = raw(&server, &["LRANGE", &keys.shares(APP, &given.packet), "0", "-1"]).await
    else {
        panic!("no list")
    };
    assert_eq!(shares.len(), 1);
}
