//! Money while the links of nodes to their stores are cut and stalled, and while answers are lost.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use std::sync::Arc;
use std::time::Duration;

use chat_client::{Http, Server};
use chat_protocol::PacketId;
use chat_protocol::red_packet::Outcome;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, PATIENCE, detail, ways};
use chat_tests::money_site::{MoneySite, deposit};
use chat_tests::postgres_server::PostgresServer;
use chat_tests::rabbitmq_server::RabbitServer;
use chat_tests::wait::until;
use chat_tests::with_money;

with_money!(a_grab_whose_answer_was_lost_is_repeated);

const APP: u32 = 841;

async fn packets(site: &FaultSite) -> (Arc<Books>, Vec<PacketId>) {
    deposit(&site.http(0), APP, "s", 1_000_000).await;
    let (books, mut packets) = (Books::new(APP, site.ways()), Vec::new());
    for number in 0..3 {
        packets.push(books.create("s", 6000, 70 + number, &format!("p{number}")).await);
    }
    (books, packets)
}

/// Cuts and stalls a link of the second of two nodes while a crowd grabs and others give.
async fn weather(site: &FaultSite, proxy: &FaultProxy) {
    let (books, packets) = packets(site).await;
    let crowd = books.crowd(&packets, 140);
    let giving = books.clone();
    let giving = tokio::spawn(async move {
        for number in 0..12 {
            giving.create("s", 500, 5, &format!("late {number}")).await;
        }
    });
    for answers in [40, 160] {
        books.has(answers).await;
        proxy.cut();
        books.has(answers + 40).await;
        proxy.heal();
        books.has(answers + 60).await;
        proxy.stall();
        books.has(answers + 90).await;
        proxy.heal();
    }
    crowd.await.expect("no panic");
    giving.await.expect("no panic");
    for index in [0, 1] {
        let audit = books.agree(&site.http(index)).await;
        assert_eq!((audit.packets, audit.grabbed), (15, 18_000));
    }
}

#[tokio::test]
async fn the_link_to_redis_is_cut_and_stalled() {
    let mut site = FaultSite::shared(1, &[]).await;
    let proxy = FaultProxy::start(site.redis().address()).await;
    let (redis, ledger) = (format!("redis://{}", proxy.address()), site.ledger.clone());
    site.start(&["--redis", &redis, "--ledger", &ledger]).await;
    weather(&site, &proxy).await;
}

#[tokio::test]
async fn the_link_to_postgresql_is_cut_and_stalled() {
    let mut site = FaultSite::shared(1, &[]).await;
    let postgres = PostgresServer::shared().await;
    let proxy = FaultProxy::start(postgres.address()).await;
    let database = site.ledger.rsplit_once('/').expect("a database").1;
    let (redis, ledger) =
        (site.redis.as_ref().expect("one").url(), postgres.url(database, Some(proxy.address())));
    site.start(&["--redis", &redis, "--ledger", &ledger]).await;
    weather(&site, &proxy).await;
}

#[tokio::test]
async fn the_link_to_rabbitmq_is_cut_and_stalled() {
    let (mut site, rabbit) = tokio::join!(FaultSite::stores(), RabbitServer::shared());
    let prefix = format!("t{:016x}", rand::random::<u64>());
    site.join(&["--amqp", &rabbit.url(), "--redis-prefix", &prefix]).await;
    let proxy = FaultProxy::start(rabbit.address()).await;
    site.join(&["--amqp", &rabbit.url_by(proxy.address()), "--redis-prefix", &prefix]).await;
    weather(&site, &proxy).await;
}

/// The only node loses a store, so that nothing is settled or created meanwhile.
#[tokio::test]
async fn the_only_node_loses_each_of_its_stores() {
    let mut site = FaultSite::stores().await;
    let postgres = PostgresServer::shared().await;
    let (to_redis, to_ledger) =
        tokio::join!(FaultProxy::start(site.redis().address()), FaultProxy::start(postgres.address()));
    let database = site.ledger.rsplit_once('/').expect("a database").1;
    let ledger = postgres.url(database, Some(to_ledger.address()));
    site.start(&["--redis", &format!("redis://{}", to_redis.address()), "--ledger", &ledger]).await;
    let (books, packets) = packets(&site).await;
    let crowd = books.crowd(&packets, 120);
    books.has(50).await;
    to_ledger.cut();
    books.has(80).await;
    to_redis.cut();
    to_ledger.heal();
    let creating = books.clone();
    let creating = tokio::spawn(async move { creating.create("s", 500, 5, "in the dark").await });
    to_redis.heal();
    books.has(110).await;
    to_ledger.stall();
    books.has(150).await;
    to_redis.stall();
    to_ledger.heal();
    to_redis.heal();
    crowd.await.expect("no panic");
    creating.await.expect("no panic");
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.packets, audit.grabbed), (4, 18_000));
}

async fn a_grab_whose_answer_was_lost_is_repeated(site: MoneySite) {
    let direct = [site.first().http(), site.last().http()];
    deposit(&direct[0], APP, "s", 1000).await;
    let books = Books::new(APP, ways(&direct));
    let packet = books.create("s", 900, 3, "p").await;
    let address = site.first().server().authority().parse().expect("an address");
    let proxy = FaultProxy::start(address).await;
    let server: Server = format!("http://{}", proxy.address()).parse().expect("a server");
    let slow = Http::new(server, PATIENCE).expect("a client");
    for number in 0..2_usize {
        let who = format!("u{number}");
        proxy.delay(Duration::from_secs(2));
        let asking = (books.clone(), slow.clone(), packet.clone(), who.clone());
        let asking = tokio::spawn(async move {
            let (books, slow, packet, who) = asking;
            books.grab_once(&slow, &packet, &who).await
        });
        // The share is theirs, and the answer is still on its way.
        let taken = async || detail(&direct[0], APP, &packet).await.winners.len() > number;
        until("they have won", PATIENCE, taken).await;
        proxy.cut();
        asking.await.expect("no panic").expect_err("the answer is lost");
        assert_eq!(books.grab(&packet, &who).await, Outcome::Already);
        proxy.heal();
    }
    assert_eq!(books.grab(&packet, "u2").await, Outcome::Won);
    books.crowd(std::slice::from_ref(&packet), 5).await.expect("no panic");
    books.agree(&direct[1]).await;
}
