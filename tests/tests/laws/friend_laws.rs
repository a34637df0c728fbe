//! The law of friends, run against every adapter: `redis::…` and `embedded::…`.

use chat_protocol::friend::{Asked, Standing};
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, FRIENDS, Node, names};
use chatd::broker::BrokerError;
use chatd::friends::{Action, Changed, Circle, FriendError, Full, Part};
use chatd::model::Conversation;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn request() -> Action {
    Action::Request { greeting: None, time: 5 }
}

async fn try_act(node: &Node, name: &str, other: &str, action: &Action) -> Result<Changed, FriendError> {
    node.friends.act(APP, &user(name), &user(other), action).await
}

async fn act(node: &Node, name: &str, other: &str, action: Action) -> Changed {
    try_act(node, name, other, &action).await.expect("done")
}

/// All there is about a user.
async fn circle(node: &Node, name: &str) -> Circle {
    let part = async |part| node.friends.circle(APP, &user(name), part, None, 1000).await.expect("read");
    Circle { asked: part(Part::Asked).await.asked, ..part(Part::Others).await }
}

fn outcome(standing: Standing, changed: bool) -> Changed {
    Changed { standing, blocked: false, changed }
}

/// How `name` stands to `other` as their circle has it, and whether they block them.
async fn view(node: &Node, name: &str, other: &str) -> (Standing, bool) {
    let (circle, other) = (circle(node, name).await, user(other));
    let in_each = [
        (Standing::Friends, circle.friends.contains(&other)),
        (Standing::Requested, circle.requested.contains(&other)),
        (Standing::Asked, circle.asked.iter().any(|asked| asked.from == other)),
    ];
    let mut found = in_each.into_iter().filter(|(_, present)| *present).map(|(standing, _)| standing);
    let standing = found.next().unwrap_or(Standing::None);
    assert_eq!(found.next(), None, "in two lists at once");
    (standing, circle.blocked.contains(&other))
}

/// What two users are to each other, as the documentation of the port tells it.
#[derive(Debug, Default)]
struct Model {
    friends: bool,
    asks: [bool; 2],
    blocks: [bool; 2],
}

impl Model {
    fn act(&mut self, me: usize, action: &Action) -> Result<(), FriendError> {
        let other = 1 - me;
        match action {
            Action::Request { .. } if self.blocks[me] => return Err(FriendError::Blocking),
            Action::Request { .. } if self.blocks[other] => return Err(FriendError::Blocked),
            Action::Request { .. } if self.friends => {}
            Action::Request { .. } if self.asks[other] => (self.friends, self.asks) = (true, [false; 2]),
            Action::Request { .. } => self.asks[me] = true,
            Action::Accept if self.friends => {}
            Action::Accept if self.asks[other] => (self.friends, self.asks) = (true, [false; 2]),
            Action::Reject if self.asks[other] => self.asks[other] = false,
            Action::Accept | Action::Reject => return Err(FriendError::NoRequest),
            Action::Remove => (self.friends, self.asks[me]) = (false, false),
            Action::Block => {
                (self.friends, self.asks) = (false, [false; 2]);
                self.blocks[me] = true;
            }
            Action::Unblock => self.blocks[me] = false,
        }
        Ok(())
    }

    fn view(&self, me: usize) -> (Standing, bool) {
        let standing = match (self.friends, self.asks[me], self.asks[1 - me]) {
            (true, ..) => Standing::Friends,
            (_, true, _) => Standing::Requested,
            (.., true) => Standing::Asked,
            _ => Standing::None,
        };
        (standing, self.blocks[me])
    }
}

fn actions() -> impl Strategy<Value = Vec<(usize, Action)>> {
    let action = prop_oneof![
        4 => Just(request()),
        2 => Just(Action::Accept),
        1 => Just(Action::Reject),
        1 => Just(Action::Remove),
        1 => Just(Action::Block),
        1 => Just(Action::Unblock),
    ];
    prop::collection::vec((0..2_usize, action), 1..16)
}

/// Two users who are new in each case go through the actions on two nodes, and the model with them.
async fn follow_the_model(nodes: &[Node], case: u64, actions: &[(usize, Action)]) {
    let who = [format!("a{case}"), format!("b{case}")];
    let mut model = Model::default();
    for (me, action) in actions {
        let (before, other) = (model.view(*me), 1 - me);
        let told = try_act(&nodes[*me], &who[*me], &who[other], action).await;
        let wanted = model.act(*me, action).map(|()| {
            let (standing, blocked) = model.view(*me);
            Changed { standing, blocked, changed: before != (standing, blocked) }
        });
        assert_eq!(told, wanted, "{action:?}");
        for (mine, node) in nodes.iter().enumerate() {
            assert_eq!(view(node, &who[mine], &who[1 - mine]).await, model.view(mine), "{model:?}");
        }
    }
}

