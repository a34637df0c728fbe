//! What a node comes to hold of those who may ask for anything: apps, and open red packets of a user.
//!
//! Invariant: a refusal names the setting and its value, is counted, and whoever was there before is not disturbed.

use std::path::Path;

use chat_client::{Error, Http};
use chat_protocol::system::{LimitState, State, StateRequest};
use chat_tests::money_site::{balance, deposit};
use chat_tests::node::Node;
use chat_tests::postgres_server::PostgresServer;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use futures_util::future::join_all;
use serde_json::{Value, json};

const APP: u32 = 4001;

async fn state(node: &Node, limit: &str) -> LimitState {
    let state = node.http().call::<State>(&StateRequest {}).await.expect("a state");
    state.limits.into_iter().find(|state| state.name == limit).expect("the limit")
}

async fn reload(node: &Node) -> Value {
    node.http().call_raw("/system/reload", &json!({})).await.expect("it is read")
}

/// Why it was refused by a rule.
fn reason<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Refused { code: 1009, reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

async fn log_in(node: &Node, app: u32) -> Result<(), Error> {
    let mut session = node.connect().await;
    session.request("login", &json!({"userId": "a", "appId": app})).await.map(drop)
}

async fn say(node: &Node, app: &Value) -> Result<(), Error> {
    let message = json!({"appId": app, "userId": "a", "msgId": "m", "message": "hello"});
    node.http().call_raw("/user/sendMessageAll", &message).await.map(drop)
}

fn limited(directory: &Path, apps: u64) -> [String; 2] {
    let file = directory.join("chatd.toml");
    std::fs::write(&file, format!("[limits]\nmax_apps = {apps}\n")).expect("written");
    ["--config".to_owned(), file.to_str().expect("a path").to_owned()]
}

#[tokio::test]
async fn no_more_apps_come_to_be_than_may_and_those_there_are_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").to_str().expect("a path").to_owned();
    let [flag, file] = limited(directory.path(), 0);
    let arguments = [flag.as_str(), &file, "--data-dir", &data];
    let node = Node::start(&arguments).await;
    // Without a limit, and remembered by its message alone.
    say(&node, &json!(APP)).await.expect("no limit");
    limited(directory.path(), 2);
    assert_eq!(reload(&node).await["limits"], json!(["max_apps"]));
    log_in(&node, APP + 1).await.expect("the first");
    say(&node, &json!((APP + 2).to_string())).await.expect("the second");
    let words =
        format!("there are as many apps as may be (limits.max_apps = 2), and {} is none of them", APP + 3);
    assert_eq!(reason(log_in(&node, APP + 3).await), words);
    assert_eq!(reason(say(&node, &json!(APP + 3)).await), words);
    for path in ["/group/create", "/friend/request", "/system/ban"] {
        let data = json!({"appId": APP + 3, "userId": "a", "name": "n", "friendId": "b", "seconds": 60});
        assert_eq!(reason(node.http().call_raw(path, &data).await), words, "{path}");
    }
    let read = json!({"appId": APP + 3});
    node.http().call_raw("/user/list", &read).await.expect("what only reads leaves nothing");
    say(&node, &json!(APP)).await.expect("it has messages");
    for app in [APP, APP + 1, APP + 2] {
        log_in(&node, app).await.expect("it is there");
    }
    let told = state(&node, "max_apps").await;
    assert_eq!((told.value.as_str(), told.refused), ("2", 5));
    let metrics = get(node.server(), "/metrics").await.body;
    assert!(metrics.contains("chatd_limit_refusals_total{limit=\"max_apps\"} 5\n"), "{metrics}");
    assert_eq!(node.stop().await, Some(0));
    // Over a restart, and under a lower limit.
    limited(directory.path(), 1);
    let node = Node::start(&arguments).await;
    for app in [APP, APP + 1, APP + 2] {
        log_in(&node, app).await.expect("it is there");
    }
    reason(log_in(&node, APP + 3).await);
    limited(directory.path(), 0);
    reload(&node).await;
    log_in(&node, APP + 3).await.expect("no limit any more");
}

