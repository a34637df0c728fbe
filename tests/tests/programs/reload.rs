//! Settings that are read again while a node runs: by the operation, and by SIGHUP where it is a service.
//!
//! Invariant: all of them or none.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, request};
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ORIGIN: &str = "https://pages.example";
const HOST: &str = "chat.example";

/// A request as it comes through a proxy, from a page elsewhere.
async fn ask(node: &Node, host: &str, origin: &str) -> Answer {
    let mut headers = vec![("Host", host)];
    if !origin.is_empty() {
        headers.push(("Origin", origin));
    }
    let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!("GET /user/list?appId=1 HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    chat_tests::raw_http::exchange(node.server(), text.as_bytes()).await.expect("an answer")
}

async fn lets_in(node: &Node) -> bool {
    let answers = [ask(node, HOST, "").await, ask(node, HOST, ORIGIN).await];
    let allowed = answers[1].header("access-control-allow-origin") == ORIGIN;
    let statuses = answers.map(|answer| answer.status);
    assert!(statuses == [200, 200] || statuses == [403, 403], "{statuses:?}: all or nothing");
    allowed
}

/// Where the page may load from.
async fn page_policy(node: &Node) -> String {
    let page = request(node.server(), "GET", "/home/index", &[], &[]).await;
    page.header("content-security-policy").to_owned()
}

/// Whether requests are logged, which they are at the level debug.
async fn tells_of_requests(node: &Node, mark: &str) -> bool {
    for path in [format!("/{mark}"), "/livez".to_owned()] {
        let _ = request(node.server(), "GET", &path, &[], &[]).await;
    }
    node.log().contains(mark)
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("written");
}

fn open() -> String {
    format!(
        "log = 'debug'\nallowed_origins = ['{ORIGIN}']\nallowed_hosts = ['{HOST}']\n\
         [files]\nmedia_origins = ['https://cdn.example']\n"
    )
}

#[tokio::test]
async fn hosts_origins_and_the_level_of_the_log_are_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("chatd.toml");
    write(&file, "");
    let node = Node::ephemeral(&["--config", file.to_str().expect("a path")]).await;
    let reload = async || node.http().call_raw("/system/reload", &json!({})).await;
    assert!(!lets_in(&node).await && !tells_of_requests(&node, "first").await);
    assert!(page_policy(&node).await.contains("img-src 'self' blob: data:;"));
    write(&file, &open());
    assert!(!lets_in(&node).await, "nothing was read yet");
    assert_eq!(
        reload().await.expect("it is read"),
        json!({"keys": [], "tokenKeys": 0, "limits": [], "restart": []})
    );
    assert!(lets_in(&node).await);
    assert!(page_policy(&node).await.contains(" https://cdn.example:443;"));
    until("requests are told of", SOON, async || tells_of_requests(&node, "second").await).await;
    for (broken, why) in [
        ("allowed_hosts = ['a:1']\nallowed_origins = ['https://other.example']".to_owned(), "allowed_hosts"),
        ("log = 'chatd=loudly'".to_owned(), "log"),
        ("nonsense = 1".to_owned(), "nonsense"),
        ("[auth]\njwt_secret = 'a secret of thirty-two bytes, and more'".to_owned(), "start it again"),
    ] {
        write(&file, &broken);
        let refusal = reload().await.expect_err("refused").to_string();
        assert!(refusal.contains(why) && refusal.contains("1009"), "{refusal}");
        assert!(lets_in(&node).await, "{broken}: everything stays as it was");
    }
    write(&file, "");
    assert_eq!(reload().await.map(|told: Value| told["tokenKeys"].clone()).expect("read"), 0);
    assert!(!lets_in(&node).await);
    assert!(!tells_of_requests(&node, "third").await);
    assert_eq!(refused(node.http().call_raw("/no/such", &json!({})).await), 1010);
}

#[tokio::test]
async fn a_service_reads_its_settings_again_at_sighup_and_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, path) = (directory.path().join("chatd.toml"), directory.path().join("notify"));
    write(&file, "");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a time");
    let hear = move |wanted: &str| {
        let mut datagram = [0; 4096];
        let mut next = || {
            let length = socket.recv(&mut datagram).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            String::from_utf8_lossy(&datagram[..length]).into_owned()
        };
        std::iter::repeat_with(&mut next).take(10).find(|told| told.contains(wanted)).expect("it is told")
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().expect("a path"))];
    let node = Node::ephemeral_with(&variables, &["--config", file.to_str().expect("a path")]).await;
    let mut user = node.login(1, "a").await;
    hear("READY=1");
    write(&file, &open());
    node.signal(Signal::SIGHUP);
    let reloading = hear("RELOADING=1");
    let at: u64 = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse().ok())
        .unwrap_or_else(|| panic!("no time in {reloading:?}"));
    assert!(at > 0);
    assert_eq!(hear("READY=1"), format!("READY=1\nSTATUS=listening on {}", node.server()));
    assert!(lets_in(&node).await);
    write(&file, "log = 'chatd=loudly'");
    node.signal(Signal::SIGHUP);
    assert!(hear("READY=1").contains("not read again: "), "and says why");
    assert!(lets_in(&node).await, "everything stays as it was");
    user.request("ping", &json!({})).await.expect("the node goes on");
    assert_eq!(node.stop().await, Some(0));
}
