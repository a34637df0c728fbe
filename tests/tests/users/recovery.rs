//! Coming back: a log-in with `recover` brings what was missed, before anything newer, or says that it cannot.

use chat_client::live::{Identity, Item, Options, conversation_of};
use chat_client::{Live, Session};
use chat_protocol::session::{LOGIN, LoggedIn, Position, Receipt};
use chat_protocol::{GroupId, Target, UserId};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::on_every_engine;
use chat_tests::redis_server::RedisServer;
use chat_tests::site::Site;
use chat_tests::talk::{next_message, refused, texts};
use chat_tests::wait::SOON;
use serde_json::json;

on_every_engine!(
    recovery_brings_what_was_missed_in_order,
    recovery_covers_one_to_one_and_groups,
    recovery_while_messages_stream_in_has_no_hole_and_no_repeat,
    a_position_of_another_history_is_not_complete,
    too_much_to_send_again_is_not_complete,
    nothing_is_told_of_a_group_that_was_left,
    who_comes_back_is_told_of_everything_new_named_or_not,
    the_latest_200_are_told_and_that_there_are_more,
    a_recall_while_away_is_recovered_like_any_entry,
    a_live_session_gets_what_was_said_anywhere_while_it_was_cut_off,
    positions_are_checked,
);

const APP: u32 = 302;

fn position(target: &str, epoch: &str, offset: u64) -> Position {
    Position { target: target.parse().expect("a target"), epoch: epoch.to_owned(), offset }
}

/// A log-in that recovers; the session and what the answer says.
async fn come_back(node: &Node, user: &str, positions: &[Position]) -> (Session, LoggedIn) {
    let mut session = node.connect().await;
    let login = json!({"userId": user, "appId": APP, "recover": positions});
    let answer = session.request(LOGIN, &login).await.expect("logged in");
    (session, serde_json::from_value(answer).expect("an answer about recovery"))
}

async fn say(session: &mut Session, target: &Target, count: usize) -> Receipt {
    let mut last = None;
    for i in 0..count {
        last = Some(session.send(target.clone(), &format!("{i}")).await.expect("sent"));
    }
    last.expect("at least one")
}

async fn recovery_brings_what_was_missed_in_order(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let seen = say(&mut speaker, &Target::World, 1).await;
    say(&mut speaker, &Target::World, 450).await;
    let (mut back, answer) = come_back(site.last(), "back", &[position("", &seen.epoch, seen.offset)]).await;
    let world = &answer.recovered[0];
    assert_eq!((world.offset, world.complete, &world.epoch), (451, true, &seen.epoch));
    speaker.send(Target::World, "live").await.expect("sent");
    for offset in 2..=451 {
        assert_eq!(next_message(&mut back).await.offset, offset);
    }
    assert_eq!(next_message(&mut back).await.content.msg.as_deref(), Some("live"));
}

async fn recovery_covers_one_to_one_and_groups(site: Site) {
    let mut friend = site.first().login(APP, "friend").await;
    friend.request("group/create", &json!({"groupId": "g", "name": "n"})).await.expect("created");
    let join = json!({"appId": APP, "userId": "back", "groupId": "g"});
    let joined = site.first().http().call_raw("/group/join", &join).await.expect("joined");
    let to_back = Target::User(UserId::new("back").expect("valid"));
    say(&mut friend, &to_back, 3).await;
    say(&mut friend, &Target::Group(GroupId::new("g").expect("valid")), 2).await;
    let epoch = joined["epoch"].as_str().expect("an epoch");
    let positions = [
        position("user:friend", "", 0),
        position("group:g", epoch, joined["offset"].as_u64().expect("an offset")),
    ];
    let (mut back, answer) = come_back(site.last(), "back", &positions).await;
    assert!(answer.recovered.iter().all(|recovered| recovered.complete), "{answer:?}");
    assert_eq!(
        answer.recovered.iter().map(|r| r.target.to_string()).collect::<Vec<_>>(),
        ["user:friend", "group:g"]
    );
    assert_eq!(texts(&mut back, 5).await, ["0", "1", "2", "0", "1"]);
}

