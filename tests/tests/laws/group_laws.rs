//! The law of groups, run against every adapter: `redis::…` and `embedded::…`.

use std::collections::HashSet;

use chat_tests::broker::{APP, group, user};
use chat_tests::engine::{Engine, Node, dismiss, group_id, join, kick, leave, members, names};
use chat_tests::wait::{SOON, until};
use chatd::broker::{BrokerError, Event, Range};
use chatd::groups::{Change, Group, GroupError, Joined};
use chatd::model::{Effect, Topic};
use serde_json::json;

const EVERYONE: usize = 10_000;

async fn members_of(node: &Node, name: &str) -> Vec<String> {
    let found = node.groups.members(APP, &group_id(name), None, EVERYONE).await.expect("listed");
    assert!(!found.more);
    names(&found.users).into_iter().map(str::to_owned).collect()
}

async fn count(node: &Node, name: &str) -> u64 {
    node.groups.group(APP, &group_id(name)).await.expect("a group").member_count
}

async fn groups_of(node: &Node, name: &str) -> Vec<Joined> {
    node.groups.of_user(APP, &user(name)).await.expect("listed")
}

async fn joined(node: &Node, name: &str, since: u64) -> Joined {
    Joined { group: group_id(name), since, epoch: node.log(&group(name).0).await.epoch }
}

/// The effects of a group's entries as a subscriber got them, with their offsets.
fn effects(node: &Node, name: &str) -> Vec<(u64, Effect)> {
    let of = |event| match event {
        Event::Message { entry, .. } => Some((entry.offset, entry.effect)),
        Event::Notice(_) => None,
    };
    node.seen.events(&group(name).1).into_iter().filter_map(of).collect()
}

async fn creating_again_is_harmless_for_the_owner_only(engine: Engine) {
    let node = engine.node().await;
    let id = group_id("g");
    assert_eq!(node.groups.create(APP, &id, &user("o"), "a name: 帝 {}").await, Ok(true));
    assert_eq!(node.groups.create(APP, &id, &user("o"), "another").await, Ok(false));
    assert_eq!(node.groups.create(APP, &id, &user("x"), "mine").await, Err(GroupError::Taken));
    let wanted = Group { name: "a name: 帝 {}".to_owned(), owner: user("o"), member_count: 1 };
    assert_eq!(node.groups.group(APP, &id).await, Ok(wanted));
    assert_eq!(node.groups.create(APP + 1, &id, &user("x"), "apps are apart").await, Ok(true));
    assert_eq!(node.log(&group("g").0).await.head, 1, "one entry tells of the creation");
}

async fn one_of_many_who_create_at_the_same_moment_owns(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    for round in 0..10 {
        let id = group_id(&format!("g{round}"));
        let (a, b) = (user("a"), user("b"));
        let (one, two) =
            tokio::join!(nodes[0].groups.create(APP, &id, &a, ""), nodes[1].groups.create(APP, &id, &b, ""));
        let owner = nodes[0].groups.group(APP, &id).await.expect("a group").owner;
        let wanted =
            if owner == a { (Ok(true), Err(GroupError::Taken)) } else { (Err(GroupError::Taken), Ok(true)) };
        assert_eq!((one, two), wanted);
    }
}

async fn a_group_that_is_not_there_is_no_group(engine: Engine) {
    let node = engine.node().await;
    let (id, a) = (group_id("g"), user("a"));
    let gone = Some(GroupError::NoSuchGroup);
    for change in [join("a"), leave("a"), kick("a", "b"), dismiss("a")] {
        assert_eq!(node.try_change("g", change).await.err(), gone);
    }
    assert_eq!(node.groups.group(APP, &id).await.err(), gone);
    assert_eq!(node.groups.is_member(APP, &id, &a).await.err(), gone);
    assert_eq!(node.groups.members(APP, &id, None, 1).await.err(), gone);
    assert_eq!(groups_of(&node, "a").await, []);
    assert!(matches!(node.say("a", "group:g", "m").await, Err(BrokerError::NoSuchGroup)));
}

