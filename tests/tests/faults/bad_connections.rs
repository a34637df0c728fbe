//! Connections that stop halfway, say nothing, or never log in: let go after their time, at nobody's cost.
//!
//! Invariant: no test concludes anything from how long something took; only that it ends, and how.

use chat_client::Connection;
use chat_client::connection::Options;
use chat_client::{Error, Session};
use chat_tests::node::Node;
use chat_tests::raw_socket::{RawSocket, frame, handshake, opcode};
use chat_tests::talk::{Bystanders, close_code};
use chat_tests::wait::{SOON, until};
use serde_json::json;
use tokio::task::JoinSet;

const APP: u32 = 204;

#[tokio::test]
async fn a_client_that_stops_halfway_into_a_request_is_let_go() {
    let node = Node::ephemeral(&["--keep-alive=1"]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let upgrade = handshake(node.server());
    let mut held = JoinSet::new();
    for (what, bytes) in [
        ("half a handshake", "GET /acc HTTP/1.1\r\nHost:"),
        ("a handshake without its last line", &upgrade[..upgrade.len() - 2]),
        ("one byte", "G"),
        ("nothing at all", ""),
        ("half the preface of HTTP/2", "PRI * HTTP/2.0\r\n"),
        ("the preface of HTTP/2 alone", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("half a body", "POST /user/list HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nappId="),
        ("no further request", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("half a further request", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /li"),
    ] {
        let mut socket = RawSocket::connect(node.server()).await;
        socket.send(bytes.as_bytes()).await;
        held.spawn(async move { (what, socket.ends().await) });
    }
    bystanders.are_undisturbed().await;
    let mut kept: Vec<_> = held.join_all().await.into_iter().filter(|(_, ended)| !ended).collect();
    kept.sort_unstable();
    assert_eq!(kept, [], "connections that stay open");
    bystanders.are_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_that_never_log_in_are_closed_with_4003_while_others_talk() {
    let node = Node::ephemeral(&["--login-timeout=1"]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let mut silent = JoinSet::new();
    for _ in 0..1000 {
        let server = node.server().clone();
        silent.spawn(async move {
            let mut connection = Connection::open(&server, &Options::default()).await.expect("a handshake");
            match connection.next().await {
                Err(Error::Closed { code, .. }) => code,
                other => panic!("{other:?}"),
            }
        });
    }
    let mut closed = 0;
    while closed < 1000 {
        bystanders.are_undisturbed().await;
        while let Some(code) = silent.try_join_next() {
            assert_eq!(code.expect("no panic"), 4003);
            closed += 1;
        }
    }
    bystanders.are_undisturbed().await;
    let http = node.http();
    let gone = async || {
        let state = http.call_raw("/system/state", &json!({})).await.expect("answered");
        state["connections"] == 2 && state["sessions"] == 2
    };
    until("only the bystanders are connected", SOON, gone).await;
}

#[tokio::test]
async fn asking_without_logging_in_does_not_put_the_deadline_off() {
    let node = Node::ephemeral(&["--login-timeout=1"]).await;
    let mut session = node.connect().await;
    let code = loop {
        match session.request("ping", &json!({})).await {
            Ok(pong) => assert_eq!(pong, "pong"),
            Err(Error::Closed { code, .. }) => break code,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(code, 4003);
}

#[tokio::test]
async fn silence_for_the_heartbeat_timeout_is_closed_with_4000() {
    let node = Node::ephemeral(&["--heartbeat-timeout=2"]).await;
    let mut silent = node.login(APP, "silent").await;
    let mut halfway = RawSocket::open(node.server()).await;
    halfway.login(APP, "halfway").await;
    let begun = frame(true, opcode::TEXT, br#"{"seq":"1","cmd":"ping"}"#);
    halfway.send(&begun[..begun.len() / 2]).await;
    let mut lively = node.login(APP, "lively").await;
    let (silent, halfway) = {
        let waiting = async { tokio::join!(close_code(&mut silent), halfway.close_code()) };
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                codes = &mut waiting => break codes,
                () = beat(&mut lively) => {}
            }
        }
    };
    assert_eq!((silent, halfway), (4000, 4000));
    beat(&mut lively).await;
    let http = node.http();
    let left = async || {
        let list = http.call_raw("/user/list", &json!({"appId": APP})).await.expect("answered");
        list["userList"] == json!(["lively"])
    };
    until("the closed users are offline", SOON, left).await;
}

async fn beat(session: &mut Session) {
    session.request("heartbeat", &json!({})).await.expect("a connection that is heard stays open");
}
