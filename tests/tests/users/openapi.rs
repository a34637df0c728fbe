//! /openapi.json against the node that serves it: what it allows is taken, what it forbids is refused, and every
//! answer is as it says.
//!
//! Invariant: every operation and every parameter is tried, so a new one that is described wrongly is found.

use chat_protocol::operation::{ALL, Description};
use chat_protocol::params::{Field, Kind};
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, get, post_json, request};
use chat_tests::schema::fault;
use serde_json::{Map, Value, json};

async fn document(node: &Node) -> Value {
    get(node.server(), "/openapi.json").await.json()
}

/// A value that is right for a parameter, by its name and kind.
fn good(field: &Field) -> Value {
    match (field.name, field.kind) {
        ("friendId" | "memberId", _) => json!("b"),
        ("target", _) => json!(""),
        ("total", _) => json!(100),
        (_, Kind::UserId) => json!("a"),
        (_, Kind::GroupId) => json!("g"),
        (_, Kind::MsgId | Kind::TransferId | Kind::PacketId) => json!("once"),
        (_, Kind::Target) => json!("group:g"),
        (_, Kind::OneOf(words)) => json!(words[0]),
        (_, Kind::Between(min, _)) => json!(min),
        (_, Kind::AppId | Kind::U32 | Kind::U64) => json!(1),
        (_, Kind::Text | Kind::Line(_) | Kind::UpTo(_) | Kind::Content) => json!("text"),
        (_, Kind::Cursor) => json!("1:"),
        (_, Kind::Opaque(_, one)) => json!(one),
        (_, Kind::Json) => json!({}),
    }
}

/// Values at the edges of what any kind takes, and some that none takes.
fn probes() -> Vec<Value> {
    let mut probes = vec![json!(null), json!(true), json!([]), json!({}), json!(-1), json!(1.5)];
    let edges = [0, 1, 200, 201, 1000, 1001, 10_000, 10_001, 20_000_000, 20_000_001, 1_000_000_000_000];
    let ends = [1_000_000_000_001, u64::from(u32::MAX), 1 << 32, (1 << 53) - 1, 1 << 53, u64::MAX];
    probes.extend(edges.into_iter().chain(ends).map(Value::from));
    probes.extend(
        ["", "x", "text", "img", "lucky", "user:", "group:g", "user:a", "x:y", "a\u{1}", "\u{85}"]
            .map(Value::from),
    );
    for length in [16, 64, 65, 128, 129, 256, 257, 512, 513, 16_384] {
        probes.extend([json!("a".repeat(length)), json!(format!("user:{}", "a".repeat(length)))]);
    }
    for length in [16, 22, 32, 43, 64, 86, 128, 171] {
        probes.push(json!("帝".repeat(length)));
    }
    probes
}

fn required(operation: &Description) -> Map<String, Value> {
    let fields = operation.fields.iter().filter(|field| field.required);
    fields.map(|field| (field.name.to_owned(), good(field))).collect()
}

/// Whether the answer says that this parameter is wrong.
fn blames(answer: &Answer, field: &Field) -> bool {
    answer.status == 413 || answer.status == 400 && answer.reason().starts_with(&format!("{}: ", field.name))
}

/// Whether the text would fit although a schema, which counts characters, cannot promise it.
fn may_fit(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_ascii())
}

#[tokio::test]
async fn what_is_allowed_is_taken_and_what_is_forbidden_is_refused() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    for operation in ALL {
        let path = operation.path;
        let schema = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        for field in operation.fields {
            for probe in probes() {
                let mut body = required(operation);
                body.insert(field.name.to_owned(), probe.clone());
                let fault = fault(schema, &Value::Object(body.clone()));
                let answer = post_json(node.server(), path, Value::Object(body).to_string()).await;
                let what = format!("{path} {} = {probe}: {fault:?}: {answer:?}", field.name);
                match fault {
                    None => assert!(!blames(&answer, field), "allowed and refused: {what}"),
                    Some(_) if may_fit(&probe) => {}
                    Some(_) => assert!(blames(&answer, field), "forbidden and not refused: {what}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    let _online = node.login(1, "a").await;
    let prepare = [
        ("/wallet/deposit", json!({"appId": 1, "userId": "a", "amount": 1000, "transferId": "first"})),
        ("/group/create", json!({"appId": 1, "userId": "a", "groupId": "g", "name": "text"})),
        ("/group/join", json!({"appId": 1, "userId": "b", "groupId": "g"})),
        ("/friend/request", json!({"appId": 1, "userId": "b", "friendId": "a", "greeting": "hello"})),
        ("/user/sendMessage", json!({"appId": 1, "userId": "a", "from": "b", "message": "hello"})),
    ];
    for (path, body) in prepare {
        assert_eq!(post_json(node.server(), path, body.to_string()).await.code(), 200, "{path}");
    }
    let offer = json!({"appId": 1, "userId": "a", "target": "", "total": 10, "count": 2, "msgId": "packet"});
    let offer = post_json(node.server(), "/redPacket/create", offer.to_string()).await.json();
    let mut succeeded = 0;
    // What ends something comes last.
    let (last, first): (Vec<_>, Vec<_>) = ALL.iter().partition(|operation| {
        ["leave", "kick", "dismiss", "remove"].iter().any(|end| operation.path.ends_with(end))
    });
    for operation in first.into_iter().chain(last) {
        let mut body = required(operation);
        if body.contains_key("packetId") {
            body.insert("packetId".to_owned(), offer["data"]["packetId"].clone());
        }
        let mut answers = vec![(
            "post",
            post_json(node.server(), operation.path, Value::Object(body.clone()).to_string()).await,
        )];
        answers.push(("post", post_json(node.server(), operation.path, "{").await));
        if operation.effect.takes_get() {
            let pairs = body.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            });
            let target = format!("{}?{}", operation.path, pairs.collect::<Vec<_>>().join("&"));
            answers.push(("get", get(node.server(), &target).await));
        }
        answers.push((
            "post",
            request(node.server(), "POST", operation.path, &[("Origin", "null")], b"{}").await,
        ));
        for (method, answer) in answers {
            succeeded += usize::from(answer.code() == 200);
            let what = format!("{method} {}: {answer:?}", operation.path);
            let responses = &document["paths"][operation.path][method]["responses"];
            let mut response = &responses[answer.status.to_string()];
            if let Some(place) = response["$ref"].as_str() {
                response = document.pointer(place.trim_start_matches('#')).expect("a place in the document");
            }
            let schema = &response["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "a status that is not described: {what}");
            assert_eq!(fault(schema, &answer.json()), None, "{what}");
        }
    }
    assert!(succeeded > ALL.len(), "{succeeded} answers of {} operations were good", ALL.len());
}
