//! What goes on and on against a scripted server: an operator's tail, `--watch`, and what a shell asks.
//!
//! Invariant: nothing is shown twice, and what is missing is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::scripted::{Reply, Server, line};
use chatctl::surroundings::{Surroundings, Written};
use serde_json::{Value, json};

fn said(offset: u64, epoch: &str, text: &str) -> Value {
    json!({
        "target": "", "type": "text", "msg": text, "from": "a", "msgId": format!("{epoch}-{offset}"),
        "offset": offset, "epoch": epoch, "time": offset * 1000
    })
}

/// A log that answers `/message/history` as chatd does.
fn history(log: &[Value], epoch: &str, body: &Value) -> Reply {
    let offset = |message: &Value| message["offset"].as_u64().expect("a number");
    let limit = usize::try_from(body["limit"].as_u64().expect("a limit")).expect("a small one");
    let messages: Vec<Value> = match body["after"].as_u64() {
        Some(after) => log.iter().filter(|message| offset(message) > after).take(limit).cloned().collect(),
        None => log[log.len().saturating_sub(limit)..].to_vec(),
    };
    Reply::Success(json!({"messages": messages, "epoch": epoch}))
}

/// Runs until stdout or stderr has this; Ctrl-C comes then.
async fn run_until(server: &Server, words: &[&str], text: &'static str) -> (u8, String, String) {
    let (mut surroundings, written) = Surroundings::in_memory(b"", &[("CHATCTL_SERVER", &server.address)]);
    surroundings.interrupt = Box::pin(shown(written.clone(), text));
    let run = chatctl::run(line(&[&["--app", "1"], words].concat()), surroundings);
    let exit = tokio::time::timeout(Duration::from_secs(20), run).await.expect("an end");
    (exit, written.stdout(), written.stderr())
}

async fn shown(written: Written, text: &str) {
    while !(written.stdout() + &written.stderr()).contains(text) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A server whose log is another one in each round.
async fn rounds(logs: Vec<(&'static str, Vec<Value>)>) -> Server {
    let round = Arc::new(AtomicUsize::new(0));
    Server::start(move |_, path, body| {
        if path == "/acc" {
            return Reply::Refusal(1010, 404, Value::Null);
        }
        assert_eq!(path, "/message/history", "nobody logs in");
        assert!(body.get("userId").is_none_or(Value::is_null), "{body}");
        // The newest one is asked for at the start, and where something is odd.
        let at = match body["after"].is_u64() {
            true => round.fetch_add(1, Ordering::Relaxed) + 1,
            false => round.load(Ordering::Relaxed),
        };
        let (epoch, log) = &logs[at.min(logs.len() - 1)];
        history(log, epoch, body)
    })
    .await
}

const QUICK: [&str; 3] = ["tail", "--every", "100ms"];

#[tokio::test]
async fn an_operator_reads_along_without_logging_in() {
    let log = |last: u64| (1..=last).map(|n| said(n, "e", &format!("message {n}"))).collect::<Vec<_>>();
    let server =
        rounds(vec![("e", log(2)), ("e", log(2)), ("e", log(4)), ("e", log(4)), ("e", log(5))]).await;
    let (exit, out, err) = run_until(&server, &QUICK, "message 5").await;
    assert_eq!((exit, err.as_str()), (130, ""));
    let texts: Vec<_> = out.lines().map(|line| line.split(": ").last().expect("a text")).collect();
    assert_eq!(texts, ["message 3", "message 4", "message 5"]);
}

#[tokio::test]
async fn what_an_operator_does_not_want_is_not_shown() {
    let log = vec![said(1, "e", "one"), said(2, "e", "two"), said(3, "e", "THREE")];
    let server = rounds(vec![("", Vec::new()), ("e", log)]).await;
    let (_, out, _) =
        run_until(&server, &[&QUICK[..], &["--grep", "three", "-o", "jsonl"]].concat(), "THREE").await;
    assert_eq!(out.lines().count(), 1, "{out}");
    let shown: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(shown["offset"], 3);
}

#[tokio::test]
async fn a_history_that_lost_its_end_or_is_another_one_is_told() {
    let old = || vec![said(1, "e", "one"), said(2, "e", "two"), said(3, "e", "three")];
    let cut = || vec![said(1, "e", "one")];
    let grown = || vec![said(1, "e", "one"), said(2, "e", "another two")];
    let server = rounds(vec![("e", old()), ("e", old()), ("e", cut()), ("e", grown())]).await;
    let (_, out, err) = run_until(&server, &QUICK, "another two").await;
    assert!(err.contains("(world) lost the messages after 1"), "{err}");
    assert_eq!(out.lines().count(), 1, "{out}");

    let new = vec![said(1, "f", "first of another")];
    let server = rounds(vec![("e", old()), ("e", old()), ("f", new)]).await;
    let (_, out, err) = run_until(&server, &QUICK, "first of another").await;
    assert!(err.contains("(world) has another history now"), "{err}");
    assert_eq!(out.lines().count(), 1, "{out}");

    // Of a fork only what was written since is new.
    let fork = vec![said(1, "e", "one"), said(2, "e", "two"), said(3, "e.1.x", "instead of three")];
    let server = rounds(vec![("e", old()), ("e", old()), ("e.1.x", fork)]).await;
    let (_, out, _) = run_until(&server, &QUICK, "instead of three").await;
    assert_eq!(out.lines().count(), 1, "{out}");

    let holey = vec![said(6, "e", "six")];
    let server = rounds(vec![("e", old()), ("e", old()), ("e", holey)]).await;
    let (_, _, err) = run_until(&server, &QUICK, "six").await;
    assert!(err.contains("messages 4 to 5 of (world) are gone"), "{err}");
}

#[tokio::test]
async fn an_operators_tail_outlives_a_server_that_is_away_and_no_refusal() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_, path, body| match asked.fetch_add(1, Ordering::Relaxed) {
        1 => {
            assert_eq!(path, "/acc");
            Reply::Refusal(1010, 404, Value::Null)
        }
        2 => Reply::HangUp,
        3 => Reply::Refusal(1013, 503, Value::Null),
        0 => history(&[said(1, "e", "one")], "e", body),
        _ => history(&[said(1, "e", "one"), said(2, "e", "two")], "e", body),
    })
    .await;
    let (_, out, err) = run_until(&server, &QUICK, "two").await;
    assert!(out.contains("two") && !out.contains("one"), "{out}");
    assert!(err.matches("trying again in").count() == 2, "{err}");
    let refusing = Server::start(|_, _, _| Reply::Refusal(1003, 403, Value::Null)).await;
    assert_eq!(refusing.run(&["--app", "1", "tail"]).await.0, 4);
}

