//! /openapi.json against the node that serves it: what it allows is taken, what it forbids is refused, and every
//! answer is as it says.
//!
//! Invariant: every operation and every parameter is tried, so a new one that is described wrongly is found.

use chat_protocol::cursor::{AuditPlace, PacketPlace, Stage};
use chat_protocol::operation::Description;
use chat_protocol::params::{Field, Kind};
use chat_protocol::table::ALL;
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
        // Enough for one cent a share, however many shares: no schema can say that.
        ("total", _) => json!(10_000),
        (_, Kind::UserId) => json!("a"),
        (_, Kind::GroupId) => json!("g"),
        (_, Kind::MsgId | Kind::TransferId | Kind::PacketId) => json!("once"),
        (_, Kind::Target) => json!("group:g"),
        (_, Kind::OneOf(words)) => json!(words[0]),
        (_, Kind::Between(min, _)) => json!(min),
        (_, Kind::U32 | Kind::U64) => json!(1),
        (_, Kind::Text | Kind::Line(_) | Kind::UpTo(_) | Kind::Content) => json!("text"),
        (_, Kind::Cursor(of)) => json!(of.example()),
        (_, Kind::Json) => json!({}),
        (name, Kind::Reserved) => panic!("{name} is no parameter of an operation"),
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
    // What is meant for another node does nothing to this one.
    let fields = operation.fields.iter().filter(|field| field.required || field.name == "node");
    fields.map(|field| (field.name.to_owned(), good(field))).collect()
}

/// Whether the answer says that a parameter is wrong.
fn blames_one(answer: &Answer, operation: &Description) -> bool {
    let reason = answer.reason();
    let named = |field: &Field| reason.strip_prefix(field.name).is_some_and(|rest| rest.starts_with(": "));
    answer.status == 413 || answer.status == 400 && operation.fields.iter().any(named)
}

/// What the document says of the JSON that an operation takes.
fn schema_of<'d>(document: &'d Value, operation: &Description) -> &'d Value {
    &document["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
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
        let (path, schema) = (operation.path, schema_of(&document, operation));
        for field in operation.fields {
            for probe in probes() {
                let mut body = required(operation);
                if probe.is_null() && field.name == "node" {
                    continue;
                }
                body.insert(field.name.to_owned(), probe.clone());
                let fault = fault(schema, &Value::Object(body.clone()));
                let answer = post_json(node.server(), path, Value::Object(body).to_string()).await;
                let what = format!("{path} {} = {probe}: {fault:?}: {answer:?}", field.name);
                match fault {
                    None => assert!(![400, 413].contains(&answer.status), "allowed and refused: {what}"),
                    Some(_) if may_fit(&probe) => {}
                    Some(_) => assert!(blames_one(&answer, operation), "forbidden and not refused: {what}"),
                }
            }
        }
    }
}

/// One by one they are right; what else must hold is said for JSON by the schema and everywhere in words.
#[tokio::test]
async fn what_two_parameters_are_together_is_described() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    let mut refused = Vec::new();
    for operation in ALL {
        let (path, schema) = (operation.path, schema_of(&document, operation));
        let optional: Vec<_> = operation.fields.iter().filter(|field| !field.required).collect();
        for (at, one) in optional.iter().enumerate() {
            for other in &optional[..at] {
                let mut body = required(operation);
                body.insert(one.name.to_owned(), good(one));
                for value in [Value::Null, good(other)] {
                    if value.is_null() && other.name == "node" {
                        continue;
                    }
                    body.insert(other.name.to_owned(), value);
                    let fault = fault(schema, &Value::Object(body.clone()));
                    let answer =
                        post_json(node.server(), path, Value::Object(body.clone()).to_string()).await;
                    let what = format!("{path} {body:?}: {fault:?}: {answer:?}");
                    assert_eq!(fault.is_some(), answer.status == 400, "{what}");
                    if fault.is_some() {
                        let words = document["paths"][path]["post"]["description"].as_str().expect("words");
                        assert!(words.contains(one.name) && words.contains(other.name), "{what}: {words}");
                        refused.push((path, other.name, one.name));
                    }
                }
            }
        }
    }
    assert_eq!(
        refused,
        [
            ("/message/history", "before", "after"),
            ("/redPacket/audit", "packetId", "since"),
            ("/redPacket/audit", "packetId", "cursor"),
            ("/redPacket/audit", "since", "cursor"),
            ("/redPacket/audit", "packetId", "limit"),
            ("/redPacket/replay", "id", "packetId"),
            ("/system/explain", "offset", "msgId"),
            ("/system/explain", "userId", "packetId"),
            ("/system/explain", "target", "packetId"),
            ("/system/explain", "offset", "packetId"),
            ("/system/explain", "msgId", "packetId"),
        ]
    );
}

