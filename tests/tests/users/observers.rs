//! Operators who read along: nobody sees them, and they get each message once.
//!
//! Invariant: that nobody saw them is concluded from what others were told meanwhile, not from time.

use chat_client::live::{Item, Observer, Options};
use chat_client::{Live, Server, Session};
use chat_protocol::audit::{By, Record};
use chat_protocol::operation::Scope;
use chat_protocol::session::Position;
use chat_protocol::table::OF_CONNECTION;
use chat_protocol::{Target, UserId};
use chat_tests::closed::Closed;
use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::site::Site;
use chat_tests::talk::{close_code, next_message, next_text, refused};
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

chat_tests::on_every_engine!(
    who_reads_along_is_unseen_and_gets_each_message_once,
    what_was_said_before_comes_first_and_a_hole_is_told,
);

const APP: u32 = 921;
const OBSERVE: &str = "session/observe";

fn place(target: &str) -> Value {
    json!({"target": target, "epoch": "", "offset": 0})
}

fn observing(targets: &[&str]) -> Value {
    let recover: Vec<_> = targets.iter().map(|target| place(target)).collect();
    json!({"appId": APP, "userId": "a", "recover": recover})
}

fn to_user(name: &str) -> Target {
    Target::User(UserId::new(name).expect("a name"))
}

/// The next so many messages: where they were sent to and their text.
async fn got(session: &mut Session, count: usize) -> Vec<(String, String)> {
    let mut got = Vec::with_capacity(count);
    while got.len() < count {
        let message = next_message(session).await;
        got.push((message.target.to_string(), message.content.msg.unwrap_or_default()));
    }
    got
}

async fn who_reads_along_is_unseen_and_gets_each_message_once(site: Site) {
    let mut witness = site.first().login(APP, "witness").await;
    let mut a = site.first().login(APP, "a").await;
    a.request("group/create", &json!({"groupId": "g", "name": "g"})).await.expect("made");
    let mut observer = site.last().connect().await;
    let answer = observer
        .request(OBSERVE, &observing(&["", "group:g", "user:b", "user:a"]))
        .await
        .expect("it observes");
    assert_eq!(answer["recovered"].as_array().map(Vec::len), Some(4));
    let mut b = site.last().login(APP, "b").await;
    let http = site.first().http();
    let listed = http.call_raw("/user/list", &json!({"appId": APP})).await.expect("a list");
    assert_eq!(listed["userList"], json!(["a", "b", "witness"]));
    let members =
        http.call_raw("/group/members", &json!({"appId": APP, "userId": "a", "groupId": "g"})).await;
    assert_eq!(members.expect("members")["members"].as_array().map(Vec::len), Some(1));
    a.send(to_user("b"), "one to one").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "one to one");
    b.send(to_user("a"), "and back").await.expect("sent");
    b.send(to_user("witness"), "not for the observer").await.expect("sent");
    a.send(to_user("a"), "a note").await.expect("sent");
    let said = json!({"appId": APP, "userId": "b", "message": "by the system"});
    http.call_raw("/user/sendMessage", &said).await.expect("sent");
    a.send("group:g".parse().expect("a target"), "in the group").await.expect("sent");
    a.send(Target::World, "to all").await.expect("sent");
    // And that the group was made.
    let all = got(&mut observer, 6).await;
    for (target, text) in [
        ("user:b", "one to one"),
        ("user:a", "and back"),
        ("user:a", "a note"),
        ("group:g", "in the group"),
        ("", "to all"),
    ] {
        assert!(all.contains(&(target.to_owned(), text.to_owned())), "{text}: {all:?}");
    }
    // Nobody was told that somebody came, nothing counts as read, and it was nobody's connection.
    let mut came = Vec::new();
    loop {
        let push = witness.next_push(SOON).await.expect("open").expect("a push");
        match push.message() {
            Some(message) if message.content.msg.as_deref() == Some("to all") => break,
            Some(_) => {}
            None => came.push(push.data["from"].as_str().unwrap_or_default().to_owned()),
        }
    }
    came.sort_unstable();
    assert_eq!(came, ["a", "b"]);
    let listed =
        http.call_raw("/conversation/list", &json!({"appId": APP, "userId": "a"})).await.expect("a list");
    let with_b =
        listed["conversations"].as_array().and_then(|all| all.iter().find(|one| one["target"] == "user:b"));
    assert_eq!(with_b.map(|one| &one["unread"]), Some(&json!(1)), "{listed}");
    observer.request("heartbeat", &json!({})).await.expect("it lives");
    observer.close().await;
    b.close().await;
    until("b has gone", SOON, async || {
        http.call_raw("/user/list", &json!({"appId": APP})).await.expect("a list")["userList"]
            == json!(["a", "witness"])
    })
    .await;
}

