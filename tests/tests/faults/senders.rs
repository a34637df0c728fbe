//! Nodes of the role sender, which store what gateways and api nodes take: the answers are those of a node that stores
//! by itself, also while senders are killed, frozen and started again.
//!
//! Invariant: what was answered is in the history once, whoever stored it and however often that was tried.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use chat_client::{Error, Http};
use chat_proto::chat_client::ChatClient;
use chat_proto::{ListUsersRequest, Passed, SendMessageRequest};
use chat_protocol::Code;
use chat_protocol::rights::Scope;
use chat_tests::authority::Authority;
use chat_tests::exposition::scrape;
use chat_tests::front::free_address;
use chat_tests::grpc;
use chat_tests::node::Node;
use chat_tests::raw_http::{UPGRADE, get, request};
use chat_tests::redis_server::RedisServer;
use chat_tests::site::ANY_MEDIA;
use chat_tests::talk::{next_message, next_text};
use chat_tests::wait::{SOON, pace, until};
use chatd::auth::make_api_key;
use futures_util::stream::{self, StreamExt};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const APP: u32 = 951;
/// Who gets messages while senders fail: so many that each sender has conversations of them.
const USERS: usize = 40;
const UNKNOWN: u64 = 1010;

/// Two senders, and what has its messages stored by them.
struct Parts {
    senders: Vec<Node>,
    places: [SocketAddr; 2],
    api: Node,
    gateway: Node,
    /// Ends after the nodes that use it.
    redis: RedisServer,
}

async fn sender(redis: &str, place: SocketAddr) -> Node {
    let place = place.to_string();
    let arguments = ["--redis", redis, "--role", "sender", "--grpc-listen", &place];
    Node::start(&[&arguments[..], &ANY_MEDIA].concat()).await
}

impl Parts {
    async fn start() -> Self {
        let redis = RedisServer::start().await;
        let (url, places) = (redis.url(), [free_address(), free_address()]);
        let (first, second) = tokio::join!(sender(&url, places[0]), sender(&url, places[1]));
        let senders = places.map(|place| format!("http://{place}")).join(",");
        let taking = async |role: &str| {
            Node::start(&["--redis", &url, "--role", role, "--sender-url", &senders]).await
        };
        let (api, gateway) = tokio::join!(taking("api"), taking("gateway"));
        Self { senders: vec![first, second], places, api, gateway, redis }
    }

    /// A node on the same Redis that stores by itself.
    async fn own(&self) -> Node {
        Node::start(&["--redis", &self.redis.url()]).await
    }

    /// How much of it the senders counted together.
    async fn counted(&self, series: &str) -> f64 {
        let mut sum = 0.0;
        for sender in &self.senders {
            sum += scrape(sender).await.samples.get(series).copied().unwrap_or(0.0);
        }
        sum
    }
}

fn to(user: &str, text: &str, msg_id: &str) -> Value {
    json!({"appId": APP, "userId": user, "from": "a", "message": text, "msgId": msg_id})
}

async fn send(http: &Http, message: &Value) -> Result<Value, Error> {
    http.call_raw("/user/sendMessage", message).await
}

/// Sends so many messages, eight at a time, of which each must be answered; gives the user, id and number of each.
async fn send_many(http: &Http, messages: usize, answered: &AtomicUsize) -> Vec<(String, String, u64)> {
    let sending = stream::iter(0..messages).map(|number| async move {
        let (user, id) = (format!("u{}", number % USERS), format!("m{number}"));
        let sent = send(http, &to(&user, &id, &id)).await.unwrap_or_else(|error| panic!("{id}: {error}"));
        answered.fetch_add(1, Relaxed);
        pace(SOON / 400).await;
        (user, id, sent["offset"].as_u64().expect("an offset"))
    });
    sending.buffer_unordered(8).collect().await
}

/// Whether the history has each message once, where its answer said, and no other.
async fn are_there_once(http: &Http, mut sent: Vec<(String, String, u64)>) {
    let mut found = Vec::new();
    for number in 0..USERS {
        let user = format!("u{number}");
        let asked = json!({"appId": APP, "userId": "a", "target": format!("user:{user}"), "limit": 200});
        let history = http.call_raw("/message/history", &asked).await.expect("a history");
        for message in history["messages"].as_array().expect("messages") {
            let id = message["msgId"].as_str().expect("an id").to_owned();
            found.push((user.clone(), id, message["offset"].as_u64().expect("an offset")));
        }
    }
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
}

