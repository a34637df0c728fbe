//! What chatd promises about itself: how it stops, whom it lets wait, and when it calls itself ready.
//!
//! Invariant: real processes, real files, a real Redis; the judge is what others get meanwhile, never how long it took.

use std::collections::BTreeSet;
use std::path::Path;

use chat_client::{Error, Session};
use chat_protocol::{Code, Target};
use chat_tests::money_site::deposit;
use chat_tests::node::Node;
use chat_tests::raw_http::{get, try_status};
use chat_tests::raw_socket::{RawSocket, frame, opcode};
use chat_tests::redis_server::RedisServer;
use chat_tests::stream::{Answered, all_are_in_the_log, say, send_until_closed};
use chat_tests::talk::{Bystanders, close_code, refused};
use chat_tests::wait::{SOON, until};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const APP: u32 = 608;
/// Connections of which not all are closed at once.
const CROWD: u32 = 1500;
/// Groups of one user whose log-in takes a while.
const GROUPS: u32 = 500;

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

/// Copies the databases alone, as one does who saves a node that was stopped.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for file in ["chat.sqlite3", "money.sqlite3", "ledger.sqlite3"] {
        std::fs::copy(from.join(file), to.join(file)).expect("copied");
    }
}

async fn on(directory: &Path) -> Node {
    Node::start(&["--data-dir", directory.to_str().expect("a path")]).await
}

/// More connections than are closed at once.
async fn a_crowd(node: &Node) -> Vec<RawSocket> {
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut socket = RawSocket::open(node.server()).await;
        // Each in an app of its own, so that nobody is told of a thousand others.
        socket.login(APP + 1 + number, "one").await;
        crowd.push(socket);
    }
    crowd
}

/// Users who came after the crowd, and send until they are closed with 4002.
async fn senders(node: &Node, prefix: &str, answered: &Answered) -> JoinSet<()> {
    let mut sending = JoinSet::new();
    for number in 0..4 {
        let user = format!("sender-{number}");
        let session = node.login(APP, &user).await;
        let (prefix, answered) = (prefix.to_owned(), answered.clone());
        sending.spawn(async move {
            let error = send_until_closed(session, user, prefix, answered).await;
            assert!(matches!(error, Error::Closed { code: 4002, .. }), "{error}");
        });
    }
    sending
}

/// Everybody of the crowd is told to go elsewhere, and who came last is still served when the first one has been.
async fn all_go_one_slice_after_the_other(crowd: Vec<RawSocket>, mut last: Session, answered: &Answered) {
    let mut going = JoinSet::new();
    for mut socket in crowd {
        going.spawn(async move { socket.close_code().await });
    }
    let first = going.join_next().await.expect("a crowd");
    let receipt = say(&mut last, "late").await.expect("served while others are told to go");
    answered.add("last", receipt);
    assert_eq!(close_code(&mut last).await, 4002);
    for code in going.join_all().await.into_iter().chain(first) {
        assert_eq!(code, 4002);
    }
}

