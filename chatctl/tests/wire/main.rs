//! The command line against a scripted server: what goes over the wire, what is tried again, how runs end.
//!
//! Invariant: the script sees every request, so that "nothing was sent" and "sent once" are facts.

mod audits;
mod doubt;
mod live;
mod money;
mod nouns;
mod scripted;
mod tail;
mod wallets;

use std::io::{self, Write};
use std::time::Duration;

use chatctl::surroundings::Surroundings;
use scripted::{Reply, Server, line};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn delivered(body: &Value) -> Reply {
    Reply::Success(json!({"sendResults": true, "stored": true, "msgId": body["msgId"], "offset": 1}))
}

#[tokio::test]
async fn list_follows_the_cursor_to_the_end() {
    let server = Server::start(|_, _, body| {
        let from = body["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().expect("a number") + 1);
        let users: Vec<_> = (from..2500).take(1000).map(|n| format!("{n:04}")).collect();
        let cursor = users.last().filter(|last| last.as_str() != "2499");
        Reply::Success(json!({"userCount": 2500, "userList": users, "cursor": cursor}))
    })
    .await;
    let (exit, out, err) = server.run(&["--app", "1", "list"]).await;
    assert_eq!((exit, out.lines().count(), err.as_str()), (0, 2501, "2500 users online in app 1\n"));
    assert_eq!(server.requests().len(), 3);
    assert!(server.requests().iter().all(|(path, body)| path == "/user/list" && body["limit"] == 1000));
    let (_, out, err) = server.run(&["--app", "1", "list", "--limit", "1500", "-o", "name"]).await;
    assert_eq!((out.lines().count(), out.lines().last(), err.as_str()), (1500, Some("1499"), ""));
}

#[tokio::test]
async fn a_list_without_end_is_an_error() {
    let endless = json!({"userCount": 9, "userList": ["a"], "cursor": "a"});
    let server = Server::start(move |_, _, _| Reply::Success(endless.clone())).await;
    let (exit, out, err) = server.run(&["--app", "1", "list"]).await;
    assert_eq!((exit, out.as_str()), (1, "USER\na\na\n"), "{err}");
    assert!(err.contains("does not come to an end"), "{err}");
}

#[tokio::test]
async fn online_answers_in_the_order_asked() {
    let server = Server::start(|_, _, body| {
        Reply::Success(json!({"userId": body["userId"], "online": body["userId"] == "黄帝"}))
    })
    .await;
    let (exit, out, _) = server.run(&["--app", "1", "online", "b", "黄帝", "a"]).await;
    assert_eq!((exit, out.as_str()), (3, "USER  ONLINE\nb     no\n黄帝  yes\na     no\n"));
    assert_eq!(server.run(&["--app", "1", "online", "a", "b"]).await.0, 5);
    assert_eq!(server.run(&["--app", "1", "online", "a"]).await.0, 5);
    let (exit, out, _) = server.run(&["--app", "1", "online", "黄帝", "-o", "jsonl"]).await;
    assert_eq!((exit, out.as_str()), (0, "{\"userId\":\"黄帝\",\"online\":true}\n"));
}

#[tokio::test]
async fn a_message_keeps_its_id_when_it_is_tried_again() {
    let server = Server::start(|index, _, body| match index {
        0 => Reply::Refusal(1013, 503, Value::Null),
        1 => Reply::Refusal(1011, 429, json!({"retryAfterMs": 1})),
        _ => delivered(body),
    })
    .await;
    let (exit, out, err) = server.run(&["send", "黄帝", "-", "--app", "1", "--as", "马超", "-v"]).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| *request == requests[0]));
    let body = &requests[0].1;
    assert_eq!((&body["message"], &body["from"]), (&json!("from stdin"), &json!("马超")));
    let told = format!("delivered to 黄帝 (message {})\n", body["msgId"].as_str().unwrap());
    assert_eq!((exit, out), (0, told), "{err}");
    assert!(err.contains("POST /user/sendMessage: status 429 in "), "{err}");
    assert!(!err.contains('\u{1b}'), "{err:?}");
}

