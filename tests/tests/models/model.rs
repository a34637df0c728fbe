//! Random sends, joins, leaves, recalls, reads, cuts, absences and killed nodes against a simple model of a group.
//!
//! Invariant: offsets have no gaps, unread is right, a member sees every entry of their time once and in order
//! whatever is cut, or is told of it when they come back, and nobody sees an entry they were no member for.

use std::time::Duration;

use chat_client::Session;
use chat_protocol::session::{LOGIN, Push};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_message;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const APP: u32 = 304;
const USERS: usize = 4;
const GROUP: &str = "group:g";

/// Users are numbered; 0 owns the group and never leaves it.
#[derive(Debug, Clone)]
enum Action {
    Send(usize),
    Join(usize),
    Leave(usize),
    Kick(usize),
    Recall(u64),
    Read(usize, u64),
    Away(usize),
    Cut(usize),
    Kill,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..USERS).prop_map(Action::Send),
        3 => (1..USERS).prop_map(Action::Join),
        1 => (1..USERS).prop_map(Action::Leave),
        1 => (1..USERS).prop_map(Action::Kick),
        1 => (0..40_u64).prop_map(Action::Recall),
        2 => (0..USERS, 0..60_u64).prop_map(|(user, offset)| Action::Read(user, offset)),
        1 => (0..USERS).prop_map(Action::Away),
        2 => (0..USERS).prop_map(Action::Cut),
        1 => Just(Action::Kill),
    ]
}

/// What a user is and has seen, by the model.
#[derive(Default)]
struct User {
    session: Option<(usize, Session)>,
    member: bool,
    /// Offset of the entry that told of their last joining.
    since: u64,
    read: u64,
    /// What a client keeps for recovery.
    position: u64,
    seen: Vec<Push>,
}

struct World {
    nodes: Vec<Node>,
    redis: Option<RedisServer>,
    epoch: String,
    /// Kind and sender of each entry; the offset is the index and one.
    log: Vec<(&'static str, usize)>,
    /// By entry: who was no member when it was written.
    strangers: Vec<Vec<usize>>,
    users: Vec<User>,
    step: usize,
}

fn name(user: usize) -> String {
    format!("用户{user}")
}

impl World {
    async fn new(redis: bool) -> Self {
        let redis = if redis { Some(RedisServer::start().await) } else { None };
        let mut world = Self {
            nodes: Vec::new(),
            redis,
            epoch: String::new(),
            log: Vec::new(),
            strangers: Vec::new(),
            users: (0..USERS).map(|_| User::default()).collect(),
            step: 0,
        };
        for _ in 0..if world.redis.is_some() { 2 } else { 1 } {
            let node = world.node().await;
            world.nodes.push(node);
        }
        world.call("/group/create", 0, json!({"groupId": "g", "name": "n"})).await.expect("created");
        world.users[0].member = true;
        world.wrote("create", 0, 0);
        (world.users[0].since, world.users[0].position, world.users[0].read) = (1, 1, 1);
        for user in 0..USERS {
            world.come_back(user).await;
        }
        world
    }

    async fn node(&self) -> Node {
        match &self.redis {
            Some(redis) => Node::start(&["--redis", &redis.url()]).await,
            None => Node::ephemeral(&[]).await,
        }
    }

