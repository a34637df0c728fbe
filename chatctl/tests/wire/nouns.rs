//! Groups, friends, conversations and histories against a scripted server.
//!
//! Invariant: each command sends exactly the operation it stands for, with the acting user where one is needed.

use crate::scripted::{Reply, Server};
use serde_json::{Value, json};

const STANDING: &str = r#"{"friendId":"黄帝","standing":"friends","blocked":false,"changed":true}"#;
const MEMBERSHIP: &str = r#"{"changed":true,"memberCount":2,"offset":3,"epoch":"e"}"#;
const MARKED: &str = r#"{"target":"","epoch":"e","lastOffset":9,"lastTime":0,"readOffset":7,"unread":2}"#;

fn reply(json: &str) -> Reply {
    Reply::Success(serde_json::from_str(json).expect("JSON"))
}

fn message(offset: u64) -> Value {
    let kind = if offset.is_multiple_of(5) { "recalled" } else { "text" };
    json!({
        "target": "", "type": kind, "msg": format!("文 {offset}"), "from": if offset.is_multiple_of(2) { "黄帝" } else { "ab" },
        "msgId": format!("m{offset}"), "offset": offset, "epoch": "e", "time": offset * 1000
    })
}

/// A conversation of so many messages, read as the server reads it.
fn history(total: u64, body: &Value) -> Reply {
    let limit = body["limit"].as_u64().unwrap_or(50);
    let (first, last) = match (body["after"].as_u64(), body["before"].as_u64()) {
        (Some(_), Some(_)) => return Reply::Refusal(1001, 400, Value::Null),
        (Some(after), None) => (after + 1, total.min(after + limit)),
        (None, before) => {
            let last = before.map_or(total, |before| total.min(before - 1));
            ((last + 1).saturating_sub(limit).max(1), last)
        }
    };
    let next = match body["after"].is_u64() {
        true => (last < total).then_some(last),
        false => (first > 1).then_some(first),
    };
    let messages: Vec<_> = (first..=last).map(message).collect();
    Reply::Success(json!({"messages": messages, "next": next, "epoch": "e"}))
}

