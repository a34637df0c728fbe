//! https and wss: chatctl and chatbench against a real node that speaks TLS.
//!
//! Invariant: without a reason to believe the certificate nothing reaches the node.

use std::path::Path;

use chat_client::connection::Options;
use chat_client::{Connection, Error, Http, Server, Trust};
use chat_protocol::system::{State, StateRequest};
use chat_tests::authority::Authority;
use chat_tests::exposition::scrape;
use chat_tests::node::Node;
use chat_tests::program::{run, run_until};
use chat_tests::wait::SOON;
use nix::sys::signal::Signal;
use serde_json::Value;

/// By the name of its certificate, which nobody believes yet.
fn address(node: &Node) -> String {
    node.server().to_string().replace("127.0.0.1", "localhost")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn a_secure_server_is_believed_by_its_certificate_alone() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let server: Server = address(&node).parse().expect("an address");
    let named = server.clone().trusting(Trust::Authority(authority.file())).expect("a certificate");
    let anyone = server.clone().trusting(Trust::Anyone).expect("no file is read");
    for believed in [&named, &anyone] {
        let http = Http::new(believed.clone(), SOON).expect("a client");
        assert!(http.call::<State>(&StateRequest {}).await.expect("an answer").ready);
        let mut connection = Connection::open(believed, &Options::default()).await.expect("a WebSocket");
        connection.send(r#"{"seq":"1","cmd":"ping","data":{}}"#).await.expect("sent");
        assert!(connection.next().await.expect("an answer").contains("pong"));
        connection.close().await;
    }
    let unknown = Http::new(server.clone(), SOON).expect("a client").call::<State>(&StateRequest {}).await;
    assert!(matches!(unknown, Err(Error::Untrusted { .. })), "{unknown:?}");
    let unknown = Connection::open(&server, &Options::default()).await.expect_err("not believed");
    assert!(matches!(unknown, Error::Untrusted { .. }), "{unknown:?}");
    // The certificate names this host otherwise.
    let elsewhere: Server =
        address(&node).replace("localhost", "[::ffff:127.0.0.1]").parse().expect("an address");
    let elsewhere = elsewhere.trusting(Trust::Authority(authority.file())).expect("a certificate");
    let refused = Connection::open(&elsewhere, &Options::default()).await.expect_err("another name");
    let (why, remedy) = (refused.to_string(), refused.remedy().expect("a next step"));
    assert!(why.contains("localhost") && remedy.contains("name the server as"), "{why}: {remedy}");
}

#[tokio::test]
async fn chatctl_speaks_https_and_wss() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let (url, authority) = (address(&node), authority.file());
    let secure = [("CHATCTL_SERVER", url.as_str()), ("CHATCTL_CA", text(&authority)), ("CHATCTL_APP", "7")];
    let sent = run("chatctl", &["--as", "a", "broadcast", "hello"], &secure).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let tail = ["--as", "b", "tail", "--last", "1", "-v", "--timeout", "5s"];
    let shown = run_until("chatctl", &tail, &secure, "connected to", Signal::SIGINT).await;
    assert!(shown.stdout.ends_with("a: hello\n"), "{shown:?}");
    assert!(shown.stderr.contains(&format!("connected to {url}")), "{shown:?}");

    let unbelieved = [("CHATCTL_SERVER", url.as_str())];
    let refused = run("chatctl", &["state"], &unbelieved).await;
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains("UnknownIssuer") && refused.stderr.contains("--ca FILE"), "{refused:?}");
    assert_eq!(run("chatctl", &["state", "--insecure"], &unbelieved).await.code, Some(0));
    let no_file = run("chatctl", &["state", "--ca", "/nowhere.pem"], &unbelieved).await;
    assert_eq!(no_file.code, Some(2), "{no_file:?}");

    let node = Node::ephemeral(&[]).await;
    let plain = node.server().to_string().replace("http://", "https://");
    let refused = run("chatctl", &["state"], &[("CHATCTL_SERVER", plain.as_str())]).await;
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains(&format!("try --server {}", node.server())), "{refused:?}");
}

#[tokio::test]
async fn who_is_refused_by_an_alert_is_told_the_limit() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &["--connections-per-address", "1"]).await;
    let server: Server = address(&node).parse().expect("an address");
    let server = server.trusting(Trust::Authority(authority.file())).expect("a certificate");
    // This one has the place, or one that asked whether the node is ready.
    let _held = Connection::open(&server, &Options::default()).await;
    let (url, authority) = (address(&node), authority.file());
    let secure = [("CHATCTL_SERVER", url.as_str()), ("CHATCTL_CA", text(&authority))];
    let refused = run("chatctl", &["state"], &secure).await;
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains("limits.connections_per_address"), "{refused:?}");
}

