//! Money over a PostgreSQL and a RabbitMQ that speak TLS: only who is vouched for is believed.

use chat_tests::authority::Authority;
use chat_tests::money_site::{audited, balance, deposit};
use chat_tests::node::Node;
use chat_tests::postgres_server::PostgresServer;
use chat_tests::program::run;
use chat_tests::rabbitmq_server::RabbitServer;
use chat_tests::redis_server::RedisServer;

const APP: u32 = 306;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_believes_the_stores_of_its_money_by_their_certificates() {
    let authority = Authority::new();
    let made = authority.made_until(2099);
    let (redis, postgres, (rabbit, port)) =
        tokio::join!(RedisServer::start(), PostgresServer::start(), RabbitServer::start_secure(&made));
    postgres.speak_tls(&made).await;
    let at = format!("localhost:{}", postgres.address().port());
    let ledger = postgres.url(&postgres.database().await, None);
    let ledger = ledger.replace(&postgres.address().to_string(), &at);
    let (redis, amqp) = (redis.url(), rabbit.secure_url(port));
    let authority = authority.file();
    let trusted = [("SSL_CERT_FILE", authority.to_str().expect("a path"))];
    let secure = |mode: &str| format!("{ledger}?sslmode={mode}");
    for mode in ["require", "verify-full"] {
        let node = Node::with_variables(
            &trusted,
            &["--redis", &redis, "--ledger", &secure(mode), "--amqp", &amqp, "--store-wait", "20"],
        )
        .await;
        deposit(&node.http(), APP, mode, 700).await;
        assert_eq!(balance(&node.http(), APP, mode).await, 700);
        audited(&node.http(), APP).await;
    }
    let client = postgres.client("postgres").await.expect("a connection");
    let plain = "SELECT 1 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'chatd' AND NOT ssl";
    assert!(client.query(plain, &[]).await.expect("asked").is_empty(), "a connection of chatd is not secure");

    // Nobody vouches for them here.
    let start = ["--redis", &redis, "--store-wait", "0", "--listen", "127.0.0.1:0"];
    let plain_ledger = ledger.as_str();
    for (stores, place) in [
        (["--ledger", &secure("verify-full"), "--amqp", &rabbit.url()], at.clone()),
        (["--ledger", plain_ledger, "--amqp", &amqp], format!("localhost:{port}")),
    ] {
        let refused = run("chatd", &[&start[..], &stores[..]].concat(), &[]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = refused.stderr.to_lowercase();
        assert!(told.contains(&place) && told.contains("certificate"), "{refused:?}");
    }
}
