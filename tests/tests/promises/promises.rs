//! What chatd promises, one test a promise, on real processes that are killed, stopped and cut off.
//!
//! Invariant: the judge is the ledger of answered messages: each is seen once, in order, or is still in the log.

use std::collections::HashSet;
use std::time::Duration;

use chat_client::Error;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::on_every_engine;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::site::Site;
use chat_tests::stream::{Answered, all_are_in_the_log, insist, read_in_order, say, send_until_closed};
use chat_tests::talk::{next_text, refused};
use chat_tests::wait::{SOON, until};
use serde_json::json;
use tokio::task::JoinSet;

const APP: u32 = 601;

/// Several users who send over WebSocket until their connections end.
async fn senders(node: &Node, count: usize, prefix: &str, answered: &Answered) -> JoinSet<Error> {
    let mut running = JoinSet::new();
    for number in 0..count {
        let user = format!("sender-{number}");
        let session = node.login(APP, &user).await;
        running.spawn(send_until_closed(session, user, prefix.to_owned(), answered.clone()));
    }
    running
}

/// Senders over HTTP to a node, each of whom repeats every message until it is answered.
fn stubborn_senders(node: &Node, count: usize, each: usize, answered: &Answered) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for number in 0..count {
        let (http, answered) = (node.http(), answered.clone());
        running.spawn(async move {
            let user = format!("sender-{number}");
            for index in 0..each {
                let id = format!("{user}-{index}");
                let offset = insist(&http, APP, &user, &id).await;
                let receipt =
                    json!({"msgId": id, "offset": offset, "epoch": "", "time": 0, "duplicate": false});
                answered.add(&user, serde_json::from_value(receipt).expect("a receipt"));
            }
        });
    }
    running
}

