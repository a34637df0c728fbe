//! Every operation and route of the tables is served and has a command that asks for it.
//!
//! Invariant: what is tried comes from the tables themselves, so that nothing new can be forgotten.

use chat_protocol::params::Field;
use chat_protocol::table::{ALL, ROUTES};
use chat_tests::node::Node;
use chat_tests::raw_http::{get, post_json};
use chat_tests::talk::refused;
use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};

/// What a command is given so that nothing it needs is missing.
fn arguments(path: &str) -> &'static [&'static str] {
    match path {
        "/user/sendMessage" | "/group/sendMessage" | "/group/kick" => &["b", "c"],
        "/message/recall" => &["group:b", "1"],
        "/conversation/read" => &["", "1"],
        "/file/url" => &["", "b"],
        "/file/upload" => &["", "Cargo.toml"],
        "/redPacket/create" => &["", "--total", "1", "--count", "1"],
        "/redPacket/discard" => &["b", "--reason", "c"],
        "/system/ban" => &["b", "--for", "1h"],
        "/system/kick" | "/system/unban" => &["b"],
        "/system/explain" => &["user", "b"],
        "/wallet/deposit" | "/wallet/withdraw" => &["b", "1", "--transfer-id", "c"],
        "/user/online" | "/user/sendMessageAll" | "/redPacket/grab" | "/redPacket/detail" => &["b"],
        "/wallet/balance" | "/wallet/transfers" => &["b"],
        "/group/list" | "/friend/list" | "/friend/requests" => &[],
        path if path.starts_with("/group/") || path.starts_with("/friend/") => &["b"],
        _ => &[],
    }
}

#[tokio::test]
async fn every_operation_and_route_has_a_command_of_chatctl_that_asks_for_it() {
    let coverage = chatctl::coverage();
    assert_eq!(coverage.len(), ALL.len() + ROUTES.len());
    let operations = ALL.iter().map(|operation| (operation.path, Some(operation.fields)));
    // What takes a body has a request that can be looked at; of the others only the command is known.
    let routes = ROUTES.iter().map(|route| (route.path, route.body.map(|_| route.query)));
    for ((path, fields), (covered, words)) in operations.chain(routes).zip(coverage) {
        assert_eq!(path, covered);
        let Some(fields) = fields else { continue };
        let (url, names) = rehearsed(path, &words).await;
        assert!(url.ends_with(path), "{words}: {url}");
        for name in &names {
            assert!(fields.iter().any(|field| field.name == name), "{words}: {name}");
        }
        let is_named = |field: &&Field| names.iter().any(|name| name == field.name);
        let forgotten = fields.iter().filter(|field| field.required).find(|field| !is_named(field));
        assert!(forgotten.is_none(), "{words}: no {forgotten:?}");
    }
}

/// The address and the names of the parameters of what the command would ask for.
async fn rehearsed(path: &str, words: &str) -> (String, Vec<String>) {
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let line = ["chatctl", "--app", "1", "--as", "a", "--dry-run", "-y", "-o", "json"].into_iter();
    let line = line.chain(words.split(' ')).chain(arguments(path).iter().copied()).map(Into::into);
    let exit = chatctl::run(line, surroundings).await;
    assert_eq!(exit, 0, "{words}: {}", written.stderr());
    let asked: Value = serde_json::from_str(&written.stdout()).expect("JSON");
    let asked = asked.as_array().and_then(|all| all.first()).expect("a request");
    let names = asked["body"].as_object().expect("parameters").keys().cloned().collect();
    (asked["url"].as_str().expect("an address").to_owned(), names)
}

#[tokio::test]
async fn every_operation_is_served_over_http_and_websocket() {
    let node = Node::ephemeral(&[]).await;
    let mut session = node.login(501, "a").await;
    for operation in ALL {
        // What is meant for another node does nothing to this one.
        let body = match operation.fields.iter().any(|field| field.name == "node") {
            true => json!({"node": "another"}),
            false => json!({}),
        };
        let posted = post_json(node.server(), operation.path, body.to_string()).await;
        for answer in [get(node.server(), operation.path).await, posted] {
            assert_ne!(answer.code(), 1010, "{} over HTTP", operation.path);
        }
        let answer = session.request(operation.path.trim_start_matches('/'), &body).await;
        if answer.is_err() {
            assert_ne!(refused(answer), 1010, "{} over WebSocket", operation.path);
        }
    }
}
