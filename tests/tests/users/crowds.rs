//! Comings and goings in a crowd: a few are told singly, the others together, and nothing false is said last.
//!
//! Invariant: what is expected follows from who is online, not from how fast the machine is.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chat_client::Session;
use chat_protocol::UserId;
use chat_protocol::session::Presence;
use chat_tests::node::Node;
use chat_tests::presence;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::SOON;
use chatd::presence::{Change, LEASE_MS, RENEW_EVERY_MS};
use serde_json::json;
use tokio::task::JoinSet;

const APP: u32 = 611;

/// What a witness has heard of the comings and goings of others.
struct Heard {
    since: Instant,
    singly: usize,
    together: usize,
    /// The last count.
    counted: Option<u64>,
    /// The same, and who moved singly since; who counts is there before.
    count: u64,
    /// Whether who was named came, the last time they were.
    last: HashMap<String, bool>,
}

impl Heard {
    fn new() -> Self {
        Self { since: Instant::now(), singly: 0, together: 0, counted: None, count: 1, last: HashMap::new() }
    }

    async fn next(&mut self, witness: &mut Session) {
        let push = witness.next_push(SOON).await.expect("open");
        let Some(push) = push else {
            let Self { singly, together, counted, count, .. } = self;
            panic!("nothing more: {count} counted, {counted:?} last, {singly} singly, {together} together");
        };
        if push.cmd == "presence" {
            let told: Presence = serde_json::from_value(push.data).expect("as documented");
            assert!(told.entered.len() <= 20 && told.exited.len() <= 20);
            self.together += 1;
            (self.count, self.counted) = (told.count, Some(told.count));
            self.last.extend(told.entered.iter().map(|user| (user.to_string(), true)));
            self.last.extend(told.exited.iter().map(|user| (user.to_string(), false)));
        } else {
            assert!(push.cmd == "enter" || push.cmd == "exit", "{push:?}");
            self.singly += 1;
            let user = push.data["from"].as_str().expect("a name").to_owned();
            self.count = if push.cmd == "enter" { self.count + 1 } else { self.count.saturating_sub(1) };
            self.last.insert(user, push.cmd == "enter");
        }
        let seconds = usize::try_from(self.since.elapsed().as_secs()).expect("few");
        assert!(self.singly <= 20 * (seconds + 2), "{} singly in {seconds} s", self.singly);
    }
}

/// So many users log in at once, spread over the nodes.
async fn crowd(nodes: &[&Node], count: usize) -> Vec<Session> {
    crowd_from(0, nodes, count).await
}

/// The same, named from this number on.
async fn crowd_from(first: usize, nodes: &[&Node], count: usize) -> Vec<Session> {
    let mut coming = JoinSet::new();
    for number in first..first + count {
        let server = nodes[number % nodes.len()].server().clone();
        let user = UserId::new(&format!("u{number:03}")).expect("a valid name");
        coming.spawn(async move { Session::login(&server, APP, &user).await.expect("logged in") });
    }
    coming.join_all().await
}

