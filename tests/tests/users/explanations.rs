//! Why a user was disconnected, where a message went, and where the money of a packet is, as `/system/explain` tells it.
//!
//! Invariant: what is told is what the test made happen, and nothing that anybody said is in it.

use chat_client::{Error, Http};
use chat_protocol::explain::{Explain, ExplainRequest, ExplainResponse};
use chat_protocol::{PacketId, Target, UserId};
use chat_tests::closed::Closed;
use chat_tests::node::Node;
use chat_tests::on_every_engine;
use chat_tests::raw_socket::RawSocket;
use chat_tests::site::Site;
use chat_tests::talk::{close_code, next_text, refused};
use chat_tests::wait::{SOON, pace, until};
use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};

const APP: u32 = 921;
/// What somebody says. It must stand nowhere.
const SAID: &str = "what nobody else is to read";

fn name(name: &str) -> UserId {
    UserId::new(name).expect("a name")
}

fn nothing() -> ExplainRequest {
    ExplainRequest {
        app_id: APP,
        user_id: None,
        target: None,
        offset: None,
        msg_id: None,
        packet_id: None,
        node: None,
    }
}

async fn explain(http: &Http, request: ExplainRequest) -> ExplainResponse {
    let told = http.call::<Explain>(&request).await.expect("explained");
    let text = serde_json::to_string(&told).expect("JSON");
    assert!(!text.contains(SAID), "{text}");
    assert!(told.events.is_sorted_by_key(|event| event.time), "{text}");
    told
}

async fn user(node: &Node, user: &str) -> ExplainResponse {
    explain(&node.http(), ExplainRequest { user_id: Some(name(user)), ..nothing() }).await
}

/// Whether the target's message with this offset reached the user.
async fn message(node: &Node, target: &str, offset: u64, user: Option<&str>) -> ExplainResponse {
    let target: Target = target.parse().expect("a target");
    let (target, offset, user_id) = (Some(target), Some(offset), user.map(name));
    explain(&node.http(), ExplainRequest { target, offset, user_id, ..nothing() }).await
}

fn what(told: &ExplainResponse) -> Vec<&str> {
    told.events.iter().map(|event| event.what.as_str()).collect()
}

fn text<'a>(told: &'a ExplainResponse, what: &str) -> &'a str {
    let found = told.events.iter().rfind(|event| event.what == what);
    &found.unwrap_or_else(|| panic!("no {what}: {told:?}")).text
}

/// Waits until the last thing that happened to the user is this.
async fn until_last(node: &Node, who: &str, expected: &str) -> ExplainResponse {
    until(expected, SOON, async || what(&user(node, who).await).last() == Some(&expected)).await;
    user(node, who).await
}