#[tokio::test]
async fn nodes_on_one_redis_count_apps_together_and_exactly() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let before = Node::start(&["--redis", &url]).await;
    say(&before, &json!(APP)).await.expect("no limit there");
    let arguments = ["--redis", &url, "--max-apps", "3"];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let asked = join_all((0..20).map(async |number| {
        let app = APP + 1 + number / 2;
        (app, log_in(if number % 2 == 0 { &one } else { &two }, app).await)
    }))
    .await;
    let mut admitted: Vec<_> =
        asked.iter().filter(|(_, entered)| entered.is_ok()).map(|(app, _)| *app).collect();
    admitted.dedup();
    assert_eq!(admitted.len(), 3, "{asked:?}");
    assert_eq!(asked.iter().filter(|(_, entered)| entered.is_ok()).count(), 6, "on both nodes: {asked:?}");
    for app in admitted.into_iter().chain([APP]) {
        say(&one, &json!(app)).await.expect("it is there");
        log_in(&two, app).await.expect("it is there");
    }
    reason(log_in(&one, APP + 99).await);
}

async fn offer(http: &Http, user: &str, id: &str) -> Result<String, Error> {
    let packet = json!({"appId": APP, "userId": user, "target": "", "total": 10, "count": 1, "msgId": id});
    let created = http.call_raw("/redPacket/create", &packet).await?;
    Ok(created["packetId"].as_str().expect("an id").to_owned())
}

async fn a_user_has_so_many_open_packets(one: &Node, two: &Node) {
    deposit(&one.http(), APP, "giver", 1000).await;
    deposit(&one.http(), APP, "other", 1000).await;
    let offered = join_all((0..12).map(async |number| {
        let node = if number % 2 == 0 { one } else { two };
        offer(&node.http(), "giver", &format!("p{number}")).await
    }))
    .await;
    let open: Vec<_> = offered.iter().flatten().cloned().collect();
    assert_eq!(open.len(), 3, "{offered:?}");
    for refused in offered.into_iter().filter(Result::is_err) {
        let words = "3 red packets of this user are open (limits.open_red_packets_per_user = 3);";
        let reason = reason(refused);
        assert!(reason.starts_with(words), "{reason}");
    }
    assert_eq!(balance(&one.http(), APP, "giver").await, 970, "what was refused moved no money");
    offer(&two.http(), "other", "p").await.expect("another user has their own");
    let refused = state(one, "open_red_packets_per_user").await.refused
        + if std::ptr::eq(one, two) { 0 } else { state(two, "open_red_packets_per_user").await.refused };
    assert_eq!((state(one, "open_red_packets_per_user").await.value.as_str(), refused), ("3", 9));
    let grab = json!({"appId": APP, "userId": "taker", "packetId": open[0]});
    assert_eq!(two.http().call_raw("/redPacket/grab", &grab).await.expect("a share")["outcome"], "won");
    until("there is room for another one", SOON, async || offer(&one.http(), "giver", "late").await.is_ok())
        .await;
    reason(offer(&two.http(), "giver", "too late").await);
    offer(&two.http(), "giver", "late").await.expect("a repeat is none more");
}

#[tokio::test]
async fn a_user_has_no_more_open_red_packets_than_may_be() {
    let node = Node::ephemeral(&["--open-red-packets-per-user", "3"]).await;
    a_user_has_so_many_open_packets(&node, &node).await;
}

#[tokio::test]
async fn nodes_on_one_ledger_count_open_red_packets_together_and_exactly() {
    let (redis, postgres) = tokio::join!(RedisServer::start(), PostgresServer::shared());
    let ledger = postgres.url(&postgres.database().await, None);
    let arguments = ["--redis", &redis.url(), "--ledger", &ledger, "--open-red-packets-per-user", "3"];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    a_user_has_so_many_open_packets(&one, &two).await;
}
