//! Every operation of the table is served and has a command.
//!
//! Invariant: what is tried comes from the table itself, so that a new operation cannot be forgotten.

use std::collections::BTreeSet;

use chat_protocol::table::ALL;
use chat_tests::node::Node;
use chat_tests::raw_http::{get, post_json};
use chat_tests::talk::refused;
use serde_json::json;

#[test]
fn every_operation_has_a_command_of_chatctl() {
    let covered: BTreeSet<_> = chatctl::coverage().into_iter().map(|(path, _)| path).collect();
    let all: BTreeSet<_> = ALL.iter().map(|operation| operation.path).collect();
    assert_eq!(covered, all);
}

#[tokio::test]
async fn every_operation_is_served_over_http_and_websocket() {
    let node = Node::ephemeral(&[]).await;
    let mut session = node.login(501, "a").await;
    for operation in ALL {
        for answer in
            [get(node.server(), operation.path).await, post_json(node.server(), operation.path, "{}").await]
        {
            assert_ne!(answer.code(), 1010, "{} over HTTP", operation.path);
        }
        let answer = session.request(operation.path.trim_start_matches('/'), &json!({})).await;
        if answer.is_err() {
            assert_ne!(refused(answer), 1010, "{} over WebSocket", operation.path);
        }
    }
}
