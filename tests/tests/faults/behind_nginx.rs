//! Nodes behind a proxy that are killed, drained, added and restarted while everybody talks, and readers who stop.
//!
//! Invariant: everybody knows the address of the proxy only, and the proxies are real.

use chat_client::{Server, Session, Stream};
use chat_protocol::system::{Drain, DrainRequest};
use chat_protocol::{Target, UserId};
use chat_tests::front::{Front, free_address, nginx_for, shipped};
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::shown_once::all_is_shown_once;
use chat_tests::stream::Answered;
use chat_tests::talk::next_message;
use chat_tests::wait::{SOON, until};
use nix::sys::signal::Signal;
use tokio::net::TcpSocket;

const APP: u32 = 637;

/// The same address again, with the same arguments.
async fn again(server: &Server, arguments: &[&str]) -> Node {
    Node::start_on(String::leak(server.authority()), arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_nginx_are_added_killed_and_drained_and_it_is_reloaded() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--drain", "2s", "--trusted-proxies", "127.0.0.1"];
    let (mut one, mut two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let (first, second) = (one.server().clone(), two.server().clone());
    let listen = free_address();
    let nginx = Front::nginx(&nginx_for(listen, &[&first, &second]).await, listen).await;
    let mut third = None;
    let met = all_is_shown_once(vec![nginx.server().clone()], async |answered: &Answered| {
        let node = third.insert(Node::start(&arguments).await);
        nginx.reload(&nginx_for(listen, &[&first, &second, node.server()]).await).await;
        answered.grows_by(20).await;
        one.kill();
        answered.grows_by(20).await;
        one = again(&first, &arguments).await;
        answered.grows_by(20).await;
        let asked = DrainRequest { seconds: Some(2), node: None };
        two.http().call::<Drain>(&asked).await.expect("taken");
        assert_eq!(two.ended().await, Some(0));
        answered.grows_by(20).await;
        two = again(&second, &arguments).await;
        nginx.reload(&nginx_for(listen, &[&first, &second]).await).await;
    })
    .await;
    let closes: Vec<_> = met.concat();
    // Those of the killed node are told nothing; those of the drained one why.
    assert!(closes.contains(&1006) && closes.contains(&4002), "{closes:?}");
    assert!(closes.iter().all(|code| [1006, 4002].contains(code)), "{closes:?}");
    let third = third.expect("added");
    let state = get(third.server(), "/system/state").await.json();
    assert!(
        state["data"]["connectionsTotal"].as_u64() > Some(0),
        "nobody came to the node that was added: {state}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_is_killed_and_whoever_was_behind_it_goes_on_when_it_is_back() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--trusted-proxies", "127.0.0.1"];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let listen = free_address();
    let http = nginx_for(listen, &[one.server(), two.server()]).await;
    let nginx = Front::nginx(&http, listen).await;
    let (server, mut nginx) = (nginx.server().clone(), Some(nginx));
    let met = all_is_shown_once(vec![server], async |answered: &Answered| {
        answered.grows_by(20).await;
        nginx.take().expect("it runs").kill();
        nginx = Some(Front::nginx(&http, listen).await);
        answered.grows_by(20).await;
    })
    .await;
    let closes: Vec<_> = met.concat();
    assert!(!closes.is_empty() && closes.iter().all(|code| *code == 1006), "{closes:?}");
}

/// Restarts both nodes in turn while everybody talks through this proxy.
async fn restarted_in_turn(arguments: &[&str], nodes: [Node; 2], front: &Front) {
    let [mut one, mut two] = nodes;
    let (first, second) = (one.server().clone(), two.server().clone());
    let met = all_is_shown_once(vec![front.server().clone()], async |answered: &Answered| {
        one.signal(Signal::SIGTERM);
        assert_eq!(one.ended().await, Some(0));
        one = again(&first, arguments).await;
        answered.grows_by(40).await;
        two.signal(Signal::SIGTERM);
        assert_eq!(two.ended().await, Some(0));
        two = again(&second, arguments).await;
    })
    .await;
    assert!(met.concat().iter().all(|code| *code == 4002), "{met:?}");
    assert!(!met.concat().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_behind_haproxy_restarted_in_turn_lose_nothing() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--drain", "2s", "--trusted-proxies", "127.0.0.1"];
    let nodes: [Node; 2] = tokio::join!(Node::start(&arguments), Node::start(&arguments)).into();
    let listen = free_address();
    let front = Front::haproxy(&shipped("haproxy.cfg", listen, nodes.each_ref()), listen).await;
    restarted_in_turn(&arguments, nodes, &front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_behind_caddy_restarted_in_turn_lose_nothing() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str(), "--drain", "2s", "--trusted-proxies", "127.0.0.1"];
    let nodes: [Node; 2] = tokio::join!(Node::start(&arguments), Node::start(&arguments)).into();
    let listen = free_address();
    let front = Front::caddy(&shipped("Caddyfile", listen, nodes.each_ref()), listen).await;
    restarted_in_turn(&arguments, nodes, &front).await;
}

#[tokio::test]
async fn a_reader_behind_nginx_who_stops_is_given_up_and_slows_nobody() {
    let node = Node::ephemeral(&["--stall-timeout", "2s", "--trusted-proxies", "127.0.0.1"]).await;
    let listen = free_address();
    let nginx = Front::nginx(&nginx_for(listen, &[node.server()]).await, listen).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let tcp = socket.connect(listen).await.expect("nginx listens");
    let mut stuck = RawSocket::over(Stream::over(tcp, nginx.server()).await.expect("plain"));
    stuck.shake(nginx.server()).await;
    stuck.login(APP, "stuck").await;
    let reader = UserId::new("reader").expect("a name");
    let mut reader = Session::login(nginx.server(), APP, &reader).await.expect("in");
    let mut speaker = node.login(APP, "speaker").await;
    let text = "x".repeat(16_000);
    let given_up = async || {
        for _ in 0..20 {
            speaker.send(Target::World, &text).await.expect("accepted");
            assert_eq!(next_message(&mut reader).await.content.msg.as_deref(), Some(text.as_str()));
        }
        node.log().contains("read too slowly")
    };
    until("the reader who stopped is given up", 3 * SOON, given_up).await;
    assert!(node.log().lines().any(|line| line.contains("user=\"stuck\"") && line.contains("code=4001")));
}
