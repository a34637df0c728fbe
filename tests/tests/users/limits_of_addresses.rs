//! What happens to an address that has, or makes, too many connections, or asks too much over HTTP.
//!
//! Invariant: other addresses do not notice; whoever closes a connection, or waits, is let in again.

use std::net::Ipv4Addr;

use chat_tests::closed::Closed;
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, connect_from, exchange_over, get_from};
use chat_tests::raw_socket::{RawSocket, handshake};
use chat_tests::wait::{SOON, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Who looks at the numbers.
const WATCH: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

async fn refused(node: &Node, limit: &str) -> u64 {
    let metrics = get_from(WATCH, node.server(), "/metrics").await.body;
    let name = format!("chatd_limit_refusals_total{{limit=\"{limit}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    count.unwrap_or_else(|| panic!("{limit} is no metric")).parse().expect("a number")
}

/// A WebSocket from this address, or the answer instead.
async fn shake_hands(source: Ipv4Addr, node: &Node) -> Result<TcpStream, Answer> {
    let mut tcp = connect_from(source, node.server()).await;
    let _ = tcp.write_all(handshake(node.server()).as_bytes()).await;
    let mut first = [0; 12];
    tcp.peek(&mut first).await.expect("an answer");
    if first.starts_with(b"HTTP/1.1 101") {
        let mut head = [0; 129];
        tcp.read_exact(&mut head).await.expect("a head");
        return Ok(tcp);
    }
    Err(exchange_over(tcp, b"").await.expect("an answer"))
}

fn assert_too_many(answer: &Answer, words: &str) {
    assert_eq!((answer.code(), answer.status), (1011, 429), "{answer:?}");
    assert!(answer.reason().contains(words), "{answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().expect("seconds") >= 1);
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn an_address_has_so_many_connections_open_whatever_they_speak() {
    let node = Node::ephemeral(&["--connections-per-address", "3"]).await;
    let mut open = vec![
        shake_hands(CROWD, &node).await.expect("a WebSocket"),
        shake_hands(CROWD, &node).await.expect("a WebSocket"),
        connect_from(CROWD, node.server()).await,
    ];
    let words = "127.0.0.2 has 3 connections open (limits.connections_per_address = 3)";
    for _ in 0..3 {
        assert_too_many(&shake_hands(CROWD, &node).await.expect_err("one too many"), words);
        let answer = get_from(CROWD, node.server(), "/livez").await;
        assert_too_many(&answer, words);
        assert_eq!(answer.json()["data"], json!({"limit": "connections_per_address", "bound": 3}));
        shake_hands(OTHER, &node).await.expect("another address");
    }
    assert_eq!(refused(&node, "connections_per_address").await, 6);
    for _ in 0..2 {
        drop(open.remove(0));
        let mut back = Vec::new();
        until("there is room again", SOON, async || {
            shake_hands(CROWD, &node).await.map(|tcp| back.push(tcp)).is_ok()
        })
        .await;
        open.extend(back);
        assert_eq!(open.len(), 3);
    }
    let state = get_from(WATCH, node.server(), "/system/state").await.json();
    let limits = state["data"]["limits"].as_array().expect("limits").clone();
    let own = limits.into_iter().find(|limit| limit["name"] == "connections_per_address").expect("the limit");
    assert_eq!(own["value"], "3");
    assert!(own["refused"].as_u64().expect("a number") >= 6);
}

#[tokio::test]
async fn however_many_are_refused_each_is_told() {
    let node = Node::ephemeral(&["--connections-per-address", "1"]).await;
    let _held = connect_from(CROWD, node.server()).await;
    // None of them goes before the last has come.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(connect_from(CROWD, node.server()).await);
    }
    for (number, tcp) in crowd.iter_mut().enumerate() {
        let mut said = String::new();
        timeout(SOON, tcp.read_to_string(&mut said)).await.expect("an end").expect("no reset");
        assert!(said.starts_with("HTTP/1.1 429 ") && said.contains("1011"), "{number}: {said}");
    }
}

#[tokio::test]
async fn an_address_connects_so_often() {
    let node =
        Node::ephemeral(&["--connect-rate-per-address", "72/h", "--connect-burst-per-address", "4"]).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(shake_hands(CROWD, &node).await.expect("a WebSocket"));
        assert_eq!(get_from(CROWD, node.server(), "/livez").await.status, 200);
    }
    drop(open);
    for _ in 0..2 {
        let answer = get_from(CROWD, node.server(), "/livez").await;
        assert_too_many(
            &answer,
            "to connect from 127.0.0.2 (limits.connect_rate_per_address = 72/h, 4 at once)",
        );
        let wait_ms = answer.json()["data"]["retryAfterMs"].as_u64().expect("a time");
        assert!((40_000..=50_000).contains(&wait_ms), "{wait_ms}");
        let limit = "connect_rate_per_address";
        let told = json!({"retryAfterMs": wait_ms, "limit": limit, "bound": 72, "perMs": 3_600_000});
        assert_eq!(answer.json()["data"], told);
        assert_eq!(answer.header("retry-after"), wait_ms.div_ceil(1000).to_string());
        shake_hands(OTHER, &node).await.expect("another address");
    }
    assert_eq!(refused(&node, "connect_rate_per_address").await, 2);
}

#[tokio::test]
async fn whoever_waits_connects_again() {
    let node =
        Node::ephemeral(&["--connect-rate-per-address", "10/s", "--connect-burst-per-address", "1"]).await;
    let livez = async || get_from(CROWD, node.server(), "/livez").await.status == 200;
    let mut outcomes = Vec::new();
    while !outcomes.contains(&false) {
        outcomes.push(livez().await);
        assert!(outcomes.len() < 1000, "never refused");
    }
    until("it is let in again", SOON, livez).await;
}

#[tokio::test]
async fn an_ipv4_address_is_itself_on_a_socket_of_both_kinds() {
    let node = Node::ephemeral_on("[::]:0", &["--allow-open", "--connections-per-address", "1"]).await;
    let port = node.server().authority().rsplit(':').next().expect("a port").to_owned();
    let server = format!("http://127.0.0.1:{port}").parse().expect("an address");
    let _held = connect_from(CROWD, &server).await;
    let mut answer = get_from(CROWD, &server, "/livez").await;
    assert_too_many(&answer, "127.0.0.2 has 1 connections open");
    answer = get_from(OTHER, &server, "/livez").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_address_asks_so_much_over_http_but_an_operator_with_a_key() {
    let arguments = ["--http-rate-per-address", "72/h", "--http-burst-per-address", "4"];
    let closed = Closed::start("", &arguments).await;
    let ask = async |source: Ipv4Addr, path: &str, shown: &str| {
        let host = closed.node.server().authority();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {shown}\r\nConnection: close\r\n\r\n"
        );
        exchange_over(connect_from(source, closed.node.server()).await, head.as_bytes())
            .await
            .expect("an answer")
    };
    let (token, key) = (closed.token(1, "a"), closed.key("all"));
    assert_eq!(ask(CROWD, "/user/list", &token).await.code(), 200);
    // Whoever has no credential, or a wrong one, counts all the more.
    for _ in 0..3 {
        assert_eq!(ask(CROWD, "/user/list", "nonsense").await.code(), 1003);
    }
    for shown in [token.as_str(), "nonsense"] {
        let answer = ask(CROWD, "/user/list", shown).await;
        assert_eq!((answer.code(), answer.status), (1011, 429));
        let words = "over HTTP from 127.0.0.2 (limits.http_rate_per_address = 72/h, 4 at once)";
        assert!(answer.reason().contains(words), "{answer:?}");
        assert_eq!(answer.json()["data"]["limit"], "http_rate_per_address");
    }
    for _ in 0..6 {
        assert_eq!(ask(CROWD, "/user/list?appId=1", key).await.code(), 200, "an operator");
        assert_eq!(ask(CROWD, "/livez", "").await.status, 200, "no operation");
    }
    assert_eq!(ask(OTHER, "/user/list", &token).await.code(), 200, "another address");
    // A WebSocket is no operation.
    let mut socket = RawSocket::open(closed.node.server()).await;
    socket.send_text(r#"{"seq":"1","cmd":"ping"}"#).await;
    assert_eq!(socket.answer().await["response"]["code"], 200);
}
