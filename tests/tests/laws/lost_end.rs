//! A store that lost its end, as a restored copy did: whoever saw more makes its history another one.

use std::path::Path;

use chat_client::Session;
use chat_protocol::Target;
use chat_protocol::session::{LOGIN, LoggedIn, Position, Receipt, Recovered};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::{next_message, texts};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

const APP: u32 = 303;
const KEPT: usize = 10;
const LOST: usize = 5;

/// A node on a store that can be taken back to an earlier state.
enum Store {
    Embedded(TempDir),
    Redis(RedisServer),
}

impl Store {
    async fn node(&self) -> Node {
        match self {
            Store::Embedded(directory) => {
                Node::start(&["--data-dir", directory.path().to_str().expect("a path")]).await
            }
            Store::Redis(server) => Node::start(&["--redis", &server.url()]).await,
        }
    }

    /// Starts again, without the node.
    async fn restart(&mut self) {
        if let Store::Redis(server) = self {
            server.restart().await;
        }
    }

    /// A copy of it as it is, while no node runs.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory");
        copy_files(self.files(), copy.path());
        copy
    }

    async fn go_back(&mut self, copy: &TempDir) {
        if let Store::Redis(server) = self {
            server.kill();
        }
        std::fs::remove_dir_all(self.files()).expect("removed");
        std::fs::create_dir(self.files()).expect("made");
        copy_files(copy.path(), self.files());
        self.restart().await;
    }

    fn files(&self) -> &Path {
        match self {
            Store::Embedded(directory) => directory.path(),
            Store::Redis(server) => server.directory(),
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).expect("made");
            copy_files(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("copied");
        }
    }
}

async fn come_back(node: &Node, target: &str, epoch: &str, offset: u64) -> (Session, Recovered) {
    come_back_as(node, "reader", target, epoch, offset).await
}

async fn come_back_as(
    node: &Node,
    user: &str,
    target: &str,
    epoch: &str,
    offset: u64,
) -> (Session, Recovered) {
    let mut session = node.connect().await;
    let position = Position { target: target.parse().expect("a target"), epoch: epoch.to_owned(), offset };
    let login = json!({"userId": user, "appId": APP, "recover": [position]});
    let answer = session.request(LOGIN, &login).await.expect("logged in");
    let answer: LoggedIn = serde_json::from_value(answer).expect("an answer about recovery");
    (session, answer.recovered.into_iter().next().expect("one conversation"))
}

async fn say(node: &Node, target: &str, words: &str, count: usize) -> Receipt {
    let mut speaker = node.login(APP, "speaker").await;
    let target: Target = target.parse().expect("a target");
    let mut last = None;
    for number in 0..count {
        last = Some(speaker.send(target.clone(), &format!("{words}{number}")).await.expect("sent"));
    }
    last.expect("at least one")
}

async fn whoever_saw_more_makes_it_another_history(mut store: Store) {
    for target in ["", "user:reader"] {
        let node = store.node().await;
        say(&node, target, "kept", KEPT).await;
        node.stop().await;
        let copy = store.copy();
        let node = store.node().await;
        let seen = say(&node, target, "lost", LOST).await;
        node.stop().await;
        store.go_back(&copy).await;

        let node = store.node().await;
        let reads = if target.is_empty() { "" } else { "user:speaker" };
        let (_, first) = come_back(&node, reads, &seen.epoch, seen.offset).await;
        assert!(!first.complete, "the log ends before what was seen");
        assert_ne!(first.epoch, seen.epoch);
        assert_eq!(say(&node, target, "other", LOST + 3).await.epoch, first.epoch);
        let (mut back, second) = come_back(&node, reads, &seen.epoch, seen.offset).await;
        assert!(!second.complete, "what stands at the numbers that were seen is something else now");
        let all = texts(&mut back, KEPT + LOST + 3).await;
        assert_eq!((all[KEPT - 1].as_str(), all[KEPT].as_str()), ("kept9", "other0"));
        let (_, third) = come_back(&node, reads, &second.epoch, second.offset).await;
        assert_eq!((third.complete, third.epoch), (true, second.epoch));
        node.stop().await;
    }
}