/// Both readers see every answered message once and in order.
async fn both_see_all(readers: [chat_client::Session; 2], answered: &Answered, count: usize) {
    let mut expected: Vec<_> = answered.all().into_iter().map(|(_, receipt)| receipt).collect();
    assert_eq!(expected.len(), count);
    expected.sort_by_key(|receipt| receipt.offset);
    let expected: Vec<_> = expected.into_iter().map(|receipt| receipt.msg_id.to_string()).collect();
    for mut reader in readers {
        assert_eq!(read_in_order(&mut reader, count).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_answered_200_is_in_its_log_and_survives_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--data-dir", directory.path().to_str().expect("a path")];
    let answered = Answered::default();
    for round in 0..4 {
        let mut node = Node::start(&arguments).await;
        let running = senders(&node, 5, &format!("r{round}"), &answered).await;
        answered.grows_by(rand::random_range(1..300)).await;
        node.kill();
        for error in running.join_all().await {
            assert!(matches!(error, Error::Closed { .. }), "{error}");
        }
        let node = Node::start(&arguments).await;
        all_are_in_the_log(&node, APP, &answered, &format!("fresh-{round}")).await;
    }
}

async fn all_members_see_one_order_the_order_of_offset(site: Site) {
    const EACH: usize = 50;
    let nodes = [site.first(), site.last()];
    let mut readers = Vec::new();
    for number in 0..4 {
        readers.push(nodes[number % 2].login(APP, &format!("reader-{number}")).await);
    }
    let mut running = JoinSet::new();
    for number in 0..6 {
        let mut session = nodes[number % 2].login(APP, &format!("sender-{number}")).await;
        running.spawn(async move {
            for index in 0..EACH {
                say(&mut session, &format!("{number}-{index}")).await.expect("answered");
            }
        });
    }
    let mut reading = JoinSet::new();
    for mut reader in readers {
        reading.spawn(async move { read_in_order(&mut reader, 6 * EACH).await });
    }
    running.join_all().await;
    let orders: HashSet<_> = reading.join_all().await.into_iter().collect();
    assert_eq!(orders.len(), 1, "readers differ");
    let order = orders.into_iter().next().expect("one order");
    for number in 0..6 {
        let own: Vec<_> = order.iter().filter(|id| id.starts_with(&format!("{number}-"))).cloned().collect();
        let sent: Vec<_> = (0..EACH).map(|index| format!("{number}-{index}")).collect();
        assert_eq!(own, sent, "what one connection sends keeps its order");
    }
}

async fn a_message_is_shown_once(site: Site) {
    const ROUNDS: usize = 20;
    let (here, there) = (site.first(), site.last());
    let mut readers = [here.login(APP, "reader-1").await, there.login(APP, "reader-2").await];
    let mut sessions =
        [here.login(APP, "马超").await, there.login(APP, "马超").await, here.login(APP, "马超").await];
    let http = [here.http(), there.http()];
    for round in 0..ROUNDS {
        let id = format!("m{round}");
        let [one, two, three] = &mut sessions;
        let (one, two, three, four, five) = tokio::join!(
            say(one, &id),
            say(two, &id),
            say(three, &id),
            insist(&http[0], APP, "马超", &id),
            insist(&http[1], APP, "马超", &id),
        );
        let receipts = [one, two, three].map(|outcome| outcome.expect("answered"));
        let again = say(&mut sessions[0], &id).await.expect("answered");
        assert!(again.duplicate);
        assert!(receipts.iter().filter(|receipt| !receipt.duplicate).count() <= 1, "{receipts:?}");
        let offsets: HashSet<_> = receipts.iter().map(|receipt| receipt.offset).chain([four, five]).collect();
        assert_eq!(offsets, HashSet::from([again.offset]));
    }
    say(&mut sessions[1], "last").await.expect("answered");
    let ids: Vec<_> = (0..ROUNDS).map(|round| format!("m{round}")).chain(["last".to_owned()]).collect();
    for reader in &mut readers {
        assert_eq!(read_in_order(reader, ROUNDS + 1).await, ids);
    }
}

async fn the_same_id_of_another_sender_is_another_message(site: Site) {
    let mut reader = site.first().login(APP, "reader").await;
    let mut one = site.first().login(APP, "one").await;
    let mut two = site.last().login(APP, "two").await;
    let first = say(&mut one, "same").await.expect("answered");
    let second = say(&mut two, "same").await.expect("answered");
    assert_eq!((first.offset, second.offset, second.duplicate), (1, 2, false));
    assert_eq!(read_in_order(&mut reader, 2).await, ["same", "same"]);
}

async fn an_id_used_for_another_message_is_refused_and_nothing_is_stored(site: Site) {
    let mut sender = site.first().login(APP, "system").await;
    let http = site.last().http();
    sender.request("group/create", &json!({"groupId": "g", "name": "g"})).await.expect("created");
    let to =
        |user: &str, message: &str| json!({"appId": APP, "userId": user, "message": message, "msgId": "m"});
    http.call_raw("/user/sendMessage", &to("one", "at six")).await.expect("sent");
    for (path, message) in [
        ("/user/sendMessage", to("two", "at six")),
        ("/user/sendMessage", to("one", "at seven")),
        ("/user/sendMessageAll", to("system", "at six")),
        (
            "/group/sendMessage",
            json!({"appId": APP, "userId": "system", "groupId": "g", "message": "x", "msgId": "m"}),
        ),
    ] {
        assert_eq!(refused(http.call_raw(path, &message).await), 1009, "{path} {message}");
    }
    let picture = json!({"target": "user:one", "type": "img", "url": "at six", "msgId": "m"});
    assert_eq!(refused(sender.request("msg", &picture).await), 1009);
    let again = http.call_raw("/user/sendMessage", &to("one", "at six")).await.expect("answered");
    assert_eq!((&again["duplicate"], &again["offset"]), (&json!(true), &json!(1)));
    let heads = [("user:one", 1), ("user:two", 0), ("", 0), ("group:g", 1)];
    for (target, head) in heads {
        let query = json!({"appId": APP, "userId": "system", "target": target});
        let page = http.call_raw("/message/history", &query).await.expect("a page");
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(head), "{target}");
    }
}

on_every_engine! {
    all_members_see_one_order_the_order_of_offset,
    a_message_is_shown_once,
    the_same_id_of_another_sender_is_another_message,
    an_id_used_for_another_message_is_refused_and_nothing_is_stored,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_never_slows_another() {
    const COUNT: usize = 2_000;
    let node = Node::ephemeral(&["--outbox-frames=256", "--outbox-bytes=1048576"]).await;
    let mut slow = RawSocket::open(node.server()).await;
    slow.login(APP, "slow").await;
    let mut reading = JoinSet::new();
    for number in 0..3 {
        let mut reader = node.login(APP, &format!("reader-{number}")).await;
        reading.spawn(async move { read_in_order(&mut reader, COUNT).await });
    }
    let mut sender = node.login(APP, "sender").await;
    let sending = tokio::spawn(async move {
        for index in 0..COUNT {
            let id = format!("m{index}");
            let text = format!("{id} {}", "x".repeat(4 * 1024 - id.len() - 1));
            sender.request("msg", &json!({"msg": text, "msgId": id})).await.expect("answered");
        }
    });
    let http = node.http();
    let closed = async || {
        let state = http.call_raw("/system/state", &json!({})).await.expect("answered");
        state["slowClosesTotal"] == 1
    };
    until("the slow reader is given up", SOON, closed).await;
    assert_eq!(slow.close_code().await, 4001, "what it is told when it reads at last");
    sending.await.expect("every message is answered");
    let sent: Vec<_> = (0..COUNT).map(|index| format!("m{index}")).collect();
    for seen in reading.join_all().await {
        assert_eq!(seen, sent);
    }
    assert!(closed().await, "nobody else was given up");
}

#[tokio::test]
async fn a_killed_nodes_users_read_as_offline_within_15_s() {
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (mut killed, alive) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let _lost = [killed.login(APP, "lost").await, killed.login(APP, "on both").await];
    let _kept = alive.login(APP, "on both").await;
    let mut witness = alive.login(APP, "witness").await;
    let http = alive.http();
    let list = async || {
        http.call_raw("/user/list", &json!({"appId": APP})).await.expect("answered")["userList"].clone()
    };
    assert_eq!(list().await, json!(["lost", "on both", "witness"]));
    killed.kill();
    let within = Duration::from_secs(15);
    until("only users of the living node are online", within, async || {
        list().await == json!(["on both", "witness"])
    })
    .await;
    let online =
        http.call_raw("/user/online", &json!({"appId": APP, "userId": "lost"})).await.expect("answered");
    assert_eq!(online["online"], false);
    let told = witness.next_push(SOON).await.expect("open").expect("the room is told");
    assert_eq!((told.cmd.as_str(), &told.data["from"]), ("exit", &json!("lost")));
    until("one node is left", SOON, async || {
        http.call_raw("/system/state", &json!({})).await.expect("answered")["nodes"] == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cutting_the_pub_sub_link_loses_none() {
    const EACH: usize = 150;
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.address()).await;
    let (url, behind) = (redis.url(), format!("redis://{}", proxy.address()));
    let (direct, cut) = (["--redis", &url], ["--redis", &behind]);
    let (direct, cut) = tokio::join!(Node::start(&direct), Node::start(&cut));
    let readers = [direct.login(APP, "reader-1").await, cut.login(APP, "reader-2").await];
    let answered = Answered::default();
    let running = stubborn_senders(&direct, 4, EACH, &answered);
    for fault in [FaultProxy::cut, FaultProxy::stall, FaultProxy::cut, FaultProxy::cut] {
        answered.grows_by(40).await;
        fault(&proxy);
        answered.grows_by(40).await;
        proxy.heal();
    }
    running.join_all().await;
    both_see_all(readers, &answered, 4 * EACH).await;
    let state = cut.http().call_raw("/system/state", &json!({})).await.expect("answered");
    assert!(state["gapFillsTotal"].as_u64() > Some(0), "the cuts were felt: {state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_redis_loses_none() {
    const EACH: usize = 60;
    let mut redis = RedisServer::start_with_aof().await;
    let arguments = ["--redis", &redis.url()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let readers = [one.login(APP, "reader-1").await, two.login(APP, "reader-2").await];
    let answered = Answered::default();
    let mut running = stubborn_senders(&one, 4, EACH, &answered);
    for _ in 0..3 {
        answered.grows_by(30).await;
        redis.kill();
        redis.restart().await;
    }
    while running.join_next().await.is_some() {}
    both_see_all(readers, &answered, 4 * EACH).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_node_loses_none() {
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (mut killed, alive) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let mut reader = alive.login(APP, "reader").await;
    let answered = Answered::default();
    let running = senders(&killed, 4, "k", &answered).await;
    answered.grows_by(rand::random_range(50..200)).await;
    killed.kill();
    running.join_all().await;
    all_are_in_the_log(&alive, APP, &answered, "fresh").await;
    let mut seen = HashSet::new();
    while !seen.contains("fresh") {
        assert!(seen.insert(next_text(&mut reader).await), "shown twice");
    }
    for (_, receipt) in answered.all() {
        assert!(seen.contains(receipt.msg_id.as_str()), "{receipt:?} was not shown");
    }
}

/// Stops the node while users send, and checks what they are told; the node is gone then.
async fn stop_amid_sending(node: Node, answered: &Answered) {
    let mut running = senders(&node, 5, "s", answered).await;
    answered.grows_by(100).await;
    assert_eq!(node.stop().await, Some(0));
    while let Some(error) = running.join_next().await {
        let error = error.expect("no panic");
        assert!(matches!(error, Error::Closed { code: 4002, .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_one_of_two_nodes_loses_nothing_and_its_users_are_offline_at_once() {
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (stopped, alive) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let mut reader = alive.login(APP, "reader").await;
    let answered = Answered::default();
    stop_amid_sending(stopped, &answered).await;
    let list = alive.http().call_raw("/user/list", &json!({"appId": APP})).await.expect("answered");
    assert_eq!(list["userList"], json!(["reader"]));
    let mut seen = HashSet::new();
    let answered_ids: Vec<_> =
        answered.all().into_iter().map(|(_, receipt)| receipt.msg_id.to_string()).collect();
    while !answered_ids.iter().all(|id| seen.contains(id)) {
        assert!(seen.insert(next_text(&mut reader).await), "shown twice");
    }
    all_are_in_the_log(&alive, APP, &answered, "fresh").await;
}
