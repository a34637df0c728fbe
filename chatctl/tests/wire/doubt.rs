//! What a run says about what it cannot know: lost answers, retries, redirects, answers of another kind.
//!
//! Invariant: "unreachable" means that nothing was sent, and only what changes something may have been carried out.

use std::time::Duration;

use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};

use crate::scripted::{Reply, Server, line};

const CARRIED_OUT: &str = "may have been carried out";

#[tokio::test]
async fn a_redirect_is_not_followed_and_names_the_server_to_give() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(move |_, path, _| match path {
            "/group/create" => Reply::Redirect(status, "https://chat.example/group/create"),
            _ => Reply::Redirect(status, "/sso/login?secret=1"),
        })
        .await;
        let create = ["--app", "7", "--as", "u", "group", "create", "G"];
        let (exit, out, err) = server.run(&create).await;
        assert_eq!((exit, out.as_str(), server.requests().len()), (1, "", 1), "{status}: {err}");
        assert!(err.contains("redirects to https://chat.example/group/create"), "{err}");
        assert!(err.contains("--server https://chat.example\n") && !err.contains("cannot reach"), "{err}");
        let (exit, _, err) = server.run(&["--app", "7", "list"]).await;
        assert_eq!((exit, server.requests().len()), (1, 2));
        assert!(err.contains("/sso/login (HTTP") && !err.contains("secret"), "{err}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let server = Server::start(|_, _, _| Reply::Endless).await;
    for words in [&["--app", "1", "list"][..], &["--app", "1", "page"]] {
        let (exit, out, err) = server.run(&[words, &["--timeout", "20s"]].concat()).await;
        assert_eq!((exit, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("more than 33554432 bytes"), "{err}");
    }
}

#[tokio::test]
async fn only_what_changes_something_may_have_been_carried_out() {
    let writes = [
        &["send", "a", "x"][..],
        &["group", "join", "g"],
        &["wallet", "deposit", "a", "1", "--transfer-id", "t"],
        &["redpacket", "grab", "p"],
        &["friend", "block", "b"],
        &["conversation", "read", "", "1"],
        &["api", "/group/leave", "groupId=g"],
    ];
    let reads = [
        &["list"][..],
        &["online", "a"],
        &["history"],
        &["state"],
        &["page"],
        &["group", "members", "g"],
        &["wallet", "balance", "a"],
        &["redpacket", "audit"],
        &["api", "/user/list"],
    ];
    let silent = Server::start(|_, _, _| Reply::Silence).await;
    let closing = Server::start(|_, _, _| Reply::HangUp).await;
    for (server, flags) in [(&silent, ["--timeout", "50ms"]), (&closing, ["--timeout", "20s"])] {
        let flags = [&flags[..], &["--app", "1", "--as", "u"]].concat();
        for words in writes {
            let (exit, _, err) = server.run(&[&flags, words].concat()).await;
            assert!(exit == 8 && err.contains(CARRIED_OUT), "{words:?}: {exit} {err}");
        }
        for words in reads {
            let (exit, _, err) = server.run(&[&flags, words].concat()).await;
            assert!(exit == 8 && !err.contains(CARRIED_OUT), "{words:?}: {exit} {err}");
        }
    }
}

#[tokio::test]
async fn unreachable_after_a_try_that_reached_the_server_is_not_nothing_sent() {
    // The store may have applied what it did not confirm; then the server goes away.
    let server = Server::start_for(1, |_, _, _| Reply::Refusal(1013, 503, Value::Null)).await;
    let (exit, _, err) = server.run(&["--app", "1", "--retries", "1", "send", "a", "x"]).await;
    assert_eq!((exit, server.requests().len()), (8, 1), "{err}");
    assert!(err.contains("cannot reach") && err.contains(CARRIED_OUT) && err.contains("--msg-id"), "{err}");
    let server = Server::start_for(1, |_, _, _| Reply::Refusal(1013, 503, Value::Null)).await;
    let (exit, _, err) = server.run(&["--app", "1", "--retries", "1", "list"]).await;
    assert_eq!((exit, err.contains(CARRIED_OUT)), (7, false), "{err}");
}

#[tokio::test]
async fn a_node_without_a_ledger_is_a_rule_and_is_not_asked_again() {
    let reason = chat_protocol::wallet::NO_LEDGER;
    let server = Server::start(move |_, _, _| Reply::Answer(503, json!({"code": 1013, "msg": reason}))).await;
    for words in [&["wallet", "balance", "a"][..], &["wallet", "deposit", "a", "1", "--transfer-id", "t"]] {
        let before = server.requests().len();
        let (exit, _, err) = server.run(&[&["--app", "1"], words].concat()).await;
        assert_eq!((exit, server.requests().len() - before), (6, 1), "{err}");
        assert!(err.contains("--ledger") && !err.contains(CARRIED_OUT), "{err}");
    }
}

#[tokio::test]
async fn a_write_that_is_broken_off_names_what_makes_repeating_safe() {
    let server = Server::start(|_, _, _| Reply::Silence).await;
    for (words, step) in [
        (&["send", "a", "x", "--msg-id", "m-9"][..], "--msg-id m-9"),
        (&["wallet", "deposit", "a", "1", "--transfer-id", "t-9"], "--transfer-id t-9"),
        (&["group", "join", "g"], "see whether it was done"),
    ] {
        let (mut surroundings, written) =
            Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
        let (requests, before) = (server.requests.clone(), server.requests().len());
        surroundings.interrupt = Box::pin(async move {
            while requests.lock().expect("no panic").len() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let words = [&["--app", "1", "--as", "u"], words].concat();
        let exit = chatctl::run(line(&words), surroundings).await;
        let err = written.stderr();
        assert!(exit == 130 && err.contains(CARRIED_OUT) && err.contains(step), "{exit} {err}");
    }
}

#[tokio::test]
async fn history_and_tail_are_of_the_world_unless_told_otherwise() {
    let server = Server::start(|_, _, _| Reply::Success(json!({"messages": [], "epoch": "e"}))).await;
    assert_eq!(server.run(&["--app", "1", "history"]).await.0, 0);
    let (exit, out, _) = server.run(&["--app", "1", "--as", "u", "tail", "--dry-run", "-o", "jsonl"]).await;
    assert_eq!(exit, 0);
    assert_eq!(server.requests()[0].1["target"], "");
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["body"]["target"], "");
}
