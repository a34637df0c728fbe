//! Whose address a node knows of those who come through a proxy: forwarded headers and the PROXY protocol, honest and not.
//!
//! Invariant: only a trusted proxy is believed, whatever others write.

use std::net::Ipv4Addr;

use chat_client::Stream;
use chat_tests::authority::Authority;
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, connect_from, exchange_over, get_from};
use chat_tests::raw_socket::handshake;
use chat_tests::wait::{SOON, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Who looks.
const WATCH: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// A client, as its proxy tells.
const CLIENT: &str = "198.51.100.7";

/// The request for a WebSocket with one more header.
fn asking(node: &Node, header: &str) -> String {
    handshake(node.server()).replacen("\r\n", &format!("\r\n{header}"), 1)
}

/// What the node answers to these bytes first, and the connection.
async fn write(source: Ipv4Addr, node: &Node, bytes: &[u8]) -> (String, TcpStream) {
    let mut tcp = connect_from(source, node.server()).await;
    tcp.write_all(bytes).await.expect("sent");
    let mut begin = [0; 12];
    let read = timeout(2 * SOON, tcp.read_exact(&mut begin)).await.expect("an answer or the end");
    let answered = read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&begin).into_owned());
    (answered, tcp)
}

/// From where the node thinks that its WebSockets come.
async fn addresses(node: &Node) -> Vec<String> {
    let listed = get_from(WATCH, node.server(), "/system/connections").await.json();
    let listed = listed["data"]["connections"].as_array().expect("connections").clone();
    listed.iter().map(|one| one["address"].as_str().expect("an address").to_owned()).collect()
}

async fn seen(node: &Node, address: &str) {
    let told = async || addresses(node).await.iter().any(|seen| seen.starts_with(address));
    until(&format!("{address} is seen"), SOON, told).await;
}

#[tokio::test]
async fn a_forwarded_address_is_believed_from_a_trusted_proxy_only() {
    let node = Node::ephemeral(&["--trusted-proxies", "127.0.0.2, 10.0.0.0/8"]).await;
    // A handshake of more bytes than go the short way is understood as well.
    let long = format!("X-Filler: {}\r\nX-Forwarded-For: 198.51.100.8\r\n", "x".repeat(3000));
    for (header, address) in [
        (format!("X-Forwarded-For: {CLIENT}\r\n"), "198.51.100.7:0"),
        (long, "198.51.100.8:0"),
        ("X-Forwarded-For: 6.6.6.6, 198.51.100.9:1234, 10.1.1.1\r\n".to_owned(), "198.51.100.9:1234"),
        ("X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 2001:db8::7\r\n".to_owned(), "[2001:db8::7]:0"),
        ("X-Forwarded-For: 6.6.6.6, nonsense\r\n".to_owned(), "127.0.0.2:"),
    ] {
        let (answered, _open) = write(PROXY, &node, asking(&node, &header).as_bytes()).await;
        assert_eq!(answered, "HTTP/1.1 101", "{header}");
        seen(&node, address).await;
    }
    let header = format!("X-Forwarded-For: {CLIENT}\r\n");
    let (answered, _open) = write(STRANGER, &node, asking(&node, &header).as_bytes()).await;
    assert_eq!(answered, "HTTP/1.1 101");
    seen(&node, "127.0.0.3:").await;
    assert!(!addresses(&node).await.iter().any(|address| address.starts_with("6.6.6.6")));
}

/// A WebSocket, or the answer instead, of a client whom the proxy names.
async fn forwarded(node: &Node, client: &str) -> Result<TcpStream, Answer> {
    let mut tcp = connect_from(PROXY, node.server()).await;
    let request = asking(node, &format!("X-Forwarded-For: {client}\r\n"));
    tcp.write_all(request.replace("Upgrade\r\nUpgrade", "Upgrade, close\r\nUpgrade").as_bytes())
        .await
        .expect("sent");
    let mut first = [0; 12];
    timeout(SOON, tcp.peek(&mut first)).await.expect("an answer").expect("open");
    if first.starts_with(b"HTTP/1.1 101") {
        Ok(tcp)
    } else {
        Err(exchange_over(tcp, b"").await.expect("an answer"))
    }
}

#[tokio::test]
async fn limits_of_addresses_are_those_of_clients_and_not_of_their_proxy() {
    let limits = [
        "--connections-per-address",
        "2",
        "--http-rate-per-address",
        "72/h",
        "--http-burst-per-address",
        "3",
    ];
    let node = Node::ephemeral(&[&["--trusted-proxies", "127.0.0.2"], &limits[..]].concat()).await;
    let mut open = Vec::new();
    for client in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        for _ in 0..2 {
            open.push(forwarded(&node, client).await.expect("a WebSocket"));
        }
        let refused = forwarded(&node, client).await.expect_err("one too many");
        assert_eq!((refused.code(), refused.status), (1011, 429), "{refused:?}");
        assert!(refused.reason().contains(&format!("{client} has 2 connections open")), "{refused:?}");
    }
    // The first of them leaves, and another of the same address may come.
    drop(open.remove(0));
    let mut back = Vec::new();
    until("there is room again", SOON, async || {
        forwarded(&node, "198.51.100.1").await.map(|tcp| back.push(tcp)).is_ok()
    })
    .await;
    let ask = async |client: &str| {
        let head = format!(
            "GET /user/list?appId=1 HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n",
            node.server().authority()
        );
        let tcp = connect_from(PROXY, node.server()).await;
        exchange_over(tcp, head.as_bytes()).await.expect("an answer").code()
    };
    for _ in 0..3 {
        assert_eq!(ask("198.51.100.1").await, 200);
    }
    assert_eq!((ask("198.51.100.1").await, ask("198.51.100.2").await), (1011, 200));
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

