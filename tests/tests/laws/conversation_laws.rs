//! The law of conversations and read states, run against every adapter: `redis::…` and `embedded::…`.

use chat_tests::broker::{APP, HandClock, group, user};
use chat_tests::engine::{Engine, Node, dismiss, join, kick, leave, members};
use chatd::broker::{BrokerError, Retention};
use chatd::conversations::{Head, MAX_LOOK, MAX_UNREAD, Place, State, Unread};
use chatd::model::Conversation;

const START: u64 = 1_800_000_000_000;

fn pair(a: &str, b: &str) -> Conversation {
    Conversation::Pair(APP, user(a), user(b))
}

async fn list(node: &Node, name: &str) -> Vec<State> {
    node.conversations.list(APP, &user(name), None, 1_000).await.expect("listed")
}

async fn read(node: &Node, name: &str, conversation: &Conversation, offset: u64) -> State {
    node.conversations.read(&user(name), conversation, offset).await.expect("read")
}

/// Newest offset and read offset of a conversation in a user's list; `None` when it is not there.
async fn place(node: &Node, name: &str, conversation: &Conversation) -> Option<(u64, u64)> {
    let mut found =
        list(node, name).await.into_iter().filter(|state| state.head.conversation == *conversation);
    let state = found.next();
    assert_eq!(found.next(), None, "listed twice");
    state.map(|state| (state.head.last_offset, state.read_offset))
}

/// A conversation in which nothing was said.
fn nothing(conversation: Conversation) -> State {
    let head = Head { conversation, epoch: "".into(), last_offset: 0, last_time: 0 };
    State { head, read_offset: 0, unread: Unread::default(), last: None }
}

/// Says something at a later time than before.
async fn say(node: &Node, clock: &HandClock, at: u64, sender: &str, target: &str) {
    clock.set(START + at);
    node.say(sender, target, &at.to_string()).await.expect("appended");
}

async fn the_list_holds_what_is_the_users_the_latest_first(engine: Engine) {
    let (node, clock) = (engine.node().await, &engine.clock);
    let unsaid = list(&node, "a").await;
    assert_eq!(unsaid, [nothing(Conversation::World(APP))], "the world is there before anything was said");
    clock.set(START);
    node.create("g:{1}", &["o", "a"]).await;
    node.create("not theirs", &["o"]).await;
    say(&node, clock, 1, "b", "user:a").await;
    say(&node, clock, 2, "a", "user:\u{5e1d}").await;
    say(&node, clock, 3, "a", "user:a").await;
    say(&node, clock, 4, "b", "user:c").await;
    say(&node, clock, 5, "b", "").await;
    say(&node, clock, 6, "b", "user:a").await;
    let wanted = [
        (pair("a", "b"), 2, START + 6, 0, 2),
        (Conversation::World(APP), 1, START + 5, 0, 1),
        (pair("a", "a"), 1, START + 3, 1, 0),
        (pair("a", "\u{5e1d}"), 1, START + 2, 1, 0),
        (group("g:{1}").0, 2, START, 2, 0),
    ];
    let mut found = Vec::new();
    for state in list(&node, "a").await {
        assert_eq!(state.head.epoch, node.log(&state.head.conversation).await.epoch);
        let Head { conversation, last_offset, last_time, .. } = state.head;
        found.push((conversation, last_offset, last_time, state.read_offset, state.unread.count));
    }
    assert_eq!(found, wanted);
    let of_b: Vec<_> = list(&node, "b").await.into_iter().map(|state| state.head.conversation).collect();
    assert_eq!(of_b, [pair("a", "b"), Conversation::World(APP), pair("b", "c")]);
    let elsewhere = node.conversations.list(APP + 1, &user("a"), None, 10).await.expect("listed");
    assert_eq!(elsewhere.len(), 1, "apps are apart");
}

