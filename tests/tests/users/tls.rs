//! A node that speaks TLS itself: what it serves so, and what becomes of those who do not.
//!
//! Invariant: whoever speaks no TLS, or does not come to the end of a handshake, is not waited for for ever and disturbs
//! nobody.

use std::net::Ipv4Addr;
use std::sync::Arc;

use chat_client::connection::Options;
use chat_client::{Connection, Error, Server, Session, Stream};
use chat_protocol::Target;
use chat_tests::authority::Authority;
use chat_tests::exposition::scrape;
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::raw_http::{connect_from, get, request};
use chat_tests::raw_socket::{RawSocket, handshake};
use chat_tests::talk::{Bystanders, close_code, next_text};
use chat_tests::wait::{SOON, until};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const APP: u32 = 340;

async fn tcp(node: &Node) -> TcpStream {
    TcpStream::connect(node.server().authority()).await.expect("the node listens")
}

/// A client of these versions that offers these protocols.
async fn connect(
    node: &Node,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_over(tcp(node).await, authority, versions, protocols).await
}

async fn connect_over(
    tcp: TcpStream,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut known = RootCertStore::empty();
    known.add(CertificateDer::from_pem_file(authority.file()).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring knows them")
        .with_root_certificates(known)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// What comes until the node ends the connection.
async fn rest(tcp: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = timeout(2 * SOON, tcp.read_to_end(&mut said)).await.expect("an end");
    said
}

async fn failures(node: &Node, reason: &str) -> f64 {
    scrape(node).await.of(&format!("chatd_tls_handshake_failures_total{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn both_versions_serve_http_and_end_with_a_farewell() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    assert!(node.log().contains("listening on https://127.0.0.1:"), "{}", node.log());
    for (version, name) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (protocols, chosen) in [(&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let mut stream = connect(&node, &authority, &[version], protocols).await.expect("a handshake");
            let (_, tls) = stream.get_ref();
            assert_eq!((tls.protocol_version(), tls.alpn_protocol()), (Some(name), chosen));
            for (path, connection) in [("/readyz", "keep-alive"), ("/livez", "close")] {
                let host = node.server().authority();
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n");
                stream.write_all(request.as_bytes()).await.expect("open");
            }
            let mut said = String::new();
            // It is an error when TLS was not told that this is the end.
            let read = timeout(SOON, stream.read_to_string(&mut said)).await.expect("an end");
            read.unwrap_or_else(|error| panic!("{error} after {said}"));
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
        }
    }
    let refused = connect(&node, &authority, &[&TLS13], &["h2"]).await.expect_err("no protocol in common");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    assert_eq!(failures(&node, "incompatible").await, 1.0);
    let told = scrape(&node).await;
    assert!(told.of("chatd_tls_handshakes_total") >= 5.0);
    // The first of the year 2100.
    assert_eq!(told.of("chatd_tls_certificate_end_time_seconds"), 4_102_444_800.0);
}

#[tokio::test]
async fn a_websocket_ends_with_its_close_and_then_with_that_of_tls() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(&node, &authority, &[version], &[]).await.expect("a handshake");
        stream.write_all(handshake(node.server()).as_bytes()).await.expect("open");
        stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.expect("open");
        let mut said = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut said)).await.expect("an end");
        read.expect("TLS was told that this is the end");
        assert!(
            said.starts_with(b"HTTP/1.1 101 ") && said.ends_with(b"\r\n\r\n\x88\x02\x03\xe8"),
            "{said:?}"
        );
    }
    // A client that only shuts its side gets its answers all the same.
    let mut stream = connect(&node, &authority, &[&TLS13], &[]).await.expect("a handshake");
    let ping = chat_tests::raw_socket::frame(true, 1, br#"{"seq":"1","cmd":"ping"}"#);
    stream.write_all(&[handshake(node.server()).as_bytes(), &ping].concat()).await.expect("open");
    stream.shutdown().await.expect("open");
    let mut said = Vec::new();
    timeout(SOON, stream.read_to_end(&mut said)).await.expect("an end").expect("in order");
    assert!(String::from_utf8_lossy(&said).contains("pong"), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn the_page_comes_over_tls_and_asks_for_nothing_without() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let lead = get(node.server(), "/?appId=1").await;
    assert_eq!((lead.status, lead.header("location")), (307, "home/index?appId=1"));
    let page = get(node.server(), "/home/index").await;
    assert_eq!((page.status, page.header("x-content-type-options")), (200, "nosniff"));
    assert!(page.header("content-security-policy").contains("connect-src 'self'"));
    let script = get(node.server(), "/home/connection.js").await.body;
    assert!(script.contains("url.protocol.replace('http', 'ws')"));
    for text in [page.body, script] {
        assert!(!text.contains("http://") && !text.contains("'ws://"), "{text}");
    }
    // Its script comes from the same host, whatever the scheme.
    let origin = node.server().to_string();
    let headers =
        [("Origin", &*origin), ("Sec-Fetch-Site", "same-origin"), ("Content-Type", "application/json")];
    let group = r#"{"appId":340,"userId":"a","name":"长安"}"#;
    let answer = request(node.server(), "POST", "/group/create", &headers, group.as_bytes()).await;
    assert_eq!(answer.code(), 200);
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let plain = node.server().to_string().replace("https://", "http://");
    let there: Server = plain.parse().expect("an address");
    for path in ["/livez", "/user/list?appId=1", "/acc"] {
        let answer = get(&there, path).await;
        assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (400, 1001, ""));
        assert!(answer.reason().contains("https://"), "{answer:?}");
    }
    match Connection::open(&there, &Options::default()).await.expect_err("refused") {
        Error::Refused { reason, .. } => assert!(reason.contains("wss://"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let told = run("chatctl", &["state"], &[("CHATCTL_SERVER", &plain)]).await;
    assert!(told.code != Some(0) && told.stderr.contains("https://"), "{told:?}");
    let bench = ["connect", "--clients", "2", "--server", &plain];
    let told = run("chatbench", &bench, &[]).await;
    assert!(told.code == Some(1) && told.stderr.contains("https://"), "{told:?}");
    assert!(failures(&node, "plain_http").await >= 5.0);
}

/// A handshake would be the very work that is spared, and there are no words before it: an alert says that it is no fault
/// of the network.
#[tokio::test]
async fn who_is_refused_before_the_handshake_gets_an_alert() {
    const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    let authority = Authority::new();
    let node = Node::secure(&authority, &["--connections-per-address", "1"]).await;
    let from = async || connect_from(CROWD, node.server()).await;
    let _held = connect_over(from().await, &authority, &[&TLS13], &[]).await.expect("the first");
    for version in [&TLS12, &TLS13] {
        let refused =
            connect_over(from().await, &authority, &[version], &[]).await.expect_err("one too many");
        assert!(refused.to_string().contains("AccessDenied"), "{refused}");
    }
    assert_eq!(
        rest(&mut from().await).await,
        [21, 3, 3, 0, 2, 2, 49],
        "it comes before the client says anything"
    );
    let told = scrape(&node).await;
    assert_eq!(told.of("chatd_limit_refusals_total{limit=\"connections_per_address\"}"), 3.0);
    assert_eq!(failures(&node, "refused").await, 0.0);
}

#[tokio::test]
async fn garbage_and_old_versions_are_refused_at_once() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    // A hello of TLS 1.1, which offers one cipher and no extension.
    let old = [&b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x02"[..], &[7; 32], b"\0\0\x02\0\x2f\x01\0"].concat();
    for (bytes, reason, is_told) in [
        (old, "incompatible", true),
        (b"\x16\x03\x01\x50\x01aaaa".to_vec(), "no_tls", true),
        (b"\x16\x03\x03\0\x04\x01\0\0\0".to_vec(), "no_tls", true),
        (b"\x16aaaaaaaaaaaaaaaaaaaa".to_vec(), "no_tls", true),
        (b"\x80\x2e\x01\0\x02aaaaaaaaa".to_vec(), "no_tls", false),
        (vec![0; 5000], "no_tls", false),
        (b"\x17\x03\x03\0\x10aaaaaaaaaaaaaaaa".to_vec(), "no_tls", false),
    ] {
        let before = failures(&node, reason).await;
        let mut tcp = tcp(&node).await;
        tcp.write_all(&bytes).await.expect("sent");
        let said = rest(&mut tcp).await;
        assert_eq!(said.first() == Some(&21), is_told, "an alert: {said:x?} to {bytes:x?}");
        assert_eq!(failures(&node, reason).await - before, 1.0, "{bytes:x?}");
    }
    bystanders.are_undisturbed().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_given_up() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    let (mut silent, mut halfway) = (tcp(&node).await, tcp(&node).await);
    halfway.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await.expect("sent");
    let mut gone = tcp(&node).await;
    gone.write_all(b"\x16\x03\x01\x02\0\x01").await.expect("sent");
    drop(gone);
    let (silent, halfway) = tokio::join!(rest(&mut silent), rest(&mut halfway));
    assert_eq!((silent, halfway), (Vec::new(), Vec::new()));
    assert_eq!([failures(&node, "late").await, failures(&node, "left").await], [2.0, 1.0]);
    bystanders.are_undisturbed().await;
}

/// A connection for which the kernel keeps little, logged in.
async fn narrow(node: &Node, user: &str) -> RawSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let address = node.server().authority().parse().expect("an address");
    let tcp = socket.connect(address).await.expect("the node listens");
    let mut socket = RawSocket::over(Stream::over(tcp, node.server()).await.expect("a handshake"));
    socket.shake(node.server()).await;
    socket.login(APP, user).await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_over_tls_keeps_its_order_and_gives_a_slow_reader_up() {
    const MESSAGES: usize = 60;
    let authority = Authority::new();
    let node = Node::secure(&authority, &["--outbox-bytes", "65536", "--heartbeat-timeout", "1h"]).await;
    let users: Vec<String> = (0..200).map(|number| format!("user-{number}")).collect();
    let mut sessions: Vec<Session> = join_all(users.iter().map(|user| node.login(APP, user))).await;
    let mut slow = narrow(&node, "slow").await;
    let mut speaker = node.login(APP, "speaker").await;
    let sent: Vec<String> =
        (0..MESSAGES).map(|number| format!("{number} {}", "x".repeat(15 * 1024))).collect();
    for text in &sent {
        speaker.send(Target::World, text).await.expect("accepted");
        let heard = join_all(sessions.iter_mut().map(next_text)).await;
        assert!(heard.iter().all(|heard| heard == text), "each hears each, in order");
    }
    assert_eq!(slow.close_code().await, 4001);
    let told = scrape(&node).await;
    assert_eq!(told.of("chatd_slow_closes_total"), 1.0);
    until("nothing waits", SOON, async || scrape(&node).await.of("chatd_queued_bytes") < 10_000.0).await;
    node.signal(Signal::SIGTERM);
    let codes = join_all(sessions.iter_mut().map(close_code)).await;
    assert!(codes.iter().all(|code| *code == 4002), "{codes:?}");
}
