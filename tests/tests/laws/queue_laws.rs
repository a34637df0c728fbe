//! The law of queues of settlements, run against every adapter: `redis::…`, `embedded::…` and `rabbitmq::…`.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chat_tests::broker::APP;
use chat_tests::money::{Bench, IDLE, packet_id, receive, share_of, written};
use chat_tests::wait::{SOON, until};
use chatd::money::settlement::{Delivery, Depth, Queue, Tag};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

fn settlement(number: usize) -> Bytes {
    let settlement = share_of("p", &format!("u{number}"), number as u64 + 1, 1);
    written(&[settlement]).remove(0).into()
}

fn settlements(count: usize) -> Vec<Bytes> {
    (0..count).map(settlement).collect()
}

fn bodies(deliveries: &[Delivery]) -> HashSet<Bytes> {
    deliveries.iter().map(|delivery| delivery.body.clone()).collect()
}

fn tags(deliveries: &[Delivery]) -> Vec<Tag> {
    deliveries.iter().map(|delivery| delivery.tag.clone()).collect()
}

async fn depth(queue: &Arc<dyn Queue>, waiting: u64, dead: u64) {
    let wanted = Depth { waiting, dead };
    until(&format!("{wanted:?}"), SOON, async || queue.depth().await == Ok(wanted)).await;
}

/// Nothing comes for so long as a silent receiver is waited for, and half as long again.
async fn nothing_comes(queue: &Arc<dyn Queue>) {
    let until = Instant::now() + IDLE * 3 / 2;
    while Instant::now() < until {
        let received = timeout(SOON, queue.receive(10)).await.expect("an answer after a while");
        assert_eq!(received, Ok(vec![]));
    }
}

async fn what_was_put_in_is_there_until_it_is_done(bench: impl Bench) {
    let queue = bench.receiver().await;
    depth(&queue, 0, 0).await;
    assert_eq!(timeout(SOON, queue.receive(10)).await.expect("an answer after a while"), Ok(vec![]));
    bench.put(APP, &settlements(5)).await;
    let received = receive(&queue, 5).await;
    assert_eq!(bodies(&received), settlements(5).into_iter().collect(), "byte for byte");
    assert_eq!(received[0].settlement().expect("a settlement").packet, packet_id("p"));
    depth(&queue, 5, 0).await;
    queue.done(&tags(&received[..2])).await.expect("done");
    depth(&queue, 3, 0).await;
    nothing_comes(&queue).await;
    queue.done(&tags(&received[2..])).await.expect("done");
    depth(&queue, 0, 0).await;
    nothing_comes(&queue).await;
}

async fn what_a_living_receiver_has_is_nobody_elses(bench: impl Bench) {
    let (one, other) = (bench.receiver().await, bench.receiver().await);
    bench.put(APP, &settlements(3)).await;
    let received = receive(&one, 3).await;
    nothing_comes(&other).await;
    bench.put(APP, &[settlement(7)]).await;
    assert_eq!(receive(&other, 1).await[0].body, settlement(7), "it takes what is free");
    one.done(&tags(&received)).await.expect("done");
    depth(&one, 1, 0).await;
}

async fn what_a_killed_receiver_had_goes_to_another(bench: impl Bench) {
    let (one, other) = (bench.receiver().await, bench.receiver().await);
    bench.put(APP, &settlements(20)).await;
    let mut received = receive(&one, 20).await;
    let done = received.split_off(15);
    one.done(&tags(&done)).await.expect("done");
    drop(one);
    let taken_over = receive(&other, 15).await;
    assert_eq!(bodies(&taken_over), bodies(&received), "all of it, and nothing that is done");
    other.done(&tags(&taken_over)).await.expect("done");
    depth(&other, 0, 0).await;
}

async fn no_more_is_given_than_was_asked_for(bench: impl Bench) {
    let queue = bench.receiver().await;
    bench.put(APP, &settlements(50)).await;
    let mut seen = HashSet::new();
    let deadline = Instant::now() + SOON;
    for max in [1, 2, 7, 1, 13].into_iter().cycle() {
        assert!(Instant::now() < deadline, "{} of 50", seen.len());
        let received = queue.receive(max).await.expect("received");
        assert!(received.len() <= max, "{} of {max}", received.len());
        for delivery in received {
            assert!(seen.insert(delivery.body), "nothing is given twice");
        }
        if seen.len() == 50 {
            break;
        }
    }
    assert_eq!(queue.receive(0).await, Ok(vec![]));
}