#[tokio::test]
async fn watch_asks_again_and_never_repeats_what_changes_something() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_, path, _| {
        assert_eq!(path, "/user/list");
        match asked.fetch_add(1, Ordering::Relaxed) {
            1 => Reply::HangUp,
            n => Reply::Success(json!({"userCount": 1, "userList": [format!("u{n}")]})),
        }
    })
    .await;
    let (exit, out, err) = run_until(&server, &["list", "-o", "name", "--watch", "100ms"], "u3").await;
    assert_eq!((exit, &out[..9]), (130, "u0\nu2\nu3\n"), "{err}");
    for line in [
        &["send", "a", "hi", "--watch", "1s"][..],
        &["api", "/user/sendMessage", "--watch", "1s", "userId=a", "message=x"],
        &["redpacket", "replay", "-y", "--watch", "1s"],
        &["tail", "--watch", "1s"],
        &["list", "--watch", "10ms"],
    ] {
        let before = server.requests().len();
        let (exit, _, err) = server.run(&[&["--app", "1"], line].concat()).await;
        assert_eq!((exit, server.requests().len()), (2, before), "{line:?}: {err}");
        assert!(err.contains("--watch"), "{err}");
    }
}

#[tokio::test]
async fn a_shell_is_told_who_is_there() {
    let server = Server::start(|_, path, body| match path {
        "/user/list" => {
            assert_eq!(body["appId"], 7);
            Reply::Success(json!({"userCount": 3, "userList": ["黄帝", "马超", "bad\u{202e}name"]}))
        }
        "/conversation/list" => Reply::Success(json!({"conversations": [
            {"target": "group:tea", "epoch": "e", "lastOffset": 3, "lastTime": 0, "readOffset": 1, "unread": 2}
        ]})),
        _ => Reply::HangUp,
    })
    .await;
    let ask = async |words: &[&str]| server.run(&[&["complete", "--"], words].concat()).await.1;
    let address = format!("--server={}", server.address);
    assert_eq!(ask(&[&address, "--app", "7", "send", "马"]).await, "马超\tonline\n");
    assert_eq!(ask(&[&address, "--app=7", "--as=马"]).await, "--as=马超\tonline\n");
    let targets = ask(&["history", "--app", "7", "--as", "黄帝", ""]).await;
    assert_eq!(targets, "group:tea\t2 unread\nuser:黄帝\tonline\nuser:马超\tonline\n");
    assert_eq!(ask(&["connections", "--node", ""]).await, "", "a server that fails gives none");
    assert_eq!(ask(&["--app", "7", "list", "--limi"]).await, "--limit\tShow at most so many users\n");
}

