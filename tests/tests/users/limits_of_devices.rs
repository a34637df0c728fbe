//! How many connections a user may have, on one node and on several.
//!
//! Invariant: nobody is refused who has fewer than are allowed; whoever was refused may try again on the same connection.

use std::sync::Arc;

use chat_client::{Error, Session};
use chat_tests::closed::Closed;
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const APP: u32 = 908;

async fn login(session: &mut Session, user: &str) -> Result<Value, Error> {
    session.request("login", &json!({"userId": user, "appId": APP})).await
}

fn reason(refused: Result<Value, Error>) -> String {
    match refused {
        Err(Error::Refused { code: 1009, reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

async fn refused(node: &Node) -> u64 {
    let state = get(node.server(), "/system/state").await.json();
    let limits = state["data"]["limits"].as_array().expect("limits").clone();
    let own = limits.into_iter().find(|limit| limit["name"] == "connections_per_user").expect("the limit");
    own["refused"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_whoever_goes_leaves_room() {
    let node = Node::ephemeral(&["--connections-per-user", "2"]).await;
    let first = node.login(APP, "a").await;
    let _second = node.login(APP, "a").await;
    let mut third = node.connect().await;
    let told = "the user has 2 connections on this node and some on 0 others (limits.connections_per_user = 2); close one first";
    assert_eq!(reason(login(&mut third, "a").await), told);
    assert_eq!(reason(login(&mut third, "a").await), told);
    assert_eq!(refused(&node).await, 2);
    let mut other = node.connect().await;
    login(&mut other, "b").await.expect("another user");
    drop(first);
    until("there is room again", SOON, async || login(&mut third, "a").await.is_ok()).await;
    let mut fourth = node.connect().await;
    reason(login(&mut fourth, "a").await);
    // A log-in that fails for another reason takes no room.
    let bad = json!({"userId": "c", "appId": APP, "recover": [{"target": "", "epoch": "", "offset": 0}, {"target": "", "epoch": "", "offset": 0}]});
    for _ in 0..5 {
        fourth.request("login", &bad).await.expect_err("it names a conversation twice");
    }
    login(&mut fourth, "c").await.expect("in");
    let mut fifth = node.connect().await;
    login(&mut fifth, "c").await.expect("in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_come_at_once_exactly_so_many_get_in() {
    let node = Arc::new(Node::ephemeral(&["--connections-per-user", "7"]).await);
    let mut coming = JoinSet::new();
    for _ in 0..40 {
        let node = node.clone();
        coming.spawn(async move {
            let mut session = node.connect().await;
            let entered = login(&mut session, "a").await.is_ok();
            (session, entered)
        });
    }
    let came = coming.join_all().await;
    assert_eq!(came.iter().filter(|(_, entered)| *entered).count(), 7);
    assert_eq!(refused(&node).await, 33);
}

#[tokio::test]
async fn other_nodes_count_while_the_user_is_there() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--connections-per-user", "2"];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let here = one.login(APP, "a").await;
    let there = two.login(APP, "a").await;
    // A node may learn of another some seconds after that came up.
    let mut refused = None;
    until("each node knows of the other", SOON, async || {
        let mut third = one.connect().await;
        let Err(error) = login(&mut third, "a").await else { return false };
        let told = reason(Err(error));
        let is_known =
            told.starts_with("the user has 1 connections on this node and some on 1 others (limits.");
        refused = is_known.then_some(third);
        is_known
    })
    .await;
    let mut third = refused.expect("refused");
    drop(here);
    until("there is room again", SOON, async || login(&mut third, "a").await.is_ok()).await;
    let mut fourth = one.connect().await;
    reason(login(&mut fourth, "a").await);
    drop(there);
    until("there is room again", SOON, async || login(&mut fourth, "a").await.is_ok()).await;
    let mut fifth = two.connect().await;
    login(&mut fifth, "a").await.expect("this node knows of one other, which counts as one");
}

#[tokio::test]
async fn limits_are_read_again_while_the_node_serves() {
    let closed = Closed::start("", &[]).await;
    let http = chat_client::Http::new(closed.server(closed.key("all")), SOON).expect("a client");
    let reload = async |settings: &str| {
        closed.change(&["all"], settings);
        http.call_raw("/system/reload", &json!({})).await
    };
    let token = closed.token(APP, "a");
    let (mut first, entered) = closed.enter(APP, "a", &token).await;
    entered.expect("in");
    let limits = "[limits]\nconnections_per_user = 1\nrate_per_connection = '72/h'\nburst_per_connection = 2\ngroups_per_user = 5";
    let told = reload(limits).await.expect("it is read");
    assert_eq!(
        told["limits"],
        json!(["rate_per_connection", "burst_per_connection", "connections_per_user"])
    );
    assert_eq!(told["restart"], json!(["groups_per_user"]));
    for code in [200, 200, 1011] {
        let answer = first.request("user/list", &json!({})).await;
        assert_eq!(answer.map_or_else(|error| error.code().map_or(0, |code| code.number()), |_| 200), code);
    }
    let (_second, entered) = closed.enter(APP, "a", &token).await;
    entered.expect("the first had come before its like were counted");
    let (_third, entered) = closed.enter(APP, "a", &token).await;
    reason(entered.map(|()| Value::Null));
    // What cannot be used changes nothing.
    for (settings, named) in [
        ("[limits]\nrate_per_user = 'fast'", "rate"),
        ("[limits]\nburst_per_user = 0", "limits.burst_per_user"),
    ] {
        let told = reload(settings).await.expect_err("refused").to_string();
        assert!(told.contains(named) && told.contains("1009"), "{told}");
    }
    assert!(first.request("user/list", &json!({})).await.is_err());
    reload("").await.expect("it is read");
    for _ in 0..10 {
        first.request("user/list", &json!({})).await.expect("no limit any more");
    }
}

#[tokio::test]
async fn an_operator_with_a_key_is_no_device_of_the_user() {
    let closed = Closed::start("", &["--connections-per-user", "1"]).await;
    let token = closed.token(APP, "a");
    let (mut agents, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (agent, entered) = closed.enter(APP, "a", closed.key("talks")).await;
        entered.expect("an operator");
        agents.push(agent);
    }
    for is_in in [true, false] {
        let (session, entered) = closed.enter(APP, "a", &token).await;
        assert_eq!(entered.is_ok(), is_in, "{entered:?}");
        sessions.push(session);
    }
}

#[tokio::test]
async fn connections_that_vanished_yield_and_those_that_live_do_not() {
    let node = Node::ephemeral(&["--connections-per-user", "2", "--ping-interval", "1s"]).await;
    // Nobody reads here, or answers a ping: as when a phone has lost its network.
    let (mut first, mut second) =
        (RawSocket::open(node.server()).await, RawSocket::open(node.server()).await);
    first.login(APP, "a").await;
    second.login(APP, "a").await;
    let mut third = node.connect().await;
    until("the longest silent one yields", SOON, async || login(&mut third, "a").await.is_ok()).await;
    assert_eq!(first.close_code().await, 4000);
    // This one answers each ping, and keeps its place against as many as come.
    let living = tokio::spawn(async move { while third.next_push(SOON).await.is_ok() {} });
    let mut fourth = node.connect().await;
    until("the other silent one yields", SOON, async || login(&mut fourth, "a").await.is_ok()).await;
    assert_eq!(second.close_code().await, 4000);
    let too = tokio::spawn(async move { while fourth.next_push(SOON).await.is_ok() {} });
    let mut fifth = node.connect().await;
    for _ in 0..3 {
        reason(login(&mut fifth, "a").await);
    }
    assert!(!living.is_finished() && !too.is_finished());
}
