//! The law of presence, run against every adapter: `redis::…` and `embedded::…`; then what only several nodes show.

use std::time::{Duration, Instant};

use chat_protocol::{AppId, UserId};
use chat_tests::presence::{APP, Heard, LIMIT, Listener, Node, embedded, node, nodes, redis};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::presence::{Change, LEASE_MS, Outcome};

/// Short, so that tests may wait for its end.
const SHORT_LEASE_MS: u64 = 1_500;

fn said(cmd: &str, user: &str) -> (String, String) {
    (cmd.to_owned(), user.to_owned())
}

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

async fn users_come_and_go(node: Heard) {
    assert!(!is_online(&node, "a").await);
    let outcomes = apply(&node, &[enter("a"), enter("b"), enter("a"), leave("b"), leave("b")]).await;
    let wanted = [outcome(true, 1), outcome(true, 2), outcome(false, 2), outcome(true, 1), outcome(false, 1)];
    assert_eq!(outcomes, wanted);
    assert!(is_online(&node, "a").await);
    assert!(!is_online(&node, "b").await);
}

async fn apps_are_apart(node: Heard) {
    assert_eq!(node.elsewhere(APP, &user("a")).await.expect("counted"), 0);
    let outcomes = apply(&node, &[enter("a"), change(8, "a", true), change(8, "b", true), leave("a")]).await;
    assert_eq!(outcomes, [outcome(true, 1), outcome(true, 1), outcome(true, 2), outcome(true, 0)]);
    assert!(!is_online(&node, "a").await);
    assert!(node.is_online(8, &user("a")).await.expect("answered"));
    assert_eq!(node.list(APP, None, 10).await.expect("listed").count, 0);
}

async fn the_list_is_in_byte_order_and_tiles(node: Heard) {
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
    for most in [0, 1, 11, 100] {
        let some = node.some(APP, most).await.expect("listed");
        assert_eq!(some, node.list(APP, None, most).await.expect("listed").users, "{most}");
    }
    assert!(node.some(8, 5).await.expect("listed").is_empty(), "nobody is there");
}

async fn many_changes_go_in_one_call(node: Heard) {
    let entries: Vec<Change> = (0..1_234).map(|index| enter(&format!("u{index}"))).collect();
    let outcomes = apply(&node, &entries).await;
    assert!(outcomes.iter().enumerate().all(|(index, o)| *o == outcome(true, index as u64 + 1)));
    assert_eq!(node.list(APP, None, 1).await.expect("listed").count, 1_234);
}

async fn a_count_knows_of_all_that_was_before_it(node: Heard) {
    for users in 1..4 {
        apply(&node, &[enter(&format!("u{users}"))]).await;
        let before = Instant::now();
        let counted = node.count(APP).await.expect("counted");
        assert_eq!(counted.users, users);
        assert!(counted.since >= before, "a node alone has nothing to wait for");
    }
    apply(&node, &[leave("u1"), leave("u2"), leave("u3")]).await;
    assert_eq!(node.count(APP).await.expect("counted").users, 0);
}

async fn a_node_that_resigns_takes_its_users_along(node: Heard) {
    assert_eq!(node.live_nodes().await.expect("counted"), 1);
    apply(&node, &[enter("a")]).await;
    node.resign().await.expect("resigned");
    assert!(!is_online(&node, "a").await);
    assert_eq!(node.list(APP, None, 10).await.expect("listed"), chatd::presence::Roster::default());
}

async fn what_is_decisive_is_announced_in_its_order_and_nothing_else(node: Heard) {
    apply(&node, &[enter("a"), enter("b"), enter("a"), leave("b"), change(8, "x", true), leave("b")]).await;
    apply(&node, &[leave("a"), enter("b")]).await;
    apply(&node, &[enter("last")]).await;
    let wanted =
        [said("enter", "a"), said("enter", "b"), said("exit", "b"), said("exit", "a"), said("enter", "b")];
    assert_eq!(node.listener.announced("last").await, [&wanted[..], &[said("enter", "last")]].concat());
}

async fn a_crowd_is_not_announced(node: Heard) {
    let crowd: Vec<Change> = (0..LIMIT).map(|index| enter(&format!("u{index}"))).collect();
    apply(&node, &crowd).await;
    apply(&node, &[enter("one too many"), leave("one too many"), leave("u0"), enter("last")]).await;
    let announced = node.listener.announced("last").await;
    assert_eq!(announced.len() as u64, LIMIT + 3, "all but who was one too many");
    assert!(!announced.contains(&said("enter", "one too many")));
}

async fn the_last_word_about_a_user_is_how_it_is(node: Heard) {
    last_words(&[node.node.clone(), node.node.clone()], &node.listener).await;
}

/// Users come and go on all nodes at the same time; then each listener was told of each by turns, and last what is so.
async fn last_words(nodes: &[Node], listener: &Listener) {
    let mut running = tokio::task::JoinSet::new();
    for (seed, node) in nodes.iter().cloned().enumerate() {
        running.spawn(async move {
            for round in 0..200 {
                let user = format!("u{}", round % 5);
                apply(&node, &[change(APP, &user, (round / 5 + seed) % 3 != 0)]).await;
            }
        });
    }
    running.join_all().await;
    apply(&nodes[0], &[enter("last")]).await;
    let announced = listener.announced("last").await;
    for user in ["u0", "u1", "u2", "u3", "u4"] {
        let words: Vec<_> =
            announced.iter().filter(|(_, of)| of == user).map(|(cmd, _)| cmd.as_str()).collect();
        let by_turns = ["enter", "exit"].into_iter().cycle().take(words.len()).collect::<Vec<_>>();
        assert_eq!(words, by_turns, "{user}");
        let online = is_online(&nodes[0], user).await;
        assert_eq!(words.last(), Some(&if online { "enter" } else { "exit" }), "{user}");
    }
}