/// A crash that takes the newest entries takes their readers' nodes along, so nobody shows what is missing before as much
/// has been said again.
#[tokio::test]
async fn what_redis_lost_is_told_although_as_much_came_after_it() {
    let mut store = redis().await;
    for target in ["", "user:reader"] {
        let node = store.node().await;
        let kept = say(&node, target, "kept", KEPT).await;
        node.stop().await;
        let copy = store.copy();
        let node = store.node().await;
        let lost = say(&node, target, "lost", LOST).await;
        node.stop().await;
        store.go_back(&copy).await;

        let node = store.node().await;
        say(&node, target, "other", LOST + 3).await;
        let reads = if target.is_empty() { "" } else { "user:speaker" };
        let (mut back, told) = come_back(&node, reads, &lost.epoch, lost.offset).await;
        assert!(!told.complete, "what stands at the numbers that were seen is something else now");
        assert_eq!(texts(&mut back, KEPT + LOST + 3).await[KEPT], "other0");
        // Who had seen nothing of what is lost has missed nothing but what came after it.
        let (mut honest, whole) = come_back(&node, reads, &kept.epoch, kept.offset).await;
        assert!(whole.complete);
        assert_eq!(texts(&mut honest, LOST + 3).await[0], "other0");
        node.stop().await;
    }
}

async fn a_made_up_position_counts_once_in_a_life_of_the_store(mut store: Store) {
    let node = store.node().await;
    let said = say(&node, "", "m", 3).await;
    for _ in 0..2 {
        let (_, lied) = come_back(&node, "", &said.epoch, 1_000_000_000).await;
        assert_eq!((lied.complete, &lied.epoch), (false, &said.epoch), "nothing was lost in this life");
    }
    node.stop().await;
    store.restart().await;

    let node = store.node().await;
    let (_, lied) = come_back(&node, "", &said.epoch, u64::MAX).await;
    assert_ne!(lied.epoch, said.epoch, "it may be true");
    let (_, again) = come_back(&node, "", &lied.epoch, 1_000_000_000).await;
    assert_eq!((again.complete, &again.epoch), (false, &lied.epoch));
    let (_, honest) = come_back(&node, "", &lied.epoch, 3).await;
    assert_eq!((honest.complete, honest.epoch), (true, lied.epoch));
    node.stop().await;
}

/// A group of `owner`, `alice` and `bob` with something said in it, in a store that has been started again since.
async fn group_from_an_earlier_life(store: &mut Store) -> (Node, Receipt) {
    let node = store.node().await;
    let mut owner = node.login(APP, "owner").await;
    owner.request("group/create", &json!({"groupId": "g", "name": "n"})).await.expect("created");
    for member in ["alice", "bob"] {
        let mut member = node.login(APP, member).await;
        member.request("group/join", &json!({"groupId": "g"})).await.expect("joined");
    }
    let said = owner.send(g(), "before").await.expect("sent");
    node.stop().await;
    store.restart().await;
    (store.node().await, said)
}

fn g() -> Target {
    "group:g".parse().expect("a target")
}

/// Bob shows that they saw more than there is, and so the log gets a new epoch.
async fn bob_doubts(node: &Node, said: &Receipt) -> Session {
    let (bob, doubted) = come_back_as(node, "bob", "group:g", &said.epoch, said.offset + 5).await;
    assert!(!doubted.complete && doubted.epoch != said.epoch);
    bob
}

async fn who_recovered_before_a_fork_gets_what_is_said_and_done_after_it(mut store: Store) {
    let (node, said) = group_from_an_earlier_life(&mut store).await;
    // Over Redis, Alice is on another node than those who talk.
    let other = if let Store::Redis(_) = store { Some(store.node().await) } else { None };
    let home = other.as_ref().unwrap_or(&node);
    let (mut alice, whole) = come_back_as(home, "alice", "group:g", &said.epoch, said.offset).await;
    assert!(whole.complete && whole.epoch == said.epoch);
    let mut bob = bob_doubts(&node, &said).await;
    let mut owner = node.login(APP, "owner").await;
    for text in ["one", "two"] {
        let sent = owner.send(g(), text).await.expect("sent");
        assert_eq!((said_next(&mut alice).await, sent.epoch != said.epoch), (text.to_owned(), true));
    }
    for text in ["before", "one", "two"] {
        assert_eq!(said_next(&mut bob).await, text);
    }

    let (mut later, whole) = come_back_as(home, "alice", "group:g", &said.epoch, said.offset).await;
    // Over Redis each entry tells in which epoch it was written, so that what Alice saw is known to stand there still.
    assert_eq!(whole.complete, matches!(store, Store::Redis(_)));
    while said_next(&mut later).await != "two" {}
    owner.request("group/kick", &json!({"groupId": "g", "memberId": "alice"})).await.expect("kicked");
    owner.send(g(), "not for alice").await.expect("sent");
    alice.request("group/join", &json!({"groupId": "g"})).await.expect("joined");
    owner.send(g(), "for alice again").await.expect("sent");
    for session in [&mut alice, &mut later] {
        assert_eq!(next_message(session).await.content.kind, "kick");
        assert_eq!(said_next(session).await, "for alice again");
    }
}

