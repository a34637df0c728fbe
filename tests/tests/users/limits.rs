//! What happens to a connection, or a user, that asks too fast.
//!
//! Invariant: a refusal has its code, names the setting and its value in words and in members, and says how long to
//! wait; whoever waits is let through, nobody else is disturbed, and all of it is counted.

use std::time::Duration;

use chat_client::{Error, Session};
use chat_protocol::Target;
use chat_protocol::system::{LimitState, State, StateRequest};
use chat_tests::closed::Closed;
use chat_tests::node::Node;
use chat_tests::raw_http::{get, post_json, request};
use chat_tests::raw_socket::{RawSocket, frame, opcode};
use chat_tests::wait::{SOON, pace, until};
use serde_json::{Value, json};

const APP: u32 = 907;

/// How long to wait, and why.
fn too_fast<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (u64, String) {
    match outcome {
        Err(Error::Refused { code: 1011, reason, retry_after_ms: Some(wait_ms) }) => (wait_ms, reason),
        other => panic!("{other:?}"),
    }
}

/// How long to wait, by the `data` of a refusal, which this limit made: so many an hour.
fn is_by(data: &Value, limit: &str, per_hour: u64) -> u64 {
    let wait_ms = data["retryAfterMs"].as_u64().unwrap_or_else(|| panic!("{data}"));
    let told = json!({"retryAfterMs": wait_ms, "limit": limit, "bound": per_hour, "perMs": 3_600_000});
    assert_eq!(data, &told);
    wait_ms
}

async fn state(node: &Node, limit: &str) -> LimitState {
    let state = node.http().call::<State>(&StateRequest {}).await.expect("a state");
    state.limits.into_iter().find(|state| state.name == limit).expect("the limit")
}

