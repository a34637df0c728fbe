//! What an operator sees of nodes and their connections.
//!
//! Invariant: what is listed is compared with who is really there.

use std::collections::BTreeSet;

use chat_protocol::node::{Connections, ConnectionsRequest, ConnectionsResponse, Nodes, NodesRequest};
use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, until};
use serde_json::json;

const APP: u32 = 651;

async fn connections(node: &Node, request: ConnectionsRequest) -> ConnectionsResponse {
    node.http().call::<Connections>(&request).await.expect("listed")
}

#[tokio::test]
async fn connections_are_listed_with_who_they_are_and_where_from_in_pages() {
    let node = Node::ephemeral(&["--login-timeout", "1h"]).await;
    let before = std::time::SystemTime::now();
    let mut sessions = Vec::new();
    for (app, user) in [(APP, "a"), (APP, "b"), (APP, "a"), (APP + 1, "a")] {
        sessions.push(node.login(app, user).await);
    }
    let _silent = node.connect().await;
    // A client knows that it is connected a moment before its worker does.
    let everybody = async || connections(&node, ConnectionsRequest::default()).await;
    until("all are there", SOON, async || everybody().await.connections.len() == 5).await;
    let all = everybody().await;
    let who: Vec<_> = all
        .connections
        .iter()
        .map(|one| (one.app_id, one.user_id.as_ref().map(ToString::to_string)))
        .collect();
    let user = |name: &str| Some(name.to_owned());
    let expected = [(Some(APP), "a"), (Some(APP), "b"), (Some(APP), "a"), (Some(APP + 1), "a")];
    let expected: Vec<_> =
        expected.map(|(app, name)| (app, user(name))).into_iter().chain([(None, None)]).collect();
    assert_eq!((who, all.cursor), (expected, None));
    let began = before.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    for one in &all.connections {
        assert!(one.address.starts_with("127.0.0.1:") && one.waiting_bytes < 10_000, "{one:?}");
        assert!(u128::from(one.since) + 3000 > began && one.last_heard >= one.since, "{one:?} {began}");
    }
    let state = node.http().call_raw("/system/state", &json!({})).await.expect("told");
    assert_eq!(state["nodeId"], json!(all.node_id));

    let numbers = |page: &ConnectionsResponse| -> Vec<u64> {
        page.connections.iter().map(|one| one.connection).collect()
    };
    let everyone = numbers(&all);
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            connections(&node, ConnectionsRequest { limit: Some(2), cursor, ..Default::default() }).await;
        assert!(page.connections.len() <= 2);
        paged.extend(numbers(&page));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, everyone);
    let name = chat_protocol::UserId::new("a").ok();
    for (request, expected) in [
        (ConnectionsRequest { app_id: Some(APP), ..Default::default() }, &[0, 1, 2][..]),
        (ConnectionsRequest { user_id: name.clone(), ..Default::default() }, &[0, 2, 3]),
        (ConnectionsRequest { app_id: Some(APP), user_id: name, ..Default::default() }, &[0, 2]),
        (ConnectionsRequest { address: Some("127.0.".to_owned()), ..Default::default() }, &[0, 1, 2, 3, 4]),
        (ConnectionsRequest { address: Some("10.".to_owned()), ..Default::default() }, &[]),
        (ConnectionsRequest { node: Some(all.node_id.clone()), ..Default::default() }, &[0, 1, 2, 3, 4]),
    ] {
        let found = numbers(&connections(&node, request.clone()).await);
        let expected: Vec<_> = expected.iter().map(|at| everyone[*at]).collect();
        assert_eq!(found, expected, "{request:?}");
    }
    let of_another = ConnectionsRequest { node: Some("another".to_owned()), ..Default::default() };
    assert_eq!(refused(node.http().call::<Connections>(&of_another).await), 1005);
    sessions.pop().expect("four").close().await;
    until("one less", SOON, async || {
        connections(&node, ConnectionsRequest::default()).await.connections.len() == 4
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_reader_who_does_not_read_is_shown() {
    let node = Node::ephemeral(&[]).await;
    let mut stuck = RawSocket::open(node.server()).await;
    stuck.login(APP, "stuck").await;
    let mut sender = node.login(APP, "sender").await;
    let text = "x".repeat(8000);
    until("something waits", SOON, async || {
        sender.send(chat_protocol::Target::World, &text).await.expect("sent");
        let listed = connections(&node, ConnectionsRequest::default()).await;
        listed.connections[0].waiting_bytes > 8000
    })
    .await;
}

#[tokio::test]
async fn nodes_know_of_each_other_and_of_their_connections() {
    let alone = Node::ephemeral(&[]).await;
    let nodes = alone.http().call::<Nodes>(&NodesRequest {}).await.expect("listed").nodes;
    assert!(nodes.len() == 1 && nodes[0].address == alone.server().authority(), "{nodes:?}");

    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (one, mut two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let _sessions = (one.login(APP, "a").await, two.login(APP, "a").await, two.login(APP, "a").await);
    let addresses: BTreeSet<_> = [&one, &two].map(|node| node.server().authority()).into();
    let http = one.http();
    until("both are told with their connections", SOON, async || {
        let nodes = http.call::<Nodes>(&NodesRequest {}).await.expect("listed").nodes;
        let found: BTreeSet<_> = nodes.iter().map(|node| node.address.clone()).collect();
        let counts = |node: &Node| {
            let told = nodes.iter().find(|told| told.address == node.server().authority());
            told.map(|told| (told.connections, told.users, told.draining))
        };
        found == addresses && counts(&one) == Some((1, 1, false)) && counts(&two) == Some((2, 1, false))
    })
    .await;
    // A node that has ended is gone from the list; one that is killed, once its lease is over.
    two.kill();
    until("the killed one is gone", SOON, async || {
        http.call::<Nodes>(&NodesRequest {}).await.expect("listed").nodes.len() == 1
    })
    .await;
}
