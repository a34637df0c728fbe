//! The law of how far others have read, run against every adapter: `redis::…` and `embedded::…`.

use chat_tests::broker::{APP, group, user};
use chat_tests::engine::{Engine, Node, dismiss, join, leave};
use chatd::model::Conversation;

/// How far they have read, after the epoch was looked at.
async fn read_by(node: &Node, conversation: &Conversation, names: &[&str]) -> Vec<u64> {
    let users: Vec<_> = names.iter().map(|name| user(name)).collect();
    let (epoch, offsets) = node.conversations.read_by(conversation, &users).await.expect("told");
    assert_eq!(epoch, node.log(conversation).await.epoch);
    offsets
}

async fn read(node: &Node, name: &str, conversation: &Conversation, offset: u64) {
    node.conversations.read(&user(name), conversation, offset).await.expect("read");
}

async fn what_several_have_read_is_told_in_their_order(engine: Engine) {
    let node = engine.node().await;
    let (pair, world) = (Conversation::Pair(APP, user("a"), user("b")), Conversation::World(APP));
    let before = node.conversations.read_by(&pair, &[user("a"), user("b")]).await.expect("told");
    assert_eq!((&*before.0, before.1), ("", vec![0, 0]), "nothing was said");
    for (target, log) in [("user:b", &pair), ("", &world)] {
        for id in ["1", "2", "3"] {
            node.say("a", target, &format!("{id}{target}")).await.expect("appended");
        }
        read(&node, "b", log, 2).await;
        assert_eq!(read_by(&node, log, &["b", "a", "nobody", "b"]).await, [2, 3, 0, 2]);
        assert_eq!(read_by(&node, log, &[]).await, [] as [u64; 0]);
    }
    // In another conversation, or another app, it is another place.
    read(&node, "b", &world, 3).await;
    assert_eq!(read_by(&node, &pair, &["b"]).await, [2]);
    let elsewhere = Conversation::World(APP + 1);
    assert_eq!(node.conversations.read_by(&elsewhere, &[user("b")]).await.expect("told").1, [0]);
}

async fn nothing_is_told_of_who_left_or_of_a_former_group(engine: Engine) {
    let node = engine.node().await;
    let (log, _) = group("g");
    node.create("g", &["o", "a", "b"]).await;
    node.say("o", "group:g", "1").await.expect("appended");
    for name in ["a", "b"] {
        read(&node, name, &log, u64::MAX).await;
    }
    let joined = read_by(&node, &log, &["o", "a", "b"]).await;
    assert_eq!(joined, [1, 4, 4], "the owner has not read who came");
    node.change("g", leave("a")).await;
    assert_eq!(read_by(&node, &log, &["a", "b"]).await, [0, 4]);
    node.change("g", dismiss("o")).await;
    node.create("g", &["b"]).await;
    assert_eq!(read_by(&node, &log, &["o", "b"]).await, [0, 1]);
    node.change("g", join("o")).await;
    assert_eq!(read_by(&node, &log, &["o", "b"]).await, [2, 1]);
}

chat_tests::engine_laws! {
    what_several_have_read_is_told_in_their_order,
    nothing_is_told_of_who_left_or_of_a_former_group,
}

chat_tests::engine_laws_in_a_cluster! {
    what_several_have_read_is_told_in_their_order,
}
