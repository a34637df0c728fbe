//! A conversation as a stream: every message once and in order, from whichever node, and how it ends.
//!
//! Invariant: that nothing is doubled or left out is told by offsets, never by time.

use std::time::Duration;

use chat_client::Http;
use chat_proto::{Entry, ReadConversationRequest};
use chat_protocol::Code;
use chat_tests::closed::Closed;
use chat_tests::grpc::{self, client, code, next, plain, shown};
use chat_tests::node::Node;
use chat_tests::raw_http::post_json;
use chat_tests::site::Site;
use chat_tests::wait::SOON;
use serde_json::{Value, json};
use tonic::{Code as Grpc, Streaming};

const APP: u32 = 942;

async fn post(node: &Node, path: &str, body: Value) -> Value {
    let answer = post_json(node.server(), path, body.to_string()).await;
    assert_eq!(answer.code(), 200, "{path} {body}: {answer:?}");
    answer.json()["data"].take()
}

async fn say(node: &Node, number: u64) {
    let body =
        json!({"appId": APP, "userId": "a", "message": format!("m{number}"), "msgId": format!("m{number}")});
    post(node, "/user/sendMessageAll", body).await;
}

fn world(after: u64) -> ReadConversationRequest {
    ReadConversationRequest { app_id: Some(APP), after, ..Default::default() }
}

async fn read(node: &Node, asked: ReadConversationRequest) -> Streaming<Entry> {
    let opened = client(node).await.read_conversation(plain(asked)).await;
    opened.expect("a stream").into_inner()
}

async fn entry(stream: &mut Streaming<Entry>) -> Entry {
    next(stream).await.expect("no end").expect("no end")
}

/// How it ends, after whatever comes before that.
async fn end(stream: &mut Streaming<Entry>) -> tonic::Status {
    loop {
        match next(stream).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a word"),
            Err(status) => return status,
        }
    }
}

