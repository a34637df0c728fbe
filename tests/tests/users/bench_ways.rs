//! chatbench sends the same messages over WebSocket, HTTP and gRPC: its books and the node's counters say the same of each
//! way.
//!
//! Invariant: what is compared are counts; a machine too busy for the rate makes a run invalid (96) and changes none.

use std::path::Path;

use chat_tests::authority::Authority;
use chat_tests::closed::Closed;
use chat_tests::exposition::scrape;
use chat_tests::grpc;
use chat_tests::node::Node;
use chat_tests::program::{Ended, run};
use chat_tests::site::Site;
use chat_tests::wait::{SOON, until};
use serde_json::Value;

/// Each way, and the messages to one user that came by it.
const WAYS: [(&str, &str); 3] = [
    ("ws", "chatd_websocket_requests_total{operation=\"msg\",code=\"200\"}"),
    ("http", "chatd_http_requests_total{operation=\"user/sendMessage\",code=\"200\"}"),
    ("grpc", "chatd_grpc_requests_total{operation=\"user/sendMessage\",code=\"200\"}"),
];
const TO_ALL: &str = "chatd_grpc_requests_total{operation=\"user/sendMessageAll\",code=\"200\"}";

/// Runs chatbench with these words, and gives its result too.
async fn bench(line: &str, more: &[&str]) -> (Ended, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("result.json");
    let words: Vec<&str> = line.split(' ').chain(more.iter().copied()).chain(["--out", text(&out)]).collect();
    let ended = run("chatbench", &words, &[]).await;
    let result = std::fs::read(&out).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    (ended, result.unwrap_or_default())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Where nodes take what goes this way, as options.
fn to(nodes: &[&Node], way: &str) -> Vec<String> {
    let listed = |addresses: Vec<String>| addresses.join(",");
    let mut options = vec![
        "--server".to_owned(),
        listed(nodes.iter().map(|node| node.server().to_string()).collect()),
        "--via".to_owned(),
        way.to_owned(),
    ];
    if way == "grpc" {
        options.extend(["--grpc-server".to_owned(), listed(nodes.iter().map(|node| calls(node)).collect())]);
    }
    options
}

/// Where a node takes calls: `HOST:PORT`.
fn calls(node: &Node) -> String {
    grpc::address(node).split_once("://").expect("a scheme").1.to_owned()
}

async fn counted(nodes: &[&Node], series: &str) -> u64 {
    let mut sum = 0.0;
    for node in nodes {
        let told = scrape(node).await;
        sum += if told.has(series) { told.of(series) } else { 0.0 };
    }
    sum as u64
}

/// A count of the books, warm-up and measured part together.
fn count(result: &Value, name: &str) -> u64 {
    ["warmup", "measured"].iter().map(|part| result["ledger"][part][name].as_u64().expect(name)).sum()
}

/// Every message was answered and came once, `reach` times.
fn assert_exact((ended, result): &(Ended, Value), reach: u64) {
    assert!(matches!(ended.code, Some(0 | 96)), "{ended:?}");
    let of = |name| count(result, name);
    assert!(of("sent") > 0 && of("accepted") == of("sent"), "{ended:?}");
    assert_eq!((of("expected"), of("delivered")), (of("sent") * reach, of("sent") * reach), "{ended:?}");
    assert_eq!((of("lost"), of("duplicated"), of("reordered")), (0, 0, 0), "{ended:?}");
}

async fn each_way_delivers_what_it_counts(site: Site) {
    let mut nodes = vec![site.first(), site.last()];
    nodes.dedup_by_key(|node| node.pid());
    let line = "unicast --clients 6 --warmup 200ms --duration 1s";
    for (way, series) in WAYS {
        for pace in ["--rate 60/s", "--closed --think-time 20ms", "--rate 60/s --workers 2"] {
            let before = counted(&nodes, series).await;
            let options = to(&nodes, way);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let ran = bench(&format!("{line} {pace}"), &options).await;
            assert_exact(&ran, 1);
            let result = &ran.1;
            assert_eq!(counted(&nodes, series).await - before, count(result, "sent"), "{way} {pace}");
            let traffic = &result["options"]["traffic"];
            assert_eq!(traffic["via"], way);
            assert_eq!(traffic["grpc_connections"].as_u64(), (way == "grpc").then_some(4));
            assert!(result["times"]["ack_time"]["count"].as_u64() > Some(0), "{result}");
        }
    }
    let options = to(&nodes, "grpc");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let before = counted(&nodes, TO_ALL).await;
    let ran = bench("broadcast --clients 6 --rate 30/s --warmup 0s --duration 1s", &options).await;
    assert_exact(&ran, 6);
    assert_eq!(counted(&nodes, TO_ALL).await - before, count(&ran.1, "sent"));
}

#[tokio::test]
async fn each_way_delivers_what_it_counts_alone() {
    each_way_delivers_what_it_counts(Site::embedded_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn each_way_delivers_what_it_counts_on_two_nodes() {
    each_way_delivers_what_it_counts(Site::redis_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_a_result_whatever_the_way() {
    for (way, series) in WAYS {
        let mut node = Node::ephemeral(&grpc::ON).await;
        let options = to(&[&node], way);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let line = "unicast --clients 8 --closed --warmup 0s --duration 10m --drain 1s";
        let killing = async {
            until("messages are on their way", SOON, async || counted(&[&node], series).await > 40).await;
            node.kill();
        };
        let ((ended, result), ()) = tokio::join!(bench(line, &options), killing);
        assert!(matches!(ended.code, Some(96 | 97)), "{way}: {ended:?}");
        assert_eq!(result["partial"], true, "{way}: {ended:?}");
        assert!(count(&result, "accepted") >= 40 && count(&result, "duplicated") == 0, "{way}: {ended:?}");
        if way != "ws" {
            assert!(count(&result, "unanswered") > 0 && ended.code == Some(97), "{way}: {ended:?}");
            assert!(ended.stdout.contains("got no answer"), "{way}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn without_grpc_the_next_step_is_told() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server().to_string();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = unused.local_addr().expect("an address").to_string();
    drop(unused);
    for address in [nobody, node.server().authority()] {
        let line = format!("unicast --clients 2 --via grpc --server {server} --grpc-server {address}");
        let (ended, result) = bench(&line, &[]).await;
        assert_eq!((ended.code, result), (Some(1), Value::Null), "{address}: {ended:?}");
        assert!(ended.stderr.contains("no gRPC") && ended.stderr.contains(&address), "{ended:?}");
        assert!(ended.stderr.contains("next: start chatd with --grpc-listen"), "{ended:?}");
    }
}

#[tokio::test]
async fn calls_are_made_over_tls_and_with_a_key() {
    let authority = Authority::new();
    let node = Node::secure(&authority, &grpc::ON).await;
    let local = |address: String| address.replace("127.0.0.1", "localhost");
    let (server, address) = (local(node.server().to_string()), local(calls(&node)));
    let common = "unicast --clients 3 --rate 30/s --warmup 0s --duration 1s --via grpc";
    let line = format!("{common} --server {server} --grpc-server {address}");
    assert_exact(&bench(&line, &["--ca", text(&authority.file())]).await, 1);
    assert_exact(&bench(&line, &["--insecure"]).await, 1);

    let closed = Closed::start("", &grpc::ON).await;
    let key = closed.file("key");
    std::fs::write(&key, closed.key("talks")).expect("written");
    let line = format!("{common} --server {} --grpc-server {}", closed.node.server(), calls(&closed.node));
    assert_exact(&bench(&line, &["--token-file", text(&key)]).await, 1);
}
