//! What the log tells of a connection: who came, who was refused, and why and how each one ended.
//!
//! Invariant: whatever clients write, one event is one line.

use chat_protocol::Target;
use chat_tests::node::Node;
use chat_tests::raw_http::{get, status};
use chat_tests::raw_socket::{RawSocket, frame, opcode, unmasked};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const APP: u32 = 906;
const JSON: [&str; 2] = ["--log-format", "json"];

/// The fields of the first line with this message that is about the user.
async fn told(node: &Node, message: &str, user: &Value) -> Value {
    let mut found = None;
    until(&format!("{message:?} of {user}"), SOON, async || {
        let is = |line: &Value| line["fields"]["message"] == message && line["fields"]["user"] == *user;
        found = node.log_lines().into_iter().find(is);
        found.is_some()
    })
    .await;
    let line = found.expect("checked");
    assert_eq!(line["level"], "INFO", "{line}");
    line["fields"].clone()
}

async fn enter(node: &Node, user: &str) -> RawSocket {
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, user).await;
    socket
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(true, opcode::CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Checks the end of a user's connection, and what stands in each.
async fn assert_ended(node: &Node, user: &str, code: u16, reason: &str) -> Value {
    let came = told(node, "logged in", &user.into()).await;
    let end = told(node, "ended", &user.into()).await;
    assert_eq!((&end["code"], &end["reason"]), (&code.into(), &reason.into()), "{end}");
    for same in ["connection", "peer", "app"] {
        assert!(end[same] == came[same] && !end[same].is_null(), "{same}: {came} {end}");
    }
    assert!(end["seconds"].is_f64() && end["bytes_in"].as_u64() > Some(50), "{end}");
    // The answer to the log-in at least.
    assert!(end["bytes_out"].as_u64() > Some(50) && end["frames_out"].as_u64() >= Some(1), "{end}");
    end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_that_a_client_makes_is_told_with_its_code_and_reason() {
    let node = Node::ephemeral(&JSON).await;
    let mut sockets = Vec::new();
    for (user, last, code, reason, detail) in [
        ("closes", close(1000, "bye"), 1000, "closed by the client", "bye"),
        ("no-code", frame(true, opcode::CLOSE, &[]), 1005, "closed by the client", ""),
        ("unmasked", unmasked(opcode::TEXT, b"{}"), 1002, "protocol error", "unmasked"),
        ("no-text", frame(true, opcode::TEXT, &[0xff]), 1007, "text is not UTF-8", "UTF-8"),
        ("large", frame(true, opcode::TEXT, &[b'x'; 70_000]), 1009, "frame too large", "too"),
    ] {
        let mut socket = enter(&node, user).await;
        socket.send(&last).await;
        assert!(socket.ends().await, "{user}");
        let end = assert_ended(&node, user, code, reason).await;
        let said = end["detail"].as_str().unwrap_or_default();
        assert!(said.contains(detail) && said.is_empty() == detail.is_empty(), "{end}");
        assert_eq!((&end["queued_frames"], &end["queued_bytes"]), (&0.into(), &0.into()), "{end}");
        sockets.push(socket);
    }
    let mut leaves = enter(&node, "leaves").await;
    leaves.shut().await;
    assert_ended(&node, "leaves", 1006, "the client left without a close").await;
    let lost = enter(&node, "lost").await;
    lost.reset_on_drop();
    drop(lost);
    let end = assert_ended(&node, "lost", 1006, "the connection was lost").await;
    assert!(end["detail"].as_str().is_some_and(|detail| detail.contains("reset")), "{end}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_that_the_node_makes_is_told_with_its_code_and_reason() {
    let deadlines = ["--heartbeat-timeout", "4s", "--login-timeout", "1s", "--outbox-frames", "64"];
    let mut node = Node::ephemeral(&[&JSON[..], &deadlines].concat()).await;
    let mut late = RawSocket::open(node.server()).await;
    assert_eq!(late.close_code().await, 4003);
    let end = told(&node, "ended", &Value::Null).await;
    assert_eq!((&end["code"], &end["reason"]), (&4003.into(), &"no log-in in time".into()), "{end}");

    let silent = enter(&node, "silent").await;
    assert_ended(&node, "silent", 4000, "heartbeat timeout").await;
    drop(silent);

    let slow = enter(&node, "slow").await;
    let mut sender = node.login(APP, "sender").await;
    let text = "x".repeat(8000);
    until("the slow reader is given up", 3 * SOON, async || {
        sender.send(Target::World, &text).await.expect("accepted");
        node.log().contains(r#""code":4001"#)
    })
    .await;
    let end = assert_ended(&node, "slow", 4001, "read too slowly; reconnect and recover").await;
    let queued = end["queued_frames"].as_u64().zip(end["queued_bytes"].as_u64());
    assert!(queued.is_some_and(|(frames, bytes)| frames >= 64 && bytes > frames * 8000 - 8000), "{end}");
    drop(slow);

    let stays = enter(&node, "stays").await;
    node.signal(Signal::SIGTERM);
    assert_ended(&node, "stays", 4002, "the node is stopping; reconnect and recover").await;
    drop((stays, sender));
    assert_eq!(node.ended().await, Some(0));
}

/// The log of the world is gone and begins anew, so that nobody can be given what stood between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_over_missed_messages_is_told_with_its_code_and_reason() {
    let redis = RedisServer::start().await;
    let node = Node::start(&[&JSON[..], &["--redis", &redis.url()]].concat()).await;
    let mut reader = enter(&node, "reader").await;
    let mut sender = node.login(APP, "sender").await;
    sender.send(Target::World, "before").await.expect("accepted");
    redis.command(&["FLUSHALL"]).await;
    sender.send(Target::World, "after").await.expect("accepted");
    assert_eq!(reader.close_code().await, 4004);
    assert_ended(&node, "reader", 4004, "messages were missed; reconnect and recover").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_handshake_and_log_in_are_explained() {
    let node = Node::ephemeral(&[&JSON[..], &["--max-connections", "1"]].concat()).await;
    assert_eq!(get(node.server(), "/acc").await.status, 400);
    let line = told(&node, "refused a handshake", &Value::Null).await;
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("ws://")), "{line}");
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");

    let mut socket = RawSocket::open(node.server()).await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(status(node.server(), "/acc", &upgrade).await, 503);
    until("the bound is told", SOON, async || node.log().contains("this node holds its 1 connections")).await;

    let login = |data: Value| json!({"seq": "1", "cmd": "login", "data": data}).to_string();
    socket.send_text(login(json!({"appId": APP, "userId": "a\nb"}))).await;
    assert_eq!(socket.answer().await["response"]["code"], 1002);
    let line = told(&node, "refused a log-in", &Value::Null).await;
    assert_eq!((&line["code"], &line["connection"]), (&1002.into(), &1.into()), "{line}");
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("userId")), "{line}");
    socket.login(APP, "one").await;
    socket.send_text(login(json!({"appId": APP, "userId": "other"}))).await;
    assert_eq!(socket.answer().await["response"]["code"], 1009);
    let line = told(&node, "refused a log-in", &"one".into()).await;
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("already")), "{line}");
}