    /// An operation on a node that changes with each step.
    async fn call(&mut self, path: &str, user: usize, mut data: Value) -> Result<Value, u16> {
        self.step += 1;
        data["appId"] = APP.into();
        data["userId"] = name(user).into();
        let http = self.nodes[self.step % self.nodes.len()].http();
        match http.call_raw(path, &data).await {
            Ok(answer) => Ok(answer),
            Err(chat_client::Error::Refused { code, .. }) => Err(code),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Notes an entry in the model, and who may not see it; its sender has read it if all before it.
    fn wrote(&mut self, kind: &'static str, from: usize, leaving: usize) -> u64 {
        self.log.push((kind, from));
        let offset = self.log.len() as u64;
        if self.users[from].read + 1 == offset {
            self.users[from].read = offset;
        }
        let stranger = |user: &usize| !self.users[*user].member && *user != leaving;
        self.strangers.push((0..USERS).filter(stranger).collect());
        offset
    }

    /// Messages of others behind what a user has read.
    fn unread(&self, user: usize) -> usize {
        let read = usize::try_from(self.users[user].read).expect("small");
        self.log[read..].iter().filter(|(kind, from)| *kind == "text" && *from != user).count()
    }

    async fn act(&mut self, action: &Action) {
        match *action {
            Action::Send(user) => self.send(user).await,
            Action::Join(user) => self.join(user).await,
            Action::Leave(user) => {
                let gone = self.call("/group/leave", user, json!({"groupId": "g"})).await;
                self.left(user, "leave", gone);
            }
            Action::Kick(user) => {
                let gone = self.call("/group/kick", 0, json!({"groupId": "g", "memberId": name(user)})).await;
                self.left(user, "kick", gone);
            }
            Action::Recall(offset) => self.recall(offset).await,
            Action::Read(user, offset) => self.read(user, offset).await,
            Action::Away(user) => self.go_away(user).await,
            Action::Cut(user) => {
                self.go_away(user).await;
                self.come_back(user).await;
            }
            Action::Kill => self.kill().await,
        }
    }

    async fn send(&mut self, user: usize) {
        let sent = self.call("/group/sendMessage", user, json!({"groupId": "g", "message": "text"})).await;
        if !self.users[user].member {
            assert_eq!(sent, Err(1009));
            return;
        }
        let offset = self.wrote("text", user, user);
        assert_eq!(sent.expect("a member sends")["offset"], offset);
    }

    async fn join(&mut self, user: usize) {
        let joined = self.call("/group/join", user, json!({"groupId": "g"})).await.expect("anyone joins");
        assert_eq!(joined["changed"], !self.users[user].member);
        if self.users[user].member {
            return;
        }
        self.users[user].member = true;
        let offset = self.wrote("join", user, user);
        assert_eq!(joined["offset"], offset);
        joined["epoch"].as_str().expect("an epoch").clone_into(&mut self.epoch);
        let user = &mut self.users[user];
        (user.since, user.position, user.read) = (offset, offset, offset);
    }

    fn left(&mut self, user: usize, kind: &'static str, gone: Result<Value, u16>) {
        let gone = gone.expect("not being there is no error");
        assert_eq!(gone["changed"], self.users[user].member, "{kind} {user}");
        if self.users[user].member {
            self.users[user].member = false;
            let from = if kind == "kick" { 0 } else { user };
            let offset = self.wrote(kind, from, user);
            assert_eq!(gone["offset"], offset);
        }
    }

    async fn recall(&mut self, offset: u64) {
        let recalled = self.call("/message/recall", 0, json!({"target": GROUP, "offset": offset})).await;
        let index = usize::try_from(offset).expect("small").wrapping_sub(1);
        match self.log.get(index).copied() {
            None => assert_eq!(recalled, Err(1005)),
            Some((kind @ ("text" | "recalled"), from)) => {
                assert_eq!(recalled.expect("an operator recalls")["offset"], offset);
                self.log[index].0 = "recalled";
                if kind == "text" {
                    self.wrote("recall", from, 0);
                }
            }
            Some(_) => assert_eq!(recalled, Err(1009)),
        }
    }

    async fn read(&mut self, user: usize, offset: u64) {
        let read = self.call("/conversation/read", user, json!({"target": GROUP, "offset": offset})).await;
        if !self.users[user].member {
            assert_eq!(read, Err(1009));
            return;
        }
        let head = self.log.len() as u64;
        self.users[user].read = self.users[user].read.max(offset.min(head));
        assert_eq!(read.expect("a member reads")["unread"], self.unread(user));
    }

    /// Takes what has arrived and breaks the connection; the user comes back on another node.
    async fn go_away(&mut self, user: usize) {
        self.take_arrived(user).await;
        self.users[user].session = None;
    }

    async fn take_arrived(&mut self, user: usize) {
        let Some((_, mut session)) = self.users[user].session.take() else { return };
        while let Ok(Some(push)) = session.next_push(Duration::from_millis(2)).await {
            if let Some(message) = push.message() {
                self.users[user].saw(message);
            }
        }
    }

    /// A killed node is replaced; over Redis only, because the embedded one is in memory here.
    async fn kill(&mut self) {
        if self.redis.is_none() {
            return;
        }
        let index = self.step % self.nodes.len();
        let there = |user: &usize| self.users[*user].session.as_ref().is_some_and(|(node, _)| *node == index);
        let cut: Vec<_> = (0..USERS).filter(there).collect();
        for user in &cut {
            self.take_arrived(*user).await;
        }
        self.nodes[index] = self.node().await;
        for user in cut {
            self.come_back(user).await;
        }
    }

    async fn come_back(&mut self, user: usize) {
        self.step += 1;
        let index = self.step % self.nodes.len();
        let mut session = self.nodes[index].connect().await;
        let member = self.users[user].member;
        // One who does not name the group is told of it.
        let named = member && !self.epoch.is_empty() && !self.step.is_multiple_of(3);
        let recover = match named {
            true => json!([{"target": GROUP, "epoch": self.epoch, "offset": self.users[user].position}]),
            false => json!([]),
        };
        let login = json!({"userId": name(user), "appId": APP, "recover": recover});
        let answer = session.request(LOGIN, &login).await.expect("logged in");
        let complete =
            answer["recovered"].as_array().expect("a list").iter().all(|one| one["complete"] == true);
        assert!(complete, "{answer}");
        self.users[user].session = Some((index, session));
        let also: Vec<_> = answer["also"].as_array().expect("a list").iter().collect();
        if named || !member {
            assert_eq!(also.len(), 0, "{answer}");
            return;
        }
        assert_eq!(
            (also.len(), &also[0]["target"], &also[0]["lastOffset"]),
            (1, &json!(GROUP), &json!(self.log.len()))
        );
        let missed = json!({"target": GROUP, "after": self.users[user].position, "limit": 200});
        let missed = self.call("/message/history", user, missed).await.expect("a member reads");
        assert_eq!(missed["epoch"], also[0]["epoch"]);
        for message in missed["messages"].as_array().expect("messages") {
            let message = serde_json::from_value(message.clone()).expect("a message");
            self.users[user].saw(message);
        }
    }

    /// What is seen in the end, and whether the server's own books agree.
    async fn settle(mut self) {
        self.send(0).await;
        let last = self.log.len() as u64;
        for index in 0..USERS {
            let member = self.users[index].member;
            if self.users[index].session.is_none() {
                self.come_back(index).await;
            }
            while member && self.users[index].seen.last().is_none_or(|push| push.offset < last) {
                let (_, session) = self.users[index].session.as_mut().expect("everyone is connected");
                let message = next_message(session).await;
                self.users[index].saw(message);
            }
            self.check_seen(index);
            if member {
                let list = self.call("/conversation/list", index, json!({})).await.expect("a list");
                let list = list["conversations"].as_array().expect("a list");
                let group = list.iter().find(|one| one["target"] == GROUP).expect("the group");
                let expected = (&json!(last), &json!(self.unread(index)));
                assert_eq!((&group["lastOffset"], &group["unread"]), expected);
            }
        }
        let history = json!({"target": GROUP, "after": 0, "limit": 200});
        let history = self.call("/message/history", 0, history).await.expect("the owner reads");
        let kinds: Vec<_> =
            history["messages"].as_array().expect("messages").iter().map(|m| &m["type"]).collect();
        assert_eq!(
            kinds,
            self.log.iter().map(|(kind, _)| json!(kind)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }

    fn check_seen(&self, index: usize) {
        let user = &self.users[index];
        let offsets: Vec<_> = user.seen.iter().map(|push| push.offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{}: {offsets:?}", name(index));
        for offset in &offsets {
            let entry = usize::try_from(*offset).expect("small") - 1;
            assert!(!self.strangers[entry].contains(&index), "{} saw {offset}", name(index));
        }
        if user.member {
            let since: Vec<_> = offsets.into_iter().filter(|offset| *offset > user.since).collect();
            assert_eq!(
                since,
                (user.since + 1..=self.log.len() as u64).collect::<Vec<_>>(),
                "{}",
                name(index)
            );
        }
    }
}

impl User {
    fn saw(&mut self, message: Push) {
        if message.target.to_string() == GROUP {
            self.position = self.position.max(message.offset);
            self.seen.push(message);
        }
    }
}

fn agrees_with_the_model(redis: bool, cases: u32) {
    let config = Config { cases, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let outcome = TestRunner::new(config).run(&prop::collection::vec(action(), 20..60), |actions| {
        runtime.block_on(async {
            let mut world = World::new(redis).await;
            for action in &actions {
                world.act(action).await;
            }
            world.settle().await;
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_group_on_one_node_agrees_with_the_model() {
    agrees_with_the_model(false, 40);
}

#[test]
fn a_group_over_redis_with_killed_nodes_agrees_with_the_model() {
    agrees_with_the_model(true, 20);
}