#[tokio::test]
async fn chatbench_measures_over_tls() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let (url, authority) = (address(&node), authority.file());
    let directory = tempfile::tempdir().expect("a directory");
    let common = ["--server", &url, "--clients", "4", "--duration", "1s", "--warmup", "0s", "--rate", "20/s"];
    for way in [&["--via", "ws"][..], &["--via", "http"], &["--workers", "2"]] {
        let out = directory.path().join("out.json");
        let words = ["broadcast", "--ca", text(&authority), "--out", text(&out)];
        let words = [&words, &common[..], way].concat();
        let ended = run("chatbench", &words, &[]).await;
        // A loaded machine may miss the rate, which makes the run invalid; a message that is lost would be 97.
        assert!(matches!(ended.code, Some(0 | 96)), "{way:?}: {ended:?}");
        let result = std::fs::read_to_string(&out).expect("a result");
        let result: Value = serde_json::from_str(&result).expect("JSON");
        let books = &result["ledger"]["measured"];
        assert_eq!([&books["expected"], &books["delivered"]], [80, 80], "{way:?}: {ended:?}");
    }
    let refused = run("chatbench", &[&["broadcast"], &common[..]].concat(), &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--ca FILE"), "{refused:?}");
}

#[tokio::test]
async fn hundreds_of_connections_over_tls_at_once_cost_little_when_idle() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &[]).await;
    let (url, authority) = (address(&node), authority.file());
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.json");
    let words = ["idle", "--duration", "1s", "--server", &url, "--ca", text(&authority), "--clients"];
    // What of the program is used for the first time is no connection's.
    let first = run("chatbench", &[&words[..], &["20"]].concat(), &[]).await;
    assert!(matches!(first.code, Some(0 | 96)), "{first:?}");
    let bounds = ["400", "--threshold", "server_memory_per_connection<16KiB", "--out", text(&out)];
    let ended = run("chatbench", &[&words[..], &bounds].concat(), &[]).await;
    assert!(matches!(ended.code, Some(0 | 96)), "99 is too much memory: {ended:?}");
    let result = std::fs::read_to_string(&out).expect("a result");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    let connections = &result["connections"];
    assert_eq!([&connections["wanted"], &connections["connected"]], [400, 400], "{ended:?}");
    assert_eq!(connections["closed_by_server"], Value::Object(serde_json::Map::new()), "{ended:?}");
    assert!(scrape(&node).await.of("chatd_tls_handshakes_total") >= 420.0);
}

#[tokio::test]
async fn user_and_password_of_the_url_are_in_no_output() {
    let node = Node::ephemeral(&[]).await;
    let authority = node.server().authority();
    let (there, gone) = (format!("http://ops:s3cret@{authority}"), "http://ops:s3cret@127.0.0.1:1");
    for (server, words) in [
        (there.as_str(), &["state", "-v"][..]),
        (&there, &["state", "--dry-run"]),
        (&there, &["page", "--app", "1"]),
        (&there, &["send", "b", "x", "--app", "1", "-v", "-o", "json"]),
        (gone, &["state", "-v", "--retries", "1"]),
        (gone, &["list", "--app", "1"]),
        ("ftp://ops:s3cret@x", &["state"]),
        (&there, &["state", "--server", "http://ops:s3cret@x:99999"]),
        (&there, &["state", "--help"]),
    ] {
        let ended = run("chatctl", words, &[("CHATCTL_SERVER", server)]).await;
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!all.contains("s3cret") && !all.is_empty(), "{words:?}: {all}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out.json");
    let load = ["connect", "--clients", "2", "--workers", "2", "--out", text(&out)];
    let ended = run("chatbench", &load, &[("CHATBENCH_SERVER", &there)]).await;
    let result = std::fs::read_to_string(&out).expect("a result");
    assert!(!format!("{ended:?}{result}").contains("s3cret"), "{ended:?}");
    for words in [&["connect", "--help"][..], &["connect", "--server", "http://ops:s3cret@x:99999"]] {
        let ended = run("chatbench", words, &[("CHATBENCH_SERVER", &there)]).await;
        assert!(!format!("{ended:?}").contains("s3cret"), "{words:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_refused_name_of_the_server_is_told_in_the_words_of_the_server() {
    let node = Node::ephemeral(&[]).await;
    let port = node.server().authority().rsplit_once(':').expect("a port").1.to_owned();
    // It leads to the node, and is none of the names a node on loopback answers to.
    let server = format!("http://[::ffff:127.0.0.1]:{port}");
    let load = ["connect", "--clients", "2", "--server", &server];
    let [bench, ctl] =
        [run("chatbench", &load, &[]).await, run("chatctl", &["state", "--server", &server], &[]).await];
    assert_eq!([bench.code, ctl.code], [Some(1), Some(4)], "{bench:?} {ctl:?}");
    for ended in [bench, ctl] {
        assert!(ended.stderr.contains("allowed_hosts"), "{ended:?}");
    }
}
