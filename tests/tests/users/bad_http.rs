//! HTTP requests that make no sense: each gets the documented envelope with its code, and a status that fits.
//!
//! Invariant: the status is 200 exactly when the code is 200 (every read of a code checks it), and two bystanders
//! talk on undisturbed.

use chat_tests::node::Node;
use chat_tests::raw_http::{self, Answer, exchange, get, post, post_json, request};
use chat_tests::raw_socket::handshake;
use chat_tests::talk::{Bystanders, next_text};
use serde_json::json;

const APP: u32 = 203;
const FORM: &str = "application/x-www-form-urlencoded";

async fn stage() -> (Node, Bystanders) {
    let node = Node::ephemeral(&[]).await;
    let bystanders = Bystanders::arrive(&node, APP).await;
    (node, bystanders)
}

fn assert_refused(answer: &Answer, code: u64, status: u16, begin: &str) {
    assert_eq!((answer.code(), answer.status), (code, status), "{answer:?}");
    assert!(answer.reason().starts_with(begin), "{answer:?}");
    assert_eq!(answer.json()["data"], serde_json::Value::Null);
}

#[tokio::test]
async fn an_unknown_path_is_answered_1010() {
    let (node, mut bystanders) = stage().await;
    for path in [
        "/nope",
        "/user",
        "/user/",
        "/user/list/",
        "//user/list",
        "/USER/LIST",
        "/user%2flist",
        "/home",
        "/home/",
        "/home/nope.js",
        "/home/../user/list",
        "/home/..%2f..%2fetc%2fpasswd",
        "/acc/",
        "/index.html",
    ] {
        assert_refused(&get(node.server(), path).await, 1010, 404, "");
        assert_refused(&post_json(node.server(), path, "{}").await, 1010, 404, "");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_bad_app_id_is_answered_1001_and_named() {
    let (node, mut bystanders) = stage().await;
    let bad = [
        "",
        "-1",
        "%2B1",
        "4294967296",
        "99999999999999999999999",
        "1.5",
        "1e3",
        "0x1",
        "x",
        "%E4%B8%80",
        "1%00",
    ];
    for app in bad {
        let pair = format!("appId={app}");
        assert_refused(&get(node.server(), &format!("/user/list?{pair}")).await, 1001, 400, "appId: ");
        assert_refused(&post(node.server(), "/user/list", FORM, &pair).await, 1001, 400, "appId: ");
    }
    for members in
        ["", r#""appId":null"#, r#""appId":-1"#, r#""appId":1.5"#, r#""appId":[101]"#, r#""appId":true"#]
    {
        let answer = post_json(node.server(), "/user/list", format!("{{{members}}}")).await;
        assert_refused(&answer, 1001, 400, "appId: ");
    }
    assert_refused(&get(node.server(), "/user/list").await, 1001, 400, "appId: ");
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_bad_user_id_is_answered_1002() {
    let (node, mut bystanders) = stage().await;
    let boundary = "%E5%B8%9D".repeat(21);
    for user in [
        "".to_owned(),
        "a".repeat(65),
        format!("{boundary}ab"),
        "a%00".to_owned(),
        "a%0Ab".to_owned(),
        "%7f".to_owned(),
    ] {
        let online = format!("/user/online?appId={APP}&userId={user}");
        assert_refused(&get(node.server(), &online).await, 1002, 400, "userId: ");
        let send = format!("/user/sendMessage?appId={APP}&userId=a&from={user}&message=x");
        assert_refused(&get(node.server(), &send).await, 1002, 400, "from: ");
    }
    let longest = get(node.server(), &format!("/user/online?appId={APP}&userId={boundary}a")).await;
    assert_eq!(longest.code(), 200);
    assert_refused(&get(node.server(), &format!("/user/online?appId={APP}")).await, 1001, 400, "userId: ");
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_answered_1001() {
    let (node, mut bystanders) = stage().await;
    let server = node.server();
    for bad in ["%ff", "%c3%28", "%ed%a0%80", "a%80"] {
        let pairs = format!("appId={APP}&userId={bad}");
        assert_refused(&get(server, &format!("/user/online?{pairs}")).await, 1001, 400, "userId: ");
        assert_refused(&post(server, "/user/online", FORM, &pairs).await, 1001, 400, "userId: ");
        assert_refused(&get(server, &format!("/user/list?appId={APP}&{bad}=1")).await, 1001, 400, "");
    }
    for body in [&b"{\"appId\":203,\"userId\":\"\xff\"}"[..], b"{\"appId\":203,\"userId\":\"\xed\xa0\x80\"}"]
    {
        assert_refused(&post_json(server, "/user/online", body).await, 1001, 400, "");
    }
    assert_refused(&post(server, "/user/online", FORM, b"appId=203&userId=\xff").await, 1001, 400, "");
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn hostile_json_is_answered_1001() {
    let (node, mut bystanders) = stage().await;
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for body in [
        "{".to_owned(),
        "[1]".to_owned(),
        "1".to_owned(),
        "\"x\"".to_owned(),
        "{}{}".to_owned(),
        deep.clone(),
        "[".repeat(60_000),
        format!(r#"{{"appId":203,"userId":{deep}}}"#),
        format!(r#"{{"appId":203,"userId":"a","x":{deep}}}"#),
        r#"{"appId":1e999,"userId":"a"}"#.to_owned(),
        format!(r#"{{"appId":{},"userId":"a"}}"#, "9".repeat(10_000)),
        r#"{"appId":203,"userId":"\ud800"}"#.to_owned(),
        r#"{"appId":203,"userId":"a","userId":"b"}"#.to_owned(),
        r#"{"appId":203,"userId":"a","userID":"b"}"#.to_owned(),
    ] {
        let answer = post_json(node.server(), "/user/online", &body).await;
        assert_refused(&answer, 1001, 400, "");
        assert!(answer.body.len() < 1000, "an answer does not repeat the attack");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_parameter_given_twice_is_answered_1001() {
    let (node, mut bystanders) = stage().await;
    for pairs in ["appId=1&appId=1", "appId=1&appId=2", "appId=1&appID=2", "appId=1&%61ppId=1"] {
        assert_refused(&get(node.server(), &format!("/user/list?{pairs}")).await, 1001, 400, "appId: ");
        assert_refused(&post(node.server(), "/user/list", FORM, pairs).await, 1001, 400, "appId: ");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_message_of_more_than_16_kib_is_answered_1012_and_one_of_16_kib_arrives() {
    let (node, mut bystanders) = stage().await;
    let mut user = node.login(APP, "user").await;
    for (text, code) in
        [("x".repeat(16_384), 200), ("x".repeat(16_385), 1012), ("帝".repeat(5461) + "ab", 1012)]
    {
        let body = json!({"appId": APP, "userId": "user", "message": text}).to_string();
        let answer = post_json(node.server(), "/user/sendMessage", body).await;
        assert_eq!(answer.code(), code, "{answer:?}");
        if code == 200 {
            assert_eq!(next_text(&mut user).await, text);
        }
    }
    let all = json!({"appId": APP, "userId": "a", "msgId": "m", "message": "x".repeat(16_385)}).to_string();
    assert_refused(&post_json(node.server(), "/user/sendMessageAll", all).await, 1012, 413, "");
    for empty in [r#""message":"""#, r#""message":null"#, r#""x":1"#] {
        let body = format!(r#"{{"appId":{APP},"userId":"user",{empty}}}"#);
        assert_refused(&post_json(node.server(), "/user/sendMessage", body).await, 1001, 400, "message: ");
    }
    drop(user);
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_body_of_more_than_64_kib_is_answered_1012() {
    let (node, mut bystanders) = stage().await;
    let padded = |length: usize| {
        let start = format!("appId={APP}&pad=");
        format!("{start}{}", "x".repeat(length - start.len()))
    };
    assert_eq!(post(node.server(), "/user/list", FORM, padded(65_536)).await.code(), 200);
    for length in [65_537, 200_000, 4_000_000] {
        assert_refused(&post(node.server(), "/user/list", FORM, padded(length)).await, 1012, 413, "");
    }
    let chunk = format!("ffff\r\n{}\r\n", "x".repeat(0xffff));
    let chunked = format!(
        "POST /user/list HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(3)
    );
    let answer = exchange(node.server(), chunked.as_bytes()).await.expect("an answer");
    assert_refused(&answer, 1012, 413, "");
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_wrong_content_type_is_answered_1001_and_named() {
    let (node, mut bystanders) = stage().await;
    let json = format!(r#"{{"appId":{APP}}}"#);
    for kind in ["image/png", "application/xml", "json"] {
        let answer = post(node.server(), "/user/list", kind, &json).await;
        assert_refused(&answer, 1001, 400, "Content-Type ");
    }
    for kind in ["application/json", "APPLICATION/JSON ; charset=utf-8", FORM, "text/plain", ""] {
        assert_eq!(post(node.server(), "/user/list", kind, &json).await.code(), 200, "{kind}");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_head_of_more_than_16_kib_is_refused() {
    let (node, mut bystanders) = stage().await;
    let filler = "x".repeat(20_000);
    let long_header = request(node.server(), "GET", "/livez", &[("X-Filler", &filler)], &[]).await;
    let long_target = get(node.server(), &format!("/user/list?appId=1&x={filler}")).await;
    for answer in [long_header, long_target] {
        assert!([414, 431].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.code(), 1012, "{answer:?}");
        assert!(answer.reason().contains("POST"), "{answer:?}");
    }
    let many = (0..200).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let many =
        exchange(node.server(), format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes())
            .await;
    assert_eq!(many.map(|answer| (answer.status, answer.code())), Some((431, 1012)));
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let (node, mut bystanders) = stage().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST /user/list HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /user/list HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /user/list HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n",
    ] {
        if let Some(answer) = exchange(node.server(), bytes).await {
            assert_eq!((answer.status, answer.code()), (400, 1001), "{answer:?}");
        }
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_foreign_origin_is_answered_1003() {
    let (node, mut bystanders) = stage().await;
    let own = format!("http://{}", node.server().authority());
    for foreign in ["http://evil.example", "null", "http://127.0.0.1", "", &format!("{own}.evil.example")] {
        let headers = format!("Origin: {foreign}\r\nConnection: Upgrade, close\r\n");
        let head = handshake(node.server()).replace("Connection: Upgrade\r\n", &headers);
        let answer = exchange(node.server(), head.as_bytes()).await.expect("an answer");
        assert_refused(&answer, 1003, 403, "");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_listed_origin_may_connect() {
    let node = Node::ephemeral(&["--allowed-origins", "https://a.example,https://b.example"]).await;
    let own = format!("http://{}", node.server().authority());
    for (origin, status) in [
        ("https://a.example", 101),
        ("https://b.example", 101),
        (own.as_str(), 101),
        ("https://c.example", 403),
    ] {
        assert_eq!(upgrade_status(&node, &[("Origin", origin)]).await, status, "{origin}");
    }
}

#[tokio::test]
async fn half_a_handshake_is_refused() {
    let (node, mut bystanders) = stage().await;
    assert_eq!(upgrade_status(&node, &[]).await, 101);
    for header in [
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Sec-WebSocket-Version: 13\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let head = handshake(node.server()).replace(header, "Connection: close\r\n");
        let answer = exchange(node.server(), head.as_bytes()).await.expect("an answer");
        assert_refused(&answer, 1001, 400, "");
    }
    for (good, bad) in [("nonce", "dGhlIHNhbXBsZSBub25jZQ=="), ("bm9uY2U=", "dGhlIHNhbXBsZSBub25jZQ==")] {
        let head = handshake(node.server()).replace(bad, good).replace("Upgrade\r\n", "Upgrade, close\r\n");
        assert_refused(&exchange(node.server(), head.as_bytes()).await.expect("an answer"), 1001, 400, "");
    }
    assert_refused(&raw_http::get(node.server(), "/acc").await, 1001, 400, "");
    bystanders.are_undisturbed().await;
}

async fn upgrade_status(node: &Node, headers: &[(&str, &str)]) -> u16 {
    let mut all = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.extend(headers);
    raw_http::status(node.server(), "/acc", &all).await
}

#[tokio::test]
async fn requests_behind_each_other_are_answered_in_order() {
    let (node, mut bystanders) = stage().await;
    let one = |path: &str, end: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {end}\r\n\r\n")
    };
    let piped = one("/livez", "keep-alive") + &one("/nope", "keep-alive") + &one("/readyz", "close");
    let answer = exchange(node.server(), piped.as_bytes()).await.expect("answers");
    let text = format!("HTTP/1.1 {} \r\n{}", answer.status, answer.body);
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    bystanders.are_undisturbed().await;
}
