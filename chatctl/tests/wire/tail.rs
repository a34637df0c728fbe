//! `chatctl tail` where there is a history and no connection yet: what it shows, tells, and how it ends.
//!
//! Invariant: a run that is told to stop ends with 0, one that cannot go on does not.

use std::time::Duration;

use crate::scripted::{Reply, Server, line};
use chatctl::surroundings::{Surroundings, Written};
use serde_json::{Value, json};

fn message(target: &str, from: &str, offset: u64, time: u64) -> Value {
    json!({
        "target": target, "type": "text", "msg": format!("文\n{offset}"), "from": from, "msgId": "m",
        "offset": offset, "epoch": "e", "time": time
    })
}

/// Two conversations with two messages each; `acc` answers a WebSocket.
async fn server(acc: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |_, path, body| match (path, body["target"].as_str()) {
        ("/acc", _) => acc(),
        (_, Some("")) => {
            let messages = [message("", "a", 7, 1000), message("", "b", 8, 3000)];
            let limit = usize::try_from(body["limit"].as_u64().expect("a limit")).expect("a small one");
            Reply::Success(json!({"messages": messages[2 - limit..], "next": 7, "epoch": "e"}))
        }
        (_, Some("user:x")) => {
            let messages = [message("user:x", "me", 1, 2000), message("user:me", "x", 2, 4000)];
            Reply::Success(json!({"messages": messages, "epoch": "e"}))
        }
        _ => Reply::Refusal(1005, 404, Value::Null),
    })
    .await
}

/// Runs until there is something on stderr; Ctrl-C comes then.
async fn run(server: &Server, words: &[&str]) -> (u8, String, String) {
    let (mut surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
    surroundings.interrupt = Box::pin(told(written.clone()));
    let words = [&["--app", "1", "--as", "me", "tail"], words].concat();
    let exit = tokio::time::timeout(Duration::from_secs(10), chatctl::run(line(&words), surroundings));
    (exit.await.expect("an end"), written.stdout(), written.stderr())
}

async fn told(written: Written) {
    while written.stderr().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_last_messages_stand_in_order_and_ctrl_c_ends_well() {
    let server = server(|| Reply::HangUp).await;
    let (exit, out, err) = run(&server, &["", "user:x", "", "--last", "2"]).await;
    assert_eq!(exit, 130, "{err}");
    assert_eq!(
        out,
        "1970-01-01 00:00:01Z  (world)  a: 文\\n7\n\
         1970-01-01 00:00:02Z  user:x  me: 文\\n1\n\
         1970-01-01 00:00:03Z  (world)  b: 文\\n8\n\
         1970-01-01 00:00:04Z  user:x  x: 文\\n2\n"
    );
    assert!(err.contains("trying again in") && !err.contains("interrupted"), "{err}");
}

#[tokio::test]
async fn json_is_the_message_as_it_was_sent() {
    let server = server(|| Reply::HangUp).await;
    let (exit, out, _) = run(&server, &["", "--last", "1", "-o", "jsonl"]).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, shown), (130, message("", "b", 8, 3000)));
    let (exit, out, _) = run(&server, &["user:x"]).await;
    assert_eq!((exit, out.as_str()), (130, ""), "without --last nothing old is shown");
}

#[tokio::test]
async fn of_two_users_both_are_named_or_the_missing_one_is_asked_for() {
    let server = server(|| Reply::HangUp).await;
    for words in [
        &["tail", "--unseen", "user:x"][..],
        &["watch", "--unseen", "", "user:x"],
        &["tail", "user:x"],
        &["history", "user:x"],
        &["explain", "message", "user:x", "1"],
    ] {
        let (exit, out, err) = server.run(&[&["--app", "1"], words].concat()).await;
        assert_eq!((exit, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.starts_with("error: user:x is what two users say to each other"), "{words:?}: {err}");
        assert!(err.contains("--as USER") && err.contains("CHATCTL_AS"), "{words:?}: {err}");
    }
    let (exit, _, err) = server.run(&["--app", "1", "chat", "--unseen", "user:x"]).await;
    assert!(exit == 2 && err.contains("`chatctl tail --unseen TARGET`") && err.contains("--as"), "{err}");
    assert!(server.requests().is_empty());
    let help = server.run(&["tail", "--help"]).await.1;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("of user:NAME, --as names the other side"), "{help}");
}

#[tokio::test]
async fn what_cannot_go_on_is_no_good_end() {
    let refusing = server(|| Reply::Refusal(1003, 403, Value::Null)).await;
    let (surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &refusing.address)]);
    let exit = chatctl::run(line(&["--app", "1", "--as", "me", "tail", ""]), surroundings).await;
    assert_eq!(exit, 1, "{}", written.stderr());
    assert!(written.stderr().contains("HTTP status 403"), "{}", written.stderr());
    let (exit, _, err) = run(&refusing, &["group:none"]).await;
    assert_eq!(exit, 5, "{err}");
    let (exit, _, err) = run(&refusing, &["", "-o", "yaml"]).await;
    assert_eq!(exit, 2);
    assert!(err.contains("-o jsonl"), "{err}");
}
