//! The law of conversations and read states, run against every adapter: `redis::…` and `embedded::…`.

use chat_tests::broker::{APP, HandClock, group, user};
use chat_tests::engine::{Engine, Node, dismiss, join, kick, leave};
use chatd::broker::{BrokerError, Conversation};
use chatd::conversations::State;

const START: u64 = 1_800_000_000_000;

fn pair(a: &str, b: &str) -> Conversation {
    Conversation::Pair(APP, user(a), user(b))
}

async fn list(node: &Node, name: &str) -> Vec<State> {
    node.conversations.list(APP, &user(name)).await.expect("listed")
}

async fn read(node: &Node, name: &str, conversation: &Conversation, offset: u64) -> State {
    node.conversations.read(&user(name), conversation, offset).await.expect("read")
}

/// Newest offset and read offset of a conversation in a user's list; `None` when it is not there.
async fn place(node: &Node, name: &str, conversation: &Conversation) -> Option<(u64, u64)> {
    let mut found = list(node, name).await.into_iter().filter(|state| state.conversation == *conversation);
    let state = found.next();
    assert_eq!(found.next(), None, "listed twice");
    state.map(|state| (state.last_offset, state.read_offset))
}

/// Says something at a later time than before.
async fn say(node: &Node, clock: &HandClock, at: u64, sender: &str, target: &str) {
    clock.set(START + at);
    node.say(sender, target, &at.to_string()).await.expect("appended");
}

async fn the_list_holds_what_is_the_users_the_latest_first(engine: Engine) {
    let (node, clock) = (engine.node().await, &engine.clock);
    let world =
        State { conversation: Conversation::World(APP), last_offset: 0, last_time: 0, read_offset: 0 };
    assert_eq!(list(&node, "a").await, [world], "the world is there before anything was said");
    clock.set(START);
    node.create("g:{1}", &["o", "a"]).await;
    node.create("not his", &["o"]).await;
    say(&node, clock, 1, "b", "user:a").await;
    say(&node, clock, 2, "a", "user:\u{5e1d}").await;
    say(&node, clock, 3, "a", "user:a").await;
    say(&node, clock, 4, "b", "user:c").await;
    say(&node, clock, 5, "b", "").await;
    say(&node, clock, 6, "b", "user:a").await;
    let state = |conversation, last_offset, time, read_offset| State {
        conversation,
        last_offset,
        last_time: START + time,
        read_offset,
    };
    let wanted = [
        state(pair("a", "b"), 2, 6, 0),
        state(Conversation::World(APP), 1, 5, 0),
        state(pair("a", "a"), 1, 3, 1),
        state(pair("a", "\u{5e1d}"), 1, 2, 1),
        state(group("g:{1}").0, 2, 0, 2),
    ];
    assert_eq!(list(&node, "a").await, wanted);
    let of_b: Vec<_> = list(&node, "b").await.into_iter().map(|state| state.conversation).collect();
    assert_eq!(of_b, [pair("a", "b"), Conversation::World(APP), pair("b", "c")]);
    assert_eq!(
        node.conversations.list(APP + 1, &user("a")).await.expect("listed").len(),
        1,
        "apps are apart"
    );
}

async fn groups_come_and_go_with_the_membership(engine: Engine) {
    let node = engine.node().await;
    let (log, _) = group("g");
    node.create("g", &["o"]).await;
    for id in ["m1", "m2"] {
        node.say("o", "group:g", id).await.expect("appended");
    }
    assert_eq!(place(&node, "a", &log).await, None);
    for end in [leave("a"), kick("o", "a"), dismiss("o")] {
        node.change("g", join("a")).await;
        assert!(place(&node, "a", &log).await.is_some());
        node.change("g", end).await;
        assert_eq!(place(&node, "a", &log).await, None);
    }
    assert_eq!(place(&node, "o", &log).await, None);
    node.create("g", &["a"]).await;
    assert_eq!(place(&node, "a", &log).await, Some((1, 1)), "nothing of the former group is left");
}

async fn what_was_said_before_he_joined_is_not_unread(engine: Engine) {
    let node = engine.node().await;
    let (log, _) = group("g");
    node.create("g", &["o"]).await;
    node.say("o", "group:g", "m1").await.expect("appended");
    node.change("g", join("a")).await;
    assert_eq!(place(&node, "a", &log).await, Some((3, 3)));
    node.say("o", "group:g", "m2").await.expect("appended");
    assert_eq!(place(&node, "a", &log).await, Some((4, 3)));
}

async fn only_members_mark_a_group_as_read(engine: Engine) {
    let node = engine.node().await;
    let (log, _) = group("g");
    let refused = node.conversations.read(&user("a"), &log, 1).await;
    assert!(matches!(refused, Err(BrokerError::NoSuchGroup)), "{refused:?}");
    node.create("g", &["o", "b"]).await;
    let refused = node.conversations.read(&user("a"), &log, 1).await;
    assert!(matches!(refused, Err(BrokerError::NotMember)), "{refused:?}");
    let state = read(&node, "o", &log, 2).await;
    assert_eq!((state.conversation, state.last_offset, state.read_offset), (log, 2, 2));
}