/// Of the page of metrics.
fn refused(metrics: &str, limit: &str) -> u64 {
    let name = format!("chatd_limit_refusals_total{{limit=\"{limit}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    count.unwrap_or_else(|| panic!("{limit} is no metric")).parse().expect("a number")
}

async fn say(session: &mut Session, text: &str) -> Result<(), Error> {
    session.send(Target::World, text).await.map(drop)
}

#[tokio::test]
async fn a_connection_that_asks_too_fast_is_refused_until_it_waited() {
    // Eight at once: the log-in and seven more. The next one comes back after 50 s.
    let node = Node::ephemeral(&["--rate-per-connection", "72/h", "--burst-per-connection", "8"]).await;
    let [mut hasty, mut calm] = [node.login(APP, "hasty").await, node.login(APP, "calm").await];
    for text in ["1", "2", "3", "4"] {
        say(&mut hasty, text).await.expect("within the burst");
    }
    hasty.request("heartbeat", &json!({})).await.expect("counts, too");
    hasty.request("ping", &json!({})).await.expect("counts, too");
    hasty.request("user/list", &json!({})).await.expect("counts, too");
    for (cmd, data) in
        [("msg", json!({"target": "", "msg": "5"})), ("ping", json!({})), ("no/such", json!({}))]
    {
        let (wait_ms, reason) = too_fast(hasty.request(cmd, &data).await);
        assert!((40_000..=50_000).contains(&wait_ms), "{wait_ms}");
        let words = format!(
            "too many requests over this connection (limits.rate_per_connection = 72/h, 8 at once); \
             wait {wait_ms} ms"
        );
        assert_eq!(reason, words);
    }
    say(&mut calm, "hello").await.expect("another connection has its own");
    let mut again = node.login(APP, "hasty").await;
    let history = again.request("message/history", &json!({"target": ""})).await.expect("read");
    let texts: Vec<_> =
        history["messages"].as_array().expect("a list").iter().map(|entry| entry["msg"].clone()).collect();
    assert_eq!(texts, ["1", "2", "3", "4", "hello"], "what was refused is not stored");
    let told = state(&node, "rate_per_connection").await;
    assert_eq!((told.value.as_str(), told.refused), ("72/h, 8 at once", 3));
    assert_eq!(refused(&get(node.server(), "/metrics").await.body, "rate_per_connection"), 3);
}

#[tokio::test]
async fn what_is_no_request_counts_as_well_and_many_at_once_are_answered_one_by_one() {
    let node = Node::ephemeral(&["--rate-per-connection", "72/h", "--burst-per-connection", "3"]).await;
    let mut socket = RawSocket::open(node.server()).await;
    let texts = ["no JSON", "[]", "{}", "no JSON either", r#"{"seq":"5","cmd":"ping"}"#];
    let mut all: Vec<u8> = texts.iter().flat_map(|text| frame(true, opcode::TEXT, text.as_bytes())).collect();
    all.extend(frame(true, opcode::BINARY, &[0xff, 0xfe]));
    socket.send(&all).await;
    let mut answers = Vec::new();
    for _ in 0..=texts.len() {
        let answer = socket.answer().await;
        if answer["response"]["code"] == 1011 {
            is_by(&answer["response"]["data"], "rate_per_connection", 72);
        }
        answers
            .push((answer["seq"].as_str().expect("a text").to_owned(), answer["response"]["code"].clone()));
    }
    let expected = [("", 1001), ("", 1001), ("", 1001), ("", 1011), ("5", 1011), ("", 1011)];
    assert_eq!(answers, expected.map(|(seq, code)| (seq.to_owned(), Value::from(code))));
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_is_let_through() {
    let node = Node::ephemeral(&["--rate-per-connection", "20/s", "--burst-per-connection", "2"]).await;
    let mut session = node.login(APP, "a").await;
    let (mut sent, mut waited) = (0, 0);
    while sent < 10 || waited == 0 {
        assert!(sent + waited < 1000, "{waited} of {sent} waited");
        match say(&mut session, &format!("{sent}")).await {
            Ok(()) => sent += 1,
            refused => {
                let (wait_ms, _) = too_fast(refused);
                assert!(wait_ms <= 50, "{wait_ms}");
                pace(Duration::from_millis(wait_ms)).await;
                say(&mut session, &format!("{sent}")).await.expect("it waited");
                (sent, waited) = (sent + 1, waited + 1);
            }
        }
    }
}

#[tokio::test]
async fn a_user_has_one_rate_over_all_connections_and_http() {
    let closed = Closed::start("", &["--rate-per-user", "72/h", "--burst-per-user", "6"]).await;
    let [a, b] = ["a", "b"].map(|user| closed.token(APP, user));
    let [(mut one, first), (mut other, second)] =
        [closed.enter(APP, "a", &a).await, closed.enter(APP, "a", &a).await];
    first.and(second).expect("within the burst");
    say(&mut one, "1").await.expect("within the burst");
    say(&mut other, "2").await.expect("within the burst");
    let bearer = format!("Bearer {a}");
    let list = async |bearer: &str| {
        request(closed.node.server(), "GET", "/user/list?appId=907", &[("Authorization", bearer)], b"").await
    };
    assert_eq!(list(&bearer).await.code(), 200);
    one.request("user/list", &json!({})).await.expect("within the burst");
    for session in [&mut one, &mut other] {
        let (wait_ms, reason) = too_fast(say(session, "3").await);
        assert!((40_000..=50_000).contains(&wait_ms), "{wait_ms}");
        assert!(
            reason.starts_with("too many requests of this user (limits.rate_per_user = 72/h, 6 at once);"),
            "{reason}"
        );
        session.request("heartbeat", &json!({})).await.expect("a sign of life is free");
        session.request("ping", &json!({})).await.expect("a sign of life is free");
    }
    let answer = list(&bearer).await;
    assert_eq!((answer.code(), answer.status), (1011, 429), "{answer:?}");
    let wait_ms = is_by(&answer.json()["data"], "rate_per_user", 72);
    assert_eq!(answer.header("retry-after"), wait_ms.div_ceil(1000).to_string());
    // Nobody else is meant.
    let (mut neighbour, entered) = closed.enter(APP, "b", &b).await;
    entered.expect("in");
    say(&mut neighbour, "4").await.expect("another user has their own");
    let (mut namesake, entered) = closed.enter(APP + 1, "a", &closed.token(APP + 1, "a")).await;
    entered.expect("in");
    say(&mut namesake, "5").await.expect("in another app it is another user");
    // Nor an operator's key, over HTTP or logged in as the very user.
    let operator = format!("Bearer {}", closed.key("all"));
    let (mut agent, entered) = closed.enter(APP, "a", closed.key("talks")).await;
    entered.expect("in");
    for number in 0..10 {
        say(&mut agent, &format!("agent {number}")).await.expect("no limit");
        assert_eq!(list(&operator).await.code(), 200);
    }
    let (_, entered) = closed.enter(APP, "a", &a).await;
    too_fast(entered);
    let metrics =
        request(closed.node.server(), "GET", "/metrics", &[("Authorization", &operator)], b"").await;
    assert_eq!(refused(&metrics.body, "rate_per_user"), 4);
}

#[tokio::test]
async fn over_a_websocket_a_refusal_names_the_limit_of_the_user_in_members() {
    let node = Node::ephemeral(&["--rate-per-user", "72/h", "--burst-per-user", "2"]).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "a").await;
    for code in [200, 1011, 1011] {
        socket.send_text(r#"{"seq":"1","cmd":"user/list","data":{}}"#).await;
        let response = socket.answer().await["response"].clone();
        assert_eq!(response["code"], code, "{response}");
        if code == 1011 {
            let wait_ms = is_by(&response["data"], "rate_per_user", 72);
            assert!((40_000..=50_000).contains(&wait_ms), "{wait_ms}");
        }
    }
}

#[tokio::test]
async fn a_storm_of_log_ins_of_one_user_is_refused_and_disturbs_no_other() {
    let node =
        Node::ephemeral(&["--rate-per-user", "72/h", "--burst-per-user", "5", "--max-apps", "1"]).await;
    let mut watcher = node.login(APP, "watcher").await;
    let mut came = Vec::new();
    for _ in 0..30 {
        let mut session = node.connect().await;
        let entered = session.request("login", &json!({"userId": "a", "appId": APP})).await;
        if entered.is_err() {
            let (wait_ms, reason) = too_fast(entered);
            assert!((40_000..=50_000).contains(&wait_ms), "{wait_ms}");
            assert!(reason.contains("limits.rate_per_user = 72/h, 5 at once"), "{reason}");
            // It is refused, not sent away: another user may come over it.
            let other = json!({"userId": format!("b{}", came.len()), "appId": APP});
            session.request("login", &other).await.expect("another user");
        }
        came.push(session);
    }
    assert_eq!(state(&node, "rate_per_user").await.refused, 25);
    say(&mut watcher, "still here").await.expect("another user has their own");
    // Before anything is asked of a store: whether there may be one more app, here.
    for code in [1009, 1009, 1009, 1009, 1009, 1011, 1011] {
        let mut session = node.connect().await;
        let entered = session.request("login", &json!({"userId": "a", "appId": APP + 1})).await;
        let told = entered.expect_err("one app too many").code().map(|code| code.number());
        assert_eq!(told, Some(code));
    }
}

#[tokio::test]
async fn who_logs_in_to_an_open_node_has_a_rate_and_is_forgotten_in_time() {
    let node = Node::ephemeral(&["--rate-per-user", "20/s", "--burst-per-user", "1"]).await;
    let mut session = node.login(APP, "a").await;
    let mut is_refused = false;
    for number in 0..100 {
        let outcome = say(&mut session, &format!("{number}")).await;
        if outcome.is_err() {
            too_fast(outcome);
            is_refused = true;
            break;
        }
    }
    assert!(is_refused, "a hundred at once");
    until("it is let through again", SOON, async || say(&mut session, "again").await.is_ok()).await;
}

#[tokio::test]
async fn limits_that_are_off_are_told_and_refuse_nothing() {
    let node = Node::ephemeral(&["--login-timeout", "1", "--max-frame-bytes", "2000"]).await;
    let mut session = node.login(APP, "a").await;
    for number in 0..300 {
        say(&mut session, &format!("{number}")).await.expect("no limit");
    }
    for (limit, value) in [
        ("rate_per_connection", "none"),
        ("rate_per_user", "none"),
        ("connections_per_address", "none"),
        ("connect_rate_per_address", "none"),
        ("http_rate_per_address", "none"),
        ("groups_per_user", "2000"),
        ("login_timeout", "1s"),
        ("max_frame_bytes", "2000"),
    ] {
        let told = state(&node, limit).await;
        assert_eq!((told.value.as_str(), told.refused), (value, 0), "{limit}");
    }
    // Two that always are.
    let mut large = RawSocket::open(node.server()).await;
    large.send_text(vec![b'x'; 2001]).await;
    assert_eq!(large.close_code().await, 1009);
    drop(large);
    let mut silent = RawSocket::open(node.server()).await;
    assert_eq!(silent.close_code().await, 4003);
    for limit in ["login_timeout", "max_frame_bytes"] {
        assert_eq!(state(&node, limit).await.refused, 1, "{limit}");
    }
}

#[tokio::test]
async fn the_limits_of_groups_and_friends_are_counted() {
    let limits = ["--groups-per-user", "1", "--requests-per-user", "1", "--members-per-group", "2"];
    let node = Node::ephemeral(&limits).await;
    let mut session = node.login(APP, "a").await;
    for (name, is_in) in [("one", true), ("two", false), ("three", false)] {
        let data = json!({"name": name, "groupId": name});
        assert_eq!(session.request("group/create", &data).await.is_ok(), is_in, "{name}");
    }
    for (name, is_asked) in [("b", true), ("c", false)] {
        assert_eq!(session.request("friend/request", &json!({"friendId": name})).await.is_ok(), is_asked);
    }
    let mut member = node.login(APP, "m").await;
    member.request("group/join", &json!({"groupId": "one"})).await.expect("there is room");
    let mut late = node.login(APP, "late").await;
    match late.request("group/join", &json!({"groupId": "one"})).await {
        Err(Error::Refused { code: 1009, reason, .. }) => {
            assert!(
                reason.contains("has 2 members") && reason.contains("limits.members_per_group"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    let full = state(&node, "members_per_group").await;
    assert_eq!((full.value.as_str(), full.refused), ("2", 1));
    let counts = [state(&node, "groups_per_user").await, state(&node, "requests_per_user").await];
    assert_eq!(counts.map(|state| (state.value, state.refused)), [("1".to_owned(), 2), ("1".to_owned(), 1)]);
    for (path, asked, limit, bound) in [
        ("/group/join", json!({"userId": "later", "groupId": "one"}), "members_per_group", 2),
        ("/group/create", json!({"userId": "a", "name": "four", "groupId": "four"}), "groups_per_user", 1),
        ("/friend/request", json!({"userId": "a", "friendId": "d"}), "requests_per_user", 1),
    ] {
        let mut asked = asked;
        asked["appId"] = json!(APP);
        let answer = post_json(node.server(), path, asked.to_string()).await;
        assert_eq!((answer.code(), answer.status), (1009, 409), "{answer:?}");
        assert_eq!(answer.json()["data"], json!({"limit": limit, "bound": bound}));
    }
}
