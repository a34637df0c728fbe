//! Money whose settlements travel over RabbitMQ, while it and those who read it are killed.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bytes::Bytes;
use chat_protocol::PacketId;
use chat_tests::broker::{self, user};
use chat_tests::engine::Engine;
use chat_tests::fault_site::FaultSite;
use chat_tests::ledger::{Vault, endow};
use chat_tests::money::{CREATED_MS, amounts, terms};
use chat_tests::money_books::{Books, PATIENCE, audit_until};
use chat_tests::money_site::{audit, audited, deposit};
use chat_tests::rabbit;
use chat_tests::rabbitmq_server::RabbitServer;
use chat_tests::wait::until;
use chat_tests::works;
use chatd::engine::redis::keys::Keys;
use chatd::money::Terms;
use chatd::money::audit::Auditor;
use chatd::money::settlement::relay::Relay;
use chatd::money::settlement::{Publish, Queue};

const APP: u32 = 871;

fn prefix() -> String {
    format!("t{:016x}", rand::random::<u64>())
}

async fn packets(site: &FaultSite) -> (Arc<Books>, Vec<PacketId>) {
    deposit(&site.http(0), APP, "s", 1_000_000).await;
    let (books, mut packets) = (Books::new(APP, site.ways()), Vec::new());
    for number in 0..3 {
        packets.push(books.create("s", 6000, 70 + number, &format!("p{number}")).await);
    }
    (books, packets)
}

#[tokio::test]
async fn rabbitmq_is_killed_and_keeps_what_it_confirmed() {
    let (mut site, mut rabbit) = tokio::join!(FaultSite::stores(), RabbitServer::start());
    let amqp = rabbit.url();
    site.join(&["--amqp", &amqp]).await;
    site.join(&["--amqp", &amqp]).await;
    rabbit.until_kept(&Keys::default().amqp_settlements()).await;
    let (books, packets) = packets(&site).await;
    let crowd = books.crowd(&packets, 120);
    for answers in [60, 200] {
        books.has(answers).await;
        rabbit.kill();
        // Taking shares does not need it.
        books.has(answers + 40).await;
        rabbit.restart().await;
    }
    crowd.await.expect("no panic");
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
}