async fn all_receivers_together_receive_everything(bench: impl Bench) {
    const COUNT: usize = 3000;
    let mut running = JoinSet::new();
    for _ in 0..3 {
        let queue = bench.receiver().await;
        running.spawn(async move {
            let mut all = Vec::new();
            let deadline = Instant::now() + SOON;
            while queue.depth().await.expect("its depth").waiting > 0 || all.is_empty() {
                assert!(Instant::now() < deadline, "received {}", all.len());
                let received = queue.receive(50).await.expect("received");
                queue.done(&tags(&received)).await.expect("done");
                all.extend(received.into_iter().map(|delivery| delivery.body));
            }
            all
        });
    }
    bench.put(APP, &settlements(COUNT)).await;
    let all: Vec<Bytes> = running.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), COUNT, "each by one receiver");
    assert_eq!(HashSet::<Bytes>::from_iter(all), settlements(COUNT).into_iter().collect());
}

async fn a_waiting_receiver_is_given_what_comes(bench: impl Bench) {
    let queue = bench.receiver().await;
    for number in 0..5 {
        let waiting = queue.clone();
        let waiting = tokio::spawn(async move { receive(&waiting, 1).await });
        bench.put(APP, &[settlement(number)]).await;
        assert_eq!(waiting.await.expect("received")[0].body, settlement(number));
    }
}

async fn a_receiver_that_gives_up_waiting_has_received_nothing(bench: impl Bench) {
    let queue = bench.receiver().await;
    for number in 0..40 {
        let waiting = queue.clone();
        let waiting =
            tokio::spawn(async move { drop(waiting.receive(10).await.map(|received| received.len())) });
        bench.put(APP, &[settlement(number)]).await;
        waiting.abort();
        let _ = waiting.await;
    }
    // What it was given in time it has; what was on its way when it gave up comes again.
    let other = bench.receiver().await;
    drop(queue);
    assert_eq!(bodies(&receive(&other, 40).await).len(), 40);
}

async fn doing_again_or_what_is_not_there_is_harmless(bench: impl Bench) {
    let queue = bench.receiver().await;
    bench.put(APP, &settlements(3)).await;
    let received = receive(&queue, 3).await;
    for _ in 0..2 {
        queue.done(&tags(&received[..1])).await.expect("done");
        queue.bury(&received[1], "it is bad").await.expect("buried");
    }
    queue.done(&[]).await.expect("nothing to do");
    queue.bury(&received[0], "too late").await.expect("it is done");
    queue.done(&tags(&received[1..2])).await.expect("it is buried");
    depth(&queue, 1, 1).await;
}

async fn a_dead_letter_is_out_of_the_way_until_it_is_replayed(bench: impl Bench) {
    let queue = bench.receiver().await;
    bench.put(APP, &settlements(4)).await;
    let mut received = receive(&queue, 4).await;
    received.sort_by_key(|delivery| delivery.body.clone());
    let reasons = ["first: 帝 \"x\"\n{}", "", "third"];
    for (delivery, reason) in received.iter().zip(reasons) {
        queue.bury(delivery, reason).await.expect("buried");
    }
    depth(&queue, 1, 3).await;
    queue.done(&tags(&received[3..])).await.expect("done");
    nothing_comes(&queue).await;
    let dead = queue.dead(APP, 10).await.expect("listed");
    let found: Vec<_> = dead.iter().map(|dead| (dead.reason.as_str(), dead.body.clone())).collect();
    let wanted: Vec<_> = reasons.into_iter().zip(settlements(3)).collect();
    assert_eq!(found, wanted, "the oldest first");
    assert_eq!(queue.dead(APP, 2).await.expect("listed"), dead[..2]);
    assert_eq!(queue.dead(APP, 0).await, Ok(vec![]));
    assert_eq!(queue.dead(APP + 1, 10).await, Ok(vec![]));
    for id in ["", "-", "0-0", "1", "帝", "18446744073709551615-18446744073709551615", "999999-0", "1-", "+"]
    {
        if dead.iter().all(|dead| dead.id != id) {
            assert_eq!(queue.replay(APP, Some(id)).await, Ok(0), "{id:?}");
        }
    }
    assert_eq!(queue.replay(APP + 1, Some(&dead[1].id)).await, Ok(0), "of another app");
    assert_eq!(queue.replay(APP + 1, None).await, Ok(0));
    assert_eq!(queue.replay(APP, Some(&dead[1].id)).await, Ok(1));
    assert_eq!(queue.replay(APP, Some(&dead[1].id)).await, Ok(0), "it is dead no more");
    depth(&queue, 1, 2).await;
    let replayed = receive(&queue, 1).await;
    assert_eq!(replayed[0].body, settlement(1));
    queue.bury(&replayed[0], "again").await.expect("buried");
    let again = queue.dead(APP, 10).await.expect("listed");
    assert_eq!(again.last().map(|dead| dead.reason.as_str()), Some("again"), "the youngest now");
    assert_eq!(queue.replay(APP, None).await, Ok(3));
    assert_eq!(bodies(&receive(&queue, 3).await), settlements(3).into_iter().collect());
    depth(&queue, 3, 0).await;
}

