//! The law of a settlement queue against a real RabbitMQ, and what is said of it beyond the law.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::rabbit::{drain, fresh, open, own_keys, receive, share, shares, until_depth};
use chat_tests::rabbitmq_server::RabbitServer;
use chat_tests::wait::{SOON, pace, until};
use chatd::engine::rabbitmq::RabbitQueue;
use chatd::engine::redis::keys::Keys;
use chatd::money::settlement::{Backlog, Dead, DeadLetters, Deliveries, Publish, QueueError, Tag};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::timeout;

async fn channel(server: &RabbitServer) -> (Connection, Channel) {
    let connection =
        Connection::connect(&server.url(), ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// Puts letters where the dead ones are, in this order.
async fn lay_out(keys: &Keys, bodies: &[Bytes]) {
    let (_connection, channel) = channel(RabbitServer::shared().await).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let (dead, plain) = (keys.amqp_dead_settlements(), BasicProperties::default());
    for bodies in bodies.chunks(500) {
        let mut sent = Vec::new();
        for body in bodies {
            let options = BasicPublishOptions::default();
            let confirm =
                channel.basic_publish("".into(), dead.as_str().into(), options, body, plain.clone());
            sent.push(confirm.await.expect("sent"));
        }
        for confirmed in sent {
            assert!(matches!(confirmed.await, Ok(Confirmation::Ack(None))));
        }
    }
}

async fn listed(queue: &RabbitQueue, app: u32) -> Vec<Bytes> {
    queue.dead(app, 10_000).await.expect("listed").into_iter().map(|dead| dead.body).collect()
}

fn tags(deliveries: &[chatd::money::settlement::Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|delivery| delivery.tag.clone()).collect()
}

fn bodies(deliveries: &[chatd::money::settlement::Delivery]) -> BTreeSet<Bytes> {
    deliveries.iter().map(|delivery| delivery.body.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_is_received_until_it_is_done() {
    let (queue, _) = fresh().await;
    let sent = shares(1500);
    assert_eq!(queue.publish(&sent).await, Ok(()));
    until_depth(&queue, 1500, 0).await;
    let mut left: BTreeSet<Bytes> = sent.into_iter().collect();
    while !left.is_empty() {
        let batch = queue.receive(100).await.unwrap();
        assert!(batch.len() <= 100);
        queue.done(&tags(&batch)).await.unwrap();
        for delivery in batch {
            assert!(left.remove(&delivery.body), "received twice, or never sent");
        }
    }
    until_depth(&queue, 0, 0).await;
    assert_eq!(queue.receive(100).await, Ok(Vec::new()), "it waits for a while and returns none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_something_and_everything_fits() {
    let (queue, _) = fresh().await;
    assert_eq!(queue.publish(&[]).await, Ok(()));
    assert_eq!(queue.done(&[]).await, Ok(()));
    let huge = Bytes::from(vec![b'x'; 3_000_000]);
    let odd = [Bytes::new(), Bytes::from_static(b"\0\xff"), huge];
    assert_eq!(queue.publish(&odd).await, Ok(()));
    let received = receive(&queue, 3).await;
    assert_eq!(bodies(&received), odd.into_iter().collect());
    queue.done(&tags(&received)).await.unwrap();
    until_depth(&queue, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_receivers_share_and_the_dead_ones_part_comes_again() {
    let (first, keys) = fresh().await;
    let second = open(&RabbitServer::shared().await.url(), &keys).await;
    let sent = shares(10);
    first.publish(&sent).await.unwrap();
    let held = receive(&first, 10).await;
    assert_eq!(second.receive(10).await, Ok(Vec::new()), "one receiver at a time");
    first.done(&tags(&held[..4])).await.unwrap();
    let left = bodies(&held[4..]);
    drop(first);
    let again = receive(&second, 6).await;
    assert_eq!(bodies(&again), left);
    second.done(&tags(&again)).await.unwrap();
    until_depth(&second, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_publishes_and_looks_holds_nothing() {
    let (publisher, keys) = fresh().await;
    publisher.publish(&shares(5)).await.unwrap();
    until_depth(&publisher, 5, 0).await;
    let receiver = open(&RabbitServer::shared().await.url(), &keys).await;
    assert_eq!(receive(&receiver, 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_done_twice_unknown_or_foreign_do_no_harm() {
    let (queue, _) = fresh().await;
    queue.publish(&shares(3)).await.unwrap();
    let held = receive(&queue, 3).await;
    let lane = held[0].tag.lane;
    let mut odd = tags(&held[..1]);
    odd.extend(tags(&held[..1]));
    for (lane, id) in [(lane, "999"), (lane, ""), (lane, "-1"), (lane + 1, "2"), (lane - 1, "2"), (lane, "x")]
    {
        odd.push(Tag { lane, id: id.to_owned() });
    }
    queue.done(&odd).await.unwrap();
    queue.done(&odd).await.unwrap();
    queue.done(&[Tag { lane: lane + 9, id: "2".to_owned() }]).await.unwrap();
    until_depth(&queue, 2, 0).await;
    queue.done(&tags(&held)).await.unwrap();
    until_depth(&queue, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_buried_is_dead_with_its_reason_until_it_is_replayed() {
    let (queue, _) = fresh().await;
    let sent = [share(1, "a"), share(2, "b"), Bytes::from_static(b"{poison"), share(1, "c")];
    queue.publish(&sent).await.unwrap();
    for delivery in receive(&queue, 4).await {
        let reason = format!("because 理由 \"{}\"", delivery.body.len()) + &"!".repeat(100_000);
        queue.bury(&delivery, &reason).await.unwrap();
        queue.bury(&delivery, "a second time").await.unwrap();
    }
    until_depth(&queue, 0, 4).await;

    let dead = queue.dead(1, 10).await.unwrap();
    let found: BTreeSet<Bytes> = dead.iter().map(|dead| dead.body.clone()).collect();
    assert_eq!(found, [&sent[0], &sent[2], &sent[3]].into_iter().cloned().collect());
    for Dead { id, reason, body } in &dead {
        assert!(reason.starts_with(&format!("because 理由 \"{}\"!!", body.len())), "{reason}");
        assert!(reason.len() < 2000 && !id.is_empty());
    }
    assert_eq!(dead.iter().find(|dead| dead.body == sent[0]).unwrap().id, "grab:1:p:a");
    until("looking leaves them there", SOON, async || queue.dead(1, 10).await.unwrap().len() == 3).await;
    until_depth(&queue, 0, 4).await;
    assert_eq!(queue.dead(1, 2).await.unwrap().len(), 2);
    until_depth(&queue, 0, 4).await;

    assert_eq!(queue.replay(1, Some("unknown")).await, Ok(0));
    until_depth(&queue, 0, 4).await;
    assert_eq!(queue.replay(2, Some("grab:1:p:a")).await, Ok(0), "of another app");
    until_depth(&queue, 0, 4).await;
    assert_eq!(queue.replay(1, Some("grab:1:p:a")).await, Ok(1));
    until_depth(&queue, 1, 3).await;
    assert_eq!(queue.replay(1, None).await, Ok(1), "all that can be read");
    until_depth(&queue, 2, 2).await;
    let poison = dead.iter().find(|dead| dead.body == sent[2]).unwrap();
    assert_eq!(queue.replay(1, Some(&poison.id)).await, Ok(1));
    until_depth(&queue, 3, 1).await;
    assert_eq!(queue.replay(2, None).await, Ok(1));
    until_depth(&queue, 4, 0).await;
    assert_eq!(bodies(&receive(&queue, 4).await), sent.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_foreign_make_is_buried_listed_and_replayed() {
    let (queue, keys) = fresh().await;
    let (_connection, channel) = channel(RabbitServer::shared().await).await;
    let (name, plain) = (keys.amqp_settlements(), BasicProperties::default());
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), name.as_str().into(), options, b"[]", plain.clone()).await.unwrap();
    queue.bury(&receive(&queue, 1).await[0], "").await.unwrap();
    let dead = keys.amqp_dead_settlements();
    channel.basic_publish("".into(), dead.as_str().into(), options, b"7", plain).await.unwrap();
    until_depth(&queue, 0, 2).await;
    let listed = queue.dead(5, 10).await.unwrap();
    assert_eq!(listed.iter().map(|dead| &dead.body[..]).collect::<BTreeSet<_>>(), [&b"[]"[..], b"7"].into());
    until_depth(&queue, 0, 2).await;
    assert_eq!(queue.replay(5, Some("unnamed")).await, Ok(1));
    until_depth(&queue, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_look_at_once_take_turns_and_see_all_dead_letters() {
    let (one, keys) = fresh().await;
    let other = open(&RabbitServer::shared().await.url(), &keys).await;
    let letters = shares(1200);
    lay_out(&keys, &letters).await;
    until_depth(&one, 0, 1200).await;
    for _ in 0..3 {
        let (first, second, third, depth) =
            tokio::join!(listed(&one, 1), listed(&other, 1), listed(&one, 1), other.depth());
        assert!([first, second, third].iter().all(|list| *list == letters), "all, the oldest first");
        assert_eq!(depth.unwrap().dead, 1200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_get_their_turn_is_told_and_a_dead_holder_leaves_it() {
    let (queue, keys) = fresh().await;
    lay_out(&keys, &shares(3)).await;
    let (connection, holder) = channel(RabbitServer::shared().await).await;
    let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let turn = keys.amqp_dead_turn();
    holder.queue_declare(turn.as_str().into(), own, FieldTable::default()).await.unwrap();
    let Err(QueueError::Unreachable(error)) = queue.dead(1, 9).await else { panic!("it is not its turn") };
    assert!(error.contains("somebody else looks"), "{error}");
    until_depth(&queue, 0, 3).await;
    // One that holds a letter, whatever it is.
    let got = holder.basic_get(keys.amqp_dead_settlements().as_str().into(), Default::default()).await;
    assert!(got.unwrap().is_some());
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { (listed(&queue, 1).await, queue.depth().await) }
    });
    connection.close(200, "killed".into()).await.unwrap();
    let (listed, depth) = waiting.await.unwrap();
    assert_eq!((listed.len(), depth.unwrap().dead), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_during_a_replay_sees_all_dead_letters_or_none() {
    let (one, keys) = fresh().await;
    let other = open(&RabbitServer::shared().await.url(), &keys).await;
    lay_out(&keys, &shares(2500)).await;
    until_depth(&one, 0, 2500).await;
    let replaying = tokio::spawn({
        let one = one.clone();
        async move { one.replay(1, None).await }
    });
    let mut seen = BTreeSet::new();
    while !replaying.is_finished() {
        for count in [listed(&other, 1).await.len() as u64, other.depth().await.unwrap().dead] {
            assert!([0, 2500].contains(&count), "{count} of them");
            seen.insert(count);
        }
    }
    assert_eq!(replaying.await.unwrap(), Ok(2500));
    assert!(!seen.is_empty());
    until_depth(&one, 2500, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_cut_off_or_given_up_loses_no_letter() {
    const COUNT: u64 = 3000;
    let server = RabbitServer::shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let (far, keys) = fresh().await;
    let near = open(&server.url_by(proxy.address()), &keys).await;
    let letters = shares(COUNT as usize);
    lay_out(&keys, &letters).await;
    for round in 0..8 {
        let replaying = tokio::spawn({
            let near = near.clone();
            async move { near.replay(1, None).await }
        });
        pace(Duration::from_millis(round * 50)).await;
        proxy.cut();
        let replayed = replaying.await.unwrap();
        proxy.heal();
        let _ = timeout(Duration::from_millis(round * 20), far.replay(1, None)).await;
        let left = listed(&far, 1).await.len() as u64;
        let depth = far.depth().await.unwrap();
        assert!(depth.dead == left && depth.waiting + left >= COUNT, "{round}: {replayed:?} {depth:?}");
    }
    until("the rest is replayed", SOON, async || far.replay(1, None).await == Ok(0)).await;
    assert_eq!(drain(&far, &letters).await.len() as u64, COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_dead_letters_there_are_all_of_an_app_are_replayed() {
    let (queue, keys) = fresh().await;
    let mut letters = vec![Bytes::from_static(b"poison")];
    letters.extend((0..11_000).map(|number| share(1 + u32::from(number % 3 == 0), &format!("u{number}"))));
    lay_out(&keys, &letters).await;
    let others: Vec<Bytes> =
        letters.iter().filter(|body| !body.starts_with(b"{\"app\":1,")).cloned().collect();
    let own = (letters.len() - others.len()) as u64;
    assert_eq!(queue.replay(1, None).await, Ok(own));
    until_depth(&queue, own, others.len() as u64).await;
    assert_eq!(listed(&queue, 2).await, others, "in their order");
    assert_eq!(queue.replay(1, None).await, Ok(0));
    assert_eq!(queue.replay(2, None).await, Ok(others.len() as u64 - 1));
    until_depth(&queue, letters.len() as u64 - 1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_deployments_apart() {
    let ((one, _), (other, _)) = (fresh().await, fresh().await);
    one.publish(&shares(1)).await.unwrap();
    assert_eq!(other.receive(10).await, Ok(Vec::new()));
    until_depth(&one, 1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_refused_by_its_name() {
    let server = RabbitServer::shared().await;
    let (_connection, channel) = channel(server).await;
    for name in [own_keys().amqp_settlements(), own_keys().amqp_dead_settlements()] {
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await.unwrap();
        let keys = chatd::engine::redis::keys::Keys::new(name.split('.').next().unwrap()).unwrap();
        let Err(QueueError::Unreachable(error)) = RabbitQueue::open(&server.url(), &keys).await else {
            panic!("a classic queue is not good enough");
        };
        assert!(error.contains(&name) && error.contains("exists with other arguments"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_deleted_is_declared_again() {
    let (queue, keys) = fresh().await;
    assert_eq!(queue.receive(1).await, Ok(Vec::new()), "it consumes");
    let (_connection, channel) = channel(RabbitServer::shared().await).await;
    for name in [keys.amqp_settlements(), keys.amqp_dead_settlements()] {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
    let sent = shares(2);
    let Err(QueueError::Unreachable(error)) = queue.publish(&sent).await else { panic!("nobody has them") };
    assert!(error.contains(&keys.amqp_settlements()), "{error}");
    chat_tests::rabbit::publish(&queue, &sent).await;
    drain(&queue, &sent).await;
}

/// RabbitMQ can hand what is put into the new queue to the consumer of the old one, which never hears of it: nothing is
/// ready then, and nothing comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_and_declared_at_once_is_consumed() {
    let (queue, keys) = fresh().await;
    let (_connection, channel) = channel(RabbitServer::shared().await).await;
    let (name, dead) = (keys.amqp_settlements(), keys.amqp_dead_settlements());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", "quorum"),
        ("x-dead-letter-exchange", dead.as_str()),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ] {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000_000));
    for _ in 0..4 {
        assert_eq!(queue.receive(1).await.unwrap_or_default(), [], "it consumes");
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.as_str().into(), durable, arguments.clone()).await.unwrap();
        let sent = shares(2);
        chat_tests::rabbit::publish(&queue, &sent).await;
        drain(&queue, &sent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_or_a_wrong_password_is_told_without_the_password() {
    let server = RabbitServer::shared().await;
    let silent = FaultProxy::start(server.address()).await;
    silent.stall();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = server.address();
    for (url, why) in [
        (format!("amqp://chat:s3cret@{nobody}"), "refused"),
        (format!("amqp://chat:s3cret@{address}"), "ACCESS_REFUSED"),
        (server.url().replace("%2f", "s3cretless"), "s3cretless"),
        (server.url_by(silent.address()), "did not answer"),
        (format!("amqps://chat:s3cret@{nobody}"), "refused"),
    ] {
        let opened = timeout(SOON, RabbitQueue::open(&url, &own_keys())).await.expect("an answer");
        let Err(QueueError::Unreachable(error)) = opened else { panic!("{url} cannot be reached") };
        assert!(error.contains(why), "{url}: {error}");
        let password = url.split(['@', ':']).nth(2).unwrap();
        assert!(!error.contains(password), "{error}");
    }
}