async fn what_was_said_before_comes_first_and_a_hole_is_told(site: Site) {
    let mut a = site.first().login(APP, "a").await;
    let mut receipts = Vec::new();
    for number in 1..=5 {
        receipts.push(a.send(to_user("b"), &number.to_string()).await.expect("sent"));
    }
    let mut observer = site.last().connect().await;
    let known = json!({"target": "user:a", "epoch": receipts[0].epoch, "offset": 2});
    let asked = json!({"appId": APP, "userId": "b", "recover": [known, {"target": "", "epoch": "lost", "offset": 9}]});
    let answer = observer.request(OBSERVE, &asked).await.expect("it observes");
    let epoch = &receipts[0].epoch;
    assert_eq!(
        answer["recovered"][0],
        json!({"target": "user:a", "epoch": epoch, "offset": 5, "complete": true})
    );
    assert_eq!(answer["recovered"][1]["complete"], false);
    for number in 6..=9 {
        a.send(to_user("b"), &number.to_string()).await.expect("sent");
    }
    let texts: Vec<_> = got(&mut observer, 7).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["3", "4", "5", "6", "7", "8", "9"]);
    // Whoever has gone gets nothing more, and costs nothing.
    observer.close().await;
    let mut other = site.last().connect().await;
    other.request(OBSERVE, &observing(&[""])).await.expect("it observes");
    a.send(to_user("b"), "10").await.expect("sent");
    a.send(Target::World, "last").await.expect("sent");
    assert_eq!(next_text(&mut other).await, "last");
}

#[tokio::test]
async fn what_is_about_a_connection_is_for_whom_its_rights_name() {
    let closed = Closed::start("", &[]).await;
    for operation in OF_CONNECTION {
        let (rights, command) = (operation.rights, operation.path.trim_start_matches('/'));
        assert_eq!(command, OBSERVE, "another one needs other parameters here");
        let ask = async |token: Value| {
            let mut session = closed.node.connect().await;
            let mut asked = observing(&[""]);
            asked["token"] = token;
            let outcome = session.request(command, &asked).await;
            (session, outcome)
        };
        let (mut nobody, outcome) = ask(Value::Null).await;
        assert_eq!(refused(outcome), 1000);
        let mut asked = observing(&["", "user:b"]);
        asked["token"] = closed.key("read").into();
        nobody.request(command, &asked).await.expect("who forgot the key may still give it");
        for scope in Scope::ALL {
            let (mut session, outcome) = ask(closed.key(scope.as_str()).into()).await;
            if scope == rights.scope() {
                outcome.expect("it observes");
                session.request("ping", &json!({})).await.expect("open");
            } else {
                assert_eq!(refused(outcome), 1003, "{scope}");
                assert_eq!(close_code(&mut session).await, 4501, "{scope}");
            }
        }
        for token in [closed.token(APP, "a"), "made up".to_owned(), "x".repeat(9000)] {
            let (mut session, outcome) = ask(token.into()).await;
            assert_eq!(refused(outcome), 1003);
            assert_eq!(close_code(&mut session).await, 4501);
        }
        // On a connection that has a user it is refused by the same rights, and by a rule to those who have them.
        for (token, code) in [(closed.token(APP, "a"), 1003), (closed.key("talks").to_owned(), 1009)] {
            let (mut session, entered) = closed.enter(APP, "a", &token).await;
            entered.expect("logged in");
            assert_eq!(refused(session.request(command, &observing(&[""])).await), code);
            session.request("ping", &json!({})).await.expect("open");
        }
    }
}