async fn every_order_of_actions_ends_the_same_for_both(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let case = std::cell::Cell::new(0);
    let run = |actions: Vec<_>| {
        case.set(case.get() + 1);
        let running = follow_the_model(&nodes, case.get(), &actions);
        tokio::runtime::Handle::current().block_on(running);
        Ok(())
    };
    tokio::task::block_in_place(|| TestRunner::new(config).run(&actions(), run)).expect("no counterexample");
}

async fn two_who_ask_at_the_same_moment_are_friends_once(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    for round in 0..20 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (one, two) = tokio::join!(act(&nodes[0], &a, &b, request()), act(&nodes[1], &b, &a, request()));
        let mut standings = [one, two];
        standings.sort_by_key(|outcome| outcome.standing == Standing::Friends);
        assert_eq!(standings, [outcome(Standing::Requested, true), outcome(Standing::Friends, true)]);
        let wanted = |name: &str| Circle { friends: vec![user(name)], ..Circle::default() };
        assert_eq!((circle(&nodes[0], &a).await, circle(&nodes[1], &b).await), (wanted(&b), wanted(&a)));
    }
}

async fn one_of_many_same_answers_changes_something(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    act(&nodes[0], "a", "b", request()).await;
    let mut running = tokio::task::JoinSet::new();
    for lane in 0..20 {
        let node = nodes[lane % 2].clone();
        running.spawn(async move { act(&node, "b", "a", Action::Accept).await });
    }
    let outcomes = running.join_all().await;
    assert!(outcomes.iter().all(|outcome| outcome.standing == Standing::Friends));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.changed).count(), 1);
}

async fn a_request_waits_with_its_greeting(engine: Engine) {
    let node = engine.node().await;
    let asks = [("z", Some("hi \"\n{} 帝"), 3), ("a", None, 9), ("m", Some(""), 6)];
    for (name, greeting, time) in asks {
        let greeting = greeting.map(str::to_owned);
        act(&node, name, "me", Action::Request { greeting, time }).await;
    }
    let again = Action::Request { greeting: Some("again".to_owned()), time: 99 };
    assert_eq!(act(&node, "z", "me", again).await, outcome(Standing::Requested, false));
    let asked = |from, greeting: Option<&str>, time| Asked {
        from: user(from),
        greeting: greeting.map(str::to_owned),
        time,
    };
    let wanted = [asked("a", None, 9), asked("m", asks[2].1, 6), asked("z", asks[0].1, 3)];
    assert_eq!(circle(&node, "me").await.asked, wanted);
    act(&node, "me", "m", Action::Reject).await;
    act(&node, "me", "a", Action::Accept).await;
    assert_eq!(circle(&node, "me").await.asked, wanted[2..]);
    assert_eq!(circle(&node, "m").await, Circle::default());
}

async fn a_circle_lists_in_byte_order_and_apps_are_apart(engine: Engine) {
    let node = engine.node().await;
    let mut all = ["b", "a", "\u{5e1d}", "a:1", "{", "A", "é", " "];
    for name in all {
        act(&node, "me", &format!("f{name}"), request()).await;
        act(&node, &format!("f{name}"), "me", Action::Accept).await;
        act(&node, "me", &format!("r{name}"), request()).await;
        act(&node, "me", &format!("b{name}"), Action::Block).await;
    }
    all.sort_unstable();
    let mine = circle(&node, "me").await;
    for (list, letter) in [(&mine.friends, "f"), (&mine.requested, "r"), (&mine.blocked, "b")] {
        assert_eq!(names(list), all.map(|name| format!("{letter}{name}")));
    }
    let elsewhere = node.friends.circle(APP + 1, &user("me"), Part::Others, None, 10).await;
    assert_eq!(elsewhere, Ok(Circle::default()));
}

