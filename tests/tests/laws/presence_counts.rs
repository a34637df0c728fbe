//! How many are online: at once where that costs nothing, else counted by one node for all.
//!
//! Invariant: what a count says of itself is true: it knows of whoever came or went before `since`.

use std::time::{Duration, Instant};

use chat_protocol::UserId;
use chat_tests::presence::{APP, Node, node, nodes};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::engine::redis::keys::Keys;
use chatd::presence::{Change, Count, LEASE_MS};

/// More than are counted in one step.
const MANY: usize = 1_500;

async fn enter(node: &Node, numbers: impl IntoIterator<Item = usize>) {
    let user = |number: usize| UserId::new(&format!("u{number:05}")).expect("a valid name");
    let changes: Vec<_> =
        numbers.into_iter().map(|number| Change { app: APP, user: user(number), here: true }).collect();
    node.apply(&changes).await.expect("applied");
}

async fn count(node: &Node) -> Count {
    node.count(APP).await.expect("counted")
}

/// Two nodes with [`MANY`] users, some of them on both.
async fn crowded(server: &RedisServer) -> [Node; 2] {
    let [one, two] = nodes(server, LEASE_MS).await;
    enter(&one, 0..900).await;
    enter(&two, 600..MANY).await;
    [one, two]
}

/// What stands in Redis for all nodes.
async fn mark(server: &RedisServer) -> Option<String> {
    let found = server.command(&["GET", &Keys::default().counted(APP)]).await;
    redis::from_redis_value(found).expect("a text or nothing")
}

async fn put_mark(server: &RedisServer, text: &str, life_ms: u32) {
    server.command(&["SET", &Keys::default().counted(APP), text, "PX", &life_ms.to_string()]).await;
}

/// Whether that many are told, counted at this moment.
async fn are_now(node: &Node, users: usize) {
    let asked = Instant::now();
    let counted = count(node).await;
    assert_eq!(counted.users, users as u64);
    assert!(counted.since >= asked, "it is of now");
}

#[tokio::test]
async fn on_one_node_however_many_are_counted_at_once_and_nothing_is_noted() {
    let server = RedisServer::start().await;
    let [one] = nodes(&server, LEASE_MS).await;
    for users in [MANY, MANY + 1] {
        enter(&one, 0..users).await;
        are_now(&one, users).await;
    }
    assert_eq!(mark(&server).await, None);
}

#[tokio::test]
async fn a_few_on_several_nodes_are_counted_at_once_and_nothing_is_noted() {
    let server = RedisServer::start().await;
    let [one, two] = nodes(&server, LEASE_MS).await;
    for users in [300, 301] {
        enter(&one, 0..200).await;
        enter(&two, 100..users).await;
        are_now(&one, users).await;
    }
    assert_eq!(mark(&server).await, None);
}

#[tokio::test]
async fn many_on_several_nodes_are_counted_by_one_and_noted_with_the_time() {
    let server = RedisServer::start().await;
    let [one, _two] = crowded(&server).await;
    let asked = Instant::now();
    let counted = count(&one).await;
    assert_eq!(counted.users, MANY as u64);
    assert!(counted.since >= asked, "nobody had counted before");
    // By the shortest life it may be gone by now; then it is counted again.
    until("it is noted", SOON, async || {
        count(&one).await;
        let life = server.command(&["PTTL", &Keys::default().counted(APP)]).await;
        let life: i64 = redis::from_redis_value(life).expect("a number");
        let Some(noted) = mark(&server).await else { return false };
        assert!(life <= 30_000, "{life} ms");
        let (users, began_ms) = noted.split_once(' ').expect("two numbers");
        let began_ms: u64 = began_ms.parse().expect("a time");
        users == MANY.to_string() && began_ms > 1_600_000_000_000
    })
    .await;
}

#[tokio::test]
async fn what_another_node_counted_is_told_for_as_long_as_it_stands_and_not_as_newer() {
    const AGE: Duration = Duration::from_secs(5);
    let server = RedisServer::start().await;
    let nodes = crowded(&server).await;
    let time = server.command(&["TIME"]).await;
    let (seconds, micros): (u64, u64) = redis::from_redis_value(time).expect("a time");
    put_mark(&server, &format!("777 {}", seconds * 1000 + micros / 1000 - 5_000), 120_000).await;
    server.command(&["CONFIG", "RESETSTAT"]).await;
    for node in &nodes {
        for _ in 0..3 {
            let counted = count(node).await;
            assert_eq!(counted.users, 777);
            assert!(counted.since + AGE <= Instant::now(), "it is older than {AGE:?}");
        }
    }
    let stats = server.command(&["INFO", "commandstats"]).await;
    let stats: String = redis::from_redis_value(stats).expect("a text");
    let calls = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().expect("a count").parse().expect("a number"))
    };
    assert_eq!(calls("get"), 2, "each node asked once");
    assert_eq!(calls("zcard") + calls("zrange"), 0, "and looked at no set");
    // A list is told the same.
    assert_eq!(nodes[0].list(APP, None, 1).await.expect("listed").count, 777);
    // Whoever comes when it is gone counts anew.
    server.command(&["DEL", &Keys::default().counted(APP)]).await;
    let third = node(&server, 9, LEASE_MS).await;
    assert_eq!(count(&third).await.users, MANY as u64);
}

#[tokio::test]
async fn whoever_waits_for_a_node_that_counts_and_never_ends_counts_itself() {
    let server = RedisServer::start().await;
    let [one, two] = crowded(&server).await;
    put_mark(&server, "-", 300).await;
    let asked = Instant::now();
    let counted = count(&one).await;
    assert_eq!(counted.users, MANY as u64);
    assert!(counted.since >= asked);
    // However long the turn would last.
    put_mark(&server, "-", 120_000).await;
    assert_eq!(count(&two).await.users, MANY as u64);
    assert!(mark(&server).await.is_none_or(|noted| noted != "-"), "it is noted for the others");
}

#[tokio::test]
async fn a_count_comes_to_know_of_the_last_who_came_and_went() {
    let server = RedisServer::start().await;
    let nodes = crowded(&server).await;
    for round in 1..3 {
        for node in &nodes {
            assert!(count(node).await.users >= MANY as u64);
        }
        enter(&nodes[round % 2], [MANY + round]).await;
        let moved = Instant::now();
        for node in &nodes {
            until("it is counted anew", SOON, async || {
                let counted = count(node).await;
                let is_known = counted.since >= moved;
                assert!(!is_known || counted.users == (MANY + round) as u64, "{counted:?}");
                is_known
            })
            .await;
        }
    }
}