async fn recovery_while_messages_stream_in_has_no_hole_and_no_repeat(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let first = say(&mut speaker, &Target::World, 1).await;
    let streaming = tokio::spawn(async move {
        say(&mut speaker, &Target::World, 600).await;
        speaker
    });
    let mut expected = first.offset + 1;
    while expected <= 601 {
        let (mut back, answer) =
            come_back(site.last(), "back", &[position("", &first.epoch, expected - 1)]).await;
        assert!(answer.recovered[0].complete);
        for _ in 0..40.min(602 - expected) {
            assert_eq!(next_message(&mut back).await.offset, expected);
            expected += 1;
        }
    }
    streaming.await.expect("all sent");
}

async fn a_position_of_another_history_is_not_complete(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let said = say(&mut speaker, &Target::World, 3).await;
    for (epoch, offset) in [("another", 2), (said.epoch.as_str(), 99)] {
        let (mut back, answer) = come_back(site.last(), "back", &[position("", epoch, offset)]).await;
        let world = &answer.recovered[0];
        assert_eq!((world.complete, world.offset, &world.epoch), (false, 3, &said.epoch));
        assert_eq!(texts(&mut back, 3).await, ["0", "1", "2"]);
    }
}

async fn too_much_to_send_again_is_not_complete(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let first = say(&mut speaker, &Target::World, 1).await;
    // Half the outbox of 1 MiB.
    let long = "x".repeat(16 * 1024);
    for _ in 0..40 {
        speaker.send(Target::World, &long).await.expect("sent");
    }
    let (mut back, answer) = come_back(site.last(), "back", &[position("", &first.epoch, 1)]).await;
    assert!(!answer.recovered[0].complete);
    assert_eq!(next_message(&mut back).await.offset, 2);
}

async fn nothing_is_told_of_a_group_that_was_left(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    owner.request("group/create", &json!({"groupId": "g", "name": "n"})).await.expect("created");
    let said = say(&mut owner, &Target::Group(GroupId::new("g").expect("valid")), 2).await;
    let (_, answer) = come_back(site.last(), "stranger", &[position("group:g", &said.epoch, 0)]).await;
    let group = &answer.recovered[0];
    assert_eq!((group.complete, group.offset, group.epoch.as_str()), (false, 0, ""));
}

/// Targets and offsets of what a log-in tells besides.
fn also(answer: &LoggedIn) -> Vec<(String, u64)> {
    answer.also.iter().map(|also| (also.target.to_string(), also.last_offset)).collect()
}

async fn who_comes_back_is_told_of_everything_new_named_or_not(site: Site) {
    let mut friend = site.first().login(APP, "friend").await;
    let back = Target::User(UserId::new("back").expect("valid"));
    friend.request("group/create", &json!({"groupId": "g", "name": "n"})).await.expect("created");
    let join = json!({"appId": APP, "userId": "back", "groupId": "g"});
    site.first().http().call_raw("/group/join", &join).await.expect("joined");
    let (_, nothing) = come_back(site.last(), "nobody", &[]).await;
    assert_eq!((also(&nothing), nothing.more), (Vec::new(), false));
    let known = say(&mut friend, &back, 1).await;
    let in_group = say(&mut friend, &Target::Group(GroupId::new("g").expect("valid")), 1).await;
    let mut stranger = site.first().login(APP, "stranger").await;
    let first = say(&mut stranger, &back, 2).await;
    let world = say(&mut stranger, &Target::World, 3).await;
    let named = position("user:friend", &known.epoch, known.offset);
    let (mut session, answer) = come_back(site.last(), "back", std::slice::from_ref(&named)).await;
    let expected = [("".to_owned(), 3), ("user:stranger".to_owned(), 2), ("group:g".to_owned(), 3)];
    assert_eq!(also(&answer), expected, "the latest first, without what was named");
    assert_eq!(answer.recovered.len(), 1);
    for (also, epoch) in answer.also.iter().zip([&world.epoch, &first.epoch, &in_group.epoch]) {
        assert_eq!(also.epoch, *epoch, "{also:?}");
    }
    say(&mut stranger, &back, 1).await;
    // What was said last may still be on its way to the node.
    while next_message(&mut session).await.offset < 3 {}
    let (_, answer) = come_back(site.first(), "back", &[]).await;
    assert_eq!(also(&answer)[0], ("user:stranger".to_owned(), 3));
    assert_eq!(also(&answer).len(), 4, "an empty list names nothing");
    let mut session = site.last().connect().await;
    let plain = session.request(LOGIN, &json!({"userId": "back", "appId": APP})).await.expect("logged in");
    assert_eq!(plain, serde_json::Value::Null, "who does not ask is not told");
}

