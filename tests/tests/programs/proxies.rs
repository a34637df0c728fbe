//! nginx as chatctl sets it up: a node that drains costs nobody who comes, and `nginx check` tells what is wrong.
//!
//! Invariant: the configuration is the one that the project ships, with the addresses of the test in it.

use chat_client::{Server, Session};
use chat_protocol::system::{Drain, DrainRequest};
use chat_protocol::{Target, UserId};
use chat_tests::front::{Front, free_address, nginx_for, shipped};
use chat_tests::manual::text_of;
use chat_tests::node::Node;
use chat_tests::raw_http::{UPGRADE, get};
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::SOON;
use chatctl::surroundings::Surroundings;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const APP: u32 = 332;
/// Connections of the node that drains, of which ten a second go: it is there for as long as the test needs.
const CROWD: usize = 600;
/// Who comes meanwhile.
const COMERS: usize = 40;

async fn log_in(server: &Server, user: &str) -> Session {
    Session::login(server, APP, &UserId::new(user).expect("a name")).await.expect("a WebSocket, and in")
}

/// Statuses of upgrades that are asked for one after the other.
async fn upgrades(server: &Server) -> Vec<u16> {
    let headers: String = UPGRADE.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let asked = format!("GET /acc HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");
    let mut statuses = Vec::new();
    for _ in 0..COMERS {
        let mut tcp = TcpStream::connect(server.authority()).await.expect("nginx");
        tcp.write_all(asked.as_bytes()).await.expect("sent");
        let mut begin = [0; 12];
        timeout(SOON, tcp.read_exact(&mut begin)).await.expect("in time").expect("an answer");
        let status = String::from_utf8_lossy(&begin[9..]).parse();
        statuses.push(status.expect("a status"));
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_everybody_gets_in_while_one_of_two_nodes_drains() {
    let arguments = ["--login-timeout", "1h"];
    let nodes = [Node::ephemeral(&arguments).await, Node::ephemeral(&arguments).await];
    let crowd = join_all((0..CROWD).map(|_| RawSocket::open(nodes[0].server()))).await;
    let both = [nodes[0].server(), nodes[1].server()];
    let (listen, other) = (free_address(), free_address());
    let nginx = Front::nginx(&nginx_for(listen, &both).await, listen).await;
    log_in(nginx.server(), "before").await.send(Target::World, "hello").await.expect("through nginx");

    let drained = DrainRequest { seconds: Some(3600), node: None };
    nodes[0].http().call::<Drain>(&drained).await.expect("it drains");
    let sessions = join_all((0..COMERS).map(async |number| {
        let mut session = log_in(nginx.server(), &format!("u{number}")).await;
        session.send(Target::World, "hello").await.expect("accepted");
        session
    }))
    .await;
    assert_eq!(sessions.len(), COMERS);
    let state = get(nodes[1].server(), "/system/state").await.json();
    assert!(state["data"]["sessions"].as_u64() >= Some(COMERS as u64), "{state}");

    // It is the line that does it: without it some meet the node that drains, as often as nginx likes.
    let text = nginx_for(other, &both).await;
    let line = text.lines().find(|line| line.contains("http_503")).expect("the line").to_owned();
    let without = Front::nginx(&text.replace(&line, ""), other).await;
    let statuses = upgrades(without.server()).await;
    assert!(statuses.contains(&503) && statuses.contains(&101), "{statuses:?}");
    assert!(!upgrades(nginx.server()).await.contains(&503));
    drop(crowd);
}

/// What `chatctl nginx check` finds: its exit code, and whether each thing holds and why.
async fn check(front: &Server, nodes: &[&Node], more: &[&str]) -> (u8, Vec<(String, bool, String)>) {
    let server = front.to_string();
    let fixed = ["chatctl", "--server", &server, "--app", "332", "-o", "json", "nginx", "check"];
    let mut line: Vec<_> = fixed.iter().chain(more).map(Into::into).collect();
    for node in nodes {
        line.extend(["--node".into(), node.server().authority().into()]);
    }
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let exit = chatctl::run(line, surroundings).await;
    let found: Value = serde_json::from_str(&written.stdout())
        .unwrap_or_else(|error| panic!("{error}: {} {}", written.stdout(), written.stderr()));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rows = found.as_array().expect("findings").iter();
    let row = |row: &Value| (text(&row["check"]), row["holds"] == true, text(&row["found"]));
    (exit, rows.map(row).collect())
}

fn names(found: &[(String, bool, String)], holds: bool) -> Vec<&str> {
    found.iter().filter(|(_, held, _)| *held == holds).map(|(name, ..)| name.as_str()).collect()
}

const CHECKS: [&str; 6] = ["requests", "large bodies", "WebSocket", "nodes", "client address", "silence"];

#[tokio::test]
async fn a_proxy_is_found_to_do_what_it_should_or_not() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", &url, "--trusted-proxies", "127.0.0.1", "--ping-interval", "1"];
    let nodes = [Node::start(&arguments).await, Node::start(&arguments).await];
    let (both, servers) = ([&nodes[0], &nodes[1]], [nodes[0].server(), nodes[1].server()]);
    let listen = free_address();
    let good = nginx_for(listen, &servers).await;
    let nginx = Front::nginx(&good, listen).await;
    let (exit, found) = check(nginx.server(), &both, &["--idle", "2s"]).await;
    assert_eq!((exit, names(&found, true)), (0, CHECKS.to_vec()), "{found:?}");

    for (written, meant, fails) in [
        ("client_max_body_size 0;", "", "large bodies"),
        ("proxy_set_header Upgrade $http_upgrade;", "", "WebSocket"),
        ("proxy_set_header X-Forwarded-For $remote_addr;", "", "client address"),
        (
            "proxy_set_header X-Forwarded-For $remote_addr;",
            "proxy_set_header X-Forwarded-For 192.0.2.1;",
            "client address",
        ),
        ("proxy_read_timeout 400s;", "proxy_read_timeout 500ms;", "silence"),
    ] {
        assert_eq!(good.matches(written).count(), 1, "{written}");
        nginx.reload_idle(&good.replace(written, meant)).await;
        let (exit, found) = check(nginx.server(), &both, &["--idle", "2s"]).await;
        assert_eq!((exit, names(&found, false)), (6, vec![fails]), "{written}: {found:?}");
    }
    // One that the operator forgot answers.
    nginx.reload_idle(&good).await;
    let (exit, found) = check(nginx.server(), &both[..1], &[]).await;
    assert_eq!((exit, names(&found, false)[0]), (6, "nodes"), "{found:?}");
}

#[tokio::test]
async fn haproxy_and_caddy_do_what_nginx_does() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", &url, "--trusted-proxies", "127.0.0.1", "--ping-interval", "1"];
    let nodes = [Node::start(&arguments).await, Node::start(&arguments).await];
    let both = [&nodes[0], &nodes[1]];
    let at = [free_address(), free_address()];
    let fronts = [
        Front::haproxy(&shipped("haproxy.cfg", at[0], both), at[0]).await,
        Front::caddy(&shipped("Caddyfile", at[1], both), at[1]).await,
    ];
    for front in &fronts {
        let (exit, found) = check(front.server(), &both, &["--idle", "2s"]).await;
        assert_eq!((exit, names(&found, true)), (0, CHECKS.to_vec()), "{}: {found:?}", front.server());
    }
}

