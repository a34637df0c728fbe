//! What is promised of money, on one node alone and on two that share Redis and PostgreSQL.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use chat_client::Http;
use chat_protocol::PacketId;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, PATIENCE, audit_until, detail, ways};
use chat_tests::money_site::{MoneySite, audited, balance, deposit};
use chat_tests::wait::{pace, until};
use chat_tests::with_money;
use futures_util::StreamExt;
use futures_util::future::join_all;

with_money!(
    at_every_moment_total_is_grabbed_refunded_and_open,
    nobody_wins_twice_and_a_repeated_grab_answers_the_same_amount,
    an_unopened_rest_returns_to_its_sender_after_expiry,
    two_nodes_and_2000_users_on_one_packet_of_100,
);

const APP: u32 = 821;
const RICH: u64 = 1_000_000;

async fn books(site: &MoneySite) -> Arc<Books> {
    let nodes = [site.first().http(), site.last().http()];
    deposit(&nodes[0], APP, "s", RICH).await;
    Books::new(APP, ways(&nodes))
}

/// Looks at the money again and again until told to stop; how often it did.
async fn watch(http: Http, packets: Vec<PacketId>, over: Arc<AtomicBool>) -> u32 {
    let mut looks = 0;
    while !over.load(SeqCst) {
        let audit = audited(&http, APP).await;
        assert_eq!(audit.grabbed + audit.refunded + audit.open, audit.total, "{audit:?}");
        for packet in &packets {
            let shown = detail(&http, APP, packet).await;
            assert_eq!(shown.grabbed + shown.refunded + shown.open, shown.total, "{shown:?}");
        }
        looks += 1;
        pace(Duration::from_millis(10)).await;
    }
    looks
}

async fn at_every_moment_total_is_grabbed_refunded_and_open(site: MoneySite) {
    let site = site.with(&["--packet-expiry", "4"]).await;
    let books = books(&site).await;
    let (mut packets, mut left) = (Vec::new(), Vec::new());
    for number in 0..3_u32 {
        packets.push(books.create("s", 20_000, 60 + number, &format!("grabbed {number}")).await);
        left.push(books.create("s", 3000, 50, &format!("left {number}")).await);
    }
    let over = Arc::<AtomicBool>::default();
    let all = [&packets[..], &left].concat();
    let watching = tokio::spawn(watch(site.last().http(), all, over.clone()));
    let (few, many) = (books.crowd(&left, 7), books.crowd(&packets, 200));
    few.await.expect("no panic");
    many.await.expect("no panic");
    let ended = audit_until(&site.first().http(), APP, "all ended", |audit| audit.open == 0).await;
    assert!(ended.refunded > 0 && ended.grabbed > 0, "{ended:?}");
    over.store(true, SeqCst);
    assert!(watching.await.expect("no panic") > 1);
    let audit = books.agree(&site.last().http()).await;
    assert_eq!((audit.packets, audit.total), (6, 69_000));
    assert_eq!(balance(&site.first().http(), APP, "s").await, RICH - audit.grabbed);
}

async fn nobody_wins_twice_and_a_repeated_grab_answers_the_same_amount(site: MoneySite) {
    let books = books(&site).await;
    let packet = books.create("s", 9999, 25, "p").await;
    let grabs = (0..40).flat_map(|user| std::iter::repeat_n(user, 5)).map(|user| {
        let (books, packet) = (&books, &packet);
        async move { books.grab(packet, &format!("u{user}")).await }
    });
    join_all(grabs).await;
    assert_eq!(books.answered(), 200);
    // Once more, one after the other, long after.
    books.crowd(std::slice::from_ref(&packet), 40).await.expect("no panic");
    let audit = books.agree(&site.first().http()).await;
    assert_eq!((audit.grabbed, audit.open), (9999, 0));
    assert_eq!(detail(&site.last().http(), APP, &packet).await.winners.len(), 25);
}

async fn an_unopened_rest_returns_to_its_sender_after_expiry(site: MoneySite) {
    let site = site.with(&["--packet-expiry", "2"]).await;
    let (http, books) = (site.first().http(), books(&site).await);
    let mut packets = Vec::new();
    for number in 0..5 {
        packets.push(books.create("s", 1000 + number, 10, &format!("p{number}")).await);
    }
    assert_eq!(balance(&http, APP, "s").await, RICH - 5010);
    books.grab(&packets[0], "u0").await;
    let audit = audit_until(&http, APP, "refunded", |audit| audit.open == 0 && audit.unsettled == 0).await;
    assert_eq!(audit.refunded, 5010 - audit.grabbed);
    books.crowd(&packets, 3).await.expect("no panic");
    let after = books.agree(&site.last().http()).await;
    assert_eq!(after.grabbed, audit.grabbed, "nobody takes from what has expired");
    assert_eq!(balance(&http, APP, "s").await, RICH - after.grabbed);
}

async fn two_nodes_and_2000_users_on_one_packet_of_100(site: MoneySite) {
    let books = books(&site).await;
    let packet = books.create("s", 123_456, 100, "p").await;
    let grabs = (0..2000).map(|user| {
        let (books, packet) = (&books, &packet);
        async move { books.grab(packet, &format!("u{user}")).await }
    });
    futures_util::stream::iter(grabs).buffer_unordered(200).for_each(async |_| ()).await;
    assert_eq!(books.answered(), 2000);
    let audit = books.agree(&site.first().http()).await;
    assert_eq!((audit.packets, audit.grabbed, audit.open), (1, 123_456, 0));
    assert_eq!(detail(&site.last().http(), APP, &packet).await.winners.len(), 100);
    assert_eq!(balance(&site.last().http(), APP, "s").await, RICH - 123_456);
}

/// Kills the nodes in turn while a crowd grabs, and starts them again.
async fn settlement_is_applied_exactly_once_whatever_is_killed_between(mut site: FaultSite, nodes: usize) {
    deposit(&site.http(0), APP, "s", RICH).await;
    let books = Books::new(APP, site.ways());
    let mut packets = Vec::new();
    for number in 0..3_u32 {
        packets.push(books.create("s", 5000, 80 + number, &format!("p{number}")).await);
    }
    let crowd = books.crowd(&packets, 130);
    for (number, answers) in [30, 80, 130, 180].into_iter().enumerate() {
        books.has(answers).await;
        site.restart(number % nodes).await;
    }
    crowd.await.expect("no panic");
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.grabbed, audit.open), (15_000, 0));
    // What is killed with everything settled has nothing to settle again.
    for index in 0..nodes {
        site.restart(index).await;
    }
    until("ready", PATIENCE, async || balance(&site.http(0), APP, "s").await == RICH - 15_000).await;
    books.agree(&site.http(nodes - 1)).await;
}

mod killed {
    use super::FaultSite;

    #[tokio::test]
    async fn alone_settlement_is_applied_exactly_once_whatever_is_killed_between() {
        let site = FaultSite::alone(&[]).await;
        super::settlement_is_applied_exactly_once_whatever_is_killed_between(site, 1).await;
    }

    #[tokio::test]
    async fn shared_settlement_is_applied_exactly_once_whatever_is_killed_between() {
        let site = FaultSite::shared(2, &[]).await;
        super::settlement_is_applied_exactly_once_whatever_is_killed_between(site, 2).await;
    }
}
