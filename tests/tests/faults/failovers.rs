//! A master of Redis is killed, or gives its place away, while nodes work on it.
//!
//! Invariant: a node that waits for a replica has lost nothing that it answered when the sentinels have named another
//! master, neither a message nor a share.

use std::time::Duration;

use chat_client::Http;
use chat_protocol::Target;
use chat_protocol::session::Push;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, PATIENCE, Ways};
use chat_tests::money_site::deposit;
use chat_tests::node::Node;
use chat_tests::postgres_server::PostgresServer;
use chat_tests::program::run;
use chat_tests::redis_cluster::RedisCluster;
use chat_tests::redis_failover::Watched;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_text;
use chat_tests::wait::{SOON, pace, until};
use chatd::engine::redis::keys::Keys;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::Instant;

const APP: u32 = 833;
/// Where money is given.
const GRABS: u32 = 834;
const MESSAGES: u64 = 400;

/// Says something in the world room until it is answered; gives its offset.
async fn say(ways: &Ways, number: u64) -> u64 {
    let data =
        json!({"appId": APP, "userId": "a", "message": format!("m{number}"), "msgId": format!("m{number}")});
    let deadline = Instant::now() + PATIENCE;
    for turn in 0.. {
        let way: Http = {
            let ways = ways.lock();
            ways[turn % ways.len()].clone()
        };
        match way.call_raw("/user/sendMessageAll", &data).await {
            Ok(answer) => return answer["offset"].as_u64().expect("an offset"),
            Err(error) => assert!(Instant::now() < deadline, "m{number}: {error}"),
        }
        pace(Duration::from_millis(50)).await;
    }
    unreachable!("it is said, or the deadline is over")
}

/// Says all messages, some at a time; gives their offsets by number.
fn talk(ways: &Ways) -> tokio::task::JoinHandle<Vec<(u64, u64)>> {
    let ways = ways.clone();
    tokio::spawn(async move {
        let mut said = Vec::new();
        for first in (0..MESSAGES).step_by(8) {
            let some = (first..first + 8).map(|number| {
                let ways = ways.clone();
                tokio::spawn(async move { (number, say(&ways, number).await) })
            });
            for one in some.collect::<Vec<_>>() {
                said.push(one.await.expect("no panic"));
            }
            // So that it lasts until something happens.
            pace(Duration::from_millis(20)).await;
        }
        said
    })
}

/// Every answered message stands where its answer said, and nothing else does.
async fn stands(http: &Http, said: &[(u64, u64)]) {
    let mut found = Vec::new();
    while found.len() < said.len() {
        let ask = json!({"appId": APP, "target": "", "after": found.len(), "limit": 200});
        let page: Value = http.call_raw("/message/history", &ask).await.expect("a history");
        let messages = page["messages"].as_array().expect("messages").clone();
        assert!(!messages.is_empty(), "{} of {} are kept", found.len(), said.len());
        found.extend(messages.into_iter().map(|message| {
            let message: Push = serde_json::from_value(message).expect("a push");
            (message.content.msg.expect("a text"), message.offset)
        }));
    }
    let mut said: Vec<_> = said.iter().map(|(number, offset)| (format!("m{number}"), *offset)).collect();
    said.sort_by_key(|(_, offset)| *offset);
    assert_eq!(found, said);
}