async fn call(node: &Node, path: &str, data: Value) -> Value {
    let mut data = data;
    data["appId"] = json!(APP);
    node.http().call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn each_way_to_lose_a_connection_has_its_name() {
    let node = Node::ephemeral(&[]).await;
    let nobody = user(&node, "nobody").await;
    assert!(
        nobody.events.is_empty() && nobody.now["online"] == false && nobody.since.is_some(),
        "{nobody:?}"
    );
    let mut kicked = node.login(APP, "a").await;
    let here = user(&node, "a").await;
    assert_eq!((what(&here), &here.now["online"]), (vec!["loggedIn"], &json!(true)));
    assert!(text(&here, "loggedIn").contains("from 127.0.0.1:") && here.next == ["/system/connections"]);
    assert_eq!(here.now["connectionsHere"].as_array().map(Vec::len), Some(1));
    call(&node, "/system/kick", json!({"userId": "a", "reason": "the gate closes"})).await;
    assert_eq!(close_code(&mut kicked).await, 4500);
    drop(kicked);
    assert!(text(&until_last(&node, "a", "kicked").await, "kicked").contains("4500: the gate closes"));

    let mut banned = node.login(APP, "b").await;
    call(&node, "/system/ban", json!({"userId": "b", "seconds": 60, "reason": "spam"})).await;
    assert_eq!(close_code(&mut banned).await, 4500);
    drop(banned);
    let told = until_last(&node, "b", "banned").await;
    assert!(told.now["banned"]["reason"] == "spam" && told.next.contains(&"/system/unban".to_owned()));
    let mut refused_now = node.connect().await;
    assert_eq!(refused(refused_now.request("login", &json!({"userId": "b", "appId": APP})).await), 1003);
    assert!(
        text(&until_last(&node, "b", "loginRefused").await, "loginRefused").contains("1003: you are banned")
    );

    node.login(APP, "c").await.close().await;
    until_last(&node, "c", "closedByClient").await;
    let mut torn = RawSocket::open(node.server()).await;
    torn.login(APP, "d").await;
    torn.reset_on_drop();
    drop(torn);
    until_last(&node, "d", "connectionLost").await;
    // Somebody of the same name elsewhere had nothing to do with it.
    let elsewhere = ExplainRequest { app_id: APP + 1, user_id: Some(name("a")), ..nothing() };
    assert_eq!(explain(&node.http(), elsewhere).await.events, []);

    let mut leaving = node.login(APP, "e").await;
    call(&node, "/system/drain", json!({"seconds": 3600})).await;
    assert_eq!(close_code(&mut leaving).await, 4002);
    drop(leaving);
    until_last(&node, "e", "drained").await;
}

#[tokio::test]
async fn a_slow_reader_is_told_with_what_was_waiting_and_so_is_the_message_that_was_too_much() {
    let node = Node::ephemeral(&["--outbox-frames", "64", "--outbox-bytes", "300000"]).await;
    let mut slow = RawSocket::open(node.server()).await;
    slow.login(APP, "slow").await;
    let mut speaker = node.login(APP, "speaker").await;
    let long = format!("{SAID}{}", "x".repeat(15_000));
    let mut last = 0;
    until("it is given up", SOON, async || {
        last = speaker.send(Target::World, &long).await.expect("stored").offset;
        what(&message(&node, "", last, Some("slow")).await).contains(&"notDelivered")
    })
    .await;
    let told = until_last(&node, "slow", "readTooSlowly").await;
    drop(slow);
    let how = text(&told, "readTooSlowly");
    assert!(how.contains("with 4001") && how.contains("bytes were still to be sent"), "{how}");
    let told = message(&node, "", last, Some("slow")).await;
    assert!(text(&told, "delivered").contains("did not get it"), "{told:?}");
    assert_eq!((&told.now["from"], &told.now["read"]), (&json!("speaker"), &json!(false)));
}

#[tokio::test]
async fn a_refused_token_is_told_to_whoever_looks_for_its_user() {
    let closed = Closed::start("", &[]).await;
    let (_session, entered) = closed.enter(APP, "a", "nonsense").await;
    assert_eq!(refused(entered), 1003);
    let http = Http::new(closed.server(closed.key("read")), SOON).expect("a client");
    let told = explain(&http, ExplainRequest { user_id: Some(name("a")), ..nothing() }).await;
    assert_eq!(what(&told), ["loginRefused"]);
    assert!(
        text(&told, "loginRefused").contains("1003") && !text(&told, "loginRefused").contains("nonsense")
    );
    // Money is for those who may see it.
    let packet = ExplainRequest { packet_id: Some(PacketId::new("p").expect("an id")), ..nothing() };
    assert_eq!(refused(http.call::<Explain>(&packet).await), 1003);
}

async fn where_a_message_went_is_told(site: Site) {
    let (node, other) = (site.first(), site.last());
    let mut a = node.login(APP, "a").await;
    let sent = json!({"target": "user:b", "msg": SAID, "msgId": "m1"});
    a.request("msg", &sent).await.expect("stored");
    let told = message(node, "user:b", 1, Some("a")).await;
    assert!(what(&told).contains(&"logged") && what(&told).contains(&"away"), "{told:?}");
    assert_eq!((&told.now["userId"], &told.now["online"]), (&json!("b"), &json!(false)));
    let again = a.request("msg", &sent).await.expect("answered");
    assert_eq!(again["duplicate"], true);
    let told = message(node, "user:b", 1, Some("a")).await;
    assert!(what(&told).contains(&"duplicate"), "{told:?}");

    let mut b = other.login(APP, "b").await;
    a.request("msg", &json!({"target": "user:b", "msg": "two", "msgId": "m2"})).await.expect("stored");
    assert_eq!(next_text(&mut b).await, "two");
    let told = message(other, "user:a", 2, Some("b")).await;
    assert!(text(&told, "delivered").contains("1 connection of b"), "{told:?}");
    assert!(!what(&told).contains(&"away") && told.now["msgId"] == "m2", "{told:?}");
    assert!(text(&told, "logged").contains("by a, over connection"), "{told:?}");
    let by_id = ExplainRequest {
        target: Some("user:b".parse().expect("a target")),
        msg_id: Some("m2".parse().expect("an id")),
        user_id: Some(name("a")),
        ..nothing()
    };
    assert_eq!(explain(&node.http(), by_id).await.now["offset"], 2);

    call(node, "/friend/block", json!({"userId": "b", "friendId": "a"})).await;
    let blocked = a.request("msg", &json!({"target": "user:b", "msg": SAID, "msgId": "m3"})).await;
    assert_eq!(refused(blocked), 1009);
    let told = user(node, "a").await;
    let how = text(&told, "messageRefused");
    assert!(how.contains("1009: this user does not take messages from you") && how.contains("m3"), "{how}");
    assert_eq!(message(node, "user:b", 2, Some("a")).await.now["blocksSender"], true);

    let missing = ExplainRequest { target: Some(Target::World), offset: Some(9), ..nothing() };
    assert_eq!(refused(node.http().call::<Explain>(&missing).await), 1005);
    for (bad, why) in [
        (nothing(), "packetId"),
        (ExplainRequest { target: Some(Target::World), ..nothing() }, "offset"),
        (ExplainRequest { offset: Some(1), user_id: Some(name("a")), ..nothing() }, "target"),
    ] {
        let outcome = node.http().call::<Explain>(&bad).await;
        let Err(Error::Refused { code: 1001, reason, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(why), "{reason}");
    }
}

async fn groups_tell_who_belongs_and_chatctl_asks_every_node(site: Site) {
    let (node, other) = (site.first(), site.last());
    let mut a = node.login(APP, "a").await;
    let mut b = other.login(APP, "b").await;
    call(node, "/group/create", json!({"userId": "a", "groupId": "g", "name": "g"})).await;
    call(node, "/group/join", json!({"userId": "b", "groupId": "g"})).await;
    until("b hears of it", SOON, async || {
        a.request("msg", &json!({"target": "group:g", "msg": "hello"})).await.expect("stored");
        matches!(b.next_push(std::time::Duration::from_millis(100)).await, Ok(Some(push)) if push.cmd == "msg")
    })
    .await;
    let sent =
        a.request("msg", &json!({"target": "group:g", "msg": SAID, "msgId": "m"})).await.expect("stored");
    let offset = sent["offset"].as_u64().expect("a number");
    until("b has it", SOON, async || {
        what(&message(other, "group:g", offset, Some("b")).await).contains(&"delivered")
    })
    .await;
    assert_eq!(message(node, "group:g", offset, Some("b")).await.now["member"], true);
    let stranger = message(node, "group:g", offset, Some("stranger")).await;
    assert!(stranger.now["member"] == false && stranger.next.contains(&"/group/members".to_owned()));

    let (server, offset) = (node.server().to_string(), offset.to_string());
    let ctl = async |words: &[&str], columns: Option<usize>| {
        let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "921")];
        let (mut surroundings, written) = Surroundings::in_memory(b"", &variables);
        (surroundings.terminals.columns, surroundings.terminals.stdout) = (columns, columns.is_some());
        let line = ["chatctl", "explain"].into_iter().chain(words.iter().copied()).map(Into::into);
        let exit = chatctl::run(line, surroundings).await;
        assert_eq!(exit, 0, "{words:?}: {}", written.stderr());
        written.stdout()
    };
    // b is connected to the other node, where there is one.
    let json = ctl(&["user", "b", "-o", "json"], None).await;
    let told: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["events"][0]["what"], "loggedIn", "{told}");
    assert_eq!(told["now"]["connectionsHere"].as_array().map(Vec::len), Some(1), "{told}");
    let page = ctl(&["message", "group:g", &offset, "--user", "b"], Some(80)).await;
    assert!(page.contains("delivered") && page.contains("NOW") && !page.contains("away"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    let page = ctl(&["user", "a\u{202e}b"], Some(80)).await;
    assert!(!page.contains('\u{202e}'), "{page}");
}

on_every_engine!(where_a_message_went_is_told, groups_tell_who_belongs_and_chatctl_asks_every_node,);

#[tokio::test]
async fn a_packet_is_told_from_its_offer_to_its_last_payment() {
    let node = Node::ephemeral(&["--packet-expiry", "2"]).await;
    call(&node, "/wallet/deposit", json!({"userId": "giver", "amount": 1000, "transferId": "t"})).await;
    let offer = json!({"userId": "giver", "target": "", "total": 1000, "count": 3, "mode": "equal", "greeting": SAID, "msgId": "p"});
    let packet = call(&node, "/redPacket/create", offer).await["packetId"].clone();
    let id = PacketId::new(packet.as_str().expect("an id")).expect("an id");
    let told =
        async || explain(&node.http(), ExplainRequest { packet_id: Some(id.clone()), ..nothing() }).await;
    let new = told().await;
    assert_eq!(what(&new), ["offered", "settled"]);
    assert!(text(&new, "offered").contains("giver offered 10.00 in 3 shares to the world"), "{new:?}");
    call(&node, "/redPacket/grab", json!({"userId": "winner", "packetId": packet})).await;
    let taken = told().await;
    assert!(text(&taken, "grabbed").contains("winner took 3.3"), "{taken:?}");
    until("its rest is paid back", SOON, async || {
        pace(std::time::Duration::from_millis(100)).await;
        let over = told().await;
        what(&over).contains(&"expired") && what(&over).contains(&"settled") && over.now["refunded"] != 0
    })
    .await;
    let over = told().await;
    assert!(text(&over, "expired").contains("go back to giver") && over.now["holds"] == true, "{over:?}");
    assert_eq!(over.now["grabbedCount"], 1);
    let unknown = ExplainRequest { packet_id: Some(PacketId::new("none").expect("an id")), ..nothing() };
    assert_eq!(refused(node.http().call::<Explain>(&unknown).await), 1005);
}

#[tokio::test]
async fn a_node_that_keeps_nothing_in_mind_tells_what_the_stores_know() {
    let node = Node::ephemeral(&["--journal-bytes", "0"]).await;
    let mut a = node.login(APP, "a").await;
    a.send(Target::World, SAID).await.expect("stored");
    let told = user(&node, "a").await;
    assert!(told.events.is_empty() && told.since.is_none() && told.now["online"] == true, "{told:?}");
    let told = message(&node, "", 1, Some("b")).await;
    assert_eq!((what(&told), told.since), (vec!["logged"], None));
}

#[tokio::test]
async fn a_small_journal_forgets_the_oldest_and_says_since_when_it_knows() {
    let node = Node::ephemeral(&["--journal-bytes", "65536"]).await;
    let first = user(&node, "nobody").await.since.expect("a time");
    node.login(APP, "early").await.close().await;
    until_last(&node, "early", "closedByClient").await;
    let mut a = node.login(APP, "a").await;
    for number in 0..3000 {
        a.request("msg", &json!({"msg": "x", "msgId": format!("m{number}")})).await.expect("stored");
    }
    let told = user(&node, "early").await;
    assert!(told.events.is_empty() && told.since.expect("a time") > first, "{told:?}");
    assert!(what(&message(&node, "", 3000, None).await).contains(&"delivered"));
}