#[tokio::test]
async fn the_proxy_protocol_tells_the_client_in_both_versions() {
    let node = Node::ephemeral(&["--trusted-proxies", "127.0.0.2", "--proxy-protocol"]).await;
    let request = handshake(node.server());
    let v4 = [198, 51, 100, 8, 10, 0, 0, 1, 0, 80, 1, 187];
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    (v6[15], v6[33]) = (9, 80);
    for (header, address) in [
        (b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n".to_vec(), "198.51.100.7:4711"),
        (b"PROXY TCP6 2001:db8::7 ::1 4712 443\r\n".to_vec(), "[2001:db8::7]:4712"),
        (binary(0x21, 0x11, &v4), "198.51.100.8:80"),
        (binary(0x21, 0x21, &[&v6[..], &[0xea; 600]].concat()), "[2001::9]:80"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.2:"),
        (binary(0x20, 0, &[]), "127.0.0.2:"),
    ] {
        let (answered, _open) = write(PROXY, &node, &[&header, request.as_bytes()].concat()).await;
        assert_eq!(answered, "HTTP/1.1 101", "{address}");
        seen(&node, address).await;
        // What is forwarded by somebody who was introduced is the word of a client.
        let forged = asking(&node, "X-Forwarded-For: 6.6.6.6\r\n");
        if !address.starts_with("127") {
            let (answered, _open) = write(PROXY, &node, &[&header, forged.as_bytes()].concat()).await;
            assert_eq!(answered, "HTTP/1.1 101", "{address}");
        }
    }
    assert!(!addresses(&node).await.iter().any(|address| address.starts_with("6.6.6.6")));
    // Byte for byte, with everything else behind it.
    let mut tcp = connect_from(PROXY, node.server()).await;
    tcp.set_nodelay(true).expect("a socket");
    for byte in [b"PROXY TCP4 203.0.113.5 10.0.0.1 1 2\r\n", request.as_bytes()].concat() {
        tcp.write_all(&[byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    seen(&node, "203.0.113.5:1").await;
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_that_is_none_ends_the_connection_and_nothing_else() {
    let node = Node::ephemeral(&["--trusted-proxies", "127.0.0.2", "--proxy-protocol"]).await;
    let request = handshake(node.server()).into_bytes();
    for header in [
        vec![],
        b"PROXY TCP4 198.51.100.7 10.0.0.1 99999 443\r\n".to_vec(),
        [b"PROXY TCP4 ".to_vec(), vec![b'1'; 4000], b"\r\n".to_vec()].concat(),
        b"PROXY \r\n".to_vec(),
        binary(0x21, 0x11, &[1, 2, 3]),
        binary(0x2f, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 60_000]),
        vec![0; 3000],
    ] {
        let (answered, _) = write(PROXY, &node, &[header.clone(), request.clone()].concat()).await;
        assert_eq!(answered, "", "{:?}", String::from_utf8_lossy(&header));
    }
    // Half a header is waited for no longer than half a request.
    for half in [&b"PROXY TCP4 198"[..], b"", &binary(0x21, 0x11, &[0; 12])[..20]] {
        let (answered, _) = write(PROXY, &node, half).await;
        assert_eq!(answered, "", "{half:?}");
    }
    // Whoever is no proxy is asked for no header, and is believed in none.
    let (answered, _) = write(STRANGER, &node, &request).await;
    assert_eq!(answered, "HTTP/1.1 101");
    let forged = [b"PROXY TCP4 198.51.100.7 10.0.0.1 1 2\r\n", &request[..]].concat();
    let (answered, _) = write(STRANGER, &node, &forged).await;
    assert_ne!(answered, "HTTP/1.1 101");
    assert!(!addresses(&node).await.iter().any(|address| address.starts_with("198")));
    assert_eq!(get_from(WATCH, node.server(), "/readyz").await.status, 200);
}

#[tokio::test]
async fn limits_of_addresses_hold_behind_the_proxy_protocol_and_tls() {
    let authority = Authority::new();
    let arguments = ["--trusted-proxies", "127.0.0.2", "--proxy-protocol", "--connections-per-address", "1"];
    let node = Node::secure(&authority, &arguments).await;
    let come = async |client: &str| {
        let mut tcp = connect_from(PROXY, node.server()).await;
        let header = format!("PROXY TCP4 {client} 10.0.0.1 1 2\r\n");
        tcp.write_all(header.as_bytes()).await.expect("sent");
        Stream::over(tcp, node.server()).await
    };
    let held = come("198.51.100.1").await.expect("a handshake");
    assert!(come("198.51.100.1").await.is_err(), "one too many, who is told nothing before a handshake");
    let mut other = come("198.51.100.2").await.expect("another address");
    other.write_all(handshake(node.server()).as_bytes()).await.expect("sent");
    let mut begin = [0; 12];
    timeout(SOON, other.read_exact(&mut begin)).await.expect("in time").expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 101");
    drop(held);
    until("there is room again", SOON, async || come("198.51.100.1").await.is_ok()).await;
}

#[tokio::test]
async fn what_operators_do_through_a_proxy_is_recorded_under_their_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("audit.jsonl");
    let node =
        Node::ephemeral(&["--trusted-proxies", "127.0.0.2", "--audit-log", log.to_str().expect("a path")])
            .await;
    let head = format!(
        "POST /system/unban?appId=1&userId=a HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: {CLIENT}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        node.server().authority()
    );
    let tcp = connect_from(PROXY, node.server()).await;
    exchange_over(tcp, head.as_bytes()).await.expect("an answer");
    let text = std::fs::read_to_string(&log).expect("a log");
    let record: Value = serde_json::from_str(text.lines().last().expect("a record")).expect("JSON");
    assert_eq!(record["address"], format!("{CLIENT}:0"), "{record}");
}