async fn unread_counts_what_came_at_the_same_moment(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let log = pair("a", "b");
    let mut sending = tokio::task::JoinSet::new();
    for index in 0..50_usize {
        let node = nodes[index % 2].clone();
        sending.spawn(async move { node.say("a", "user:b", &index.to_string()).await.expect("appended") });
    }
    let mut last = 0;
    while !sending.is_empty() {
        if let Some((newest, read)) = place(&nodes[0], "b", &log).await {
            assert!(newest >= last && read == 0, "{newest} after {last}, {read} read");
            last = newest;
        }
        if let Some((newest, read)) = place(&nodes[1], "a", &log).await {
            assert_eq!(newest, read, "nobody else says anything");
        }
        while sending.try_join_next().is_some() {}
    }
    assert_eq!(place(&nodes[1], "b", &log).await, Some((50, 0)));
    assert_eq!(place(&nodes[1], "a", &log).await, Some((50, 50)));
}

async fn reading_never_goes_back(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let log = pair("a", "b");
    for index in 0..50 {
        nodes[0].say("a", "user:b", &index.to_string()).await.expect("appended");
    }
    for round in 0..5 {
        let mut reading = tokio::task::JoinSet::new();
        for offset in 1..=40_u64 {
            let (node, log) = (nodes[usize::from(offset % 2 == 0)].clone(), log.clone());
            reading.spawn(async move { (offset + round, read(&node, "b", &log, offset + round).await) });
        }
        for (offset, state) in reading.join_all().await {
            assert!((offset..=40 + round).contains(&state.read_offset), "{offset}: {state:?}");
        }
        assert_eq!(place(&nodes[1], "b", &log).await, Some((50, 40 + round)));
    }
    assert_eq!(read(&nodes[0], "b", &log, 10).await.read_offset, 44);
    assert_eq!(read(&nodes[0], "b", &log, 0).await.read_offset, 44);
}

async fn reading_never_passes_the_end(engine: Engine) {
    let node = engine.node().await;
    let log = pair("a", "b");
    let nothing = State { conversation: log.clone(), last_offset: 0, last_time: 0, read_offset: 0 };
    assert_eq!(read(&node, "b", &log, u64::MAX).await, nothing);
    assert_eq!(place(&node, "b", &log).await, None, "a pair in which nothing was said is not listed");
    for (offset, id) in [(1, "m1"), (2, "m2")] {
        let time = node.say("a", "user:b", id).await.expect("appended").time;
        assert_eq!(place(&node, "b", &log).await, Some((offset, offset - 1)), "it is unread");
        let wanted =
            State { conversation: log.clone(), last_offset: offset, last_time: time, read_offset: offset };
        assert_eq!(read(&node, "b", &log, u64::MAX).await, wanted);
    }
}

async fn a_sender_has_read_his_message_if_all_before_it(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["a", "b"]).await;
    for (target, log, before) in
        [("", Conversation::World(APP), 0), ("user:b", pair("a", "b"), 0), ("group:g", group("g").0, 2)]
    {
        let back = if target == "user:b" { "user:a" } else { target };
        read(&node, "a", &log, before).await;
        let say = async |sender, to, id| {
            let id = format!("{id}{target}");
            node.say(sender, to, &id).await.expect("appended").offset
        };
        let places = async || (place(&node, "a", &log).await, place(&node, "b", &log).await);
        let both = |last, a, b| (Some((before + last, before + a)), Some((before + last, before + b)));
        say("a", target, "1").await;
        assert_eq!(places().await, both(1, 1, 0));
        say("b", back, "2").await;
        assert_eq!(places().await, both(2, 1, 0), "he had not read what was before");
        say("a", target, "3").await;
        assert_eq!(places().await, both(3, 1, 0), "nor had he");
        read(&node, "b", &log, before + 3).await;
        say("b", back, "4").await;
        assert_eq!(places().await, both(4, 1, 4));
        say("b", back, "4").await;
        assert_eq!(places().await, both(4, 1, 4), "a repeat moves nothing");
    }
}

async fn read_states_outlive_the_node(engine: Engine) {
    let node = engine.node().await;
    for id in ["m1", "m2", "m3"] {
        node.say("a", "user:b", id).await.expect("appended");
    }
    read(&node, "b", &pair("a", "b"), 2).await;
    let node = engine.reopen(node).await;
    assert_eq!(place(&node, "b", &pair("a", "b")).await, Some((3, 2)));
    assert_eq!(place(&node, "a", &pair("a", "b")).await, Some((3, 3)));
}

chat_tests::engine_laws! {
    the_list_holds_what_is_the_users_the_latest_first,
    groups_come_and_go_with_the_membership,
    what_was_said_before_he_joined_is_not_unread,
    only_members_mark_a_group_as_read,
    unread_counts_what_came_at_the_same_moment,
    reading_never_goes_back,
    reading_never_passes_the_end,
    a_sender_has_read_his_message_if_all_before_it,
    read_states_outlive_the_node,
}