/// Whether a line of text begins as one.
fn begins_well(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let time = words.next().is_some_and(|time| time.ends_with('Z') && time.contains('T'));
    line.starts_with("listening on ")
        || time && words.next().is_some_and(|word| ["INFO", "DEBUG"].contains(&word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_words_of_clients_break_no_line() {
    let name = "a\" code=1 user=\"b\\\u{2028}{}'=";
    let forged = "bye\n2026-01-01T00:00:00Z INFO forged\r\u{1b}[31m\u{85}";
    for form in ["json", "text"] {
        let node = Node::ephemeral(&["--log", "debug", "--log-format", form]).await;
        let mut socket = enter(&node, name).await;
        socket.send_text("{\"seq\":\"1\\n2\u{2028}\",\"cmd\":\"no\\nsuch\"}").await;
        assert_eq!(socket.answer().await["response"]["code"], 1010);
        socket.send(&close(4999, forged)).await;
        assert!(socket.ends().await);
        if form == "json" {
            let end = assert_ended(&node, name, 4999, "closed by the client").await;
            assert_eq!(end["detail"], forged);
            assert!(node.log_lines().iter().any(|line| line["spans"][2]["cmd"] == "no\nsuch"));
            continue;
        }
        let own = format!("user={name:?}");
        let ended = |line: &&str| line.contains("chatd::connection: ended ") && line.contains(&own);
        until("the end", SOON, async || node.log().lines().any(|line| ended(&line))).await;
        let log = node.log();
        assert!(log.lines().all(begins_well), "{log}");
        assert!(
            !log.contains(|sign: char| sign != '\n' && (sign.is_control() || sign == '\u{2028}')),
            "{log:?}"
        );
        assert_eq!(log.lines().filter(ended).count(), 1, "{log}");
        let forged = format!("detail={forged:?}");
        assert!(log.lines().any(|line| ended(&line) && line.contains(&forged)), "{forged}\n{log}");
    }
}