/// The next text; what is told of members before it is passed over.
async fn said_next(session: &mut Session) -> String {
    loop {
        let message = next_message(session).await;
        if message.content.kind == "text" {
            return message.content.msg.expect("a text");
        }
    }
}

async fn a_kick_after_a_fork_is_an_end_and_a_joining_a_beginning(mut store: Store) {
    let (node, said) = group_from_an_earlier_life(&mut store).await;
    let (mut alice, _) = come_back_as(&node, "alice", "group:g", &said.epoch, said.offset).await;
    bob_doubts(&node, &said).await;
    let mut owner = node.login(APP, "owner").await;
    owner.request("group/kick", &json!({"groupId": "g", "memberId": "alice"})).await.expect("kicked");
    assert_eq!(next_message(&mut alice).await.content.kind, "kick");
    owner.send(g(), "not for alice").await.expect("sent");
    alice.request("group/join", &json!({"groupId": "g"})).await.expect("joined");
    owner.send(g(), "for alice again").await.expect("sent");
    assert_eq!(said_next(&mut alice).await, "for alice again");
}

/// The notice of a joining and the fork come to a node at once, in this order.
#[tokio::test]
async fn a_joining_before_a_fork_counts_where_it_is_heard_of_after_it() {
    let mut store = redis().await;
    let (node, said) = group_from_an_earlier_life(&mut store).await;
    let late = store.node().await;
    let mut carol = late.login(APP, "carol").await;
    late.signal(Signal::SIGSTOP);
    let join = json!({"appId": APP, "userId": "carol", "groupId": "g"});
    node.http().call_raw("/group/join", &join).await.expect("joined");
    let mut owner = node.login(APP, "owner").await;
    owner.send(g(), "one").await.expect("sent");
    bob_doubts(&node, &said).await;
    late.signal(Signal::SIGCONT);
    assert_eq!(said_next(&mut carol).await, "one");
    owner.send(g(), "two").await.expect("sent");
    assert_eq!(said_next(&mut carol).await, "two");
}

fn embedded() -> Store {
    Store::Embedded(tempfile::tempdir().expect("a directory"))
}

async fn redis() -> Store {
    Store::Redis(RedisServer::start_with_aof().await)
}

#[tokio::test]
async fn whoever_saw_more_makes_it_another_history_embedded() {
    whoever_saw_more_makes_it_another_history(embedded()).await;
}

#[tokio::test]
async fn whoever_saw_more_makes_it_another_history_redis() {
    whoever_saw_more_makes_it_another_history(redis().await).await;
}

#[tokio::test]
async fn a_made_up_position_counts_once_in_a_life_of_the_store_embedded() {
    a_made_up_position_counts_once_in_a_life_of_the_store(embedded()).await;
}

#[tokio::test]
async fn a_made_up_position_counts_once_in_a_life_of_the_store_redis() {
    a_made_up_position_counts_once_in_a_life_of_the_store(redis().await).await;
}

#[tokio::test]
async fn who_recovered_before_a_fork_gets_what_is_said_and_done_after_it_embedded() {
    who_recovered_before_a_fork_gets_what_is_said_and_done_after_it(embedded()).await;
}

#[tokio::test]
async fn who_recovered_before_a_fork_gets_what_is_said_and_done_after_it_redis() {
    who_recovered_before_a_fork_gets_what_is_said_and_done_after_it(redis().await).await;
}

#[tokio::test]
async fn a_kick_after_a_fork_is_an_end_and_a_joining_a_beginning_embedded() {
    a_kick_after_a_fork_is_an_end_and_a_joining_a_beginning(embedded()).await;
}

#[tokio::test]
async fn a_kick_after_a_fork_is_an_end_and_a_joining_a_beginning_redis() {
    a_kick_after_a_fork_is_an_end_and_a_joining_a_beginning(redis().await).await;
}
