//! One of several servers of a store of money is killed for good, and another takes its place.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::Books;
use chat_tests::money_site::deposit;
use chat_tests::pgbouncer::PgBouncer;
use chat_tests::postgres_server::PostgresServer;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::services::Services;
use chat_tests::wait::{SOON, until};
use tokio_postgres::NoTls;

const APP: u32 = 872;

/// While 120 users grab three packets, `fault` happens; at the end all have what they were told.
async fn nobody_loses_a_cent(site: &FaultSite, fault: impl AsyncFnOnce()) {
    deposit(&site.http(0), APP, "s", 1_000_000).await;
    let (books, mut packets) = (Books::new(APP, site.ways()), Vec::new());
    for number in 0..3 {
        packets.push(books.create("s", 6000, 70 + number, &format!("p{number}")).await);
    }
    let crowd = books.crowd(&packets, 120);
    books.has(60).await;
    fault().await;
    // Taking shares waits for neither.
    books.has(140).await;
    packets.push(books.create("s", 6000, 40, "after the fault").await);
    crowd.await.expect("no panic");
    books.crowd(&packets[3..], 60).await.expect("no panic");
    let audit = books.agree(&site.http(1)).await;
    assert_eq!((audit.grabbed, audit.open), (24_000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rabbitmq_of_three_is_killed_and_every_winner_is_paid() {
    let (mut site, rabbit) = tokio::join!(FaultSite::stores(), Services::up("rabbitmq-cluster"));
    for _ in 0..3 {
        site.join(&["--amqp", rabbit.url()]).await;
    }
    nobody_loses_a_cent(&site, async || rabbit.kill("1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_killed_and_its_standby_pays_the_rest() {
    let (redis, postgres) = tokio::join!(RedisServer::start_with_aof(), Services::up("postgres-pair"));
    let mut site = FaultSite::on(redis, postgres.url().to_owned());
    for _ in 0..2 {
        site.join(&[]).await;
    }
    let standby =
        postgres.url().rsplit_once(',').expect("two servers").1.split('/').next().expect("an address");
    let standby = format!("postgres://postgres@{standby}/postgres");
    let promote = async || {
        postgres.kill("primary");
        let (client, connection) = tokio_postgres::connect(&standby, NoTls).await.expect("the standby");
        tokio::spawn(connection);
        client.batch_execute("SELECT pg_promote()").await.expect("promoted");
    };
    nobody_loses_a_cent(&site, promote).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_is_killed_again_and_again_and_every_winner_is_paid() {
    let (redis, server, mut bouncer) =
        tokio::join!(RedisServer::start_with_aof(), PostgresServer::shared(), PgBouncer::start());
    let ledger = bouncer.url(&server.database().await).await;
    let mut site = FaultSite::on(redis, ledger);
    for _ in 0..2 {
        site.join(&[]).await;
    }
    let kills = async || {
        for _ in 0..5 {
            bouncer.restart().await;
            // Until it is in use again, so that the next one meets transactions.
            until("the ledger is there", SOON, async || {
                get(site.node(0).server(), "/readyz").await.status == 200
            })
            .await;
        }
    };
    nobody_loses_a_cent(&site, kills).await;
}