async fn a_change_is_an_entry_with_its_effect(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (log, topic) = group("g");
    nodes[1].follow(&topic).await;
    let node = &nodes[0];
    node.create("g", &["o"]).await;
    let mut changes = Vec::new();
    for change in [join("b"), join("c"), leave("b"), kick("o", "c"), dismiss("o")] {
        changes.push(node.change("g", change.clone()).await);
        if change == join("c") {
            assert_eq!(node.say("b", "group:g", "m").await.expect("appended").offset, 4);
        }
    }
    let told: Vec<_> = changes.iter().map(|c| (c.changed, c.member_count, c.offset)).collect();
    assert_eq!(told, [(true, 2, 2), (true, 3, 3), (true, 2, 5), (true, 1, 6), (true, 0, 7)]);
    nodes[1].seen.has(&topic, 7).await;
    let (came, left) = (|name| Effect::Joined(user(name)), |name| Effect::Left(user(name)));
    let wanted = [came("o"), came("b"), came("c"), Effect::None, left("b"), left("c"), Effect::Dismissed];
    assert_eq!(effects(&nodes[1], "g"), (1..).zip(wanted).collect::<Vec<_>>());
    let kinds = ["create", "join", "join", "text", "leave", "kick", "dismiss"];
    let authors = ["o", "b", "c", "b", "b", "o", "o"];
    for (event, (kind, from)) in nodes[1].seen.events(&topic).iter().zip(kinds.into_iter().zip(authors)) {
        let Event::Message { conversation, entry, .. } = event else { panic!("not a message") };
        assert_eq!((conversation, &entry.epoch), (&log, &changes[0].epoch));
        let told = members(entry);
        assert_eq!(
            (&told["type"], &told["from"], &told["target"]),
            (&json!(kind), &json!(from), &json!("group:g"))
        );
        assert_eq!(told["msgId"], json!(entry.msg_id));
        let member = if kind == "kick" { json!("c") } else { json!(null) };
        assert_eq!(told["member"], member);
    }
}

async fn who_joins_is_told_in_the_order_of_joining(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let inbox = Topic::Inbox(APP, user("b"));
    nodes[1].follow(&inbox).await;
    nodes[0].create("g", &["o", "b"]).await;
    nodes[0].create("h", &["b"]).await;
    nodes[0].change("g", join("b")).await;
    let wanted = [joined(&nodes[0], "g", 2).await, joined(&nodes[0], "h", 1).await];
    nodes[0].change("g", leave("b")).await;
    nodes[0].change("g", join("b")).await;
    nodes[1].seen.has(&inbox, 3).await;
    let told = |event: &Event| match event {
        Event::Notice(notice) => Joined::told(notice).expect("where they joined"),
        Event::Message { .. } => panic!("{event:?}"),
    };
    let told: Vec<_> = nodes[1].seen.events(&inbox).iter().map(told).collect();
    assert_eq!(told, [&wanted[..], &[joined(&nodes[0], "g", 4).await]].concat(), "a repeat tells nothing");
}

async fn the_log_holds_the_changes(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o", "b"]).await;
    let changed = node.change("g", kick("o", "b")).await;
    let page = node.log(&group("g").0).await;
    assert_eq!((page.head, page.epoch), (3, changed.epoch));
    let kinds: Vec<_> = page.entries.iter().map(|entry| members(entry)["type"].clone()).collect();
    assert_eq!(kinds, ["create", "join", "kick"]);
    let effects: Vec<_> = page.entries.into_iter().map(|entry| entry.effect).collect();
    assert_eq!(effects, [Effect::Joined(user("o")), Effect::Joined(user("b")), Effect::Left(user("b"))]);
}

async fn repeats_change_nothing(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o", "b", "c"]).await;
    let repeats = [(join("b"), 3), (join("o"), 3), (leave("x"), 3), (kick("o", "x"), 3)];
    let epoch = node.log(&group("g").0).await.epoch;
    for (change, member_count) in repeats {
        let done = node.change("g", change.clone()).await;
        assert_eq!((done.changed, done.member_count, done.offset), (false, member_count, 3), "{change:?}");
        assert_eq!(done.epoch, epoch);
    }
    assert_eq!(node.log(&group("g").0).await.head, 3);
    assert_eq!(members_of(&node, "g").await, ["b", "c", "o"]);
}

async fn only_the_owner_rules_and_stays(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o", "b", "c"]).await;
    let refusals = [
        (leave("o"), GroupError::Owner),
        (kick("o", "o"), GroupError::Owner),
        (kick("b", "c"), GroupError::NotOwner),
        (kick("x", "c"), GroupError::NotOwner),
        (dismiss("b"), GroupError::NotOwner),
    ];
    for (change, refusal) in refusals {
        assert_eq!(node.try_change("g", change).await, Err(refusal));
    }
    assert_eq!((count(&node, "g").await, node.log(&group("g").0).await.head), (3, 3));
}

