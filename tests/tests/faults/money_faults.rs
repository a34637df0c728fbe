//! Money while processes are killed: nodes, settlers, Redis and PostgreSQL, each at work.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_client::Http;
use chat_protocol::PacketId;
use chat_protocol::red_packet::{Create, CreateRequest};
use chat_protocol::wallet::TransferKind;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, PATIENCE, audit_until, transfers, ways};
use chat_tests::money_site::{audit, balance, deposit};
use chat_tests::postgres_server::PostgresServer;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::until;
use serde_json::{Value, json};

const APP: u32 = 831;
const RICH: u64 = 1_000_000;

async fn opened(site: &FaultSite) -> Arc<Books> {
    deposit(&site.http(0), APP, "s", RICH).await;
    Books::new(APP, site.ways())
}

async fn packets(books: &Books, count: u32) -> Vec<PacketId> {
    let mut packets = Vec::new();
    for number in 0..count {
        packets.push(books.create("s", 6000, 70 + number, &format!("p{number}")).await);
    }
    packets
}

/// The packets that the world room was offered, each as often as it was.
async fn offers(http: &Http) -> Vec<String> {
    let data = json!({"appId": APP, "target": "", "after": 0, "limit": 200});
    let page = http.call_raw("/message/history", &data).await.expect("a history");
    let of = |message: &Value| message["packetId"].as_str().map(str::to_owned);
    let mut offers: Vec<_> = page["messages"].as_array().expect("a list").iter().filter_map(of).collect();
    offers.sort_unstable();
    offers
}

/// The packets that the sender paid for.
async fn funded(http: &Http) -> Vec<PacketId> {
    let mut paid = transfers(http, APP, "s").await;
    paid.retain(|transfer| transfer.kind == TransferKind::Packet);
    let funded: BTreeSet<_> =
        paid.into_iter().map(|transfer| transfer.packet_id.expect("a packet")).collect();
    funded.into_iter().collect()
}

