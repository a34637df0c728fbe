//! The proxy as chatd's document sets it up: a node that drains costs nobody who comes.
//!
//! Invariant: the configuration is the document's own, with the addresses of the test in it.

use chat_client::{Server, Session};
use chat_protocol::system::{Drain, DrainRequest};
use chat_protocol::{Target, UserId};
use chat_tests::manual::{blocks, text_of};
use chat_tests::nginx::{Nginx, free_address};
use chat_tests::node::Node;
use chat_tests::raw_http::{UPGRADE, get};
use chat_tests::raw_socket::RawSocket;
use chat_tests::wait::SOON;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const APP: u32 = 332;
/// Connections of the node that drains, of which ten a second go: it is there for as long as the test needs.
const CROWD: usize = 600;
/// Who comes meanwhile.
const COMERS: usize = 40;

/// The document's configuration for two nodes, where nginx listens at the address.
fn documented(listen: &str, nodes: [&Node; 2]) -> String {
    let blocks = blocks(&text_of("chatd/README.md"));
    let mut printed = blocks.into_iter().filter(|block| block.language == "nginx");
    let mut text = printed.next().expect("the document has one").text;
    for (written, meant) in [
        ("listen 80;", format!("listen {listen};")),
        ("10.0.0.7:8080", nodes[0].server().authority()),
        ("10.0.0.8:8080", nodes[1].server().authority()),
    ] {
        assert_eq!(text.matches(written).count(), 1, "{written} in {text}");
        text = text.replace(written, &meant);
    }
    text
}

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
    let arguments = ["--login-timeout", "1h", "--allowed-hosts", "chat.example"];
    let nodes = [Node::ephemeral(&arguments).await, Node::ephemeral(&arguments).await];
    let crowd = join_all((0..CROWD).map(|_| RawSocket::open(nodes[0].server()))).await;
    let both = [&nodes[0], &nodes[1]];
    let (listen, other) = (free_address(), free_address());
    let nginx = Nginx::start(&documented(&listen.to_string(), both), listen).await;
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
    let text = documented(&other.to_string(), both);
    let line = text.lines().find(|line| line.contains("http_503")).expect("the line").to_owned();
    let without = Nginx::start(&text.replace(&line, ""), other).await;
    let statuses = upgrades(without.server()).await;
    assert!(statuses.contains(&503) && statuses.contains(&101), "{statuses:?}");
    assert!(!upgrades(nginx.server()).await.contains(&503));
    drop(crowd);
}