macro_rules! laws {
    ($($law:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(super::embedded()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let server = super::RedisServer::start().await;
                super::$law(super::redis(&server).await).await;
            })+
        }
    };
}

laws! {
    users_come_and_go,
    apps_are_apart,
    the_list_is_in_byte_order_and_tiles,
    many_changes_go_in_one_call,
    a_count_knows_of_all_that_was_before_it,
    a_node_that_resigns_takes_its_users_along,
    what_is_decisive_is_announced_in_its_order_and_nothing_else,
    a_crowd_is_not_announced,
    the_last_word_about_a_user_is_how_it_is,
}

#[tokio::test]
async fn a_user_is_online_while_any_node_holds_them() {
    let server = RedisServer::start().await;
    let [one, two, three] = nodes(&server, LEASE_MS).await;
    assert_eq!(three.live_nodes().await.expect("counted"), 3);
    assert!(apply(&one, &[enter("a")]).await[0].decisive);
    assert!(!apply(&two, &[enter("a")]).await[0].decisive);
    let elsewhere = async |node: &Node| node.elsewhere(APP, &user("a")).await.expect("counted");
    let counts = [elsewhere(&one).await, elsewhere(&two).await, elsewhere(&three).await];
    assert_eq!(counts, [1, 1, 2], "the own node does not count");
    assert!(!apply(&one, &[leave("a")]).await[0].decisive);
    assert_eq!([elsewhere(&one).await, elsewhere(&two).await], [1, 0]);
    assert!(is_online(&three, "a").await);
    apply(&one, &[enter("b"), enter("c")]).await;
    apply(&three, &[enter("c"), enter("d")]).await;
    assert_eq!(everyone(&three, 2).await, ["a", "b", "c", "d"]);
    assert_eq!(two.some(APP, 3).await.expect("listed"), ["a", "b", "c"].map(user), "each once");
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
    let listener = Listener::on(&server).await;
    let crowd: Vec<Change> = (0..700).map(|index| enter(&format!("u{index:03}"))).collect();
    apply(&dead, &crowd).await;
    apply(&dead, &[change(8, "x", true), enter("both")]).await;
    apply(&one, &[enter("both"), enter("stays")]).await;
    until("the dead node is found", SOON, async || {
        for node in [&one, &two] {
            assert!(!node.renew().await.expect("renewed"));
        }
        listener.told().iter().filter(|(cmd, _)| cmd == "exit").count() >= 700
    })
    .await;
    // Whoever found it, found it once.
    apply(&one, &[enter("last")]).await;
    let announced = listener.announced("last").await;
    let mut gone: Vec<&str> =
        announced.iter().filter(|(cmd, _)| cmd == "exit").map(|(_, user)| user.as_str()).collect();
    gone.sort_unstable();
    gone.dedup();
    assert_eq!(gone.len(), 700, "each who is nowhere else");
    assert!(!gone.contains(&"both"));
    assert_eq!(announced.iter().filter(|(cmd, _)| cmd == "exit").count(), 700, "told once");
    apply(&one, &[leave("last")]).await;
    assert_eq!(everyone(&two, 10).await, ["both", "stays"]);
    assert_eq!(two.live_nodes().await.expect("counted"), 2);

    assert!(dead.renew().await.expect("renewed"));
    assert_eq!(apply(&dead, &[enter("u000"), enter("both")]).await, [outcome(true, 3), outcome(false, 4)]);
    assert!(!dead.renew().await.expect("renewed"));
    assert!(is_online(&one, "u000").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_several_nodes_the_last_word_about_a_user_is_how_it_is() {
    let server = RedisServer::start().await;
    let nodes: [Node; 3] = nodes(&server, LEASE_MS).await;
    last_words(&nodes, &Listener::on(&server).await).await;
}

#[tokio::test]
async fn users_of_a_node_that_stops_renewing_are_offline_before_anyone_clears_them() {
    let server = RedisServer::start().await;
    let [dead] = nodes(&server, SHORT_LEASE_MS).await;
    apply(&dead, &[enter("a")]).await;
    // A node that renews would clear them; one that does not soon knows nothing.
    let observer = async || node(&server, rand::random(), LEASE_MS).await;
    assert!(is_online(&observer().await, "a").await);
    let limit = Duration::from_millis(SHORT_LEASE_MS) + Duration::from_secs(1);
    until("offline", limit, async || !is_online(&observer().await, "a").await).await;
    let observer = observer().await;
    assert_eq!(observer.list(APP, None, 10).await.expect("listed").count, 0);
    // Nobody noticed: it goes on as if it had only been slow, and nobody is told anything.
    assert!(dead.renew().await.expect("renewed"));
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
        let renewed = async || node.renew().await.is_ok_and(|was_dead| was_dead);
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