#[tokio::test]
async fn every_verb_sends_its_operation() {
    let server = Server::start(|_, path, _| match path {
        "/friend/requests" => reply(r#"{"requests":[{"from":"马超","greeting":"hi","time":1}]}"#),
        "/friend/list" => reply(r#"{"friends":["a"],"requested":["b"],"blocked":["c"]}"#),
        "/group/create" => reply(r#"{"groupId":"tea","name":"茶","owner":"me","memberCount":1}"#),
        "/group/list" => reply(r#"{"groups":[{"groupId":"tea","name":"茶","owner":"me","memberCount":1}]}"#),
        "/group/sendMessage" => reply(r#"{"sendResults":true,"msgId":"m","offset":4}"#),
        "/conversation/list" => reply(&format!(r#"{{"conversations":[{MARKED}]}}"#)),
        "/conversation/read" => reply(MARKED),
        "/message/recall" => reply(r#"{"target":"user:黄帝","from":"me","offset":3,"epoch":"e"}"#),
        path if path.starts_with("/friend/") => reply(STANDING),
        _ => reply(MEMBERSHIP),
    })
    .await;
    for (words, path, member, value) in [
        ("friend request 黄帝 hi", "/friend/request", "greeting", json!("hi")),
        ("friend requests", "/friend/requests", "userId", json!("me")),
        ("friend accept 黄帝", "/friend/accept", "friendId", json!("黄帝")),
        ("friend reject 黄帝", "/friend/reject", "friendId", json!("黄帝")),
        ("friend remove 黄帝", "/friend/remove", "friendId", json!("黄帝")),
        ("friend list", "/friend/list", "userId", json!("me")),
        ("friend block 黄帝", "/friend/block", "friendId", json!("黄帝")),
        ("friend unblock 黄帝", "/friend/unblock", "friendId", json!("黄帝")),
        ("group create 茶 --id tea", "/group/create", "groupId", json!("tea")),
        ("group join tea", "/group/join", "groupId", json!("tea")),
        ("group leave tea", "/group/leave", "groupId", json!("tea")),
        ("group list", "/group/list", "userId", json!("me")),
        ("group send tea hello", "/group/sendMessage", "message", json!("hello")),
        ("group kick tea 蚩尤", "/group/kick", "memberId", json!("蚩尤")),
        ("group dismiss tea -y", "/group/dismiss", "groupId", json!("tea")),
        ("conversation list", "/conversation/list", "userId", json!("me")),
        ("conversation read group:tea 7", "/conversation/read", "offset", json!(7)),
        ("recall user:黄帝 3", "/message/recall", "offset", json!(3)),
    ] {
        let words: Vec<_> = words.split(' ').chain(["--app", "1", "--as", "me"]).collect();
        let before = server.requests().len();
        let rehearsed = server.run(&[&words[..], &["--dry-run"]].concat()).await;
        assert_eq!((rehearsed.0, server.requests().len()), (0, before), "{words:?}: {rehearsed:?}");
        let (exit, out, err) = server.run(&words).await;
        assert_eq!(exit, 0, "{words:?}: {err}");
        assert!(!out.is_empty(), "{words:?}");
        let (sent_to, body) = server.requests().pop().expect("a request");
        assert_eq!(
            (sent_to.as_str(), &body[member], &body["userId"]),
            (path, &value, &json!("me")),
            "{words:?}"
        );
        assert_eq!(server.requests().len(), before + 1, "{words:?}");
    }
}

#[tokio::test]
async fn an_empty_list_is_told_and_one_is_no_plural() {
    let server = Server::start(|_, path, _| match path {
        "/friend/requests" => reply(r#"{"requests":[]}"#),
        "/friend/list" => reply(r#"{"friends":[],"requested":[],"blocked":[]}"#),
        "/group/list" => reply(r#"{"groups":[]}"#),
        "/group/leave" => reply(r#"{"changed":true,"memberCount":1,"offset":3,"epoch":"e"}"#),
        "/system/connections" => reply(r#"{"nodeId":"n","connections":[]}"#),
        _ => Reply::HangUp,
    })
    .await;
    let run = async |words: &str| {
        let words: Vec<_> = words.split(' ').chain(["--app", "1", "--as", "me"]).collect();
        let (exit, out, err) = server.run(&words).await;
        assert_eq!(exit, 0, "{words:?}: {err}");
        (out, err)
    };
    let empty = |err: &str| (String::new(), format!("{err}\n"));
    assert_eq!(run("group list").await, empty("me is in no group"));
    assert_eq!(run("friend requests").await, empty("no request waits for an answer"));
    assert_eq!(run("friend list").await, empty("nobody: no friends, no requests, no blocks"));
    assert_eq!(run("connections").await, empty("0 connections"));
    assert_eq!(run("friend list -o json").await, ("[]\n".to_owned(), String::new()));
    assert_eq!(run("group leave tea").await.0, "left; 1 member\n");
}

#[tokio::test]
async fn who_acts_must_be_named() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    for words in [
        "friend list",
        "friend request a",
        "group list",
        "group join tea",
        "group send tea hi",
        "conversation list",
        "history user:a",
        "recall user:a 1",
        "tail user:a",
    ] {
        let words: Vec<_> = words.split(' ').chain(["--app", "1"]).collect();
        let (exit, out, err) = server.run(&words).await;
        assert_eq!((exit, out.as_str()), (2, ""), "{words:?}");
        assert!(err.contains("--as USER") && err.contains("CHATCTL_AS"), "{words:?}: {err}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_history_is_a_table_that_aligns() {
    let server = Server::start(|_, _, body| history(6, body)).await;
    let (exit, out, err) = server.run(&["--app", "1", "history", "", "--limit", "3"]).await;
    assert_eq!((exit, err.as_str()), (0, "older ones: --before 4\n"));
    assert_eq!(
        out,
        "OFFSET  TIME                  FROM  TYPE      TEXT\n     \
         4  1970-01-01 00:00:04Z  黄帝  text      文 4\n     \
         5  1970-01-01 00:00:05Z  ab    recalled  (recalled)\n     \
         6  1970-01-01 00:00:06Z  黄帝  text      文 6\n"
    );
    let (_, out, _) = server.run(&["--app", "1", "history", "", "--limit", "2", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!([message(5), message(6)]));
    let body = &server.requests()[0].1;
    assert_eq!((&body["target"], &body["limit"], &body["userId"]), (&json!(""), &json!(3), &Value::Null));
}

#[tokio::test]
async fn a_long_history_comes_in_pages() {
    let server = Server::start(|_, _, body| history(1000, body)).await;
    let offsets = |out: &str| -> Vec<u64> { out.lines().map(|line| line.parse().unwrap()).collect() };
    let run = async |words: &[&str]| {
        let before = server.requests().len();
        let line = [&["--app", "1", "history", "", "-o", "name"], words].concat();
        let (exit, out, err) = server.run(&line).await;
        assert_eq!(exit, 0, "{err}");
        (offsets(&out), server.requests().len() - before)
    };
    assert_eq!(run(&["--all"]).await, ((1..=1000).collect(), 5));
    assert_eq!(run(&["--all", "--after", "900"]).await.0, (901..=1000).collect::<Vec<_>>());
    assert_eq!(run(&["--all", "--after", "10", "--before", "13"]).await, (vec![11, 12], 1));
    assert_eq!(run(&["--limit", "450"]).await.0, (551..=1000).collect::<Vec<_>>());
    assert_eq!(run(&["--limit", "450", "--before", "501"]).await.0, (51..=500).collect::<Vec<_>>());
    assert_eq!(run(&["--after", "100", "--limit", "3"]).await, (vec![101, 102, 103], 1));
    assert_eq!(run(&[]).await, ((951..=1000).collect(), 1));
    let (_, out, _) = server.run(&["--app", "1", "history", "", "--all", "--json"]).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&out).unwrap().len(), 1000);
}

#[tokio::test]
async fn a_history_without_end_is_an_error() {
    let endless = json!({"messages": [message(1)], "next": 1, "epoch": "e"});
    let server = Server::start(move |_, _, _| Reply::Success(endless.clone())).await;
    let (exit, _, err) = server.run(&["--app", "1", "history", "", "--all"]).await;
    assert_eq!(exit, 1);
    assert!(err.contains("does not come to an end"), "{err}");
}

#[tokio::test]
async fn what_is_no_chatd_is_named() {
    let server = Server::start(|_, _, _| Reply::Page("<html>welcome to nginx")).await;
    let (exit, out, err) = server.run(&["--app", "1", "history", "", "--all"]).await;
    assert_eq!((exit, out.as_str()), (1, ""));
    assert!(err.contains("did not answer like chatd"), "{err}");
}

#[tokio::test]
async fn members_follow_the_cursor() {
    let server = Server::start(|_, _, body| {
        let from = body["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().expect("a number") + 1);
        let members: Vec<_> = (from..1500).take(1000).map(|n| format!("{n:04}")).collect();
        let cursor = members.last().filter(|last| last.as_str() != "1499");
        Reply::Success(json!({
            "groupId": "tea", "name": "茶", "owner": "0003", "memberCount": 1500, "members": members, "cursor": cursor
        }))
    })
    .await;
    let (exit, out, err) = server.run(&["--app", "1", "group", "members", "tea"]).await;
    assert_eq!((exit, out.lines().count(), err.as_str()), (0, 1501, "1500 of 1500 in group tea (茶)\n"));
    assert_eq!(out.lines().nth(4), Some("0003    yes"));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_end_of_a_group_needs_a_yes() {
    let dismiss = ["--app", "1", "--as", "me", "group", "dismiss", "tea"];
    let members = |_: usize, path: &str, _: &Value| match path {
        "/group/members" => Reply::Success(json!({
            "groupId": "tea", "name": "茶", "owner": "me", "memberCount": 1500, "members": ["me"]
        })),
        _ => Reply::HangUp,
    };
    let server = Server::start(members).await;
    let (exit, out, err) = server.run(&dismiss).await;
    assert_eq!((exit, out.as_str()), (2, ""));
    assert!(err.contains("for its 1500 members?") && err.contains("say yes with -y"), "{err}");
    assert!(server.requests().iter().all(|(path, _)| path == "/group/members"));
    // Who cannot be told how many they are is refused all the same.
    let server = Server::start(|_, _, _| Reply::Refusal(1003, 403, Value::Null)).await;
    let (exit, _, err) = server.run(&dismiss).await;
    assert_eq!(exit, 2);
    assert!(err.contains("for its members?") && err.contains("say yes with -y"), "{err}");
}

#[tokio::test]
async fn a_group_message_is_repeated_by_its_id() {
    let server = Server::start(|_, _, _| Reply::Silence).await;
    let words =
        ["--app", "1", "--as", "me", "group", "send", "tea", "hi", "--timeout", "50ms", "--msg-id", "m-7"];
    let (exit, _, err) = server.run(&words).await;
    assert_eq!((exit, server.requests().len()), (8, 1));
    assert!(err.contains("--msg-id m-7"), "{err}");
}
