//! Lists of very many users: read a part at a time, so that others are answered before one has ended.

use chat_protocol::UserId;
use chat_tests::presence::{APP, Node, embedded, nodes};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::presence::{Change, LEASE_MS};
use tokio::task::yield_now;

/// Several parts' worth.
const USERS: usize = 5_000;

fn user(number: usize) -> UserId {
    UserId::new(&format!("u{number:05}")).expect("a valid name")
}

async fn enter(node: &Node, numbers: impl IntoIterator<Item = usize>) {
    let changes: Vec<_> =
        numbers.into_iter().map(|number| Change { app: APP, user: user(number), here: true }).collect();
    node.apply(&changes).await.expect("applied");
}

fn everyone() -> Vec<UserId> {
    (0..USERS).map(user).collect()
}

#[tokio::test]
async fn somebody_comes_while_the_whole_list_is_read_on_a_node_alone() {
    let node = embedded();
    enter(&node, 0..USERS).await;
    let mut listing = std::pin::pin!(node.list(APP, None, usize::MAX));
    let mut turns = 0;
    let listed = loop {
        match futures_util::poll!(&mut listing) {
            std::task::Poll::Ready(listed) => break listed.expect("listed"),
            std::task::Poll::Pending => turns += 1,
        }
        if turns == 1 {
            // Behind all who were listed so far.
            enter(&node, USERS..=USERS).await;
        }
        // With a new budget of the runtime.
        yield_now().await;
    };
    assert!(turns > 1, "the list left nobody a turn");
    assert_eq!((listed.count, listed.more), (USERS as u64 + 1, false));
    assert_eq!(listed.users, [everyone(), vec![user(USERS)]].concat());
}

#[tokio::test]
async fn no_command_asks_redis_for_the_whole_list() {
    let server = RedisServer::start().await;
    let [one, two] = nodes(&server, LEASE_MS).await;
    enter(&one, (0..USERS).filter(|number| number % 3 > 0)).await;
    enter(&two, (0..USERS).filter(|number| number % 3 < 2)).await;
    server.command(&["CONFIG", "RESETSTAT"]).await;
    let listed = one.list(APP, None, usize::MAX).await.expect("listed");
    assert_eq!((listed.count, listed.more), (USERS as u64, false));
    assert_eq!(listed.users, everyone());
    let stats = server.command(&["INFO", "commandstats"]).await;
    let stats: String = redis::from_redis_value(stats).expect("a text");
    let reads = stats.lines().find_map(|line| line.strip_prefix("cmdstat_zrange:calls="));
    let reads: usize =
        reads.and_then(|rest| rest.split(',').next()).expect("a count").parse().expect("a number");
    assert!(reads > 2 * USERS / 1_000, "{reads} commands for the names of two nodes");
    assert!(!stats.contains("zunion"), "and the whole of it was merged to count it");

    let mut paged: Vec<UserId> = Vec::new();
    loop {
        let page = two.list(APP, paged.last(), 1_500).await.expect("listed");
        assert!(page.users.len() == 1_500 || !page.more);
        paged.extend(page.users);
        if !page.more {
            break;
        }
    }
    assert_eq!(paged, everyone());
}

#[tokio::test]
async fn a_crowd_over_several_nodes_is_counted_to_the_last_name() {
    let server = RedisServer::start().await;
    let nodes: [_; 3] = nodes(&server, LEASE_MS).await;
    // Full pages and others, users on one, two and three nodes, one behind all others.
    enter(&nodes[0], 0..4_000).await;
    enter(&nodes[1], 3_000..5_000).await;
    enter(&nodes[2], (0..1_500).chain([USERS])).await;
    let count = async || nodes[1].list(APP, None, 1).await.expect("listed").count;
    assert_eq!(count().await, 5_001);
    enter(&nodes[2], [USERS + 1]).await;
    until("counted anew", SOON, async || count().await == 5_002).await;
}