/// Two nodes on this Redis, which wait for one replica; `kill` ends a master while they are at work.
async fn nothing_answered_is_lost(redis: &str, kill: impl AsyncFnOnce()) {
    let postgres = PostgresServer::shared().await;
    let ledger = postgres.url(&postgres.database().await, None);
    let mut site = FaultSite::of_ledger(&ledger);
    let arguments = ["--redis", redis, "--redis-wait", "1", "--ledger", &ledger];
    site.start(&arguments).await;
    site.start(&arguments).await;
    deposit(&site.http(0), GRABS, "s", 1_000_000).await;
    let books = Books::new(GRABS, site.ways());
    let mut packets = Vec::new();
    for number in 0..3 {
        packets.push(books.create("s", 6000, 70 + number, &format!("p{number}")).await);
    }
    let mut reader = site.node(1).login(APP, "reader").await;
    let said = talk(&site.ways());
    let crowd = books.crowd(&packets, 120);
    books.has(60).await;
    kill().await;
    crowd.await.expect("no panic");
    let said = said.await.expect("no panic");
    let audit = books.agree(&site.http(1)).await;
    assert_eq!((audit.grabbed, audit.open), (18_000, 0));
    stands(&site.http(0), &said).await;
    let mut seen = Vec::new();
    while seen.len() < said.len() {
        let push = reader.next_push(SOON).await.expect("an open connection").expect("a message");
        seen.extend(push.message().map(|message| message.offset));
    }
    assert_eq!(seen, (1..=MESSAGES).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_takes_nothing_with_it_that_was_answered() {
    let mut redis = Watched::start_with(&[]).await;
    let url = redis.url();
    nothing_answered_is_lost(&url, async || redis.kill_master().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_is_killed_takes_nothing_with_it_that_was_answered() {
    let mut redis = RedisCluster::start(3).await;
    let url = redis.url();
    let owner = redis.owner(&slot_of(GRABS)).await;
    let kill = async || redis.replace(&slot_of(GRABS), owner).await;
    nothing_answered_is_lost(&url, kill).await;
}

/// A key in the slot of an app.
fn slot_of(app: u32) -> String {
    Keys::default().outbox(app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_moves_to_another_server_of_the_cluster_while_it_talks() {
    let redis = RedisCluster::start(3).await;
    let mut site = FaultSite::of_ledger("");
    let url = redis.url();
    site.start(&["--redis", &url]).await;
    site.start(&["--redis", &url]).await;
    let mut reader = site.node(1).login(APP, "reader").await;
    let said = talk(&site.ways());
    let push = reader.next_push(SOON).await.expect("an open connection").expect("the first message");
    assert_eq!(push.message().map(|message| message.offset), Some(1));
    let (slot, from) = (slot_of(APP), redis.owner(&slot_of(APP)).await);
    let to = (from + 1) % 3;
    redis.move_slot(&slot, to, Duration::from_millis(20)).await;
    let said = said.await.expect("no panic");
    assert_eq!(redis.owner(&slot).await, to);
    stands(&site.http(0), &said).await;
    let mut seen = vec![1];
    while seen.len() < said.len() {
        let push = reader.next_push(SOON).await.expect("an open connection").expect("a message");
        seen.extend(push.message().map(|message| message.offset));
    }
    assert_eq!(seen, (1..=MESSAGES).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_cluster_is_not_taken_for_a_server_of_its_own() {
    let redis = RedisCluster::of_one().await;
    let url = redis.url();
    let ended = run("chatd", &["--redis", &url, "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("redis-cluster://"), "{ended:?}");
    let node = Node::start(&["--redis", &redis.site()]).await;
    assert_eq!(node.http().call_raw("/system/state", &json!({})).await.expect("answered")["ready"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_follow_a_master_that_gives_its_place_away() {
    let redis = Watched::start_with(&[]).await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let (mut a, mut b) = (one.login(APP, "a").await, two.login(APP, "b").await);
    a.send(Target::World, "before").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "before");
    redis.hand_over().await;
    let sent = Instant::now();
    while let Err(error) = a.request("msg", &json!({"msg": "after", "msgId": "after"})).await {
        assert!(sent.elapsed() < PATIENCE, "{error}");
        pace(Duration::from_millis(50)).await;
    }
    assert_eq!(next_text(&mut b).await, "after");
    let keys = redis.master().await.command(&["DBSIZE"]).await;
    assert!(matches!(keys, redis::Value::Int(1..)), "the new master has what was said: {keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sentinels_nodes_go_on_with_the_master_they_know() {
    let mut redis = Watched::start_with(&[]).await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let (mut a, mut b) = (one.login(APP, "a").await, two.login(APP, "b").await);
    redis.lose_sentinels();
    for number in 0..20 {
        a.send(Target::World, &format!("m{number}")).await.expect("sent");
        assert_eq!(next_text(&mut b).await, format!("m{number}"));
    }
    assert_eq!(
        two.login(APP, "a later one").await.request("user/list", &json!({})).await.expect("answered")["userCount"],
        3
    );
    assert_eq!(one.http().call_raw("/system/state", &json!({})).await.expect("answered")["ready"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_has_is_not_called_done() {
    let master = RedisServer::start().await;
    let port = format!("127.0.0.1 {}", master.address().port());
    let replica = RedisServer::start_with(&["--replicaof", &port, "--repl-diskless-sync-delay", "0"]).await;
    until("a replica", SOON, async || master.command(&["WAIT", "1", "100"]).await == redis::Value::Int(1))
        .await;
    let node = Node::start(&["--redis", &master.url(), "--redis-wait", "1"]).await;
    let http = node.http();
    let data = json!({"appId": APP, "userId": "a", "message": "x", "msgId": "x"});
    let pid = Pid::from_raw(replica.pid().expect("it runs").cast_signed());
    kill(pid, Signal::SIGSTOP).expect("stopped");
    for attempt in 0..2 {
        let refused = chat_tests::talk::refused(http.call_raw("/user/sendMessageAll", &data).await);
        assert_eq!(refused, 1013, "attempt {attempt}: a repeat promises no less");
    }
    kill(pid, Signal::SIGCONT).expect("it goes on");
    let mut answer = Value::Null;
    until("answered", SOON, async || {
        answer = http.call_raw("/user/sendMessageAll", &data).await.unwrap_or_default();
        answer["offset"] == 1
    })
    .await;
    let ask = json!({"appId": APP, "target": "", "after": 0, "limit": 20});
    let page: Value = http.call_raw("/message/history", &ask).await.expect("a history");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1), "it is there once: {page}");
}