async fn pages_of_a_circle_tile_in_byte_order(engine: Engine) {
    let node = engine.node().await;
    for name in 0..15 {
        act(&node, &format!("u{name:02}"), "me", request()).await;
    }
    for name in 0..5 {
        act(&node, "me", &format!("u{name:02}"), Action::Accept).await;
        act(&node, "me", &format!("u{:02}", name + 5), Action::Block).await;
        act(&node, "me", &format!("v{name}"), request()).await;
    }
    let whole = circle(&node, "me").await;
    assert_eq!(
        (whole.friends.len(), whole.blocked.len(), whole.requested.len(), whole.asked.len()),
        (5, 5, 5, 5)
    );
    for (part, limit) in [(Part::Others, 1), (Part::Others, 4), (Part::Others, 15), (Part::Asked, 2)] {
        let (mut found, mut after, mut pages) = (Circle::default(), None, 0);
        loop {
            let page =
                node.friends.circle(APP, &user("me"), part, after.as_ref(), limit).await.expect("read");
            let users = page.friends.len() + page.requested.len() + page.blocked.len() + page.asked.len();
            assert!(users == limit || page.more.is_none(), "{users} of {limit}");
            found.friends.extend(page.friends);
            found.requested.extend(page.requested);
            found.blocked.extend(page.blocked);
            found.asked.extend(page.asked);
            (after, pages) = (page.more, pages + 1);
            if after.is_none() {
                break;
            }
        }
        let wanted = match part {
            Part::Asked => Circle { asked: whole.asked.clone(), ..Circle::default() },
            Part::Others => Circle { asked: Vec::new(), ..whole.clone() },
        };
        assert_eq!(found, wanted, "{part:?} by {limit}");
        assert_eq!(pages, if part == Part::Asked { 3 } else { 15_usize.div_ceil(limit) });
    }
}