async fn the_latest_200_are_told_and_that_there_are_more(site: Site) {
    let http = site.first().http();
    for customer in 0..203 {
        let from = format!("c{customer}");
        let message = json!({"appId": APP, "userId": "support", "from": from, "message": "hi"});
        http.call_raw("/user/sendMessage", &message).await.expect("sent");
    }
    let (_, answer) = come_back(site.last(), "support", &[]).await;
    assert_eq!((answer.also.len(), answer.more), (200, true));
    // Some are of the same millisecond.
    let first: u32 = also(&answer)[0].0.trim_start_matches("user:c").parse().expect("a number");
    assert!(first > 150, "the latest first, not {first}");
    let named: Vec<_> = (0..3).map(|n| position(&format!("user:c{}", 202 - n), "", 0)).collect();
    let (_, answer) = come_back(site.last(), "support", &named).await;
    assert_eq!((answer.also.len(), answer.more), (200, false), "203 without the 3 named");
}

async fn a_recall_while_away_is_recovered_like_any_entry(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let back = Target::User(UserId::new("back").expect("valid"));
    let seen = say(&mut speaker, &back, 1).await;
    let recall = json!({"target": back, "offset": seen.offset});
    speaker.request("message/recall", &recall).await.expect("recalled");
    say(&mut speaker, &back, 1).await;
    let known = position("user:speaker", &seen.epoch, seen.offset);
    let (mut session, answer) = come_back(site.last(), "back", &[known]).await;
    assert!(answer.recovered[0].complete);
    let told = next_message(&mut session).await;
    assert_eq!((told.content.kind.as_str(), told.content.recalls, told.offset), ("recall", Some(1), 2));
    assert_eq!(next_message(&mut session).await.offset, 3);
}

async fn a_live_session_gets_what_was_said_anywhere_while_it_was_cut_off(site: Site) {
    let proxy = FaultProxy::start(site.first().server().authority().parse().expect("an address")).await;
    let server = proxy.address().to_string().parse().expect("a server");
    let back = UserId::new("back").expect("valid");
    let mut friend = site.last().login(APP, "friend").await;
    say(&mut friend, &Target::User(back.clone()), 1).await;
    let identity = Identity { app_id: APP, user_id: back.clone(), token: None };
    let mut live = Live::start(vec![server], identity, Options::default());
    while !matches!(live.next().await, Some(Item::Connected { .. })) {}
    proxy.cut();
    while !matches!(live.next().await, Some(Item::Disconnected { .. })) {}
    let mut stranger = site.last().login(APP, "stranger").await;
    let group = Target::Group(GroupId::new("g").expect("valid"));
    stranger.request("group/create", &json!({"groupId": "g", "name": "n"})).await.expect("created");
    say(&mut stranger, &group, 2).await;
    let join = json!({"appId": APP, "userId": "back", "groupId": "g"});
    site.last().http().call_raw("/group/join", &join).await.expect("joined");
    say(&mut stranger, &group, 2).await;
    say(&mut stranger, &Target::User(back.clone()), 250).await;
    say(&mut stranger, &Target::World, 1).await;
    say(&mut friend, &Target::User(back.clone()), 1).await;
    proxy.heal();
    let mut seen = std::collections::BTreeMap::<String, Vec<u64>>::new();
    let mut count = 0;
    while count < 2 + 250 + 1 + 1 {
        let item = tokio::time::timeout(SOON, live.next()).await.expect("all of it, soon");
        match item.expect("it goes on") {
            Item::Message(message) => {
                let target = conversation_of(&message, &back);
                seen.entry(target.to_string()).or_default().push(message.offset);
                count += 1;
            }
            Item::Gap(gap) => panic!("{gap:?}"),
            _ => {}
        }
    }
    let stranger = (1..=250).collect::<Vec<_>>();
    let expected =
        [("", vec![1]), ("group:g", vec![5, 6]), ("user:friend", vec![2]), ("user:stranger", stranger)];
    assert_eq!(seen, expected.map(|(target, offsets)| (target.to_owned(), offsets)).into());
    live.close().await;
}