async fn a_dead_letter_that_is_discarded_is_gone(bench: impl Bench) {
    let queue = bench.receiver().await;
    bench.put(APP, &settlements(3)).await;
    for delivery in receive(&queue, 3).await {
        queue.bury(&delivery, "no packet owes it").await.expect("buried");
    }
    let dead = queue.dead(APP, 10).await.expect("listed");
    for id in ["", "-", "0-0", "帝", "999999-0", "+"] {
        assert_eq!(queue.letters(APP, id).await, Ok(vec![]), "{id:?}");
        assert_eq!(queue.discard(APP, id).await, Ok(0), "{id:?}");
    }
    let chosen = &dead[1];
    assert_eq!(queue.letters(APP + 1, &chosen.id).await, Ok(vec![]), "of another app");
    assert_eq!(queue.discard(APP + 1, &chosen.id).await, Ok(0));
    assert_eq!(queue.letters(APP, &chosen.id).await, Ok(vec![chosen.clone()]));
    for gone in [1, 0] {
        assert_eq!(queue.discard(APP, &chosen.id).await, Ok(gone));
    }
    assert_eq!(queue.dead(APP, 10).await, Ok(vec![dead[0].clone(), dead[2].clone()]), "the others stay");
    depth(&queue, 0, 2).await;
    nothing_comes(&queue).await;
}

async fn what_is_put_off_comes_again_to_whoever_receives(bench: impl Bench) {
    let (one, other) = (bench.receiver().await, bench.receiver().await);
    bench.put(APP, &settlements(3)).await;
    let received = receive(&one, 3).await;
    one.later(&received[..2]).await.expect("put off");
    one.later(&received[..2]).await.expect("it was before");
    one.later(&[]).await.expect("nothing to do");
    depth(&one, 3, 0).await;
    one.done(&tags(&received[2..])).await.expect("done");
    one.later(&received[2..]).await.expect("it is done");
    drop(one);
    let again = receive(&other, 2).await;
    assert_eq!(bodies(&again), bodies(&received[..2]));
    other.done(&tags(&again)).await.expect("done");
    depth(&other, 0, 0).await;
}

async fn a_thousand_dead_letters_are_replayed(bench: impl Bench) {
    const COUNT: usize = 1100;
    let queue = bench.receiver().await;
    bench.put(APP, &settlements(COUNT)).await;
    for delivery in receive(&queue, COUNT).await {
        queue.bury(&delivery, "no such packet").await.expect("buried");
    }
    depth(&queue, 0, COUNT as u64).await;
    assert_eq!(queue.dead(APP, 1000).await.expect("listed").len(), 1000);
    assert_eq!(queue.replay(APP, None).await, Ok(COUNT as u64));
    depth(&queue, COUNT as u64, 0).await;
    assert_eq!(bodies(&receive(&queue, COUNT).await).len(), COUNT);
}