/// Of more attempts at the same moment than there is room for exactly those succeed that there is room for.
async fn only(nodes: &[Node], room: u64, attempts: Vec<(String, String, Action)>, full: (Full, u64)) {
    let mut running = tokio::task::JoinSet::new();
    for (index, (one, other, action)) in attempts.into_iter().enumerate() {
        let node = nodes[index % nodes.len()].clone();
        running.spawn(async move { try_act(&node, &one, &other, &action).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) = running.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(done.len() as u64, room);
    assert!(
        refused.iter().all(|refusal| *refusal == Err(FriendError::TooMany(full.0, full.1))),
        "{refused:?}"
    );
}

async fn what_others_can_fill_is_bounded_both_ways(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let numbered = |letter: &str, number: u64| format!("{letter}{number}");
    let beg = |number| ("beggar".to_owned(), numbered("b", number), request());
    let attempts = (0..FRIENDS.requests + 10).map(beg).collect();
    only(&nodes, FRIENDS.requests, attempts, (Full::MyRequests, FRIENDS.requests)).await;
    let block = |number| ("hermit".to_owned(), numbered("h", number), Action::Block);
    let attempts = (0..FRIENDS.friends + 10).map(block).collect();
    only(&nodes, FRIENDS.friends, attempts, (Full::MyBlocks, FRIENDS.friends)).await;
    // Whoever takes one back has room again.
    let waiting = circle(&nodes[0], "beggar").await.requested;
    act(&nodes[0], "beggar", waiting[0].as_str(), Action::Remove).await;
    act(&nodes[0], "beggar", "late", request()).await;
}

async fn nobody_is_filled_up_by_the_requests_of_others(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let (most, at) = (FRIENDS.requests, |time| Action::Request { greeting: Some("hi".to_owned()), time });
    act(&nodes[0], "early", "victim", at(3)).await;
    for number in 1..most {
        act(&nodes[0], &format!("a{number}"), "victim", at(3 + number)).await;
    }
    // All rooms are taken: one who is known is told so, and the oldest gives way to who is not.
    assert!(!act(&nodes[1], "a1", "victim", at(99)).await.changed);
    assert_eq!(view(&nodes[1], "early", "victim").await.0, Standing::Requested);
    assert_eq!(act(&nodes[1], "late", "victim", at(100_000)).await, outcome(Standing::Requested, true));
    assert_eq!(view(&nodes[0], "early", "victim").await.0, Standing::None, "on both sides");
    let asked = circle(&nodes[0], "victim").await.asked;
    let names: Vec<&str> = asked.iter().map(|asked| asked.from.as_str()).collect();
    assert_eq!((names.len() as u64, names.contains(&"late"), names.contains(&"early")), (most, true, false));
    // The victim asks, whatever waits, and may be asked again by whom it gave way.
    assert_eq!(act(&nodes[0], "victim", "friend", request()).await.standing, Standing::Requested);
    assert_eq!(act(&nodes[0], "early", "victim", at(100_001)).await.standing, Standing::Requested);
    assert_eq!(view(&nodes[1], "a1", "victim").await.0, Standing::None, "the next oldest");
    let mut coming = tokio::task::JoinSet::new();
    for number in 0..10 {
        let node = nodes[number % 2].clone();
        coming.spawn(async move { act(&node, &format!("z{number}"), "victim", at(200_000)).await });
    }
    assert!(coming.join_all().await.iter().all(|told| told.standing == Standing::Requested));
    let asked = circle(&nodes[1], "victim").await.asked;
    assert_eq!(asked.len() as u64, most);
    for asked in asked {
        let standing = view(&nodes[0], asked.from.as_str(), "victim").await.0;
        assert_eq!(standing, Standing::Requested, "{:?} sees the same", asked.from);
    }
}

async fn friends_are_so_many_at_most_on_either_side(engine: Engine) {
    let node = engine.node().await;
    for number in 0..FRIENDS.friends {
        act(&node, "a", &format!("f{number}"), request()).await;
        act(&node, &format!("f{number}"), "a", Action::Accept).await;
    }
    act(&node, "b", "a", request()).await;
    let refused = |full| Err(FriendError::TooMany(full, FRIENDS.friends));
    assert_eq!(try_act(&node, "a", "b", &Action::Accept).await, refused(Full::MyFriends));
    assert_eq!(view(&node, "a", "b").await.0, Standing::Asked, "nothing is lost by it");
    act(&node, "a", "c", request()).await;
    assert_eq!(try_act(&node, "c", "a", &Action::Accept).await, refused(Full::TheirFriends));
    act(&node, "a", "f0", Action::Remove).await;
    assert_eq!(act(&node, "a", "b", Action::Accept).await, outcome(Standing::Friends, true));
}

async fn a_block_refuses_messages_and_requests_one_way(engine: Engine) {
    let node = engine.node().await;
    let first = node.say("b", "user:a", "before").await.expect("appended");
    act(&node, "a", "b", request()).await;
    act(&node, "b", "a", Action::Accept).await;
    let blocked = act(&node, "a", "b", Action::Block).await;
    assert_eq!(blocked, Changed { standing: Standing::None, blocked: true, changed: true });
    assert!(!act(&node, "a", "b", Action::Block).await.changed);
    assert!(matches!(node.say("b", "user:a", "m").await, Err(BrokerError::Blocked)));
    assert_eq!(node.say("b", "user:a", "before").await.expect("a repeat").offset, first.offset);
    assert_eq!(try_act(&node, "b", "a", &request()).await, Err(FriendError::Blocked));
    assert_eq!(try_act(&node, "a", "b", &request()).await, Err(FriendError::Blocking));
    assert_eq!(node.say("a", "user:b", "m").await.expect("the other way is open").offset, 2);
    node.say("b", "user:b", "self").await.expect("appended");
    let lifted = act(&node, "a", "b", Action::Unblock).await;
    assert_eq!(lifted, outcome(Standing::None, true), "the friendship does not come back");
    assert_eq!(circle(&node, "b").await, Circle::default());
    assert_eq!(node.say("b", "user:a", "m").await.expect("appended").offset, 3);
}

async fn nothing_of_the_blocked_comes_after_the_block(engine: Engine) {
    let nodes = [engine.node().await, engine.node().await];
    let pair = Conversation::Pair(APP, user("a"), user("b"));
    for round in 0..10 {
        let mut talking = tokio::task::JoinSet::new();
        for lane in 0..20 {
            let node = nodes[lane % 2].clone();
            talking.spawn(async move {
                match node.say("b", "user:a", &format!("{round}-{lane}")).await {
                    Ok(receipt) => Some(receipt.offset),
                    Err(BrokerError::Blocked) => None,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        act(&nodes[0], "a", "b", Action::Block).await;
        let head = nodes[1].log(&pair).await.head;
        let said: Vec<u64> = talking.join_all().await.into_iter().flatten().collect();
        assert!(said.iter().all(|offset| *offset <= head), "{said:?} and a block at {head}");
        assert_eq!(nodes[1].log(&pair).await.head, head);
        act(&nodes[0], "a", "b", Action::Unblock).await;
    }
}

async fn friends_outlive_the_node(engine: Engine) {
    let node = engine.node().await;
    act(&node, "a", "b", request()).await;
    act(&node, "b", "a", Action::Accept).await;
    act(&node, "a", "c", Action::Block).await;
    let before = circle(&node, "a").await;
    let node = engine.reopen(node).await;
    assert_eq!(circle(&node, "a").await, before);
    assert_eq!((names(&before.friends), names(&before.blocked)), (vec!["b"], vec!["c"]));
}

chat_tests::engine_laws! {
    every_order_of_actions_ends_the_same_for_both,
    two_who_ask_at_the_same_moment_are_friends_once,
    one_of_many_same_answers_changes_something,
    a_request_waits_with_its_greeting,
    a_circle_lists_in_byte_order_and_apps_are_apart,
    pages_of_a_circle_tile_in_byte_order,
    what_others_can_fill_is_bounded_both_ways,
    nobody_is_filled_up_by_the_requests_of_others,
    friends_are_so_many_at_most_on_either_side,
    a_block_refuses_messages_and_requests_one_way,
    nothing_of_the_blocked_comes_after_the_block,
    friends_outlive_the_node,
}

chat_tests::engine_laws_in_a_cluster! {
    every_order_of_actions_ends_the_same_for_both,
    a_block_refuses_messages_and_requests_one_way,
}
