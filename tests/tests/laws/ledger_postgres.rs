//! Databases the ledger in PostgreSQL is told to use, good and bad.

use std::net::TcpListener;
use std::sync::Arc;

use chat_tests::broker::HandClock;
use chat_tests::ledger::{balance, endow, holds};
use chat_tests::pgbouncer::PgBouncer;
use chat_tests::postgres_server::PostgresServer;
use chatd::engine::postgres::{PostgresLedger, check_url};
use chatd::money::ledger::Escrows;
use tokio::task::JoinSet;

async fn connect(url: &str) -> Result<Arc<PostgresLedger>, String> {
    PostgresLedger::connect(url, Arc::<HandClock>::default()).await.map_err(|refused| refused.reason)
}

async fn refusal(url: &str) -> String {
    let refused = connect(url).await.err().unwrap_or_else(|| panic!("{url} is accepted"));
    assert!(!refused.contains("gehe") && !refused.contains("wrong"), "the password in {refused}");
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_may_start_at_once() {
    let server = PostgresServer::shared().await;
    let url = server.url(&server.database().await, None);
    let mut starting = JoinSet::new();
    for _ in 0..12 {
        let url = url.clone();
        starting.spawn(async move { connect(&url).await.expect("a ledger") });
    }
    let ledgers = starting.join_all().await;
    endow(&*ledgers[0], "a", 5).await;
    assert_eq!(balance(&*ledgers[11], "a").await, 5);
    holds(&*ledgers[7]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_the_search_path_holds_the_tables() {
    let server = PostgresServer::shared().await;
    let database = server.database().await;
    let url = server.url(&database, None);
    let there = format!("{url}?options=-csearch_path%3D%22The%2DMoney%22");
    assert!(refusal(&there).await.contains("schema"));
    let client = server.client(&database).await.expect("a connection");
    client.batch_execute("CREATE SCHEMA \"The-Money\"").await.expect("a schema");
    let ledgers = [connect(&url).await.expect("a ledger"), connect(&there).await.expect("a ledger")];
    endow(&*ledgers[1], "a", 5).await;
    assert_eq!((balance(&*ledgers[0], "a").await, balance(&*ledgers[1], "a").await), (0, 5));
    let found = client.query("SELECT name FROM \"The-Money\".chat_account", &[]).await.expect("rows");
    assert_eq!(found.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_keeps_nobody_from_the_next() {
    let server = PostgresServer::shared().await;
    let url = server.url(&server.database().await, None);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (real, silent) = (server.address().to_string(), silent.local_addr().expect("its address"));
    let url = url.replace(&real, &format!("{silent},{real}"));
    let ledger = connect(&url).await.expect("a ledger");
    endow(&*ledger, "a", 5).await;
    assert_eq!(balance(&*ledger, "a").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_with_a_reason() {
    let server = PostgresServer::shared().await;
    let database = server.database().await;
    let url = server.url(&database, None);
    let closed = FreePort::new();
    for (bad, reason) in [
        (server.url(&database, Some(closed.0)), "connect"),
        (server.url("missing", None), "\"missing\" does not exist"),
        (url.replace("gehe", "wrong"), "password"),
        (url.replace("postgres:gehe", "nobody:gehe"), "password"),
        (format!("{url}?sslmode=require"), "TLS"),
        (url.replace("postgres://", "mysql://"), "postgres://"),
        (String::new(), "postgres://"),
    ] {
        let refused = refusal(&bad).await;
        assert!(refused.contains(reason), "{refused}");
    }
    assert_eq!(check_url(&url), Ok(()));
    assert!(check_url("postgres://u:wrong@h/db?sslmode=allow").is_err_and(|text| !text.contains("wrong")));

    let client = server.client(&database).await.expect("a connection");
    let ascii = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0";
    client.batch_execute(ascii).await.expect("a database");
    assert!(refusal(&server.url("ascii", None)).await.contains("UTF8"));
    drop(connect(&url).await.expect("a ledger"));
    client.batch_execute("UPDATE chat_ledger SET version = 99").await.expect("changed");
    assert!(refusal(&url).await.contains("99"), "the tables are of a later chatd");
}

/// An address where nobody listens.
struct FreePort(std::net::SocketAddr);

impl FreePort {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self(listener.local_addr().expect("its address"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_lends_sessions_is_found_and_nothing_is_left_behind_in_them() {
    let (server, bouncer) = (PostgresServer::shared().await, PgBouncer::shared().await);
    let database = server.database().await;
    // Both lie open at once, so that each of the two sessions is looked at.
    let others = [bouncer.client(&database).await, bouncer.client(&database).await];
    let [one, other] = others.map(|client| client.expect("a connection"));
    let settings = "SELECT current_setting('synchronous_commit'), current_setting('statement_timeout'),
        current_setting('lock_timeout'), count(*)::text FROM pg_prepared_statements";
    let untouched = async || {
        for client in [&one, &other] {
            client.batch_execute("BEGIN").await.expect("a session");
        }
        for client in [&one, &other] {
            let found = client.query_typed(settings, &[]).await.expect("rows");
            let found: Vec<String> = (0..4).map(|column| found[0].get(column)).collect();
            assert_eq!(found, ["off", "0", "0", "0"]);
            client.batch_execute("COMMIT").await.expect("given back");
        }
    };
    let refused = refusal(&bouncer.plain_url(&database).await).await;
    assert!(refused.contains("pool_mode=transaction"), "{refused}");
    untouched().await;
    let url = bouncer.url(&database).await;
    let ledgers = [connect(&url).await.expect("a ledger"), connect(&url).await.expect("a ledger")];
    let mut working = JoinSet::new();
    for number in 0..20_usize {
        let ledger = ledgers[number % 2].clone();
        working.spawn(async move {
            endow(&*ledger, &format!("u{number}"), 5).await;
            balance(&*ledger, &format!("u{number}")).await
        });
    }
    assert_eq!(working.join_all().await, [5; 20]);
    untouched().await;
    holds(&*ledgers[0]).await;
    let direct = connect(&server.url(&database, None)).await.expect("a ledger without it");
    assert_eq!(balance(&*direct, "u19").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_create_tables_can_use_them() {
    let server = PostgresServer::shared().await;
    let database = server.database().await;
    let url = server.url(&database, None);
    drop(connect(&url).await.expect("a ledger"));
    let client = server.client(&database).await.expect("a connection");
    client
        .batch_execute(
            "CREATE ROLE clerk LOGIN PASSWORD 'gehe:im/@?#%'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk;
             GRANT INSERT, UPDATE ON chat_account, chat_escrow TO clerk; GRANT INSERT ON chat_transfer TO clerk;",
        )
        .await
        .expect("granted");
    let ledger = connect(&url.replace("postgres:gehe", "clerk:gehe")).await.expect("a ledger");
    endow(&*ledger, "a", 5).await;
    assert_eq!(ledger.ready().await, Ok(()));
    client.batch_execute("ALTER ROLE clerk SET default_transaction_read_only = on").await.expect("changed");
    let refused = connect(&url.replace("postgres:gehe", "clerk:gehe")).await;
    assert!(refused.is_err(), "a server that takes no changes");
}
