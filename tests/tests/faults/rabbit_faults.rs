//! Settlements over a RabbitMQ that is killed, cut off or silent: nothing is lost, whatever happens when.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::rabbit::{
    RECOVERY, drain, fresh, open, own_keys, publish, receive, share, shares, until_depth,
};
use chat_tests::rabbitmq_server::RabbitServer;
use chat_tests::wait::{SOON, until};
use chatd::engine::rabbitmq::RabbitQueue;
use chatd::engine::redis::keys::Keys;
use chatd::money::settlement::relay::Relay;
use chatd::money::settlement::{Backlog, DeadLetters, Deliveries, Delivery, Publish, QueueError, Tag};
use tokio::task::JoinHandle;
use tokio::time::timeout;

fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|delivery| delivery.tag.clone()).collect()
}

/// A node of chatd with queues that would survive the death of the server.
async fn kept(server: &RabbitServer) -> (Arc<RabbitQueue>, Keys) {
    let keys = own_keys();
    let queue = open(&server.url(), &keys).await;
    server.until_kept(&keys.amqp_settlements()).await;
    server.until_kept(&keys.amqp_dead_settlements()).await;
    (queue, keys)
}

/// Publishes one after the other, each until it works.
fn keep_publishing(queue: &Arc<RabbitQueue>, sent: &[Bytes]) -> JoinHandle<()> {
    let (queue, sent) = (queue.clone(), sent.to_vec());
    tokio::spawn(async move {
        for batch in sent.chunks(5) {
            publish(&queue, batch).await;
        }
    })
}

