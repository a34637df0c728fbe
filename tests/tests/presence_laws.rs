//! The law of presence, run against every adapter: `redis::…` and `embedded::…`; then what only several nodes show.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{AppId, UserId};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, pace, until};
use chatd::keys::Keys;
use chatd::presence::embedded::EmbeddedPresence;
use chatd::presence::redis::RedisPresence;
use chatd::presence::{Change, LEASE_MS, Outcome, Presence, Vanished};

const APP: AppId = 7;
/// Short, so that tests may wait for its end.
const SHORT_LEASE_MS: u64 = 1_500;

type Node = Arc<dyn Presence>;

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a valid name")
}

fn change(app: AppId, name: &str, here: bool) -> Change {
    Change { app, user: user(name), here }
}

fn enter(name: &str) -> Change {
    change(APP, name, true)
}

fn leave(name: &str) -> Change {
    change(APP, name, false)
}

fn outcome(decisive: bool, room_size: u64) -> Outcome {
    Outcome { decisive, room_size }
}

async fn apply(node: &Node, changes: &[Change]) -> Vec<Outcome> {
    node.apply(changes).await.expect("applied")
}

async fn is_online(node: &Node, name: &str) -> bool {
    node.is_online(APP, &user(name)).await.expect("answered")
}

/// All names of the app, read in pages.
async fn everyone(node: &Node, limit: usize) -> Vec<String> {
    let mut names: Vec<UserId> = Vec::new();
    loop {
        let page = node.list(APP, names.last(), limit).await.expect("listed");
        assert!(page.users.len() <= limit);
        names.extend(page.users);
        if !page.more {
            return names.iter().map(ToString::to_string).collect();
        }
    }
}

async fn users_come_and_go(node: Node) {
    assert!(!is_online(&node, "a").await);
    let outcomes = apply(&node, &[enter("a"), enter("b"), enter("a"), leave("b"), leave("b")]).await;
    let wanted = [outcome(true, 1), outcome(true, 2), outcome(false, 2), outcome(true, 1), outcome(false, 1)];
    assert_eq!(outcomes, wanted);
    assert!(is_online(&node, "a").await);
    assert!(!is_online(&node, "b").await);
}

async fn apps_are_apart(node: Node) {
    let outcomes = apply(&node, &[enter("a"), change(8, "a", true), change(8, "b", true), leave("a")]).await;
    assert_eq!(outcomes, [outcome(true, 1), outcome(true, 1), outcome(true, 2), outcome(true, 0)]);
    assert!(!is_online(&node, "a").await);
    assert!(node.is_online(8, &user("a")).await.expect("answered"));
    assert_eq!(node.list(APP, None, 10).await.expect("listed").count, 0);
}

async fn the_list_is_in_byte_order_and_tiles(node: Node) {
    let names = ["b", "a", "\u{5e1d}", "a:1", "{", "A", "aa", "-", "+", "(", "["];
    let entries: Vec<Change> = names.iter().map(|name| enter(name)).collect();
    apply(&node, &entries).await;
    let mut sorted: Vec<String> = names.iter().map(ToString::to_string).collect();
    sorted.sort();
    for limit in [1, 3, 11, 100] {
        assert_eq!(everyone(&node, limit).await, sorted, "pages of {limit}");
    }
    let page = node.list(APP, Some(&user("a")), 2).await.expect("listed");
    assert_eq!((page.count, page.more), (11, true));
    assert_eq!(page.users, [user("a:1"), user("aa")]);
    let none = node.list(APP, None, 0).await.expect("listed");
    assert_eq!((none.count, none.users.len(), none.more), (11, 0, true));
}

async fn many_changes_go_in_one_call(node: Node) {
    let entries: Vec<Change> = (0..1_234).map(|index| enter(&format!("u{index}"))).collect();
    let outcomes = apply(&node, &entries).await;
    assert!(outcomes.iter().enumerate().all(|(index, o)| *o == outcome(true, index as u64 + 1)));
    assert_eq!(node.list(APP, None, 1).await.expect("listed").count, 1_234);
}

async fn a_node_that_resigns_takes_its_users_along(node: Node) {
    assert_eq!(node.live_nodes().await.expect("counted"), 1);
    apply(&node, &[enter("a")]).await;
    node.resign().await.expect("resigned");
    assert!(!is_online(&node, "a").await);
    assert_eq!(node.list(APP, None, 10).await.expect("listed"), chatd::presence::Roster::default());
}

macro_rules! laws {
    ($($law:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $law() {
                super::$law(std::sync::Arc::new(super::EmbeddedPresence::default())).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $law() {
                let server = super::RedisServer::start().await;
                super::$law(super::node(&server, 1, super::LEASE_MS).await).await;
            })+
        }
    };
}

laws! {
    users_come_and_go,
    apps_are_apart,
    the_list_is_in_byte_order_and_tiles,
    many_changes_go_in_one_call,
    a_node_that_resigns_takes_its_users_along,
}

async fn node(server: &RedisServer, number: u64, lease_ms: u64) -> Node {
    RedisPresence::connect_with_lease(&server.url(), Keys::default(), number, lease_ms).await.expect("a node")
}