async fn every_message_comes_once_and_in_order(site: Site) {
    for number in 1..=250 {
        say(site.first(), number).await;
    }
    let mut streams = vec![read(site.first(), world(0)).await, read(site.last(), world(120)).await];
    for number in 251..=300 {
        say(if number % 2 == 0 { site.first() } else { site.last() }, number).await;
    }
    for (stream, after) in streams.iter_mut().zip([0, 120]) {
        for number in after + 1..=300 {
            let got = entry(stream).await;
            assert_eq!((got.offset, got.msg_id.as_str()), (number, format!("m{number}").as_str()));
            assert_eq!((got.from.as_str(), got.target.as_str(), got.missing_before), ("a", "", 0));
            assert_eq!(
                (got.r#type.as_str(), got.msg.as_deref()),
                ("text", Some(format!("m{number}").as_str()))
            );
        }
    }
    // Both have everything; what comes now comes live.
    for number in 301..=310 {
        say(site.last(), number).await;
        for stream in &mut streams {
            assert_eq!(entry(stream).await.offset, number);
        }
    }
}

#[tokio::test]
async fn every_message_comes_once_and_in_order_alone() {
    every_message_comes_once_and_in_order(Site::embedded_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn every_message_comes_once_and_in_order_on_two_nodes() {
    every_message_comes_once_and_in_order(Site::redis_with(&grpc::ON).await).await;
}

#[tokio::test]
async fn a_pair_and_a_group_are_read_by_those_who_are_in_it() {
    let site = Site::redis_with(&grpc::ON).await;
    let node = site.first();
    let send = async |from: &str, to: &str, msg: &str| {
        post(
            site.last(),
            "/user/sendMessage",
            json!({"appId": APP, "userId": to, "from": from, "message": msg}),
        )
        .await
    };
    let as_a = |target: &str| ReadConversationRequest {
        user_id: Some("a".to_owned()),
        target: target.to_owned(),
        ..world(0)
    };
    let mut pair = read(node, as_a("user:b")).await;
    for (from, to, msg) in [("a", "b", "1"), ("c", "a", "elsewhere"), ("b", "a", "2")] {
        send(from, to, msg).await;
    }
    let got = [entry(&mut pair).await, entry(&mut pair).await];
    assert_eq!(got.map(|got| (got.from, got.offset)), [("a".to_owned(), 1), ("b".to_owned(), 2)]);

    let made = json!({"appId": APP, "groupId": "g", "userId": "owner", "name": "g"});
    post(node, "/group/create", made).await;
    let outside = client(node).await.read_conversation(plain(as_a("group:g"))).await.unwrap_err();
    assert_eq!((outside.code(), code(&outside)), (Grpc::FailedPrecondition, Some(Code::RefusedByRule)));
    post(node, "/group/join", json!({"appId": APP, "groupId": "g", "userId": "a"})).await;
    let mut group = read(node, as_a("group:g")).await;
    post(site.last(), "/group/leave", json!({"appId": APP, "groupId": "g", "userId": "a"})).await;
    let left = end(&mut group).await;
    assert_eq!((left.code(), code(&left)), (Grpc::FailedPrecondition, Some(Code::RefusedByRule)), "{left}");
}

#[tokio::test]
async fn a_reader_who_falls_behind_is_told_where_to_go_on() {
    let node = Node::ephemeral(&[&grpc::ON[..], &["--outbox-frames", "16"]].concat()).await;
    say(&node, 1).await;
    let mut stream = read(&node, world(0)).await;
    assert_eq!(entry(&mut stream).await.offset, 1);
    say(&node, 2).await;
    assert_eq!(entry(&mut stream).await.offset, 2);
    // More than the windows of the connection and one page hold, while nobody reads.
    let long = "m".repeat(15_000);
    for number in 3..=600 {
        let body = json!({"appId": APP, "userId": "a", "message": long, "msgId": format!("m{number}")});
        post(&node, "/user/sendMessageAll", body).await;
    }
    let mut last = 2;
    let status = loop {
        match next(&mut stream).await {
            Ok(Some(got)) => {
                assert_eq!(got.offset, last + 1, "without a gap");
                last = got.offset;
            }
            Ok(None) => panic!("it ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Grpc::ResourceExhausted, "{status}");
    assert!(status.message().ends_with(&format!("after = {last}")), "{status} behind {last}");
    let mut again = read(&node, world(last)).await;
    assert_eq!(entry(&mut again).await.offset, last + 1);
}

#[tokio::test]
async fn a_drain_a_deadline_and_a_ban_end_it() {
    let closed = Closed::start("", &[&grpc::ON[..], &["--drain", "2m"]].concat()).await;
    let node = &closed.node;
    let mut client = client(node).await;
    let token = closed.token(APP, "a");
    let asked = || ReadConversationRequest { target: String::new(), ..Default::default() };
    let mut open = async |limit: Duration| {
        let mut request = shown(&token, asked());
        request.set_timeout(limit);
        client.read_conversation(request).await.map(tonic::Response::into_inner)
    };
    let long = Duration::from_secs(600);
    let (mut brief, mut banned) = (open(Duration::from_secs(3)).await.unwrap(), open(long).await.unwrap());
    assert_eq!(end(&mut brief).await.code(), Grpc::DeadlineExceeded);

    let operator = Http::new(closed.server(closed.key("all")), SOON).expect("a client");
    let ask = async |path: &str, body: Value| {
        operator.call_raw(path, &body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    ask("/system/ban", json!({"appId": APP, "userId": "a", "seconds": 600})).await;
    let status = end(&mut banned).await;
    assert_eq!(
        (status.code(), code(&status)),
        (Grpc::PermissionDenied, Some(Code::NotAuthorised)),
        "{status}"
    );
    assert_eq!(code(&open(long).await.unwrap_err()), Some(Code::NotAuthorised));
    ask("/system/unban", json!({"appId": APP, "userId": "a"})).await;

    let _holds_it_open = closed.enter(APP, "a", &token).await;
    let mut drained = open(long).await.unwrap();
    ask("/system/drain", json!({"seconds": 120})).await;
    let status = end(&mut drained).await;
    assert_eq!((status.code(), code(&status)), (Grpc::Unavailable, Some(Code::StoreUnreachable)), "{status}");
    assert_eq!(open(long).await.unwrap_err().code(), Grpc::Unavailable);
}