/// From each list, page by page, to its end.
#[tokio::test]
async fn every_cursor_that_is_given_is_one_that_is_described() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    let mut prepare = vec![
        ("/wallet/deposit", json!({"appId": 1, "userId": "a", "amount": 1000, "transferId": "first"})),
        ("/user/sendMessage", json!({"appId": 1, "userId": "a", "from": "b", "message": "hello"})),
    ];
    for id in ["p", "q"] {
        let offer = json!({"appId": 1, "userId": "a", "target": "", "total": 10, "count": 2, "msgId": id});
        prepare.push(("/redPacket/create", offer));
    }
    for (path, body) in prepare {
        assert_eq!(post_json(node.server(), path, body.to_string()).await.code(), 200, "{path}");
    }
    let mut given = String::new();
    for operation in ALL.iter().filter(|operation| operation.fields.iter().any(|f| f.name == "cursor")) {
        let mut body = required(operation);
        body.insert("limit".to_owned(), json!(1));
        loop {
            let asked = Value::Object(body.clone());
            assert_eq!(fault(schema_of(&document, operation), &asked), None, "{} {asked}", operation.path);
            let answer = post_json(node.server(), operation.path, asked.to_string()).await;
            let Some(cursor) = answer.json()["data"]["cursor"].as_str().map(str::to_owned) else { break };
            given.extend(["\n", operation.path, " ", &cursor]);
            body.insert("cursor".to_owned(), cursor.into());
        }
    }
    for stage in ["packets", "stored", "transfers", "accounts"] {
        assert!(given.contains(&format!(".{stage}.")), "the audit gave no cursor at {stage}:{given}");
    }
    for path in ["/conversation/list", "/redPacket/list"] {
        assert!(given.contains(path), "no cursor of {path}:{given}");
    }
}

/// Where an audit stops depends on what there is; here it stops everywhere.
#[tokio::test]
async fn an_audit_may_stop_anywhere() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    let operation = ALL.iter().find(|operation| operation.path == "/redPacket/audit").expect("it is there");
    let packet = PacketPlace { created: 1, packet: "p.q".to_owned() };
    for stage in [
        Stage::Packets(None),
        Stage::Packets(Some(PacketPlace { created: -1, ..packet.clone() })),
        Stage::Packets(Some(packet)),
        Stage::Stored(None),
        Stage::Stored(Some("7".to_owned())),
        Stage::Transfers(String::new()),
        Stage::Accounts("wallet:帝".to_owned()),
        Stage::Discards(0),
        Stage::Discards(7),
        Stage::Whole,
    ] {
        let place = AuditPlace { since_ms: 0, begun_ms: 1, found: 3, stage }.to_string();
        let asked = json!({"appId": 1, "cursor": place});
        assert_eq!(fault(schema_of(&document, operation), &asked), None);
        let answer = post_json(node.server(), operation.path, asked.to_string()).await;
        assert_eq!(answer.code(), 200, "{asked}: {answer:?}");
    }
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let node = Node::ephemeral(&[]).await;
    let document = document(&node).await;
    let _online = node.login(1, "a").await;
    let prepare = [
        ("/wallet/deposit", json!({"appId": 1, "userId": "a", "amount": 20_000, "transferId": "first"})),
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