async fn nodes<const N: usize>(server: &RedisServer, lease_ms: u64) -> [Node; N] {
    let mut nodes = Vec::new();
    for number in 0..N as u64 {
        nodes.push(node(server, number, lease_ms).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test]
async fn a_user_is_online_while_any_node_holds_him() {
    let server = RedisServer::start().await;
    let [one, two, three] = nodes(&server, LEASE_MS).await;
    assert_eq!(three.live_nodes().await.expect("counted"), 3);
    assert!(apply(&one, &[enter("a")]).await[0].decisive);
    assert!(!apply(&two, &[enter("a")]).await[0].decisive);
    assert!(!apply(&one, &[leave("a")]).await[0].decisive);
    assert!(is_online(&three, "a").await);
    apply(&one, &[enter("b"), enter("c")]).await;
    apply(&three, &[enter("c"), enter("d")]).await;
    assert_eq!(everyone(&three, 2).await, ["a", "b", "c", "d"]);
    assert_eq!(two.list(APP, None, 1).await.expect("listed").count, 4, "a user on two nodes is one user");
    assert_eq!(apply(&two, &[leave("a")]).await, [outcome(true, 4)]);
    assert!(!is_online(&one, "a").await);
    two.resign().await.expect("resigned");
    assert_eq!(one.live_nodes().await.expect("counted"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_at_the_same_moment_exactly_one_is_first() {
    let server = RedisServer::start().await;
    let nodes: [Node; 3] = nodes(&server, LEASE_MS).await;
    for here in [true, false] {
        for round in 0..50 {
            let name = format!("u{round}");
            let mut running = tokio::task::JoinSet::new();
            for node in nodes.clone() {
                let change = change(APP, &name, here);
                running.spawn(async move { node.apply(&[change]).await.expect("applied")[0].decisive });
            }
            let decisive = running.join_all().await.into_iter().filter(|decisive| *decisive).count();
            assert_eq!(decisive, 1, "{name} {here}");
        }
    }
}

#[tokio::test]
async fn a_dead_nodes_users_vanish_once_and_it_comes_back_as_another() {
    let server = RedisServer::start().await;
    let [one, two, dead] = nodes(&server, SHORT_LEASE_MS).await;
    let crowd: Vec<Change> = (0..700).map(|index| enter(&format!("u{index:03}"))).collect();
    apply(&dead, &crowd).await;
    apply(&dead, &[change(8, "x", true), enter("both")]).await;
    apply(&one, &[enter("both"), enter("stays")]).await;
    let mut vanished: Vec<Vanished> = Vec::new();
    let deadline = tokio::time::Instant::now() + SOON;
    while vanished.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the dead node is not found");
        for node in [&one, &two] {
            let renewal = node.renew().await.expect("renewed");
            assert!(!renewal.was_dead);
            vanished.extend(renewal.vanished);
        }
        pace(Duration::from_millis(50)).await;
    }
    assert_eq!(vanished.len(), 701);
    let x = Vanished { app: 8, user: user("x"), room_size: 0 };
    assert!(vanished.contains(&x));
    assert!(vanished.iter().all(|gone| *gone == x || gone.room_size == 2));
    let mut names: Vec<&str> = vanished.iter().map(|gone| gone.user.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() == 701 && !names.contains(&"both"), "each once, and only those who are nowhere else");
    assert!(two.renew().await.expect("renewed").vanished.is_empty(), "told once");
    assert_eq!(everyone(&two, 10).await, ["both", "stays"]);
    assert_eq!(two.live_nodes().await.expect("counted"), 2);

    assert!(dead.renew().await.expect("renewed").was_dead);
    assert_eq!(apply(&dead, &[enter("u000"), enter("both")]).await, [outcome(true, 3), outcome(false, 4)]);
    assert!(!dead.renew().await.expect("renewed").was_dead);
    assert!(one.renew().await.expect("renewed").vanished.is_empty());
    assert!(is_online(&one, "u000").await);
}

#[tokio::test]
async fn users_of_a_node_that_stops_renewing_are_offline_before_anyone_clears_them() {
    let server = RedisServer::start().await;
    let [dead, observer] = nodes(&server, SHORT_LEASE_MS).await;
    apply(&dead, &[enter("a")]).await;
    assert!(is_online(&observer, "a").await);
    let limit = Duration::from_millis(SHORT_LEASE_MS) + Duration::from_secs(1);
    until("offline", limit, async || !is_online(&observer, "a").await).await;
    assert_eq!(observer.list(APP, None, 10).await.expect("listed").count, 0);
    // Nobody noticed: it goes on as if it had only been slow, and nobody is told anything.
    let renewal = dead.renew().await.expect("renewed");
    assert!(renewal.was_dead && renewal.vanished.is_empty());
    assert_eq!(apply(&dead, &[enter("a")]).await, [outcome(false, 1)]);
    assert!(is_online(&observer, "a").await);
}

#[tokio::test]
async fn after_a_redis_without_its_data_everyone_is_entered_again() {
    let mut server = RedisServer::start().await;
    let [one, two] = nodes(&server, LEASE_MS).await;
    apply(&one, &[enter("a")]).await;
    server.kill();
    assert!(one.renew().await.is_err());
    server.restart().await;
    for node in [&one, &two] {
        let renewed = async || node.renew().await.is_ok_and(|renewal| renewal.was_dead);
        until("found dead", SOON, renewed).await;
    }
    assert!(!is_online(&two, "a").await);
    assert_eq!(apply(&one, &[enter("a")]).await, [outcome(true, 1)]);
    assert!(is_online(&two, "a").await);
    assert_eq!(two.live_nodes().await.expect("counted"), 2);
}

#[tokio::test]
async fn a_count_over_several_nodes_is_of_users() {
    let server = RedisServer::start().await;
    let [one, two] = nodes(&server, LEASE_MS).await;
    let entries: Vec<Change> = (0..900).map(|index| enter(&format!("u{index}"))).collect();
    apply(&one, &entries).await;
    apply(&two, &entries[300..]).await;
    let count = async || one.list(APP, None, 1).await.expect("listed").count;
    assert_eq!(count().await, 900);
    apply(&two, &[enter("new")]).await;
    until("counted", SOON, async || count().await == 901).await;
}