#[tokio::test]
async fn nushell_is_told_words_in_its_quotes() {
    let server = Server::start(|_, path, body| match path {
        "/user/list" => {
            assert_eq!(body["appId"], 7);
            Reply::Success(json!({"userCount": 3, "userList": ["李 白", "it's", "马超"]}))
        }
        _ => Reply::HangUp,
    })
    .await;
    let ask = async |words: &[&str]| {
        let before = ["complete", "--nushell", "--", "--app", "7"];
        server.run(&[&before[..], words].concat()).await.1
    };
    assert_eq!(ask(&["send", ""]).await, "'李 白'\tonline\n\"it's\"\tonline\n马超\tonline\n");
    for begun in ["'李 ", "\"李", "`李 白`", "李"] {
        assert_eq!(ask(&["send", begun]).await, "'李 白'\tonline\n", "{begun}");
    }
    assert_eq!(ask(&["--as='李"]).await, "'--as=李 白'\tonline\n");
    assert_eq!(ask(&["'lis"]).await, "list\tUsers of an app who are online\n");
}

#[tokio::test]
async fn a_shell_is_told_which_contexts_there_are_without_asking_a_server() {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(folder.path().join("chatd")).expect("a folder");
    let write =
        |text: &str| std::fs::write(folder.path().join("chatd/contexts.toml"), text).expect("written");
    let ask = async |words: &[&str]| {
        let home = folder.path().to_str().expect("a path");
        let (surroundings, written) = Surroundings::in_memory(b"", &[("XDG_CONFIG_HOME", home)]);
        let exit = chatctl::run(line(&[&["complete", "--"], words].concat()), surroundings).await;
        assert_eq!((exit, written.stderr().as_str()), (0, ""), "{words:?}");
        written.stdout()
    };
    write(
        "[prod]\nserver = \"https://u:pw@chat.example\"\n[\"生产\"]\nserver = \"http://127.0.0.1:1\"\n\
         [\"two words\"]\nserver = \"http://x\"\n[\"bad\\u202E\"]\nserver = \"http://x\"\n",
    );
    let both = "prod\thttps://u:***@chat.example\n生产\thttp://127.0.0.1:1\n";
    for words in [&["--context", ""][..], &["list", "--context", ""], &["context", "use", ""]] {
        assert_eq!(ask(words).await, both, "{words:?}");
    }
    assert_eq!(ask(&["context", "remove", "生"]).await, "生产\thttp://127.0.0.1:1\n");
    assert_eq!(ask(&["context", "show", "p"]).await, "prod\thttps://u:***@chat.example\n");
    assert_eq!(ask(&["--context=p"]).await, "--context=prod\thttps://u:***@chat.example\n");
    assert_eq!(ask(&["context", "add", ""]).await, "", "a new one has no name yet");
    write("nonsense");
    assert_eq!(ask(&["--context", ""]).await, "");
}

#[tokio::test]
async fn completion_is_installed_where_the_shell_looks_and_over_nothing_else() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().to_str().expect("a path");
    let run = async |words: &[&str]| {
        let (surroundings, written) =
            Surroundings::in_memory(b"", &[("HOME", path), ("SHELL", "/usr/bin/fish")]);
        let exit = chatctl::run(line(words), surroundings).await;
        (exit, written.stdout(), written.stderr())
    };
    let file = format!("{path}/.config/fish/completions/chatctl.fish");
    assert_eq!(run(&["completion", "install"]).await.1, format!("{file}\n"));
    assert_eq!(run(&["completion", "install"]).await.0, 0, "its own is replaced");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), run(&["completion", "fish"]).await.1);
    std::fs::write(&file, "somebody's").expect("written");
    let (exit, _, err) = run(&["completion", "install", "fish"]).await;
    assert_eq!(exit, 1);
    assert!(err.contains("another file is there"), "{err}");
    let (exit, _, _) = run(&["man", "--dir", path]).await;
    assert_eq!(exit, 0);
    let page = std::fs::read_to_string(format!("{path}/chatctl-group-create.1")).expect("written");
    assert!(page.contains(".TH chatctl-group-create 1") && page.contains("Examples"), "{page}");
    assert!(run(&["man"]).await.1.contains("redpacket"));
}

#[tokio::test]
async fn a_slip_of_the_hand_is_told_with_what_was_meant() {
    let server = Server::start(|_, _, _| Reply::HangUp).await;
    for (line, meant) in [("lsit", "list"), ("list --limt 3", "--limit"), ("group memebrs", "members")] {
        let words: Vec<_> = line.split(' ').collect();
        let (exit, _, err) = server.run(&words).await;
        assert_eq!(exit, 2, "{err}");
        assert!(err.contains("similar") && err.contains(meant), "{line}: {err}");
    }
}