#[tokio::test]
async fn settlers_and_gateways_are_killed() {
    let (mut site, amqp, prefix) = (FaultSite::stores().await, RabbitServer::shared().await.url(), prefix());
    let over = ["--amqp", amqp.as_str(), "--redis-prefix", &prefix];
    for _ in 0..2 {
        site.join(&[&over[..], &["--settle", "false"]].concat()).await;
    }
    let (books, packets) = packets(&site).await;
    let crowd = books.crowd(&packets, 120);
    let settler = [&over[..], &["--role", "settler"]].concat();
    books.has(60).await;
    assert!(audit(&site.http(0), APP).await.unsettled > 0, "nobody settles");
    site.join(&settler).await;
    books.has(110).await;
    site.kill(2);
    // A gateway carries from Redis to RabbitMQ; what it had in its hands the other one carries.
    books.has(160).await;
    site.restart(1).await;
    site.join(&settler).await;
    site.restart(2).await;
    books.has(220).await;
    site.kill(2);
    crowd.await.expect("no panic");
    let audit = books.agree(&site.http(1)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
}

/// While shares are taken and settled, and packets end.
#[tokio::test]
async fn a_hundred_audits_meanwhile_accuse_nobody() {
    let (mut site, amqp, prefix) = (FaultSite::stores().await, RabbitServer::shared().await.url(), prefix());
    let over = ["--amqp", amqp.as_str(), "--redis-prefix", &prefix, "--packet-expiry", "3"];
    site.join(&over).await;
    site.join(&over).await;
    deposit(&site.http(0), APP, "s", 100_000_000).await;
    let (books, over) = (Books::new(APP, site.ways()), AtomicBool::new(false));
    let load = async {
        let mut round = 0;
        while !over.load(SeqCst) {
            let mut packets = Vec::new();
            for number in 0..3 {
                packets.push(books.create("s", 500, 20 + number, &format!("{round} {number}")).await);
            }
            books.crowd(&packets, 15 + round % 10).await.expect("no panic");
            round += 1;
        }
    };
    let audits = async {
        for _ in 0..100 {
            audited(&site.http(1), APP).await;
        }
        over.store(true, SeqCst);
    };
    tokio::join!(load, audits);
    let ended = audit_until(&site.http(0), APP, "all ended", |audit| audit.open == 0).await;
    assert!(ended.grabbed > 0 && ended.refunded > 0, "{ended:?}");
    books.agree(&site.http(0)).await;
}

#[tokio::test]
async fn settlements_come_twice_and_impossible_ones_are_given_up() {
    let (mut site, amqp, prefix) = (FaultSite::stores().await, RabbitServer::shared().await.url(), prefix());
    let over = ["--amqp", amqp.as_str(), "--redis-prefix", &prefix];
    site.join(&[&over[..], &["--settle", "false"]].concat()).await;
    let (books, packets) = packets(&site).await;
    books.crowd(&packets, 25).await.expect("no panic");
    let queue = rabbit::open(&amqp, &Keys::new(&prefix).expect("a prefix")).await;
    let deliveries = rabbit::receive(&queue, 75).await;
    let copies: Vec<Bytes> = deliveries.into_iter().map(|delivery| delivery.body).collect();
    for _ in 0..2 {
        queue.publish(&copies).await.expect("published");
    }
    drop(queue);
    let settler = [&over[..], &["--role", "settler"]].concat();
    site.join(&settler).await;
    site.join(&settler).await;
    books.agree(&site.http(0)).await;

    let queue = rabbit::open(&amqp, &Keys::new(&prefix).expect("a prefix")).await;
    let packet = &packets[0];
    let impossible = format!(
        r#"{{"app":{APP},"packet":"{packet}","kind":"grab","user":"thief","amount":6001,"time_ms":1}}"#
    );
    queue.publish(&[Bytes::from(impossible), Bytes::from_static(b"\xff{")]).await.expect("published");
    let found = audit_until(&site.http(0), APP, "given up", |audit| audit.dead_letters == 2).await;
    let named = |id: Option<&PacketId>| {
        found.violations.iter().any(|of| of.rule == "deadLetter" && of.packet_id.as_ref() == id)
    };
    assert!(!found.holds && named(Some(packet)) && named(None), "{found:#?}");
}

/// RabbitMQ does not tell what it holds, nor who received it: nobody is accused of it before it is long due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rabbitmq_cannot_name_is_on_its_way_for_a_while() {
    let (engine, vault) = (Engine::embedded(), Vault::embedded());
    let (node, ledger) = (engine.node().await, vault.ledger().await);
    engine.clock.set(CREATED_MS);
    endow(&*ledger, "s", 1000).await;
    let terms = Terms { expires_ms: CREATED_MS + 1_000_000, ..terms("p", "", &[3, 4, 5]) };
    ledger.fund(&terms).await.expect("funded");
    node.packets.open(&terms, &amounts(&[3, 4, 5])).await.expect("opened");
    for who in ["a", "b"] {
        node.packets.grab(broker::APP, &terms.packet, &user(who)).await.expect("grabbed");
    }
    let (worker, keys) = rabbit::fresh().await;
    let looker = rabbit::open(&RabbitServer::shared().await.url(), &keys).await;
    let outbox = engine.receiver(&node, PATIENCE).await;
    let relay = Relay::new(outbox.clone(), looker.clone());
    let carried = async { until("carried", PATIENCE, async || relay.moved() == 2).await };
    tokio::select! {
        () = relay.run(Default::default()) => panic!("nobody stops it"),
        () = carried => {}
    }
    let settlements = rabbit::receive(&worker, 2).await;
    let settlements: Vec<_> = settlements.iter().map(|of| of.settlement().expect("one")).collect();
    engine.clock.set(CREATED_MS + 60_000);
    let queues: Vec<Arc<dyn Queue>> = vec![outbox, looker];
    let auditor = Auditor::new(node.packets.clone(), ledger.clone(), queues);
    let on_its_way = works::audit(&auditor, broker::APP, None).await;
    assert_eq!(
        (on_its_way.holds, on_its_way.unsettled),
        (true, 2),
        "a held-up settler loses nothing: {on_its_way:#?}"
    );
    engine.clock.set(CREATED_MS + 10 * 60_000);
    let overdue = works::audit(&auditor, broker::APP, None).await;
    let rules: Vec<_> = overdue.violations.iter().map(|of| of.rule.as_str()).collect();
    assert_eq!((overdue.holds, overdue.unsettled, &rules[..]), (false, 2, &["overdue", "overdue"][..]));
    assert!(ledger.settle(&settlements).await.expect("settled").iter().all(Result::is_ok));
    let audit = works::audit(&auditor, broker::APP, None).await;
    assert!(audit.holds && audit.unsettled == 0, "{audit:#?}");
}
