//! What the metrics tell of requests, log-ins and the store: each counter moves when its thing happens, and by how much.
//!
//! Invariant: what a client makes up makes no new series.

use chat_protocol::Target;
use chat_tests::closed::Closed;
use chat_tests::exposition::{Exposition, Form, read, scrape, scrape_with};
use chat_tests::jwt::{Signer, claims};
use chat_tests::node::Node;
use chat_tests::raw_http::{get, request, status};
use chat_tests::raw_socket::{RawSocket, frame, opcode};
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::close_code;
use chat_tests::wait::{SOON, until};
use serde_json::json;

const APP: u32 = 905;
/// What Prometheus sends.
const ACCEPT: (&str, &str) =
    ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1");

fn http(operation: &str, code: u16) -> String {
    format!("chatd_http_requests_total{{operation=\"{operation}\",code=\"{code}\"}}")
}

fn websocket(operation: &str, code: u16) -> String {
    format!("chatd_websocket_requests_total{{operation=\"{operation}\",code=\"{code}\"}}")
}

fn refusals(via: &str, code: u16) -> String {
    format!("chatd_refusals_total{{via=\"{via}\",code=\"{code}\"}}")
}

fn login_failures(reason: &str) -> String {
    format!("chatd_login_failures_total{{reason=\"{reason}\"}}")
}

fn credential_failures(reason: &str) -> String {
    format!("chatd_credential_failures_total{{reason=\"{reason}\"}}")
}

fn closes(code: u16) -> String {
    format!("chatd_connection_closes_total{{code=\"{code}\"}}")
}

#[track_caller]
fn assert_rises(before: &Exposition, after: &Exposition, expected: &[(String, f64)]) {
    let rises: Vec<_> = expected.iter().map(|(name, _)| (name.clone(), after.rise(before, name))).collect();
    assert_eq!(rises, expected);
}

#[tokio::test]
async fn http_requests_are_counted_by_what_they_ask_for_and_how_they_are_answered() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server();
    let before = scrape(&node).await;
    assert_eq!(before.of(&http("user/list", 200)), 0.0, "it is there before the first request");
    let handshake = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (method, target, wanted) in [
        ("GET", "/user/list?appId=1", 200),
        ("GET", "/user/list", 400),
        ("GET", "/user/list?appId=none", 400),
        ("DELETE", "/user/list?appId=1", 405),
        ("GET", "/no/such", 404),
        ("GET", "/user/list/", 404),
        ("GET", "/home/index?appId=1", 200),
        ("GET", "/home/chat.js", 200),
        ("GET", "/", 307),
        ("GET", "/livez", 200),
        ("OPTIONS", "/livez", 204),
        ("GET", "/acc", 400),
    ] {
        assert_eq!(request(server, method, target, &[], &[]).await.status, wanted, "{method} {target}");
    }
    // The short way, and that through the routes.
    let filler = "x".repeat(3000);
    let long: Vec<_> = handshake.into_iter().chain([("X-Long", &*filler)]).collect();
    for headers in [&handshake[..], &long] {
        assert_eq!(status(server, "/acc", headers).await, 101);
    }
    let after = scrape(&node).await;
    let expected = [
        (http("user/list", 200), 1.0),
        (http("user/list", 1001), 2.0),
        (http("user/list", 1015), 1.0),
        (http("other", 1010), 2.0),
        (http("home", 200), 2.0),
        (http("home", 307), 1.0),
        (http("livez", 200), 1.0),
        (http("livez", 204), 1.0),
        (http("acc", 1001), 1.0),
        (http("acc", 101), 2.0),
        (http("metrics", 200), 1.0),
        (refusals("http", 1001), 3.0),
        (refusals("http", 1010), 2.0),
        (refusals("http", 1013), 0.0),
        (refusals("websocket", 1001), 0.0),
        ("chatd_http_request_duration_seconds_count{operation=\"user/list\"}".to_owned(), 4.0),
        ("chatd_http_request_duration_seconds_count{operation=\"acc\"}".to_owned(), 3.0),
    ];
    assert_rises(&before, &after, &expected);
    assert!(!after.samples.keys().any(|series| series.contains("no/such")), "nobody makes up a series");
}