/// The offsets of all messages that reach a reader until it is closed with 4002.
async fn read_to_the_end(mut reader: Session) -> Vec<u64> {
    let mut offsets = Vec::new();
    loop {
        match reader.next_push(SOON).await {
            Ok(Some(push)) => offsets.extend(push.message().map(|message| message.offset)),
            Ok(None) => panic!("neither a push nor the end"),
            Err(Error::Closed { code: 4002, .. }) => return offsets,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_is_paced_and_loses_nothing_and_the_files_it_leaves_are_whole_without_their_wal() {
    let place = tempfile::tempdir().expect("a directory");
    let mut data = place.path().join("data");
    let answered = Answered::default();
    for (round, signal) in [Signal::SIGTERM, Signal::SIGHUP].into_iter().enumerate() {
        let mut node = on(&data).await;
        deposit(&node.http(), APP, "saver", 100).await;
        let crowd = if round == 0 { a_crowd(&node).await } else { Vec::new() };
        let reading = tokio::spawn(read_to_the_end(node.login(APP, "reader").await));
        let seen = answered.count();
        let mut sending = senders(&node, &format!("r{round}"), &answered).await;
        answered.grows_by(100).await;
        let before = answered.all().split_off(seen);
        let last = node.login(APP, "last").await;
        node.signal(signal);
        if !crowd.is_empty() {
            all_go_one_slice_after_the_other(crowd, last, &answered).await;
        }
        while let Some(ended) = sending.join_next().await {
            ended.expect("closed with 4002");
        }
        assert_eq!(node.ended().await, Some(0), "{signal}");
        let got = reading.await.expect("closed with 4002");
        assert!(got.is_sorted_by(|one, next| one + 1 == *next), "{signal}: none is missing amid the others");
        for (_, receipt) in before {
            assert!(got.contains(&receipt.offset), "{signal}: answered and not pushed: {receipt:?}");
        }

        let whole = ["audit.jsonl", "chat.sqlite3", "files", "ledger.sqlite3", "lock", "money.sqlite3"]
            .map(str::to_owned);
        assert_eq!(names(&data), BTreeSet::from(whole), "{signal}: nothing beside them");
        let saved = place.path().join(format!("saved-{round}"));
        copy(&data, &saved);
        data = saved;
    }
    let node = on(&data).await;
    all_are_in_the_log(&node, APP, &answered, "fresh").await;
    let balance = get(node.server(), &format!("/wallet/balance?appId={APP}&userId=saver")).await.json();
    assert_eq!(balance["data"]["balance"], json!(200));
}

/// One number of a scrape.
async fn metric(node: &Node, name: &str) -> f64 {
    let page = get(node.server(), "/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
    line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}

/// Users who ask for more than they read: what waits for all of them has a budget.
async fn ask_and_read_nothing(node: &Node) -> Vec<RawSocket> {
    let mut speaker = node.login(APP, "speaker").await;
    let text = "x".repeat(16_000);
    for _ in 0..60 {
        speaker.send(Target::World, &text).await.expect("accepted");
    }
    speaker.close().await;
    let ask = json!({"seq": "1", "cmd": "message/history", "data": {"target": "", "limit": 60}});
    let mut deaf = Vec::new();
    for number in 0..8 {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, &format!("deaf-{number}")).await;
        socket.send(&frame(true, opcode::TEXT, ask.to_string().as_bytes())).await;
        deaf.push(socket);
    }
    until("the slowest are given up", SOON * 3, async || {
        metric(node, "chatd_shed_closes_total").await >= 4.0
    })
    .await;
    until("the rest fits", SOON * 3, async || metric(node, "chatd_queued_bytes").await <= 3_000_000.0).await;
    deaf
}

/// More requests than the log can tell of, which nobody reads.
async fn make_it_tell_nobody(node: &Node) {
    until("lines of the log are lost", SOON * 6, async || {
        join_all((0..50).map(|_| get(node.server(), "/livez"))).await;
        metric(node, "chatd_log_lines_dropped_total").await > 100.0
    })
    .await;
}

/// Connections that take every place and say nothing.
async fn take_every_place(node: &Node) -> Vec<RawSocket> {
    let state = node.http().call_raw("/system/state", &json!({})).await.expect("answered");
    let number = |name: &str| state[name].as_u64().expect("a number");
    let mut idle = Vec::new();
    for _ in number("connections")..number("maxConnections") {
        idle.push(RawSocket::open(node.server()).await);
    }
    for _ in 0..100 {
        idle.push(RawSocket::connect(node.server()).await);
    }
    idle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_behaviour_freezes_the_node_for_others() {
    let settings = ["--ephemeral", "--queued-bytes", "3000000", "--log", "trace"];
    let node = Node::with_files_unread(400, &settings).await;
    let deaf = ask_and_read_nothing(&node).await;
    let mut bystanders = Bystanders::arrive(&node, APP + 1).await;
    make_it_tell_nobody(&node).await;
    bystanders.are_undisturbed().await;
    let idle = take_every_place(&node).await;
    bystanders.are_undisturbed().await;
    for path in ["/livez", "/readyz", &format!("/user/list?appId={APP}")] {
        assert_eq!(try_status(node.server(), path, &[]).await, Some(200), "{path}: operators are let in");
    }
    drop((idle, deaf));
    work_is_sliced(&node, &mut bystanders).await;
}

/// Whoever is in very many groups comes with many devices; whoever asks meanwhile is answered before that is done.
async fn work_is_sliced(node: &Node, bystanders: &mut Bystanders) {
    let http = node.http();
    let creations = (0..GROUPS).map(|number| {
        let http = &http;
        async move {
            let group = json!({"appId": APP, "userId": "busy", "groupId": format!("g{number}"), "name": "n"});
            http.call_raw("/group/create", &group).await.expect("created");
        }
    });
    stream::iter(creations).buffer_unordered(32).collect::<()>().await;
    let come = |_| {
        let server = node.server().clone();
        async move { RawSocket::open(&server).await.login(APP, "busy").await }
    };
    let coming: Vec<_> = (0..40).map(come).collect();
    // Eight at a time: those who come at once also read their groups at once, which others may wait for.
    let coming = stream::iter(coming).buffer_unordered(8).collect::<Vec<_>>();
    let coming = tokio::spawn(coming);
    let mut meanwhile = 0;
    while !coming.is_finished() {
        bystanders.are_undisturbed().await;
        // What was answered only when all was done does not count.
        meanwhile += u32::from(!coming.is_finished());
    }
    coming.await.expect("logged in");
    assert!(meanwhile > 0, "others had to wait for it");
}

/// Asks whether it is ready, in both ways.
async fn called_ready(node: &Node) -> bool {
    let probe = get(node.server(), "/readyz").await.status;
    let state = node.http().call_raw("/system/state", &json!({})).await.expect("a state");
    let told = state["ready"].as_bool().expect("told");
    // One of them may have been asked just before it changed.
    if told == (probe == 200) { told } else { false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_is_never_called_ready() {
    let redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let mut speaker = node.login(APP, "speaker").await;
    speaker.send(Target::World, "kept").await.expect("stored");
    assert!(called_ready(&node).await);
    for (setting, bad, good) in [("maxmemory", "1mb", "0"), ("min-replicas-to-write", "1", "0")] {
        redis.command(&["CONFIG", "SET", setting, bad]).await;
        assert_eq!(refused(speaker.send(Target::World, "lost").await), Code::StoreUnreachable.number());
        let probe = get(node.server(), "/readyz").await;
        assert_eq!(probe.status, 503, "{setting}: {}", probe.body);
        let state: Value = node.http().call_raw("/system/state", &json!({})).await.expect("a state");
        assert_eq!(state["ready"], json!(false), "{setting}: {state}");
        redis.command(&["CONFIG", "SET", setting, good]).await;
        until("ready again", SOON, async || called_ready(&node).await).await;
        speaker.send(Target::World, "kept").await.expect("what is called ready stores");
    }
    let mut reader = node.login(APP, "reader").await;
    speaker.send(Target::World, "the end").await.expect("stored");
    assert_eq!(chat_tests::talk::next_text(&mut reader).await, "the end");
}