#[tokio::test]
async fn the_node_that_takes_grabs_is_killed() {
    let mut site = FaultSite::shared(2, &[]).await;
    let books = opened(&site).await;
    let packets = packets(&books, 3).await;
    let crowd = books.crowd(&packets, 120);
    books.has(60).await;
    site.kill(0);
    crowd.await.expect("no panic");
    let audit = books.agree(&site.http(1)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
}

#[tokio::test]
async fn a_node_is_killed_while_it_creates() {
    let mut site = FaultSite::shared(2, &[]).await;
    let books = opened(&site).await;
    // Whoever is not answered by the first node repeats with the same msgId on the other.
    let creators: Vec<_> = (0..24)
        .map(|number| {
            let books = books.clone();
            tokio::spawn(async move { books.create("s", 500, 5, &format!("m{number}")).await })
        })
        .collect();
    until("some are created", PATIENCE, async || offers(&site.http(1)).await.len() >= 3).await;
    site.kill(0);
    let mut created = BTreeSet::new();
    for creator in creators {
        created.insert(creator.await.expect("no panic"));
    }
    let http = site.http(1);
    let named: Vec<_> = created.iter().map(ToString::to_string).collect();
    assert_eq!(offers(&http).await, named, "each is offered once");
    assert_eq!(balance(&http, APP, "s").await, RICH - 24 * 500);
    let packets: Vec<_> = created.into_iter().collect();
    books.crowd(&packets, 4).await.expect("no panic");
    books.agree(&http).await;
}

#[tokio::test]
async fn what_a_killed_node_funded_is_opened_and_offered_by_another() {
    let mut site = FaultSite::shared(2, &[]).await;
    let http = site.http(0);
    deposit(&http, APP, "s", RICH).await;
    let books = Books::new(APP, ways(std::slice::from_ref(&http)));
    // Redis says what time it is, and lets nobody open a packet.
    site.redis().command(&["ACL", "SETUSER", "default", "-sadd"]).await;
    let creators: Vec<_> = (0..6)
        .map(|number| {
            let (http, text) = (site.http(1), format!("m{number}"));
            let request =
                json!({"appId": APP, "userId": "s", "target": "", "total": 500, "count": 5, "msgId": text});
            let request: CreateRequest = serde_json::from_value(request).expect("a request");
            tokio::spawn(async move { http.call::<Create>(&request).await })
        })
        .collect();
    for creator in creators {
        creator.await.expect("no panic").expect_err("it cannot be opened");
    }
    assert_eq!(balance(&http, APP, "s").await, RICH - 3000, "all are funded");
    site.kill(1);
    site.redis().command(&["ACL", "SETUSER", "default", "+sadd"]).await;
    for number in 0..3 {
        books.create("s", 500, 5, &format!("m{number}")).await;
    }
    // Nobody repeats the others.
    let funded = funded(&http).await;
    let named: Vec<_> = funded.iter().map(ToString::to_string).collect();
    assert_eq!(funded.len(), 6);
    until("all are offered", PATIENCE, async || offers(&http).await == named).await;
    funded.iter().for_each(|packet| books.knows(packet, "s", 500));
    books.crowd(&funded, 6).await.expect("no panic");
    let audit = books.agree(&http).await;
    assert_eq!((audit.packets, audit.grabbed), (6, 3000));
}

#[tokio::test]
async fn settlers_are_killed() {
    let mut site = FaultSite::shared(2, &["--settle", "false"]).await;
    let books = opened(&site).await;
    let packets = packets(&books, 3).await;
    let crowd = books.crowd(&packets, 120);
    books.has(60).await;
    assert!(audit(&site.http(0), APP).await.unsettled > 0, "nobody settles");
    let settler = ["--role", "settler"];
    site.join(&settler).await;
    books.has(120).await;
    site.kill(2);
    books.has(180).await;
    site.join(&settler).await;
    site.restart(2).await;
    books.has(240).await;
    site.kill(2);
    crowd.await.expect("no panic");
    // The other one takes over what the killed one had.
    let audit = books.agree(&site.http(1)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
}

#[tokio::test]
async fn redis_is_killed_and_keeps_what_it_answered() {
    let mut site = FaultSite::shared(2, &[]).await;
    let books = opened(&site).await;
    let packets = packets(&books, 3).await;
    let crowd = books.crowd(&packets, 120);
    for answers in [60, 140] {
        books.has(answers).await;
        site.redis().restart().await;
    }
    crowd.await.expect("no panic");
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
}

#[tokio::test]
async fn postgresql_is_killed_while_packets_are_funded_and_settled() {
    let (redis, mut postgres) = tokio::join!(RedisServer::start_with_aof(), PostgresServer::start());
    let ledger = postgres.url(&postgres.database().await, None);
    let mut site = FaultSite::on(redis, ledger);
    site.join(&[]).await;
    site.join(&[]).await;
    let books = opened(&site).await;
    let packets = packets(&books, 3).await;
    let crowd = books.crowd(&packets, 120);
    for (round, answers) in [(0, 40), (1, 120)] {
        let creating = books.clone();
        let creating = tokio::spawn(async move {
            for number in 0..10 {
                creating.create("s", 700, 7, &format!("r{round} {number}")).await;
            }
        });
        books.has(answers).await;
        postgres.kill9();
        // Taking shares does not need the ledger.
        books.has(answers + 30).await;
        postgres.restart().await;
        creating.await.expect("no panic");
    }
    crowd.await.expect("no panic");
    let ended = audit_until(&site.http(1), APP, "settled", |audit| audit.unsettled == 0).await;
    assert_eq!((ended.packets, ended.grabbed), (23, 18_000));
    books.agree(&site.http(0)).await;
    assert_eq!(balance(&site.http(0), APP, "s").await, RICH - 18_000 - 14_000);
}