#[tokio::test]
async fn who_reads_along_does_nothing_else_and_what_is_wrong_is_named() {
    let node = Node::ephemeral(&[]).await;
    let mut session = node.connect().await;
    let long = vec![place(""); 101];
    for (asked, code, named) in [
        (json!({"appId": APP}), 1001, "recover"),
        (json!({"recover": [place("")]}), 1001, "appId"),
        (json!({"appId": APP, "recover": []}), 1001, "recover"),
        (json!({"appId": APP, "recover": long}), 1001, "recover"),
        (json!({"appId": APP, "recover": [place(""), place("")]}), 1001, "twice"),
        (json!({"appId": APP, "userId": "b", "recover": [place("user:b"), place("user:b")]}), 1001, "twice"),
        (json!({"appId": APP, "recover": [place("user:b")]}), 1001, "userId"),
        (json!({"appId": APP, "userId": "\u{1}", "recover": [place("")]}), 1002, "userId"),
        (json!({"appId": APP, "recover": "all"}), 1001, "all"),
        (json!({"appId": APP, "recover": [{"target": "", "epoch": "", "offset": -1}]}), 1001, ""),
        (json!({"appId": APP, "recover": [{"target": "nowhere", "epoch": "", "offset": 0}]}), 1001, ""),
        (json!({"appId": APP, "recover": [place("group:none")]}), 1005, "group"),
        (json!([]), 1001, "data"),
    ] {
        let refusal = session.request(OBSERVE, &asked).await.expect_err("refused");
        assert!(refusal.to_string().contains(named), "{asked}: {refusal}");
        assert_eq!(refused(Err::<(), _>(refusal)), code, "{asked}");
    }
    assert_eq!(refused(session.request("heartbeat", &json!({})).await), 1000, "it observes nothing yet");
    session.request(OBSERVE, &observing(&[""])).await.expect("it observes");
    for (command, code) in [
        (OBSERVE, 1009),
        ("login", 1009),
        ("msg", 1000),
        ("watch", 1000),
        ("user/list", 1000),
        ("nothing", 1010),
    ] {
        let data = match command {
            OBSERVE => observing(&[""]),
            _ => json!({"appId": APP, "userId": "a", "msg": "x"}),
        };
        assert_eq!(refused(session.request(command, &data).await), code, "{command}");
    }
    node.login(APP, "a").await.send(Target::World, "still").await.expect("sent");
    assert_eq!(next_text(&mut session).await, "still");
}

#[tokio::test]
async fn reading_along_is_recorded_and_ends_with_its_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    let closed = Closed::start("", &["--audit-log", file.to_str().expect("a path")]).await;
    let records = || -> Vec<Record> {
        let text = std::fs::read_to_string(&file).expect("an audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    };
    let mut asked = observing(&["", "user:b"]);
    let mut session = closed.node.connect().await;
    asked["token"] = closed.key("read").into();
    session.request(OBSERVE, &asked).await.expect("it observes");
    let [record] = &records()[..] else { panic!("{:?}", records()) };
    assert_eq!((record.by, record.who.as_str(), record.code), (By::Key, "read", Some(200)));
    assert_eq!((record.operation.as_str(), record.app_id), ("/session/observe", Some(APP)));
    assert_eq!(json!(record.params), json!({"userId": "a", "targets": ["", "user:b"]}));
    assert_eq!(record.scope.as_deref(), Some("read"));
    asked["token"] = closed.token(APP, "a").into();
    assert_eq!(refused(closed.node.connect().await.request(OBSERVE, &asked).await), 1003);
    asked["recover"][0]["target"] = "group:none".into();
    asked["token"] = closed.key("all").into();
    assert_eq!(refused(closed.node.connect().await.request(OBSERVE, &asked).await), 1005);
    until("all are recorded", SOON, async || records().len() == 3).await;
    let told: Vec<_> = records().iter().map(|record| (record.by, record.code)).collect();
    assert_eq!(told, [(By::Key, Some(200)), (By::User, Some(1003)), (By::Key, Some(1005))]);
    assert!(!std::fs::read_to_string(&file).expect("the log").contains(closed.key("read")));
    closed.change(&["all"], "");
    let http = chat_client::Http::new(closed.server(closed.key("all")), SOON).expect("a client");
    http.call_raw("/system/reload", &json!({})).await.expect("read anew");
    assert_eq!(close_code(&mut session).await, 4501);
}

/// It reads nothing until the node has given it up, while others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_reads_along_too_slowly_is_told_and_dropped() {
    let node = Node::ephemeral(&["--outbox-frames=64", "--outbox-bytes=262144"]).await;
    let mut slow = RawSocket::open(node.server()).await;
    let asked = json!({"seq": "1", "cmd": OBSERVE, "data": observing(&["user:b"])});
    slow.send_text(asked.to_string()).await;
    assert_eq!(slow.answer().await["response"]["code"], 200);
    let (mut a, mut b) = (node.login(APP, "a").await, node.login(APP, "b").await);
    let text = "x".repeat(16_000);
    let mut said = 0;
    until("the slow one is given up", 3 * SOON, async || {
        for _ in 0..100 {
            a.send(to_user("b"), &text).await.expect("sent");
            assert_eq!(next_text(&mut b).await, text);
            said += 1;
        }
        let state = node.http().call_raw("/system/state", &json!({})).await.expect("answered");
        state["connections"] == 2
    })
    .await;
    assert_eq!(slow.close_code().await, 4001, "after {said} messages");
}