async fn pages_tile_the_list(engine: Engine) {
    let node = engine.node().await;
    let clock = &engine.clock;
    // Several of one time, and more than are read from a store at once.
    for index in 0..600_u64 {
        clock.set(START + index / 7);
        node.say(&format!("b{index}"), "user:a", &index.to_string()).await.expect("appended");
    }
    node.create("g", &["o", "a"]).await;
    let whole = node.conversations.heads(APP, &user("a"), None, 10_000).await.expect("listed");
    assert_eq!(whole.len(), 602, "600 pairs, a group, and the world in which nothing was said");
    assert!(whole.is_sorted_by(|one, two| one.last_time >= two.last_time));
    for limit in [1, 7, 250, 601, 602] {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page =
                node.conversations.heads(APP, &user("a"), after.as_ref(), limit).await.expect("a page");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(Place { last_time: last.last_time, conversation: last.conversation.clone() });
            pages.extend(page);
            if limit == 1 && pages.len() == 20 {
                break;
            }
        }
        assert_eq!(pages, whole[..pages.len()], "pages of {limit}");
        assert!(limit == 1 || pages.len() == whole.len(), "{}", pages.len());
    }
    let after = Place { last_time: START + 10, conversation: pair("a", "nobody") };
    let page = node.conversations.list(APP, &user("a"), Some(&after), 5).await.expect("a page");
    assert_eq!(page.len(), 5, "whether or not there is such a conversation");
    assert!(page.iter().all(|state| state.head.last_time <= START + 10));
    assert!(page.iter().all(|state| state.unread == Unread { count: 1, more: false }));
}

/// What a user has not read of a conversation, as the list and as marking it say.
async fn unread(node: &Node, name: &str, conversation: &Conversation) -> (u64, bool) {
    let listed = list(node, name).await.into_iter().find(|state| state.head.conversation == *conversation);
    let listed = listed.expect("it is listed");
    assert_eq!(read(node, name, conversation, 0).await, listed);
    (listed.unread.count, listed.unread.more)
}