#[tokio::test]
async fn websocket_requests_are_counted_by_command_and_code() {
    let node = Node::ephemeral(&[]).await;
    let before = scrape(&node).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "a").await;
    for (text, code) in [
        (r#"{"seq":"1","cmd":"ping"}"#, 200),
        (r#"{"seq":"2","cmd":"heartbeat"}"#, 200),
        (r#"{"seq":"3","cmd":"msg","data":{"target":"","msg":"one"}}"#, 200),
        (r#"{"seq":"4","cmd":"msg","data":{"target":"","msg":""}}"#, 1001),
        (r#"{"seq":"5","cmd":"msg","data":{"target":"group:none","msg":"x"}}"#, 1005),
        (r#"{"seq":"6","cmd":"user/list"}"#, 200),
        (r#"{"seq":"7","cmd":"group/join","data":{"groupId":"none"}}"#, 1005),
        (r#"{"seq":"8","cmd":"made/up"}"#, 1010),
        (r#"{"seq":"9","cmd":"login","data":{"userId":"b","appId":1}}"#, 1009),
        ("no JSON", 1001),
    ] {
        socket.send_text(text).await;
        assert_eq!(socket.answer().await["response"]["code"], code, "{text}");
    }
    socket.send(&frame(true, opcode::BINARY, b"\xff")).await;
    assert_eq!(socket.answer().await["response"]["code"], 1001);
    let after = scrape(&node).await;
    let expected = [
        (websocket("login", 200), 1.0),
        (websocket("login", 1009), 1.0),
        (websocket("ping", 200), 1.0),
        (websocket("heartbeat", 200), 1.0),
        (websocket("msg", 200), 1.0),
        (websocket("msg", 1001), 1.0),
        (websocket("msg", 1005), 1.0),
        (websocket("user/list", 200), 1.0),
        (websocket("group/join", 1005), 1.0),
        (websocket("other", 1010), 1.0),
        (websocket("other", 1001), 2.0),
        (refusals("websocket", 1001), 3.0),
        (refusals("websocket", 1005), 2.0),
        (refusals("http", 1005), 0.0),
        ("chatd_websocket_request_duration_seconds_count{operation=\"msg\"}".to_owned(), 3.0),
        ("chatd_delivery_lag_seconds_count".to_owned(), 1.0),
        ("chatd_login_attempts_total".to_owned(), 2.0),
        (login_failures("rule"), 1.0),
    ];
    assert_rises(&before, &after, &expected);
    assert!(!after.samples.keys().any(|series| series.contains("made/up")), "nobody makes up a series");
    drop(socket);
    until("its end is counted", SOON, async || scrape(&node).await.rise(&before, &closes(1006)) == 1.0).await;
}

#[tokio::test]
async fn log_ins_that_fail_are_counted_by_why() {
    let closed = Closed::start("", &["--login-timeout", "1s"]).await;
    let key = format!("Bearer {}", closed.key("all"));
    let scrape = async || scrape_with(&closed.node, &[("Authorization", &key)]).await;
    let before = scrape().await;
    let late = Signer::secret(chat_tests::closed::SECRET);
    let mut over = claims(APP, "a");
    over["exp"] = json!(1_000_000_000);
    let wrong = Signer::secret("another secret that has bytes enough");
    for (token, code) in [
        (None, 1000),
        (Some(late.of(&over)), 1003),
        (Some(wrong.of(&claims(APP, "a"))), 1003),
        (Some(closed.token(APP, "b")), 1003),
        (Some("ck_nobody_00".to_owned()), 1003),
        (Some("nonsense".to_owned()), 1003),
    ] {
        let mut socket = RawSocket::open(closed.node.server()).await;
        let mut data = json!({"userId": "a", "appId": APP});
        if let Some(token) = token {
            data["token"] = token.into();
        }
        socket.send_text(&json!({"seq": "l", "cmd": "login", "data": data}).to_string()).await;
        assert_eq!(socket.answer().await["response"]["code"], code, "{data}");
    }
    let mut silent = closed.node.connect().await;
    assert_eq!(close_code(&mut silent).await, 4003);
    let bad = [("Authorization", "Bearer nonsense")];
    assert_eq!(request(closed.node.server(), "GET", "/user/list", &bad, &[]).await.code(), 1003);
    assert_eq!(get(closed.node.server(), "/user/list").await.code(), 1000);
    until("the late one has ended", SOON, async || scrape().await.of(&closes(4003)) >= 1.0).await;
    let after = scrape().await;
    let expected = [
        ("chatd_login_attempts_total".to_owned(), 6.0),
        (login_failures("no_credential"), 1.0),
        (login_failures("credential"), 5.0),
        (credential_failures("missing"), 2.0),
        (credential_failures("expired"), 1.0),
        (credential_failures("bad_signature"), 1.0),
        (credential_failures("other_user"), 1.0),
        (credential_failures("unknown_key"), 1.0),
        (credential_failures("malformed"), 2.0),
        (credential_failures("missing_scope"), 0.0),
    ];
    assert_rises(&before, &after, &expected);
    assert!(after.of(&login_failures("timeout")) >= 1.0);
}

#[tokio::test]
async fn the_time_of_redis_is_told_and_so_is_its_absence() {
    let mut redis = RedisServer::start_with_aof().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let before = scrape(&node).await;
    let mut user = node.login(APP, "a").await;
    user.send(Target::World, "one").await.expect("accepted");
    let after = scrape(&node).await;
    let scripts = "chatd_redis_command_duration_seconds_count{kind=\"script\"}";
    assert!(after.rise(&before, scripts) >= 1.0, "a message is a script");
    assert!(after.has("chatd_redis_command_duration_seconds_bucket{le=\"0.001\",kind=\"command\"}"));
    assert_eq!(
        (after.of("chatd_redis_connections_lost_total"), after.of("chatd_redis_connections_down")),
        (0.0, 0.0)
    );
    redis.kill();
    until("every connection is down", SOON, async || {
        scrape(&node).await.of("chatd_redis_connections_down") >= 3.0
    })
    .await;
    assert_eq!(get(node.server(), "/user/list?appId=1").await.code(), 1013);
    let down = scrape(&node).await;
    assert!(down.rise(&after, "chatd_redis_failures_total{reason=\"unreachable\"}") >= 1.0);
    assert!(down.rise(&after, &refusals("http", 1013)) >= 1.0);
    assert!(down.of("chatd_redis_connections_lost_total") >= 3.0);
    redis.restart().await;
    until("none is down", SOON, async || scrape(&node).await.of("chatd_redis_connections_down") == 0.0).await;
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_the_same_in_that_form() {
    let node = Node::ephemeral(&[]).await;
    let plain = get(node.server(), "/metrics").await;
    let open = request(node.server(), "GET", "/metrics", &[ACCEPT], &[]).await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let plain = read(&plain.body, Form::Plain).expect("text format 0.0.4");
    let open = read(&open.body, Form::OpenMetrics).expect("OpenMetrics 1.0");
    assert_eq!(plain.families, open.families);
    // The first scrape gave times to /metrics itself.
    let names = |read: &Exposition| -> Vec<_> {
        let others = read.samples.keys().filter(|series| !series.contains("operation=\"metrics\""));
        others.cloned().collect()
    };
    assert_eq!(names(&plain), names(&open));
}

#[tokio::test]
async fn there_are_as_many_series_as_there_are_operations_and_no_more() {
    let node = Node::ephemeral(&[]).await;
    let mut user = node.login(APP, "a").await;
    let first = scrape(&node).await;
    for number in 0..200 {
        get(node.server(), &format!("/made/up/{number}")).await;
        get(node.server(), &format!("/user/list?appId={number}")).await;
        user.request(&format!("made/up{number}"), &json!({})).await.expect_err("unknown");
        user.send(format!("user:u{number}").parse().expect("a target"), "x").await.expect("accepted");
    }
    let last = scrape(&node).await;
    let new: Vec<_> = last.samples.keys().filter(|series| !first.has(series)).collect();
    // user/list and what is unknown got times and a code.
    assert!(new.len() <= 100, "{new:#?}");
}
