//! What a scrape of a real node gets: text a Prometheus understands, with the numbers of what was done.
//!
//! Invariant: a counter rises by exactly what was done, and no line names a user, a room or an app.

use chat_protocol::Target;
use chat_tests::exposition::{Exposition, scrape};
use chat_tests::money_site::{audit_pages, deposit};
use chat_tests::node::Node;
use chat_tests::raw_http::{get, request};
use chat_tests::raw_socket::RawSocket;
use chat_tests::talk::texts;
use chat_tests::wait::{SOON, until};
use serde_json::json;

const APP: u32 = 904;
/// Who comes and goes is told to others too; without it the deliveries are those of the messages.
const QUIET: &[&str] = &["--presence-announce-limit", "0"];

#[track_caller]
fn assert_rose(before: &Exposition, after: &Exposition, name: &str, by: f64) {
    assert_eq!(
        (after.rise(before, name), name),
        (by, name),
        "from {} to {}",
        before.of(name),
        after.of(name)
    );
}

#[tokio::test]
async fn audits_are_counted_by_how_they_ended() {
    let node = Node::ephemeral(QUIET).await;
    let before = scrape(&node).await;
    assert!(!before.has("chatd_audit_end_time_seconds"), "there was none");
    deposit(&node.http(), APP, "a", 5).await;
    // Only the last page of many ends an audit.
    audit_pages(&node.http(), APP, Some(1)).await.expect("an audit");
    let after = scrape(&node).await;
    assert_rose(&before, &after, r#"chatd_audits_total{outcome="held"}"#, 1.0);
    assert_rose(&before, &after, r#"chatd_audits_total{outcome="broken"}"#, 0.0);
    assert_eq!(after.of("chatd_audit_broken_rules"), 0.0);
    assert!(
        after.of("chatd_audit_end_time_seconds") > 1e9 && after.of("chatd_audit_duration_seconds") >= 0.0
    );
}

#[tokio::test]
async fn the_counters_rise_by_what_was_done() {
    let node = Node::ephemeral(QUIET).await;
    let start = scrape(&node).await;
    let [mut first, mut second, mut third] =
        [node.login(APP, "a").await, node.login(APP, "b").await, node.login(APP, "c").await];
    let stranger = node.connect().await;
    for text in ["one", "two"] {
        first.send(Target::World, text).await.expect("accepted");
    }
    second.send("user:c".parse().expect("a target"), "three").await.expect("accepted");
    assert_eq!(texts(&mut second, 2).await, ["one", "two"]);
    assert_eq!(texts(&mut third, 3).await, ["one", "two", "three"]);
    let busy = scrape(&node).await;
    assert_rose(&start, &busy, "chatd_connections", 4.0);
    assert_rose(&start, &busy, "chatd_sessions", 3.0);
    assert_rose(&start, &busy, "chatd_users_online", 3.0);
    assert_rose(&start, &busy, "chatd_connections_opened_total", 4.0);
    assert_rose(&start, &busy, "chatd_messages_total", 3.0);
    assert_rose(&start, &busy, "chatd_deliveries_total", 5.0);
    drop((first, second, third, stranger));
    until("all have gone", SOON, async || scrape(&node).await.of("chatd_connections") == 0.0).await;
    let end = scrape(&node).await;
    assert_eq!((end.of("chatd_sessions"), end.of("chatd_users_online")), (0.0, 0.0));
    for name in [
        "chatd_connections_opened_total",
        "chatd_messages_total",
        "chatd_slow_closes_total",
        "chatd_gap_fills_total",
    ] {
        assert_rose(&busy, &end, name, 0.0);
    }
}

#[tokio::test]
async fn a_slow_reader_is_counted_once() {
    let node = Node::ephemeral(&[QUIET, &["--outbox-frames", "4", "--outbox-bytes", "65536"]].concat()).await;
    let mut slow = RawSocket::open(node.server()).await;
    slow.login(APP, "slow").await;
    let mut speaker = node.login(APP, "speaker").await;
    let text = "x".repeat(16_000);
    until("the slow reader is given up", SOON, async || {
        speaker.send(Target::World, &text).await.expect("accepted");
        scrape(&node).await.of("chatd_slow_closes_total") > 0.0
    })
    .await;
    speaker.send(Target::World, "and on").await.expect("accepted");
    assert_eq!(scrape(&node).await.of("chatd_slow_closes_total"), 1.0);
}

#[tokio::test]
async fn settlements_are_counted_where_they_are_settled() {
    let node = Node::ephemeral(QUIET).await;
    let http = node.http();
    deposit(&http, APP, "giver", 1000).await;
    let packet =
        json!({"appId": APP, "userId": "giver", "target": "", "total": 1000, "count": 2, "msgId": "m"});
    let created = http.call_raw("/redPacket/create", &packet).await.expect("created");
    for user in ["reader", "giver"] {
        let grab = json!({"appId": APP, "userId": user, "packetId": created["packetId"]});
        assert_eq!(http.call_raw("/redPacket/grab", &grab).await.expect("a share")["outcome"], "won");
    }
    let count = |samples: &Exposition, outcome: &str| {
        samples.of(&format!("chatd_settlements_total{{outcome=\"{outcome}\"}}"))
    };
    until("both are settled", SOON, async || count(&scrape(&node).await, "settled") >= 2.0).await;
    let samples = scrape(&node).await;
    assert_eq!(["settled", "repeated", "buried"].map(|outcome| count(&samples, outcome)), [2.0, 0.0, 0.0]);
    assert_eq!(samples.of("chatd_settlement_lag_seconds_count"), 2.0);
    assert!(samples.of("chatd_settlement_lag_seconds_sum") < SOON.as_secs_f64());

    let gateway = Node::ephemeral(&["--settle", "false"]).await;
    let names: Vec<String> = scrape(&gateway).await.families.into_keys().collect();
    assert!(!names.iter().any(|name| name.starts_with("chatd_settlements_total")), "{names:?}");
}

#[tokio::test]
async fn the_process_says_what_it_uses() {
    let node = Node::ephemeral(QUIET).await;
    let before = scrape(&node).await;
    let sessions = [node.login(APP, "a").await, node.login(APP, "b").await];
    let after = scrape(&node).await;
    assert_rose(&before, &after, "process_open_fds", 2.0);
    for name in ["process_max_fds", "process_start_time_seconds", "chatd_max_connections"] {
        assert_rose(&before, &after, name, 0.0);
    }
    assert!(after.of("process_max_fds") >= after.of("process_open_fds"));
    assert!(after.of("process_cpu_seconds_total") >= before.of("process_cpu_seconds_total"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a process");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let resident: f64 = resident.trim_end_matches("kB").trim().parse().expect("a number");
    let ratio = after.of("process_resident_memory_bytes") / 1024.0 / resident;
    assert!((0.5..2.0).contains(&ratio), "{ratio} times {resident} kB");
    assert_eq!(after.of("chatd_build_info{version=\"0.1.0\",engine=\"embedded\"}"), 1.0);
    drop(sessions);
}

#[tokio::test]
async fn another_method_is_refused_and_another_path_unknown() {
    let node = Node::ephemeral(&[]).await;
    for method in ["POST", "PUT", "DELETE"] {
        let answer = request(node.server(), method, "/metrics", &[], &[]).await;
        assert_eq!((answer.code(), answer.status), (1015, 405), "{method}: {answer:?}");
    }
    assert_eq!(get(node.server(), "/metrics/").await.code(), 1010);
    assert_eq!(request(node.server(), "HEAD", "/metrics", &[], &[]).await.body, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_generator_reads_there_what_the_kernel_says() {
    let node = Node::ephemeral(QUIET).await;
    let folder = tempfile::tempdir().expect("a directory");
    let mut rows = Vec::new();
    for source in ["metrics", "pid"] {
        let file = folder.path().join(format!("{source}.json"));
        let line = format!(
            "chatbench idle --clients 20 --duration 1s --resources {source} --server {}",
            node.server()
        );
        let mut args: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
        args.extend(["--out".into(), file.clone().into()]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = chatbench::run_until(args, &mut out, &mut err, std::future::pending()).await;
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&out));
        let result: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).expect("a result")).expect("JSON");
        let server = result["processes"]["servers"][0].clone();
        assert_eq!(server["source"], source);
        rows.push(server["rss_after_bytes"].as_f64().expect("its memory"));
        let points = result["series"]["points"].as_array().expect("points").iter();
        let files: Vec<_> = points.map(|point| point["servers"][0]["files"].as_u64()).collect();
        assert!(files.iter().all(Option::is_some), "{files:?}");
    }
    assert!((0.5..2.0).contains(&(rows[0] / rows[1])), "{rows:?}");
}