async fn whatever_was_put_in_is_received(bench: impl Bench) {
    let queue = bench.receiver().await;
    let huge = Bytes::from(vec![b'['; 1024 * 1024]);
    let hostile = [&b""[..], b"\0\xff\xfe", b"null", b"{}", br#"{"app":-1}"#, b"not JSON \r\n", &huge];
    let hostile: Vec<Bytes> = hostile.iter().map(|body| Bytes::copy_from_slice(body)).collect();
    bench.put(APP, &hostile).await;
    bench.put(APP, &settlements(1)).await;
    let received = receive(&queue, hostile.len() + 1).await;
    let (good, bad): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|delivery| delivery.settlement().is_ok());
    assert_eq!((good.len(), bodies(&bad)), (1, hostile.iter().cloned().collect()));
    for delivery in &bad {
        let reason = delivery.settlement().expect_err("no settlement");
        queue.bury(delivery, &reason).await.expect("buried");
    }
    queue.done(&tags(&good)).await.expect("done");
    depth(&queue, 0, hostile.len() as u64).await;
    let dead = queue.dead(APP, 100).await.expect("listed");
    assert_eq!(dead.into_iter().map(|dead| dead.body).collect::<HashSet<_>>(), hostile.into_iter().collect());
}

async fn every_app_is_served(bench: impl Bench) {
    const APPS: u32 = 30;
    let queue = bench.receiver().await;
    for app in 0..APPS {
        let settlement = chatd::money::settlement::Settlement { app, ..share_of("p", "u", 1, 1) };
        bench.put(app, &vec![written(&[settlement]).remove(0).into(); 20]).await;
    }
    let received = receive(&queue, 600).await;
    let apps: HashSet<_> =
        received.iter().map(|delivery| delivery.settlement().expect("a settlement").app).collect();
    assert_eq!(apps, (0..APPS).collect());
    for delivery in received.iter().filter(|found| found.settlement().expect("a settlement").app % 2 == 0) {
        queue.bury(delivery, "even").await.expect("buried");
    }
    depth(&queue, 300, 300).await;
    assert_eq!(queue.dead(4, 100).await.expect("listed").len(), 20);
    assert_eq!(queue.replay(4, None).await, Ok(20));
    depth(&queue, 320, 280).await;
}

macro_rules! queue_laws {
    ($($adapter:ident: $bench:expr,)+ => $laws:tt) => {
        $(queue_laws!(@ $adapter $bench, $laws);)+
    };
    (@ $adapter:ident $bench:expr, { $($law:ident),+ $(,)? }) => {
        mod $adapter {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law($bench).await;
            })+
        }
    };
}

queue_laws! {
    redis: chat_tests::money::RedisBench::start().await,
    embedded: chat_tests::money::EmbeddedBench::start(),
    => {
        what_was_put_in_is_there_until_it_is_done,
        what_a_living_receiver_has_is_nobody_elses,
        what_a_killed_receiver_had_goes_to_another,
        no_more_is_given_than_was_asked_for,
        all_receivers_together_receive_everything,
        a_waiting_receiver_is_given_what_comes,
        a_receiver_that_gives_up_waiting_has_received_nothing,
        doing_again_or_what_is_not_there_is_harmless,
        a_dead_letter_is_out_of_the_way_until_it_is_replayed,
        a_dead_letter_that_is_discarded_is_gone,
        a_thousand_dead_letters_are_replayed,
        what_is_put_off_comes_again_to_whoever_receives,
        whatever_was_put_in_is_received,
        every_app_is_served,
    }
}

// A receiver of RabbitMQ counts what it has received itself, not what others have; the two laws that look from one
// receiver at what another holds are told by `rabbit_laws.rs`.
queue_laws! {
    rabbitmq: chat_tests::rabbit::RabbitBench::start().await,
    => {
        what_was_put_in_is_there_until_it_is_done,
        what_a_killed_receiver_had_goes_to_another,
        no_more_is_given_than_was_asked_for,
        a_waiting_receiver_is_given_what_comes,
        a_receiver_that_gives_up_waiting_has_received_nothing,
        doing_again_or_what_is_not_there_is_harmless,
        a_dead_letter_is_out_of_the_way_until_it_is_replayed,
        a_dead_letter_that_is_discarded_is_gone,
        a_thousand_dead_letters_are_replayed,
        what_is_put_off_comes_again_to_whoever_receives,
        whatever_was_put_in_is_received,
        every_app_is_served,
    }
}