async fn positions_are_checked(site: Site) {
    let twice = json!([{"target": "", "epoch": "e", "offset": 1}, {"target": "", "epoch": "e", "offset": 2}]);
    let many: Vec<_> =
        (0..201).map(|i| json!({"target": format!("user:{i}"), "epoch": "", "offset": 0})).collect();
    for recover in [
        twice,
        json!(many),
        json!("x"),
        json!([1]),
        json!([{"target": "nowhere", "epoch": "e", "offset": 1}]),
        json!([{"target": "", "epoch": "e", "offset": -1}]),
        json!([{"target": "", "offset": 1}]),
    ] {
        let mut session = site.first().connect().await;
        let login = json!({"userId": "u", "appId": APP, "recover": recover});
        assert_eq!(refused(session.request(LOGIN, &login).await), 1001, "{login}");
    }
}

/// A node that keeps messages for a second tells whoever comes later that they are gone.
async fn what_is_too_old_is_not_complete(node: &Node) {
    let mut speaker = node.login(APP, "speaker").await;
    let first = say(&mut speaker, &Target::World, 1).await;
    say(&mut speaker, &Target::World, 9).await;
    let http = node.http();
    let history = json!({"appId": APP, "target": "", "after": 0});
    chat_tests::wait::until("the messages are too old", chat_tests::wait::SOON, async || {
        let page = http.call_raw("/message/history", &history).await.expect("a history");
        page["messages"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    let (mut back, answer) = come_back(node, "back", &[position("", &first.epoch, 1)]).await;
    let world = &answer.recovered[0];
    assert_eq!((world.complete, world.offset, &world.epoch), (false, 10, &first.epoch));
    let (_, answer) = come_back(node, "early", &[position("", &first.epoch, 10)]).await;
    assert!(answer.recovered[0].complete, "nothing was said since");
    speaker.send(Target::World, "new").await.expect("sent");
    assert_eq!(next_message(&mut back).await.offset, 11);
}

#[tokio::test]
async fn what_is_too_old_is_not_complete_on_one_node() {
    what_is_too_old_is_not_complete(&Node::ephemeral(&["--history-max-age=1"]).await).await;
}

#[tokio::test]
async fn what_is_too_old_is_not_complete_over_redis() {
    let redis = RedisServer::start().await;
    let arguments = ["--history-max-age=1", "--redis", &redis.url()];
    what_is_too_old_is_not_complete(&Node::start(&arguments).await).await;
}

#[tokio::test]
async fn a_redis_that_lost_its_data_is_another_history() {
    let mut redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let mut speaker = node.login(APP, "speaker").await;
    let before = say(&mut speaker, &Target::World, 5).await;
    redis.kill();
    redis.restart().await;
    let again = node.http();
    let send = json!({"appId": APP, "userId": "op", "msgId": "m1", "message": "after"});
    let op = UserId::new("op").expect("valid");
    chat_tests::wait::until("Redis is used again", chat_tests::wait::SOON, async || {
        again.call_raw("/user/sendMessageAll", &send).await.is_ok()
            && Session::login(node.server(), APP, &op).await.is_ok()
    })
    .await;
    let (mut back, answer) = come_back(&node, "back", &[position("", &before.epoch, before.offset)]).await;
    let world = &answer.recovered[0];
    assert!(!world.complete && world.epoch != before.epoch, "{world:?}");
    assert_eq!(texts(&mut back, 1).await, ["after"]);
}