#[tokio::test]
async fn haproxy_without_http_tells_the_client_by_the_proxy_protocol() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", &url, "--trusted-proxies", "127.0.0.1", "--proxy-protocol"];
    let nodes = [Node::start(&arguments).await, Node::start(&arguments).await];
    let [one, two] = [&nodes[0], &nodes[1]].map(|node| node.server().authority());
    for version in ["send-proxy", "send-proxy-v2"] {
        let at = free_address();
        let text = format!(
            "defaults\n timeout connect 3s\n timeout client 60s\n timeout server 60s\n\
             frontend chatd\n mode tcp\n bind {at}\n default_backend nodes\n\
             backend nodes\n mode tcp\n balance roundrobin\n server one {one} {version}\n server two {two} {version}\n"
        );
        let haproxy = Front::haproxy(&text, at).await;
        // The nodes themselves are asked by the address of the proxy, so not asked here.
        let mut session = log_in(haproxy.server(), "passer-by").await;
        let own = session.connection().tcp().local_addr().expect("an address").to_string();
        let listed = get(haproxy.server(), "/system/explain?appId=332&userId=passer-by").await.body;
        let logs = nodes.each_ref().map(Node::log).concat();
        assert!(logs.contains(&format!("peer={own}")), "{own}: {listed} {logs}");
        let (exit, found) = check(haproxy.server(), &[], &[]).await;
        assert_eq!((exit, names(&found, true)), (0, CHECKS[..3].to_vec()), "{found:?}");
    }
}

#[test]
fn the_compose_file_and_the_ready_files_name_the_same_nodes() {
    for file in ["compose.yaml", "nginx.conf", "haproxy.cfg", "Caddyfile"] {
        let text = text_of(&format!("scripts/deploy/{file}"));
        assert!(text.contains("node1") && text.contains("node2") && !text.contains("node3"), "{file}");
    }
}
