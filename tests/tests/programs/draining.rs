//! How a node stops that an operator drains: what it answers meanwhile, how far it says it is, and what hastens it.
//!
//! Invariant: more connections than go within the test by themselves; nothing is concluded from how long it took.

use chat_client::Session;
use chat_protocol::system::{Drain, DrainRequest};
use chat_tests::exposition::scrape;
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::raw_http::{UPGRADE, get, request, status};
use chat_tests::raw_socket::RawSocket;
use chat_tests::talk::{close_code, refused};
use chat_tests::wait::{SOON, until};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const APP: u32 = 331;
/// One goes every 100 ms at least.
const CROWD: usize = 600;
/// Longer than any test.
const LONG: u32 = 3600;

/// Connections that have not logged in.
async fn crowd(node: &Node) -> Vec<RawSocket> {
    join_all((0..CROWD).map(|_| RawSocket::open(node.server()))).await
}

async fn drain(node: &Node, seconds: Option<u32>) -> chat_protocol::system::DrainResponse {
    node.http().call::<Drain>(&DrainRequest { seconds, node: None }).await.expect("answered")
}

/// What a session is told before it is closed with 4002: when to come back.
async fn told(session: &mut Session) -> u64 {
    loop {
        let push = session.next_push(SOON).await.expect("open").expect("told in time");
        if push.cmd == "system/drain" {
            assert_eq!(close_code(session).await, 4002);
            return push.data["reconnectInMs"].as_u64().expect("a number");
        }
    }
}

async fn everybody_is_told_to_go(crowd: Vec<RawSocket>) {
    let codes = join_all(crowd.into_iter().map(async |mut socket| socket.close_code().await)).await;
    assert!(codes.iter().all(|code| *code == 4002), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_drained_refuses_new_connections_and_serves_the_others_until_their_turn() {
    let mut node = Node::ephemeral(&["--login-timeout", "1h"]).await;
    let crowd = crowd(&node).await;
    let mut last = node.login(APP, "last").await;
    assert_eq!(get(node.server(), "/readyz").await.status, 200);
    let scraped = scrape(&node).await;
    assert_eq!([scraped.of("chatd_draining"), scraped.of("chatd_draining_connections")], [0.0, 0.0]);
    let begun = drain(&node, Some(LONG)).await;
    assert!(begun.left_ms <= u64::from(LONG) * 1000 && begun.connections <= CROWD as u64 + 1, "{begun:?}");

    let ready = get(node.server(), "/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("stop"), "{ready:?}");
    assert_eq!(get(node.server(), "/livez").await.status, 200);
    for path in ["/acc", "/acc?x=1"] {
        let refused = request(node.server(), "GET", path, &UPGRADE, &[]).await;
        assert_eq!((refused.status, refused.code()), (503, 1013), "{refused:?}");
        assert!(refused.reason().contains("another or later"), "{refused:?}");
    }
    let state = get(node.server(), "/system/state").await.json();
    assert_eq!((&state["data"]["ready"], &state["data"]["draining"]), (&json!(false), &json!(true)));
    last.request("msg", &json!({"msg": "still served"})).await.expect("served");
    let scraped = scrape(&node).await;
    let left = scraped.of("chatd_draining_connections");
    assert!(scraped.of("chatd_draining") == 1.0 && left > 1.0 && left <= CROWD as f64 + 1.0, "{left}");

    // Asked again it goes on, as it was begun.
    until("some have gone", SOON, async || drain(&node, None).await.connections < begun.connections).await;
    let again = drain(&node, Some(LONG)).await;
    assert!(again.left_ms < begun.left_ms && again.node_id == begun.node_id, "{again:?} {begun:?}");
    let of_another = DrainRequest { seconds: Some(0), node: Some("another".to_owned()) };
    assert_eq!(refused(node.http().call::<Drain>(&of_another).await), 1005);
    assert!(drain(&node, None).await.connections > 1, "that hastened nothing");

    assert_eq!(drain(&node, Some(0)).await.left_ms, 0);
    let (ms, ()) = tokio::join!(told(&mut last), everybody_is_told_to_go(crowd));
    assert!(ms <= 1000, "{ms}");
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_hastens_a_drain_and_only_the_second_ends_it() {
    let mut node = Node::ephemeral(&["--drain", "0", "--login-timeout", "1h"]).await;
    let crowd = crowd(&node).await;
    drain(&node, Some(LONG)).await;
    node.signal(Signal::SIGTERM);
    everybody_is_told_to_go(crowd).await;
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test]
async fn an_idle_node_that_is_drained_answers_and_ends() {
    let mut node = Node::ephemeral(&[]).await;
    let done = drain(&node, None).await;
    assert_eq!(done.connections, 0);
    assert_eq!(node.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chatctl_watches_a_drain_to_its_end() {
    let mut node = Node::ephemeral(&[]).await;
    let mut user = node.login(APP, "user").await;
    let server = node.server().to_string();
    let ended = run("chatctl", &["--server", &server, "drain"], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "nobody said yes: {ended:?}");
    assert!(ended.stderr.contains("with its 1 connection?"), "{ended:?}");
    let arguments = ["--server", &server, "drain", "--over", "1s", "-y", "-o", "json"];
    let (ended, ms) = tokio::join!(run("chatctl", &arguments, &[]), told(&mut user));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&told["stopped"], &told["connections"]), (&json!(true), &json!(0)), "{told}");
    assert!(ms <= 1000);
    assert_eq!(node.ended().await, Some(0));
    let ended = run("chatctl", &["--server", &server, "drain"], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "nobody said yes: {ended:?}");
}

#[tokio::test]
async fn a_drain_is_at_most_an_hour() {
    let ended = run("chatd", &["--ephemeral", "--listen", "127.0.0.1:0", "--drain", "61m"], &[]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("drain must be at most 1h"), "{ended:?}");
    let node = Node::ephemeral(&[]).await;
    assert_eq!(refused(node.http().call_raw("/system/drain", &json!({"seconds": 3601})).await), 1001);
    assert_eq!(status(node.server(), "/system/drain", &[]).await, 405, "no picture in a page can ask for it");
}
