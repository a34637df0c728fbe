//! Nodes are restarted one after the other while everybody talks: nothing is lost, and nothing is shown twice.
//!
//! Invariant: whoever was on a node that stops was told so.

use chat_client::Server;
use chat_protocol::system::{Drain, DrainRequest};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::shown_once::all_is_shown_once;
use nix::sys::signal::Signal;

/// Everybody came back from each stop, of which they were told.
fn assert_all_were_told(met: &[Vec<u16>]) {
    assert!(
        met.iter().all(|closes| !closes.is_empty() && closes.iter().all(|code| *code == 4002)),
        "{met:?}"
    );
}

/// The same address again, with the same arguments.
async fn again(server: &Server, arguments: &[&str]) -> Node {
    Node::start_on(String::leak(server.authority()), arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_restarted_in_turn_lose_nothing_and_show_nothing_twice() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--drain", "2s"];
    let (mut one, mut two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let servers = vec![one.server().clone(), two.server().clone()];
    let met = all_is_shown_once(servers.clone(), async |answered| {
        let asked = DrainRequest { seconds: Some(2), node: None };
        one.http().call::<Drain>(&asked).await.expect("taken");
        assert_eq!(one.ended().await, Some(0));
        one = again(&servers[0], &arguments).await;
        answered.grows_by(10).await;
        two.signal(Signal::SIGTERM);
        assert_eq!(two.ended().await, Some(0));
        two = again(&servers[1], &arguments).await;
    })
    .await;
    assert_all_were_told(&met);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_that_is_restarted_loses_nothing_and_shows_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--data-dir", directory.path().to_str().expect("a path"), "--drain", "2s"];
    let mut node = Node::start(&arguments).await;
    let servers = vec![node.server().clone()];
    let met = all_is_shown_once(servers.clone(), async |_| {
        node.signal(Signal::SIGTERM);
        assert_eq!(node.ended().await, Some(0));
        node = again(&servers[0], &arguments).await;
    })
    .await;
    assert_all_were_told(&met);
}