async fn only_messages_of_others_are_unread(engine: Engine) {
    let node = engine.node().await;
    let (log, odd) = (group("g").0, r#""from":"b""#);
    node.create("g", &["o", "a", odd]).await;
    read(&node, "a", &log, u64::MAX).await;
    for visitor in 0..5 {
        let visitor = format!("x{visitor}");
        node.change("g", join(&visitor)).await;
        node.change("g", if visitor == "x4" { kick("o", &visitor) } else { leave(&visitor) }).await;
    }
    assert_eq!(unread(&node, "a", &log).await, (0, false), "who comes and goes says nothing");
    node.say("o", "group:g", "hi").await.expect("appended");
    for id in ["1", "2", "3"] {
        node.say("a", "group:g", id).await.expect("appended");
    }
    assert_eq!(unread(&node, "a", &log).await, (1, false), "one's own are not unread");
    // Names and ids may look like anything.
    node.say(odd, "group:g", r#""from":"a""#).await.expect("appended");
    node.say(odd, "group:g", r#""type":"recall""#).await.expect("appended");
    assert_eq!(unread(&node, "a", &log).await, (3, false));
    assert_eq!(unread(&node, odd, &log).await, (4, false));
}

async fn what_was_taken_back_is_not_unread(engine: Engine) {
    let node = engine.node().await;
    let log = pair("a", "b");
    for id in ["m1", "m2", "m3"] {
        node.say("a", "user:b", id).await.expect("appended");
    }
    assert_eq!(unread(&node, "b", &log).await, (3, false));
    node.broker.recall(&log, 2, None).await.expect("recalled");
    assert_eq!(unread(&node, "b", &log).await, (2, false), "nor is the news of it");
    node.broker.recall(&log, 1, Some(&user("a"))).await.expect("recalled");
    node.broker.recall(&log, 3, Some(&user("a"))).await.expect("recalled");
    assert_eq!(unread(&node, "b", &log).await, (0, false));
    assert_eq!(place(&node, "b", &log).await, Some((6, 0)));
}

async fn what_the_history_has_no_more_is_not_unread(engine: Engine) {
    let node = engine.node_keeping(Retention { max_messages: 1_000, max_age_ms: 60_000 }).await;
    let log = pair("a", "b");
    for (index, id) in ["m1", "m2", "m3"].into_iter().enumerate() {
        engine.clock.set(START + 30_000 * index as u64);
        node.say("a", "user:b", id).await.expect("appended");
    }
    for (passed, kept) in [(60_000, 3), (60_001, 2), (120_000, 1), (120_001, 0)] {
        engine.clock.set(START + passed);
        assert_eq!(unread(&node, "b", &log).await, (kept, false), "after {passed} ms");
    }
}

async fn the_newest_entry_is_given_while_the_history_has_it(engine: Engine) {
    let node = engine.node_keeping(Retention { max_messages: 1_000, max_age_ms: 60_000 }).await;
    engine.clock.set(START);
    node.create("g", &["o", "a"]).await;
    for (target, log) in
        [("", Conversation::World(APP)), ("user:a", pair("a", "o")), ("group:g", group("g").0)]
    {
        engine.clock.set(START);
        for id in ["m1", "m2"] {
            node.say("o", target, &format!("{id}{target}")).await.expect("appended");
        }
        let recalled = node.log(&log).await.head;
        node.broker.recall(&log, recalled, None).await.expect("recalled");
        let last = async || {
            let listed = list(&node, "a").await.into_iter().find(|state| state.head.conversation == log);
            let listed = listed.expect("it is listed");
            assert_eq!(read(&node, "a", &log, 0).await, listed);
            listed.last
        };
        let wanted = node.log(&log).await.entries.pop();
        assert_eq!(members(wanted.as_ref().expect("what tells of the recall"))["recalls"], recalled);
        assert_eq!(last().await, wanted);
        engine.clock.set(START + 60_001);
        assert_eq!(last().await, None);
    }
}

async fn what_was_dropped_for_newer_messages_is_not_unread(engine: Engine) {
    let node = engine.node_keeping(Retention { max_messages: 64, max_age_ms: 0 }).await;
    let log = pair("a", "b");
    for index in 0..400 {
        node.say("a", "user:b", &index.to_string()).await.expect("appended");
    }
    let kept = node.log(&log).await.entries.len() as u64;
    assert!(kept < 300, "{kept}");
    let counted = if kept > 99 { (99, true) } else { (kept, false) };
    assert_eq!(unread(&node, "b", &log).await, counted);
}

async fn more_than_99_are_told_as_more(engine: Engine) {
    let node = engine.node().await;
    let (log, world) = (pair("a", "b"), Conversation::World(APP));
    let mut said = 0;
    for (until, counted) in [(98, (98, false)), (99, (99, false)), (100, (99, true)), (250, (99, true))] {
        while said < until {
            said += 1;
            node.say("a", "user:b", &said.to_string()).await.expect("appended");
        }
        assert_eq!(unread(&node, "b", &log).await, counted);
    }
    assert_eq!(MAX_UNREAD, 99);
    // A message of another behind many of one's own: only so many entries are looked at.
    node.say("b", "", "first").await.expect("appended");
    for index in 1..MAX_LOOK {
        node.say("a", "", &format!("own {index}")).await.expect("appended");
    }
    assert_eq!(unread(&node, "a", &world).await, (1, false));
    node.say("b", "", "last").await.expect("appended");
    assert_eq!(unread(&node, "a", &world).await, (1, true));
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

async fn what_was_said_before_they_joined_is_not_unread(engine: Engine) {
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
    assert_eq!((state.head.conversation, state.head.last_offset, state.read_offset), (log, 2, 2));
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
    assert_eq!(read(&node, "b", &log, u64::MAX).await, nothing(log.clone()));
    assert_eq!(place(&node, "b", &log).await, None, "a pair in which nothing was said is not listed");
    for (offset, id) in [(1, "m1"), (2, "m2")] {
        let receipt = node.say("a", "user:b", id).await.expect("appended");
        assert_eq!(place(&node, "b", &log).await, Some((offset, offset - 1)), "it is unread");
        let (conversation, epoch) = (log.clone(), receipt.epoch);
        let head = Head { conversation, epoch, last_offset: offset, last_time: receipt.time };
        let last = node.log(&log).await.entries.pop();
        let wanted = State { head, read_offset: offset, unread: Unread::default(), last };
        assert_eq!(read(&node, "b", &log, u64::MAX).await, wanted);
    }
}

async fn a_sender_has_read_their_message_if_all_before_it(engine: Engine) {
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
        assert_eq!(places().await, both(2, 1, 0), "they had not read what was before");
        say("a", target, "3").await;
        assert_eq!(places().await, both(3, 1, 0), "nor had they");
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
    pages_tile_the_list,
    only_messages_of_others_are_unread,
    what_was_taken_back_is_not_unread,
    what_the_history_has_no_more_is_not_unread,
    the_newest_entry_is_given_while_the_history_has_it,
    what_was_dropped_for_newer_messages_is_not_unread,
    more_than_99_are_told_as_more,
    groups_come_and_go_with_the_membership,
    what_was_said_before_they_joined_is_not_unread,
    only_members_mark_a_group_as_read,
    unread_counts_what_came_at_the_same_moment,
    reading_never_goes_back,
    reading_never_passes_the_end,
    a_sender_has_read_their_message_if_all_before_it,
    read_states_outlive_the_node,
}

chat_tests::engine_laws_in_a_cluster! {
    the_list_holds_what_is_the_users_the_latest_first,
    only_messages_of_others_are_unread,
}