async fn only_members_append(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o"]).await;
    assert!(matches!(node.say("b", "group:g", "m1").await, Err(BrokerError::NotMember)));
    node.change("g", join("b")).await;
    let first = node.say("b", "group:g", "m1").await.expect("a refused id can be sent later");
    assert_eq!((first.offset, first.duplicate), (3, false));
    for (id, change) in [("m2", leave("b")), ("m3", join("b")), ("m4", kick("o", "b"))] {
        node.change("g", change.clone()).await;
        let refused = matches!(node.say("b", "group:g", id).await, Err(BrokerError::NotMember));
        assert_eq!(refused, change != join("b"), "{change:?}");
        let repeat = node.say("b", "group:g", "m1").await.expect("a repeat is answered like the first time");
        assert_eq!((repeat.offset, repeat.duplicate), (3, true));
    }
}

async fn nothing_of_the_kicked_stands_after_the_kick(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (log, topic) = group("g");
    nodes[1].follow(&topic).await;
    nodes[0].create("g", &["o", "b"]).await;
    for round in 0..10 {
        let mut talking = tokio::task::JoinSet::new();
        for lane in 0..20 {
            let node = nodes[lane % 2].clone();
            talking.spawn(async move {
                match node.say("b", "group:g", &format!("{round}-{lane}")).await {
                    Ok(receipt) => Some(receipt.offset),
                    Err(BrokerError::NotMember) => None,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let kicked = nodes[0].change("g", kick("o", "b")).await.offset;
        let said: Vec<u64> = talking.join_all().await.into_iter().flatten().collect();
        assert!(said.iter().all(|offset| *offset < kicked), "{said:?} and a kick at {kicked}");
        let head = nodes[0].log(&log).await.head;
        assert_eq!(head, kicked, "what was refused is not there");
        nodes[0].change("g", join("b")).await;
    }
    let page = nodes[0].log(&log).await;
    nodes[1].seen.has(&topic, page.entries.len()).await;
    assert_eq!(nodes[1].seen.offsets(&topic), (1..=page.head).collect::<Vec<_>>());
}

async fn pages_of_members_tile_in_byte_order(engine: Engine) {
    let node = engine.node().await;
    let mut all = vec!["b", "a", "\u{5e1d}", "a:1", "{", "A", "aa", "-", "+", "(", "[", "é", " ", "~"];
    node.create("g", &all).await;
    all.sort_unstable();
    for limit in [1, 3, 14, 15] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = node.groups.members(APP, &group_id("g"), after.as_ref(), limit).await.expect("listed");
            assert!(page.users.len() <= limit);
            after = page.users.last().cloned();
            found.extend(page.users);
            assert!(found.len() <= all.len(), "a name comes twice: {found:?}");
            if !page.more {
                break;
            }
        }
        assert_eq!(names(&found), all, "pages of {limit}");
    }
    let after = node.groups.members(APP, &group_id("g"), Some(&user("aaa")), 2).await.expect("listed");
    assert_eq!((names(&after.users), after.more), (vec!["b", "{"], true), "after one who is no member");
}

async fn a_user_knows_their_groups(engine: Engine) {
    let node = engine.node().await;
    for name in ["g:2", "{g}", "g1"] {
        node.create(name, &["o", "x"]).await;
    }
    node.say("x", "group:g1", "m").await.expect("appended");
    node.change("g1", join("b")).await;
    node.change("{g}", join("b")).await;
    node.change("g:2", kick("o", "x")).await;
    assert_eq!(groups_of(&node, "b").await, [joined(&node, "g1", 4).await, joined(&node, "{g}", 3).await]);
    assert_eq!(groups_of(&node, "x").await, [joined(&node, "g1", 2).await, joined(&node, "{g}", 2).await]);
    let own = [joined(&node, "g1", 1).await, joined(&node, "g:2", 1).await, joined(&node, "{g}", 1).await];
    assert_eq!(groups_of(&node, "o").await, own);
    assert_eq!(node.groups.of_user(APP + 1, &user("o")).await, Ok(vec![]));
    node.change("g1", leave("b")).await;
    node.change("g1", join("b")).await;
    assert_eq!(
        groups_of(&node, "b").await[0],
        joined(&node, "g1", 6).await,
        "what counts is the latest joining"
    );
    for (name, member) in [("x", true), ("nobody", false)] {
        assert_eq!(node.groups.is_member(APP, &group_id("g1"), &user(name)).await, Ok(member));
    }
}

async fn a_group_created_anew_is_another(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (node, (log, topic)) = (&nodes[0], group("g"));
    nodes[1].follow(&topic).await;
    node.create("g", &["o", "b"]).await;
    node.say("b", "group:g", "m").await.expect("appended");
    let last = node.change("g", dismiss("o")).await;
    let page = node.log(&log).await;
    assert_eq!((page.head, page.entries.len()), (0, 0), "the log is gone");
    assert_eq!(groups_of(node, "b").await, []);
    assert!(matches!(node.say("b", "group:g", "n").await, Err(BrokerError::NoSuchGroup)));
    node.create("g", &["b", "c"]).await;
    let page = node.log(&log).await;
    assert_eq!((page.head, page.entries.len()), (2, 2));
    assert_ne!(page.epoch, last.epoch);
    assert_eq!(members_of(node, "g").await, ["b", "c"]);
    assert_eq!(groups_of(node, "o").await, []);
    nodes[1].seen.has(&topic, 6).await;
    assert_eq!(nodes[1].seen.offsets(&topic), [1, 2, 3, 4, 1, 2], "a subscriber follows");
}

async fn changes_from_two_nodes_have_one_order(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (log, topic) = group("g");
    for node in &nodes {
        node.follow(&topic).await;
    }
    nodes[0].create("g", &["o"]).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200_usize {
        let node = nodes[number % 2].clone();
        // Everyone tries to join from both nodes, and one of the two is a repeat.
        running.spawn(async move { node.change("g", join(&format!("u{:03}", number / 2))).await });
    }
    let changes = running.join_all().await;
    let offsets: HashSet<u64> = changes.iter().filter(|c| c.changed).map(|c| c.offset).collect();
    assert_eq!(offsets, (2..=101).collect());
    assert_eq!((count(&nodes[1], "g").await, members_of(&nodes[1], "g").await.len()), (101, 101));
    assert_eq!(nodes[0].log(&log).await.head, 101);
    for node in &nodes {
        node.seen.has(&topic, 101).await;
        assert_eq!(node.seen.offsets(&topic), (1..=101).collect::<Vec<_>>());
    }
}

async fn a_subscription_to_a_group_misses_nothing_after_it_returned(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (log, topic) = group("g");
    nodes[0].create("g", &["a"]).await;
    let writer = nodes[1].clone();
    let writing = tokio::spawn(async move {
        for index in 0..400 {
            writer.say("a", "group:g", &index.to_string()).await.expect("appended");
        }
    });
    while !writing.is_finished() {
        nodes[0].follow(&topic).await;
        let before = nodes[0].seen.offsets(&topic).len();
        let head = nodes[0].broker.read(&log, Range::After(u64::MAX), 1).await.expect("read").head;
        let reached = async || nodes[0].seen.offsets(&topic).last().is_some_and(|last| *last > head);
        until("a later message", SOON, async || writing.is_finished() || reached().await).await;
        nodes[0].broker.unsubscribe(&topic);
        let offsets = nodes[0].seen.offsets(&topic).split_off(before);
        let first = offsets.first().copied().unwrap_or_default();
        assert!(first <= head + 1, "{first} after a subscription confirmed at {head}");
        assert!(offsets.is_sorted_by(|a, b| a + 1 == *b), "{offsets:?}");
    }
    writing.await.expect("written");
}

async fn a_group_outlives_the_node(engine: Engine) {
    let node = engine.node().await;
    node.create("g", &["o", "b"]).await;
    let epoch = node.log(&group("g").0).await.epoch;
    let node = engine.reopen(node).await;
    assert_eq!(members_of(&node, "g").await, ["b", "o"]);
    assert_eq!(groups_of(&node, "b").await, [joined(&node, "g", 2).await]);
    let changed = node.change("g", Change::Leave(user("b"))).await;
    assert_eq!((changed.offset, changed.epoch), (3, epoch));
}

chat_tests::engine_laws! {
    creating_again_is_harmless_for_the_owner_only,
    one_of_many_who_create_at_the_same_moment_owns,
    a_group_that_is_not_there_is_no_group,
    a_change_is_an_entry_with_its_effect,
    who_joins_is_told_in_the_order_of_joining,
    the_log_holds_the_changes,
    repeats_change_nothing,
    only_the_owner_rules_and_stays,
    only_members_append,
    nothing_of_the_kicked_stands_after_the_kick,
    pages_of_members_tile_in_byte_order,
    a_user_knows_their_groups,
    a_group_created_anew_is_another,
    changes_from_two_nodes_have_one_order,
    a_subscription_to_a_group_misses_nothing_after_it_returned,
    a_group_outlives_the_node,
}

chat_tests::engine_laws_in_a_cluster! {
    the_log_holds_the_changes,
    who_joins_is_told_in_the_order_of_joining,
}