/// Whether the body was published nevertheless is unknown.
async fn is_unreachable(queue: &RabbitQueue, body: &Bytes) {
    let refused = timeout(SOON, queue.publish(std::slice::from_ref(body))).await.expect("an answer in time");
    assert!(matches!(refused, Err(QueueError::Unreachable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_publishing_receiving_and_doing_it_has_everything_after() {
    let mut server = RabbitServer::start().await;
    let queue = kept(&server).await.0;
    let sent = shares(900);
    queue.publish(&sent).await.unwrap();
    let held = receive(&queue, 300).await;
    let (done, kept) = held.split_at(100);
    queue.done(&tags(done)).await.unwrap();
    until_depth(&queue, 800, 0).await;
    queue.bury(&kept[0], "poison").await.unwrap();

    server.kill();
    is_unreachable(&queue, &sent[0]).await;
    // Whether the link has noticed or not: what it held is lost to it.
    let _ = queue.done(&tags(&kept[1..])).await;
    let _ = queue.bury(&kept[1], "not now").await;
    server.restart().await;

    let missing = sent.iter().filter(|body| !held[..101].iter().any(|held| held.body == **body));
    drain_at_least(&queue, &missing.cloned().collect::<Vec<_>>(), &sent).await;
    done_is_what_comes_again(&queue).await;
    until_depth(&queue, 0, 1).await;
    assert_eq!(queue.dead(1, 9).await.unwrap()[0].body, kept[0].body);
    assert_eq!(queue.replay(1, None).await, Ok(1));
    drain(&queue, &[kept[0].body.clone()]).await;
}

/// The server may have died before it read that something is done.
async fn done_is_what_comes_again(queue: &RabbitQueue) {
    until("nothing waits", RECOVERY, async || {
        let batch = queue.receive(200).await.unwrap_or_default();
        let _ = queue.done(&tags(&batch)).await;
        queue.depth().await.is_ok_and(|depth| depth.waiting == 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_publishing_it_loses_nothing_that_was_confirmed() {
    let mut server = RabbitServer::start().await;
    let (near, keys) = kept(&server).await;
    let far = open(&server.url(), &keys).await;
    let sent = shares(3000);
    let publishing = keep_publishing(&near, &sent);
    let drained = tokio::spawn({
        let sent = sent.clone();
        async move { drain(&far, &sent).await }
    });
    for _ in 0..2 {
        until_some_are_through(&near, &publishing).await;
        server.restart().await;
    }
    publishing.await.unwrap();
    let seen: BTreeMap<Bytes, usize> = drained.await.unwrap();
    assert_eq!(seen.len(), sent.len());
}

/// Waits until something was published since the server came back, or all of it was.
async fn until_some_are_through(queue: &RabbitQueue, publishing: &JoinHandle<()>) {
    until("publishing goes on", RECOVERY, async || {
        publishing.is_finished() || queue.publish(&[share(1, "u0")]).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_stalled_connections_are_given_up_and_replaced() {
    let server = RabbitServer::shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let queue = open(&server.url_by(proxy.address()), &own_keys()).await;
    let sent = shares(400);
    queue.publish(&sent[..200]).await.unwrap();
    let held = receive(&queue, 200).await;

    proxy.cut();
    is_unreachable(&queue, &sent[0]).await;
    proxy.heal();
    publish(&queue, &sent[200..300]).await;
    let again = receive_all(&queue, 300).await;
    assert!(again.iter().all(|delivery| delivery.tag.lane > held[0].tag.lane));
    queue.done(&tags(&held)).await.unwrap();
    until_depth(&queue, 300, 0).await;
    queue.done(&tags(&again[..100])).await.unwrap();

    proxy.stall();
    is_unreachable(&queue, &sent[0]).await;
    is_unreachable(&queue, &sent[0]).await;
    proxy.heal();
    publish(&queue, &sent[300..]).await;
    let left: Vec<Bytes> = again[100..].iter().map(|delivery| delivery.body.clone()).collect();
    drain_at_least(&queue, &[left, sent[300..].to_vec()].concat(), &sent).await;
    done_is_what_comes_again(&queue).await;
    until_depth(&queue, 0, 0).await;
}

/// Receives so many, whatever fails meanwhile.
async fn receive_all(queue: &RabbitQueue, count: usize) -> Vec<Delivery> {
    let mut received: Vec<Delivery> = Vec::new();
    until(&format!("{count} received"), RECOVERY, async || {
        received.extend(queue.receive(1000).await.unwrap_or_default());
        let lane = received.iter().map(|delivery| delivery.tag.lane).max();
        received.retain(|delivery| Some(delivery.tag.lane) == lane);
        received.len() >= count
    })
    .await;
    received
}

/// Receives and does everything until each of `expected` came; others of `possible` may come too, for the
/// acknowledgement of what was done when the connection broke may never have arrived.
async fn drain_at_least(queue: &RabbitQueue, expected: &[Bytes], possible: &[Bytes]) {
    let mut missing: std::collections::BTreeSet<Bytes> = expected.iter().cloned().collect();
    until("all received", RECOVERY, async || {
        let batch = queue.receive(200).await.unwrap_or_default();
        let _ = queue.done(&tags(&batch)).await;
        for delivery in batch {
            assert!(possible.contains(&delivery.body), "{delivery:?}");
            missing.remove(&delivery.body);
        }
        missing.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_went_silent_gives_up_what_it_held() {
    let server = RabbitServer::shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let keys = own_keys();
    let (silent, other) =
        (open(&server.url_by(proxy.address()), &keys).await, open(&server.url(), &keys).await);
    let sent = shares(7);
    other.publish(&sent).await.unwrap();
    let held = receive(&silent, 7).await;
    proxy.stall();
    // RabbitMQ hangs up after two heartbeats without a sign of life.
    let again = receive_all(&other, 7).await;
    proxy.heal();
    silent.done(&tags(&held)).await.unwrap_or_default();
    until_depth(&other, 7, 0).await;
    other.done(&tags(&again)).await.unwrap();
    until_depth(&other, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_halfway_leaves_the_queue_in_order() {
    let server = RabbitServer::shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let queue = open(&server.url_by(proxy.address()), &own_keys()).await;
    let sent = shares(50);
    queue.publish(&sent).await.unwrap();
    proxy.delay(std::time::Duration::from_millis(30));
    for round in 0..10 {
        let patience = std::time::Duration::from_millis(round * 20);
        let _ = timeout(patience, queue.publish(&sent)).await;
        let _ = timeout(patience, queue.receive(3)).await;
        let _ = timeout(patience, queue.dead(1, 5)).await;
    }
    proxy.heal();
    publish(&queue, &sent).await;
    drain_at_least(&queue, &sent, &sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_twice_is_delivered_twice_under_the_same_transfer() {
    let (queue, _) = fresh().await;
    let body = share(1, "a");
    queue.publish(&[body.clone(), body.clone()]).await.unwrap();
    let both = receive(&queue, 2).await;
    let transfer = |delivery: &Delivery| delivery.settlement().unwrap().transfer_id();
    assert_eq!(transfer(&both[0]), transfer(&both[1]));
    assert_ne!(both[0].tag, both[1].tag);
    queue.done(&tags(&both[..1])).await.unwrap();
    until_depth(&queue, 1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_carries_everything_over_a_broken_road() {
    let server = RabbitServer::shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let outbox = fresh().await.0;
    let far = open(&server.url_by(proxy.address()), &own_keys()).await;
    let sent = shares(2000);
    outbox.publish(&sent).await.unwrap();
    let relay = Arc::new(Relay::new(outbox.clone(), far.clone()));
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(Default::default()).await }
    });
    for moved in [1, 400, 800] {
        until("the relay works", SOON, async || relay.moved() >= moved).await;
        proxy.cut();
        is_unreachable(&far, &sent[0]).await;
        proxy.heal();
    }
    drain(&far, &sent).await;
    until_depth(&outbox, 0, 0).await;
    assert!(relay.moved() >= 2000);
    running.abort();
}
