//! What is kept of red packets in Redis, and what a cut link or lost data does to them and to their settlements.

use std::sync::Arc;
use std::time::Duration;

use chat_tests::broker::{APP, HandClock, Recorder, user};
use chat_tests::engine::ALL;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::money::{IDLE, Witness, packet_id, receive, terms};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, pace, until};
use chatd::broker::redis::RedisBroker;
use chatd::keys::{Keys, SETTLERS};
use chatd::money::packets::redis::RedisPackets;
use chatd::money::packets::{Grab, PacketError, Packets};
use chatd::money::settlement::Queue;
use chatd::money::settlement::redis::RedisQueue;
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
    let (clock, seen) = (Arc::<HandClock>::default(), Arc::<Recorder>::default());
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
        packets.open(&terms, shares).await.expect("opened");
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
    packets.open(&terms, &[3; 100]).await.expect("opened");
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
            until("the cut was felt", SOON, async || packets.standing(APP, &terms.packet).await.is_err())
                .await;
            proxy.heal();
            until("the link is back", SOON, async || packets.standing(APP, &terms.packet).await.is_ok())
                .await;
        }
    }
    let outcomes = running.join_all().await;
    let having = |outcome: &&Grab| matches!(outcome, Grab::Won { .. } | Grab::Already { .. });
    assert_eq!(outcomes.iter().filter(having).count(), 100);
    let standing = packets.standing(APP, &terms.packet).await.expect("it stands");
    assert_eq!((standing.grabbed_count, standing.grabbed, standing.open), (100, 300, 0));
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
    packets.open(&terms("p", "", &[1]), &[1]).await.expect("opened");
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
    packets.open(&terms("p", "", &[1; 10]), &[1; 10]).await.expect("opened");
    let outbox = Keys::default().outbox(APP);
    for (round, lose) in [&["XGROUP", "DESTROY", &outbox, SETTLERS][..], &["DEL", &outbox], &["FLUSHALL"]]
        .into_iter()
        .enumerate()
    {
        packets.grab(APP, &packet_id("p"), &user(&format!("u{round}"))).await.expect("won");
        let received = receive(&queue, 1).await;
        queue.done(&[received[0].tag.clone()]).await.expect("done");
        raw(&server, lose).await;
        packets.open(&terms("p", "", &[1; 10]), &[1; 10]).await.expect("opened");
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