#[tokio::test]
async fn a_lost_answer_is_not_tried_again_and_names_the_id() {
    let server =
        Server::start(|_, path, _| if path == "/user/sendMessage" { Reply::Silence } else { Reply::HangUp })
            .await;
    let words = ["--app", "1", "send", "a", "hi", "--msg-id", "m-7", "--timeout", "100ms"];
    let (exit, _, err) = server.run(&words).await;
    assert_eq!((exit, server.requests().len()), (8, 1));
    assert!(err.contains("--msg-id m-7"), "{err}");
    assert_eq!(server.run(&["--app", "1", "broadcast", "--from", "a", "hi"]).await.0, 8);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn refusals_end_with_their_exit_and_without_raw_controls() {
    for (code, status, exit) in
        [(1000, 401, 4), (1001, 400, 1), (1003, 403, 4), (1005, 404, 5), (1009, 409, 6), (1013, 503, 7)]
    {
        let server = Server::start(move |_, _, _| Reply::Refusal(code, status, Value::Null)).await;
        let (ended, out, err) = server.run(&["state", "--retries", "0"]).await;
        assert_eq!((ended, out.as_str()), (exit, ""), "{code}");
        assert!(err.starts_with(&format!("error: told\\u{{1b}}[2J why (code {code})\n")), "{err:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let exit =
        chatctl::run(line(&["state", "--server", &address, "--retries", "1", "-v"]), surroundings).await;
    let err = written.stderr();
    assert_eq!(exit, 7, "{err}");
    assert!(
        err.contains("(1 of 1)")
            && err.contains(&format!("error: cannot reach {address}: Connection refused\n")),
        "{err}"
    );
    assert!(err.contains("is chatd running? start it with `chatd`, or name another with --server"), "{err}");
}

#[tokio::test]
async fn a_rehearsal_sends_nothing() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    for words in [
        &["list"][..],
        &["online", "a", "b"],
        &["send", "a", "hi"],
        &["broadcast", "hi", "--as", "a"],
        &["page"],
        &["state"],
        &["api", "/user/list"],
    ] {
        let (exit, out, err) = server.run(&[words, &["--app", "1", "--dry-run"]].concat()).await;
        assert_eq!(exit, 0, "{words:?}: {err}");
        assert!(out.contains(&server.address), "{words:?}: {out}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_line_sends_nothing() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    let large = "x".repeat(16 * 1024 + 1);
    for words in [
        &["list"][..],
        &["--app", "1", "send", "a", ""],
        &["--app", "1", "send", "a", &large],
        &["--app", "1", "send", "a\u{7}", "hi"],
        &["--app", "1", "broadcast", "hi"],
        &["api", "/nowhere"],
        &["api", "/user/list", "appId=x"],
    ] {
        let (exit, out, err) = server.run(words).await;
        assert_eq!((exit, out.as_str()), (2, ""), "{words:?}");
        assert!(err.starts_with("error: "), "{err}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_page_is_looked_at_before_its_address_is_printed() {
    let server = Server::start(|_, _, _| Reply::Page("<!doctype html>\n<HTML lang=zh>")).await;
    let (exit, out, _) = server.run(&["--app", "7", "--as", "黄 帝", "page"]).await;
    assert_eq!(
        (exit, out),
        (0, format!("{}/home/index?appId=7&userId=%E9%BB%84+%E5%B8%9D\n", server.address))
    );
    assert_eq!(server.requests()[0].0, "/home/index?appId=7&userId=%E9%BB%84+%E5%B8%9D");
    for (reply, expected) in [("welcome to nginx", 1), (r#"{"code":1005,"msg":"no","data":null}"#, 5)] {
        let server = Server::start(move |_, _, _| Reply::Page(reply)).await;
        let (exit, out, _) = server.run(&["--app", "7", "page"]).await;
        assert_eq!((exit, out.as_str()), (expected, ""));
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_failure() {
    let server = Server::start(|_, _, _| Reply::Success(json!({"userCount": 1, "userList": ["a"]}))).await;
    let (mut surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
    surroundings.stdout = Box::new(Gone);
    let exit = chatctl::run(line(&["--app", "1", "list", "-q"]), surroundings).await;
    assert_eq!((exit, written.stderr().as_str()), (0, ""));
}

#[tokio::test]
async fn an_interrupted_run_ends_with_130() {
    let server = Server::start(|_, _, _| Reply::Silence).await;
    let (mut surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
    let requests = server.requests.clone();
    surroundings.interrupt = Box::pin(async move {
        while requests.lock().expect("no panic").is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let exit = chatctl::run(line(&["state"]), surroundings).await;
    assert_eq!((exit, written.stderr().as_str()), (130, "error: interrupted\n"));
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    let server = Server::start(|_, _, body| delivered(body)).await;
    let runs = (0..8).map(|n| {
        let (surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
        let user = format!("u{n}");
        let words = line(&["--app", "1", "send", &user, "hi"]);
        (tokio::spawn(chatctl::run(words, surroundings)), written, user)
    });
    for (run, written, user) in runs.collect::<Vec<_>>() {
        let (exit, out) = (run.await.unwrap(), written.stdout());
        assert!(exit == 0 && out.starts_with(&format!("delivered to {user} (message ")), "{out}");
    }
    let ids: std::collections::HashSet<_> =
        server.requests().iter().map(|(_, body)| body["msgId"].to_string()).collect();
    assert_eq!(ids.len(), 8);
}