#[tokio::test]
async fn what_is_taken_anywhere_is_stored_by_a_sender_and_answered_as_ever() {
    let parts = Parts::start().await;
    let (api, own) = (parts.api.http(), parts.own().await);
    let mut receiver = parts.gateway.login(APP, "b").await;
    let message = to("b", "over HTTP", "1");
    let sent = send(&api, &message).await.expect("stored");
    assert_eq!(sent, json!({"sendResults": true, "stored": true, "msgId": "1", "offset": 1}));
    assert_eq!(next_text(&mut receiver).await, "over HTTP");
    let repeated = send(&api, &message).await.expect("known");
    assert_eq!((&repeated["duplicate"], &repeated["offset"]), (&json!(true), &json!(1)));
    assert_eq!(send(&own.http(), &message).await.expect("known there, too"), repeated);
    let message = json!({"appId": APP, "userId": "b", "from": "a", "message": "without an id"});
    let [first, second] =
        [send(&api, &message).await.expect("stored"), send(&api, &message).await.expect("stored")];
    assert_eq!((&first["offset"], &second["offset"]), (&json!(2), &json!(3)));
    for _ in 0..2 {
        assert_eq!(next_text(&mut receiver).await, "without an id");
    }
    let message = json!({"appId": APP, "userId": "a", "message": "to all", "msgId": "2"});
    let sent = api.call_raw("/user/sendMessageAll", &message).await.expect("stored");
    assert_eq!(sent, json!({"sendResults": true, "msgId": "2", "offset": 1}));
    assert_eq!(next_text(&mut receiver).await, "to all");

    let (mut a, mut other) = (parts.gateway.login(APP, "a").await, parts.gateway.login(APP, "a").await);
    let receipt = a.send("user:b".parse().expect("a target"), "over WebSocket").await.expect("stored");
    let push = next_message(&mut receiver).await;
    assert_eq!(
        (push.offset, push.epoch, push.time, push.msg_id, receipt.duplicate),
        (receipt.offset, receipt.epoch, receipt.time, receipt.msg_id, false)
    );
    assert_eq!(next_text(&mut other).await, "over WebSocket");
    receiver.send("user:a".parse().expect("a target"), "a reply").await.expect("stored");
    assert_eq!(next_text(&mut a).await, "a reply", "the device that sent something has no push of it");
    let size = json!({"width": 4});
    let picture = json!({
        "target": "user:b", "type": "img", "url": "https://a/b", "msg": "a caption", "secret": "s", "size": size,
    });
    a.request("msg", &picture).await.expect("stored");
    let content = next_message(&mut receiver).await.content;
    assert_eq!((content.kind.as_str(), content.url.as_deref()), ("img", Some("https://a/b")));
    assert_eq!((content.msg.as_deref(), content.secret.as_deref()), (Some("a caption"), Some("s")));
    assert_eq!(content.size, Some(size));

    assert_eq!(parts.counted("chatd_messages_total").await, 7.0);
    let group = json!({"appId": APP, "userId": "a", "groupId": "g", "name": "a group"});
    api.call_raw("/group/create", &group).await.expect("created");
    let message = json!({"appId": APP, "userId": "a", "groupId": "g", "message": "to the group"});
    api.call_raw("/group/sendMessage", &message).await.expect("stored");
    let told = scrape(&parts.api).await;
    assert_eq!(told.of("chatd_messages_total"), 1.0, "those to groups it stores itself");
    assert_eq!(told.of("chatd_sender_messages_total{outcome=\"stored\"}"), 5.0);
    assert_eq!(told.of("chatd_sender_messages_total{outcome=\"unanswered\"}"), 0.0);
    assert_eq!(told.of("chatd_sender_retries_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_is_killed_and_what_was_answered_is_there_once() {
    let mut parts = Parts::start().await;
    let (http, answered) = (parts.api.http(), AtomicUsize::new(0));
    let killing = async {
        until("some are sent", 3 * SOON, async || answered.load(Relaxed) >= 50).await;
        parts.senders.remove(0).kill();
    };
    let (sent, ()) = tokio::join!(send_many(&http, 200, &answered), killing);
    are_there_once(&http, sent).await;
    let told = scrape(&parts.api).await;
    assert!(told.of("chatd_sender_retries_total") > 0.0, "what it had was tried again");
    assert_eq!(told.of("chatd_sender_messages_total{outcome=\"stored\"}"), 200.0);
    assert!(parts.counted("chatd_messages_total").await >= 75.0, "the other one goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_sender_is_passed_over_and_what_it_still_does_changes_nothing() {
    let parts = Parts::start().await;
    let (http, answered) = (parts.api.http(), AtomicUsize::new(0));
    let [frozen, _] = &parts.senders[..] else { panic!("two senders") };
    let known = send_many(&http, USERS, &answered).await;
    frozen.signal(Signal::SIGSTOP);
    let more = send_many(&http, 2 * USERS, &answered).await;
    frozen.signal(Signal::SIGCONT);
    until("it goes on", SOON, async || get(frozen.server(), "/readyz").await.status == 200).await;
    assert!(known.iter().all(|known| more.contains(known)), "the first of them were sent once more");
    are_there_once(&http, more).await;
    assert!(scrape(&parts.api).await.of("chatd_sender_retries_total") > 0.0);
}

#[tokio::test]
async fn without_senders_messages_are_refused_until_one_is_back() {
    let mut parts = Parts::start().await;
    let (http, message) = (parts.api.http(), to("b", "hello", "1"));
    let mut a = parts.gateway.login(APP, "a").await;
    parts.senders.iter_mut().for_each(Node::kill);
    let over_websocket = a.send("user:c".parse().expect("a target"), "hello").await.map(drop);
    for refused in [send(&http, &message).await.map(drop), over_websocket] {
        let Err(Error::Refused { code, reason, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(code, Code::StoreUnreachable.number());
        assert!(reason.contains("is not known") && reason.contains("the same msgId"), "{reason}");
    }
    for node in [&parts.api, &parts.gateway] {
        let ready = get(node.server(), "/readyz").await;
        assert!(ready.status == 503 && ready.body.contains("senders"), "{ready:?}");
    }
    parts.senders[1] = sender(&parts.redis.url(), parts.places[1]).await;
    for node in [&parts.api, &parts.gateway] {
        until("it is ready", SOON, async || get(node.server(), "/readyz").await.status == 200).await;
    }
    assert_eq!(send(&http, &message).await.expect("stored")["offset"], 1);
    a.send("user:c".parse().expect("a target"), "hello again").await.expect("stored");
}

#[tokio::test]
async fn what_a_sender_refuses_is_refused_as_ever_and_not_tried_again() {
    let parts = Parts::start().await;
    let (api, own) = (parts.api.http(), parts.own().await);
    let block = json!({"appId": APP, "userId": "b", "friendId": "a"});
    api.call_raw("/friend/block", &block).await.expect("blocked");
    send(&api, &to("c", "hello", "1")).await.expect("stored");
    let long = "m".repeat(16 * 1024 + 1);
    for (message, code, calls) in [
        (to("b", "hello", "2"), 1009, 1.0),
        (to("c", "something else", "1"), 1009, 2.0),
        // This the node sees by itself.
        (to("c", &long, "3"), 1012, 2.0),
        (to("", "hello", "4"), 1002, 2.0),
    ] {
        let [here, there] = [send(&own.http(), &message).await, send(&api, &message).await];
        let Err(Error::Refused { code: told, .. }) = &there else { panic!("{there:?}") };
        assert_eq!((*told, here.unwrap_err().to_string()), (code, there.unwrap_err().to_string()));
        let series = "chatd_grpc_requests_total{operation=\"user/sendMessage\",code=\"1009\"}";
        assert_eq!(parts.counted(series).await, calls, "{code}");
    }
    let told = scrape(&parts.api).await;
    assert_eq!(told.of("chatd_sender_messages_total{outcome=\"refused\"}"), 2.0);
    assert_eq!(told.of("chatd_sender_retries_total"), 0.0);
    assert_eq!(get(parts.api.server(), "/readyz").await.status, 200);
}

#[tokio::test]
async fn each_role_serves_its_part_and_names_those_that_serve_the_rest() {
    let parts = Parts::start().await;
    let [sender, _] = &parts.senders[..] else { panic!("two senders") };
    let everywhere = ["/livez", "/metrics", "/openapi.json", "/system/state", "/system/nodes"];
    let none: &[&str] = &[];
    for (node, role, more, others) in [
        (sender, "sender", none, &["/user/list?appId=1", "/home/index?appId=1", "/acc", "/file/a"][..]),
        (&parts.api, "api", &["/user/list?appId=1"], &["/home/index?appId=1", "/home/chat.js", "/", "/acc"]),
        (&parts.gateway, "gateway", &["/home/index?appId=1", "/home/chat.js"], &["/user/list?appId=1"]),
    ] {
        for path in [&everywhere[..], more].concat() {
            assert_eq!(get(node.server(), path).await.status, 200, "{role} {path}");
        }
        for path in others {
            let refused = get(node.server(), path).await;
            assert_eq!(refused.code(), UNKNOWN, "{role} {path}");
            assert!(refused.reason().contains(&format!("has the role {role} ")), "{path}: {refused:?}");
        }
        assert_eq!(get(node.server(), "/no/such").await.reason(), Code::UnknownOperation.text());
        assert_eq!(get(node.server(), "/readyz").await.body, format!("ok, as {role}\n"));
        let state = node.http().call_raw("/system/state", &json!({})).await.expect("a state");
        assert_eq!(state["role"], role);
    }
    for node in [sender, &parts.api] {
        let shaken = request(node.server(), "GET", "/acc", &UPGRADE, &[]).await;
        assert_eq!((shaken.status, shaken.code()), (404, UNKNOWN), "{shaken:?}");
    }
    let mut calls = ChatClient::new(grpc::channel(sender).await);
    let asked = ListUsersRequest { app_id: Some(APP), ..Default::default() };
    let refused = calls.list_users(grpc::plain(asked)).await.unwrap_err();
    assert_eq!(grpc::code(&refused), Some(Code::UnknownOperation));
    assert!(refused.message().contains("has the role sender "), "{refused}");
    let message = SendMessageRequest {
        app_id: Some(APP),
        user_id: "b".to_owned(),
        message: "hello".to_owned(),
        ..Default::default()
    };
    let sent = calls.send_message(grpc::plain(message.clone())).await.expect("stored").into_inner();
    assert_eq!((sent.offset, sent.placed), (1, None), "programs may ask it, too");
    let node = Node::ephemeral(&grpc::ON).await;
    let passed = Some(Passed { skip: "-".to_owned(), ..Default::default() });
    let message = SendMessageRequest { passed, ..message };
    let mut calls = ChatClient::new(grpc::channel(&node).await);
    let refused = calls.send_message(grpc::plain(message)).await.unwrap_err();
    assert_eq!(grpc::code(&refused), Some(Code::UnknownOperation));
    assert!(refused.message().contains("stores nothing for others"), "{refused}");
}

#[tokio::test]
async fn closed_senders_take_messages_over_tls_of_who_has_a_key_to_send() {
    let (redis, authority, directory) =
        (RedisServer::start().await, Authority::new(), tempfile::tempdir().expect("a directory"));
    let (url, place) = (redis.url(), free_address().to_string());
    let [sends, reads] = [("sends", Scope::Send), ("reads", Scope::Read)].map(|(name, scope)| {
        let (key, line) = make_api_key(name, [scope].into_iter().collect()).expect("random numbers");
        let file = directory.path().join(name);
        std::fs::write(&file, format!("{key}\n")).expect("written");
        (file.to_str().expect("a path").to_owned(), line.to_string())
    });
    let keys = format!("{},{}", sends.1, reads.1);
    let tls = authority.arguments();
    let tls: Vec<_> = tls.iter().map(String::as_str).collect();
    let arguments =
        ["--redis", &url, "--role", "sender", "--grpc-listen", &place, "--auth-keys", &keys].to_vec();
    let _sender = Node::start(&[arguments, tls].concat()).await;
    let trusted = authority.file();
    let trusted = [("SSL_CERT_FILE", trusted.to_str().expect("a path"))];
    let senders = format!("https://{}", place.replace("127.0.0.1", "localhost"));
    let taking = async |key: &str, trusted: &[(&str, &str)]| {
        let role = ["--redis", &url, "--role", "api"];
        let shown = ["--sender-url", &senders, "--sender-key-file", key];
        Node::with_variables(trusted, &[role, shown].concat()).await
    };
    let (with_key, with_another, without_trust) =
        tokio::join!(taking(&sends.0, &trusted), taking(&reads.0, &trusted), taking(&sends.0, &[]));
    let message = to("b", "hello", "1");
    for (node, why) in [(&with_another, "the scope send"), (&without_trust, "ertificate")] {
        let refused = send(&node.http(), &message).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::StoreUnreachable), "{refused}");
        until("the log says why", SOON, async || node.log().contains(why)).await;
        let ready = get(node.server(), "/readyz").await;
        assert!(
            ready.status == 503 && ready.body.contains("senders"),
            "it serves, and takes nothing of it: {ready:?}"
        );
    }
    assert_eq!(get(with_key.server(), "/readyz").await.status, 200, "before anything was sent");
    assert_eq!(send(&with_key.http(), &message).await.expect("stored")["offset"], 1);
}
