//! What goes to stderr: never in the way of those who are served, and never a flood.
//!
//! Invariant: a log nobody reads costs its own lines and nothing else.

use chat_client::{Http, Server};
use chat_protocol::user::{List, ListRequest};
use chat_tests::node::Node;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::{Bystanders, refused};
use chat_tests::wait::{SOON, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const APP: u32 = 905;

/// Lines that tell how many were lost, and their sum.
fn lost(log: &str) -> (usize, u64) {
    let told =
        log.lines().filter_map(|line| line.strip_suffix(" lines were lost, because nobody read the log"));
    let counts: Vec<u64> =
        told.map(|line| line.rsplit(' ').next().expect("a word").parse().expect("a count")).collect();
    (counts.len(), counts.iter().sum())
}

async fn dropped(server: &Server) -> u64 {
    let page = get(server, "/metrics").await.body;
    let sample = page.lines().find_map(|line| line.strip_prefix("chatd_log_lines_dropped_total "));
    sample.expect("a sample").parse().expect("a number")
}

/// A node that has told far more than a pipe and its own queue hold, to nobody.
async fn unheard() -> (Node, Bystanders) {
    // Everything a node can tell, so that it is soon too much.
    let node = Node::start_unread("127.0.0.1:0", &["--ephemeral", "--log", "trace"]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    until("lines are lost", SOON * 6, async || {
        bystanders.are_undisturbed().await;
        let long = format!("/{}", "x".repeat(4000));
        futures_util::future::join_all((0..50).map(|_| get(node.server(), &long))).await;
        dropped(node.server()).await > 100
    })
    .await;
    (node, bystanders)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_never_holds_up_the_node() {
    let (mut node, mut bystanders) = unheard().await;
    bystanders.are_undisturbed().await;
    node.read_log();
    until("the loss is told", SOON, async || lost(&node.log()).0 > 0).await;
    assert!(lost(&node.log()).1 > 100);
    assert_eq!(node.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_waits_for_no_reader_of_the_log() {
    let (node, bystanders) = unheard().await;
    drop(bystanders);
    assert_eq!(node.stop().await, Some(0));
}

async fn everybody_is_refused(http: &Http, count: usize) {
    let ask = || async {
        let request = ListRequest { app_id: APP, limit: None, cursor: None };
        assert_eq!(refused(http.call::<List>(&request).await), 1013);
    };
    futures_util::future::join_all((0..count).map(|_| ask())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_in_a_few_lines_with_its_reason_and_its_end() {
    let mut redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let before = node.log().lines().count();
    redis.kill();
    until("not ready without its store", SOON, async || get(node.server(), "/readyz").await.status == 503)
        .await;
    for _ in 0..5 {
        everybody_is_refused(&node.http(), 100).await;
    }
    let log = node.log();
    let lines: Vec<_> = log.lines().skip(before).collect();
    assert!(lines.len() < 60, "{} lines for 500 refused requests:\n{}", lines.len(), lines.join("\n"));
    let reasons = lines.iter().filter(|line| line.contains("WARN") && line.contains("cannot connect"));
    let reasons = reasons.filter(|line| !line.contains("(again ")).count();
    assert_eq!(reasons, 1, "why, once:\n{}", lines.join("\n"));
    redis.restart().await;
    until("its end is told", SOON, async || node.log().contains("reachable again")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_writes_what_is_queued() {
    let redis = RedisServer::start().await;
    let mut node = Node::start_unread("127.0.0.1:0", &["--redis", &redis.url(), "--log", "debug"]).await;
    node.signal(nix::sys::signal::Signal::SIGTERM);
    node.read_log();
    assert_eq!(node.ended().await, Some(0));
    until("the last line", SOON, async || node.log().contains("stopping")).await;
}

/// One exchange over HTTP/2 as a client that knows it begins: settings, and a request with literal headers.
async fn ask_over_http2(server: &Server, path: &str) {
    let literal = |name: u8, text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        [&[name, length], text.as_bytes()].concat()
    };
    // GET, http, :path and :authority (RFC 7541 appendix A).
    let block = [vec![0x82, 0x86], literal(0x44, path), literal(0x41, &server.authority())].concat();
    let length = u8::try_from(block.len()).expect("a short block");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head = [0, 0, length, 1, 5, 0, 0, 0, 1];
    let request = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &head, &block].concat();
    let mut tcp = TcpStream::connect(server.authority()).await.expect("the server listens");
    tcp.write_all(&request).await.expect("written");
    let mut received = Vec::new();
    until("an answer over HTTP/2", SOON, async || {
        tcp.read_buf(&mut received).await.expect("read");
        received.windows(3).any(|some| some == b"ok\n")
    })
    .await;
}

/// A node whose log is JSON, after traffic of every kind.
async fn after_traffic(redis: &RedisServer, filter: &str) -> Node {
    let node = Node::start(&["--redis", &redis.url(), "--log", filter, "--log-format", "json"]).await;
    let mut bystanders = Bystanders::arrive(&node, APP).await;
    bystanders.are_undisturbed().await;
    assert_eq!(get(node.server(), "/user/list?appId=905").await.status, 200);
    assert_eq!(get(node.server(), "/user/list").await.status, 400);
    ask_over_http2(node.server(), "/livez").await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_level_is_silent_about_other_crates_and_directives_name_them() {
    let redis = RedisServer::start().await;
    let node = after_traffic(&redis, "trace").await;
    let is = |line: &Value, cmd: &str| {
        let spans = line["spans"].as_array().into_iter().flatten();
        line["fields"]["message"] == "answered"
            && spans.clone().any(|span| span["cmd"] == cmd || span["path"] == cmd)
    };
    until("steps are told", SOON, async || {
        let lines = node.log_lines();
        ["login", "msg", "/user/list", "/livez"].iter().all(|cmd| lines.iter().any(|line| is(line, cmd)))
    })
    .await;
    let lines = node.log_lines();
    for line in &lines {
        let target = line["target"].as_str().expect("a target");
        assert!(target == "chatd" || target.starts_with("chatd::"), "{line}");
    }
    let sent = lines.iter().find(|line| is(line, "msg")).expect("checked");
    let names: Vec<_> = sent["spans"].as_array().expect("spans").iter().map(|span| &span["name"]).collect();
    assert_eq!(names, ["connection", "session", "request"], "{sent}");
    assert_eq!(sent["spans"][1]["user"], "bystander-1", "{sent}");
    assert!(sent["fields"]["code"] == 200 && sent["fields"]["ms"].is_number(), "{sent}");
    let listed: Vec<_> =
        lines.iter().filter(|line| is(line, "/user/list")).map(|line| &line["fields"]).collect();
    let codes: Vec<_> = listed.iter().map(|fields| fields["code"].as_u64()).collect();
    assert!(codes.contains(&Some(200)) && codes.contains(&Some(1001)), "{listed:?}");
    let is_whole = |fields: &&&Value| fields["ms"].is_number() && fields["bytes"].as_u64() > Some(40);
    assert!(listed.iter().all(|fields| is_whole(&fields)), "{listed:?}");

    let node = after_traffic(&redis, "warn,h2=trace").await;
    let of_h2 = |line: &Value| line["target"].as_str().is_some_and(|target| target.starts_with("h2::"));
    until("another crate is told of", SOON, async || node.log_lines().iter().any(of_h2)).await;
}