async fn a_crowd_is_told_together(nodes: &[&Node]) {
    const CROWD: usize = 200;
    let (mut witness, mut heard) = (nodes[0].login(APP, "witness").await, Heard::new());
    let mut others = crowd(nodes, CROWD).await;
    while heard.count < CROWD as u64 + 1 {
        heard.next(&mut witness).await;
    }
    // The first of the twenty is the witness, who is not told.
    assert!(heard.singly >= 19 && heard.last.len() >= 39, "{} and {}", heard.singly, heard.last.len());
    assert!(heard.last.iter().all(|(user, came)| *came && (user.starts_with('u') || user == "witness")));
    let list = nodes[0].http().call_raw("/user/list", &json!({"appId": APP})).await.expect("answered");
    assert_eq!(list["userCount"], CROWD + 1);
    for other in others.drain(10..) {
        other.close().await;
    }
    while heard.count > 11 {
        heard.next(&mut witness).await;
    }
    // Then all is as before: one who goes is told singly, once the second is over in which so many were.
    let before = heard.singly;
    while heard.singly == before {
        others.pop().expect("one is left").close().await;
        heard.next(&mut witness).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_twenty_are_told_singly_and_the_others_together_on_a_node_alone() {
    a_crowd_is_told_together(&[&Node::ephemeral(&[]).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_twenty_are_told_singly_and_the_others_together_over_two_nodes() {
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    a_crowd_is_told_together(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_twenty_a_second_are_told_singly_with_their_names() {
    let node = Node::ephemeral(&[]).await;
    let (mut witness, mut heard) = (node.login(APP, "witness").await, Heard::new());
    let _others = crowd(&[&node], 19).await;
    while heard.singly < 19 {
        heard.next(&mut witness).await;
    }
    assert_eq!((heard.together, heard.last.len()), (0, 19));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_is_never_the_last_word_about_somebody_online() {
    const USERS: usize = 30;
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let mut witnesses = [one.login(APP, "witness-1").await, two.login(APP, "witness-2").await];
    let mut coming = JoinSet::new();
    for number in 0..USERS {
        let servers = [one.server().clone(), two.server().clone()];
        let user = UserId::new(&format!("u{number:03}")).expect("a valid name");
        coming.spawn(async move {
            // From node to node and back, now and then on both at once, and online at the end.
            let mut here = Session::login(&servers[0], APP, &user).await.expect("logged in");
            for turn in 1..8 {
                let server = &servers[(turn + number) % 2];
                if (turn + number) % 3 == 0 {
                    let there = Session::login(server, APP, &user).await.expect("logged in");
                    std::mem::replace(&mut here, there).close().await;
                } else {
                    here.close().await;
                    here = Session::login(server, APP, &user).await.expect("logged in");
                }
            }
            here
        });
    }
    let _online = coming.join_all().await;
    let list = one.http().call_raw("/user/list", &json!({"appId": APP})).await.expect("answered");
    assert_eq!(list["userCount"], USERS + 2);
    for witness in &mut witnesses {
        let mut heard = Heard::new();
        let gone = |heard: &Heard| -> HashSet<String> {
            heard.last.iter().filter(|(_, came)| !**came).map(|(user, _)| user.clone()).collect()
        };
        while heard.counted != Some(USERS as u64 + 2) || !gone(&heard).is_empty() {
            heard.next(witness).await;
        }
    }
}

/// So many users on a node that keeps its lease, and tells nobody of more than a thousand of them.
async fn elsewhere(redis: &RedisServer, users: usize) -> JoinSet<()> {
    let node = presence::node(redis, rand::random(), LEASE_MS).await;
    let user = |number: usize| UserId::new(&format!("e{number:05}")).expect("a valid name");
    let changes: Vec<_> =
        (0..users).map(|number| Change { app: APP, user: user(number), here: true }).collect();
    node.apply(&changes).await.expect("applied");
    let mut renewing = JoinSet::new();
    renewing.spawn(async move {
        let mut renewal = tokio::time::interval(Duration::from_millis(RENEW_EVERY_MS));
        while node.renew().await.is_ok() {
            renewal.tick().await;
        }
    });
    renewing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_count_of_a_burst_is_how_many_there_are() {
    const ELSEWHERE: usize = 1_200;
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", &url, "--presence-announce-limit", "10000"];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let (mut witness, mut heard) = (one.login(APP, "witness").await, Heard::new());
    let _elsewhere = elsewhere(&redis, ELSEWHERE).await;
    let mut online = ELSEWHERE + 1;
    let mut others = Vec::new();
    for more in [60, 40] {
        // From here on for a second at least every node is told this number.
        let list = two.http().call_raw("/user/list", &json!({"appId": APP, "limit": 1})).await;
        assert!(list.expect("answered")["userCount"].as_u64().expect("a number") <= online as u64);
        others.extend(crowd_from(others.len(), &[&one, &two], more).await);
        online += more;
        while heard.count != online as u64 {
            heard.next(&mut witness).await;
        }
    }
}