/// Reads along until so many messages came; their texts.
async fn follow(live: &mut Live, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let item = tokio::time::timeout(3 * SOON, live.next()).await.expect("something in time");
        match item.expect("it goes on") {
            Item::Message(message) => texts.extend(message.content.msg),
            Item::Gap(gap) => panic!("{gap:?}"),
            Item::Refused(error) => panic!("{error}"),
            _ => {}
        }
    }
    texts
}

fn observe(servers: Vec<Server>) -> Live {
    let observer = Observer { app_id: APP, side: Some(UserId::new("a").expect("a name")) };
    let positions = ["", "user:b"].map(|target| Position {
        target: target.parse().expect("a target"),
        epoch: String::new(),
        offset: 0,
    });
    let positions = positions.into();
    Live::observe(servers, observer, Options { positions, timeout: SOON, ..Options::default() })
}

/// To the pair and to the world in turn.
async fn say(session: &mut Session, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let target = if number % 2 == 0 { to_user("b") } else { Target::World };
        session.send(target, &format!("{number:03}")).await.expect("sent");
    }
}

fn assert_each_once(mut texts: Vec<String>, count: usize) {
    for turn in [0, 1] {
        let own: Vec<_> =
            texts.iter().filter(|text| text.parse::<usize>().is_ok_and(|n| n % 2 == turn)).collect();
        assert!(own.is_sorted(), "{texts:?}");
    }
    texts.sort_unstable();
    assert_eq!(texts, (0..count).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_and_back_costs_who_reads_along_no_message_and_repeats_none() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (mut one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let at = one.server().clone();
    let mut live = observe(vec![at.clone()]);
    let mut a = two.login(APP, "a").await;
    say(&mut a, 0..20).await;
    let mut texts = follow(&mut live, 20).await;
    one.kill();
    say(&mut a, 20..40).await;
    let _one = Node::start_on(String::leak(at.authority()), &arguments).await;
    say(&mut a, 40..60).await;
    texts.extend(follow(&mut live, 40).await);
    a.send(Target::World, "060").await.expect("sent");
    texts.extend(follow(&mut live, 1).await);
    assert_each_once(texts, 61);
    live.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_killed_and_back_costs_who_reads_along_nothing_either() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--data-dir", directory.path().to_str().expect("a path")];
    let mut node = Node::start(&arguments).await;
    let at = node.server().clone();
    let mut live = observe(vec![at.clone()]);
    let mut a = node.login(APP, "a").await;
    say(&mut a, 0..20).await;
    let mut texts = follow(&mut live, 10).await;
    node.kill();
    let node = Node::start_on(String::leak(at.authority()), &arguments).await;
    say(&mut node.login(APP, "a").await, 20..41).await;
    texts.extend(follow(&mut live, 31).await);
    assert_each_once(texts, 41);
    live.close().await;
}
