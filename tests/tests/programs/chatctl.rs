//! chatctl against a real node: what it prints, how it ends, and that what it sends arrives.
//!
//! Invariant: data is on stdout and nothing else is; every run names the node by the environment.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use chat_tests::node::Node;
use chat_tests::program::{run, run_until};
use chat_tests::talk::{next_message, next_text};
use chat_tests::wait::{SOON, pace, until};
use chatctl::surroundings::{Surroundings, Written};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const APP: u32 = 401;

/// How a run ended: exit code, data, messages.
type Ended = (u8, String, String);

async fn chatctl_at(server: &str, words: &[&str], stdin: &str) -> Ended {
    let variables = [("CHATCTL_SERVER", server), ("CHATCTL_APP", "401"), ("CHATCTL_RETRIES", "0")];
    let (surroundings, written) = Surroundings::in_memory(stdin.as_bytes(), &variables);
    let line = std::iter::once("chatctl").chain(words.iter().copied()).map(Into::into);
    let exit = chatctl::run(line, surroundings).await;
    (exit, written.stdout(), written.stderr())
}

async fn chatctl(node: &Node, words: &[&str]) -> Ended {
    chatctl_at(&node.server().to_string(), words, "").await
}

async fn json_of(node: &Node, words: &[&str]) -> Value {
    let (exit, out, err) = chatctl(node, &[words, &["-o", "json"]].concat()).await;
    assert_eq!(exit, 0, "{words:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[tokio::test]
async fn list_shows_who_is_online() {
    let node = Node::ephemeral(&[]).await;
    let empty = chatctl(&node, &["list"]).await;
    assert_eq!(empty, (0, String::new(), "nobody is online in app 401\n".to_owned()));
    assert_eq!(json_of(&node, &["list"]).await, json!([]));
    let _users =
        [node.login(APP, "黄帝").await, node.login(APP, "b").await, node.login(402, "elsewhere").await];
    let full = chatctl(&node, &["list"]).await;
    assert_eq!(full, (0, "USER\nb\n黄帝\n".to_owned(), "2 users online in app 401\n".to_owned()));
    assert_eq!(json_of(&node, &["list"]).await, json!([{"userId": "b"}, {"userId": "黄帝"}]));
    assert_eq!(chatctl(&node, &["list", "-o", "name", "-q"]).await.1, "b\n黄帝\n");
    assert_eq!(chatctl(&node, &["list", "--limit", "1", "-q"]).await.1, "USER\nb\n");
    assert_eq!(json_of(&node, &["list", "--app", "402"]).await, json!([{"userId": "elsewhere"}]));
}

#[tokio::test]
async fn list_pages_through_more_users_than_fit_one_answer() {
    let node = Node::ephemeral(&[]).await;
    let mut users = Vec::new();
    for number in 0..1100 {
        users.push(node.login(APP, &format!("u{number:04}")).await);
    }
    let (exit, out, err) = chatctl(&node, &["list", "-o", "name"]).await;
    let names: Vec<_> = (0..1100).map(|number| format!("u{number:04}")).collect();
    assert_eq!(
        (exit, out.lines().collect::<Vec<_>>()),
        (0, names.iter().map(String::as_str).collect()),
        "{err}"
    );
}

#[tokio::test]
async fn online_ends_with_0_3_or_5_and_aligns_chinese_names() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "黄帝").await;
    let both = chatctl(&node, &["online", "a", "黄帝"]).await;
    let table = "USER  ONLINE\na     no\n黄帝  yes\n";
    assert_eq!(both, (3, table.to_owned(), "1 of 2 online in app 401\n".to_owned()));
    assert_eq!(chatctl(&node, &["online", "黄帝", "-q"]).await.0, 0);
    assert_eq!(chatctl(&node, &["online", "a", "b"]).await.0, 5);
    assert_eq!(json_of(&node, &["online", "黄帝"]).await, json!([{"userId": "黄帝", "online": true}]));
}

#[tokio::test]
async fn send_reaches_the_user_and_tells_whether_they_are_there() {
    let node = Node::ephemeral(&[]).await;
    let mut user = node.login(APP, "黄帝").await;
    let sent = chatctl(&node, &["send", "黄帝", "hello", "--as", "马超", "--msg-id", "m1"]).await;
    assert_eq!(sent, (0, "delivered to 黄帝 (message m1)\n".to_owned(), String::new()));
    let message = next_message(&mut user).await;
    assert_eq!((message.from.as_str(), message.msg_id.as_str()), ("马超", "m1"));
    assert_eq!(message.content.msg.as_deref(), Some("hello"));
    let again = json_of(&node, &["send", "黄帝", "hello", "--as", "马超", "--msg-id", "m1"]).await;
    assert_eq!((&again["duplicate"], &again["offset"]), (&json!(true), &json!(message.offset)));
    let piped = chatctl_at(&node.server().to_string(), &["send", "黄帝", "-"], "two\nlines\n").await;
    assert_eq!(piped.0, 0, "{}", piped.2);
    assert_eq!(next_text(&mut user).await, "two\nlines", "the repeat was not delivered");
    let stored = chatctl(&node, &["send", "nobody", "later", "--msg-id", "m2"]).await;
    assert_eq!((stored.0, stored.1.as_str()), (0, "stored for nobody, who is offline (message m2)\n"));
    let (_, out, _) = chatctl(&node, &["send", "nobody", "later"]).await;
    let id = out.rsplit(' ').next().expect("a word").trim_end().trim_end_matches(')').to_owned();
    let again = json_of(&node, &["send", "nobody", "later", "--msg-id", &id]).await;
    assert_eq!(again["duplicate"], true, "the id that was told makes a repeat: {out}");
    let answer = json_of(&node, &["send", "nobody", "later"]).await;
    assert_eq!((&answer["sendResults"], &answer["stored"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn broadcast_reaches_everyone_but_its_sender() {
    let node = Node::ephemeral(&[]).await;
    let mut users = [node.login(APP, "黄帝").await, node.login(APP, "马超").await];
    let mut sender = node.login(APP, "系统").await;
    let sent = chatctl(&node, &["broadcast", "--from", "系统", "hello", "--msg-id", "b"]).await;
    assert_eq!(sent, (0, "sent to everyone in app 401 except 系统 (message b)\n".to_owned(), String::new()));
    let sent = json_of(&node, &["broadcast", "--from", "other", "end", "--msg-id", "e"]).await;
    let expected = json!({"msgId": "e", "sendResults": true, "offset": 2, "duplicate": false});
    assert_eq!(sent, expected);
    for user in &mut users {
        assert_eq!((next_text(user).await, next_text(user).await), ("hello".to_owned(), "end".to_owned()));
    }
    assert_eq!(next_text(&mut sender).await, "end");
}

#[tokio::test]
async fn page_prints_an_address_that_serves_the_page() {
    let node = Node::ephemeral(&[]).await;
    let (exit, out, err) = chatctl(&node, &["page", "--as", "黄帝"]).await;
    let server = node.server().to_string();
    assert_eq!((exit, err.as_str()), (0, ""));
    assert_eq!(out, format!("{server}/home/index?appId=401&userId=%E9%BB%84%E5%B8%9D\n"));
    let target = out.trim_end().strip_prefix(&server).expect("an address of the node");
    assert!(chat_tests::raw_http::get(node.server(), target).await.body.contains("<html"));
}

/// Browsers that note what they are asked for, in a directory of their own that is all there is to find programs in.
#[tokio::test]
async fn page_opens_the_address_in_the_browser_there_is() {
    let node = Node::ephemeral(&[]).await;
    let programs = tempfile::tempdir().expect("a directory");
    let path = programs.path().to_str().expect("a path").to_owned();
    let install = |name: &str, script: &str| {
        let file = programs.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a program");
    };
    let note = |name: &str| format!("echo {name} \"$@\" > {path}/opened; echo noise; echo noise >&2");
    let server = node.server().to_string();
    let open = async |browser: &str| {
        let variables = [("PATH", path.as_str()), ("CHATCTL_SERVER", &server), ("BROWSER", browser)];
        let arguments = ["--app", "401", "--as", "黄帝;rm", "page", "--open"];
        let ended = run("chatctl", &arguments, &variables).await;
        let opened = std::fs::read_to_string(programs.path().join("opened")).unwrap_or_default();
        let _ = std::fs::remove_file(programs.path().join("opened"));
        (ended, opened)
    };
    let address = format!("{server}/home/index?appId=401&userId=%E9%BB%84%E5%B8%9D%3Brm\n");
    let (ended, opened) = open("").await;
    assert_eq!((ended.code, ended.stdout.as_str(), opened.as_str()), (Some(1), address.as_str(), ""));
    assert!(ended.stderr.contains("no browser opens it (xdg-open: "), "{}", ended.stderr);
    install("open", &note("open"));
    assert_eq!(open("").await.1, format!("open {address}"));
    install("xdg-open", &note("xdg-open"));
    install("mine", &note("mine"));
    install("fails", "exit 3");
    for (browser, name) in [("", "xdg-open"), ("mine", "mine")] {
        let (ended, opened) = open(browser).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(0), address.as_str(), "")
        );
        assert_eq!(opened, format!("{name} {address}"));
    }
    let (ended, opened) = open("fails").await;
    assert_eq!((ended.code, ended.stdout.as_str(), opened.as_str()), (Some(1), address.as_str(), ""));
}

#[tokio::test]
async fn state_shows_what_the_node_does() {
    let node = Node::ephemeral(&["--max-connections", "77"]).await;
    let mut user = node.login(APP, "a").await;
    let _idle = node.connect().await;
    assert_eq!(chatctl(&node, &["send", "a", "hello"]).await.0, 0);
    next_text(&mut user).await;
    let counted = async || {
        let state = json_of(&node, &["state"]).await;
        (&state["connections"], &state["sessions"], &state["connectionsTotal"])
            == (&json!(2), &json!(1), &json!(2))
    };
    until("both connections are counted", SOON, counted).await;
    let state = json_of(&node, &["state"]).await;
    let expected = json!({"engine": "embedded", "ready": true, "pid": node.pid(), "nodes": 1, "maxConnections": 77,
        "messagesTotal": 1, "deliveriesTotal": 1, "slowClosesTotal": 0, "gapFillsTotal": 0});
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(&state[member], value, "{member}");
    }
    let (exit, table, _) = chatctl(&node, &["state"]).await;
    assert_eq!(exit, 0);
    assert!(table.lines().any(|line| line.starts_with("engine ") && line.ends_with(" embedded")), "{table}");
}

#[tokio::test]
async fn api_calls_any_operation_by_its_path() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "黄帝").await;
    let online = json_of(&node, &["api", "/user/online", "userId=黄帝"]).await;
    assert_eq!(online, json!({"online": true, "userId": "黄帝"}));
    let list = json_of(&node, &["api", "user/list"]).await;
    assert_eq!(list, json!({"userCount": 1, "userList": ["黄帝"]}));
    let operations = json_of(&node, &["api"]).await;
    let paths: Vec<_> =
        operations.as_array().expect("a list").iter().map(|row| row["path"].clone()).collect();
    let all: Vec<_> = chat_protocol::table::ALL.iter().map(|operation| json!(operation.path)).collect();
    assert_eq!(paths, all);
}

#[tokio::test]
async fn what_cannot_be_done_ends_with_its_code_and_prints_no_data() {
    let node = Node::ephemeral(&[]).await;
    let gone = Node::ephemeral(&[]).await.server().to_string();
    let there = node.server().to_string();
    let large = "x".repeat(17_000);
    for (server, words, code) in [
        (&gone, &["list"][..], 7),
        (&gone, &["send", "a", "x"], 7),
        (&gone, &["state"], 7),
        (&there, &["nonsense"], 2),
        (&there, &["send", "a"], 2),
        (&there, &["send", "", "x"], 2),
        (&there, &["send", "a", &large], 2),
        (&there, &["broadcast", "x"], 2),
        (&there, &["list", "--app", "x"], 2),
        (&there, &["api", "/user/nope"], 2),
        (&there, &["api", "/user/list", "limit=x"], 2),
    ] {
        let (exit, out, err) = chatctl_at(server, words, "").await;
        assert_eq!((exit, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.starts_with("error: "), "{words:?}: {err}");
    }
}

/// Surroundings of a tail that is interrupted once "the end" is shown.
fn until_the_end(node: &Node) -> (Surroundings, Written) {
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401")];
    let (mut surroundings, written) = Surroundings::in_memory(b"", &variables);
    let shown = written.clone();
    surroundings.interrupt = Box::pin(async move {
        while !shown.stdout().contains("the end") {
            pace(Duration::from_millis(5)).await;
        }
    });
    (surroundings, written)
}

fn without_times(shown: &str) -> Vec<&str> {
    shown.lines().map(|line| &line[line.find("  ").unwrap_or(0)..]).collect()
}

#[tokio::test]
async fn tail_tells_of_recalls_in_the_conversations_it_shows() {
    let node = Node::ephemeral(&[]).await;
    let (surroundings, written) = until_the_end(&node);
    let line = ["chatctl", "--as", "me", "tail", "user:x"].map(Into::into);
    let tail = tokio::spawn(chatctl::run(line, surroundings));
    let online = ["online", "me", "-q"];
    until("tail is logged in", SOON, async || chatctl(&node, &online).await.0 == 0).await;
    for name in ["y", "x"] {
        let mut user = node.login(APP, name).await;
        let to_me: chat_protocol::Target = "user:me".parse().expect("a target");
        let sent = user.send(to_me.clone(), "oops").await.expect("sent");
        let recall = json!({"target": to_me, "offset": sent.offset});
        user.request("message/recall", &recall).await.expect("recalled");
        user.send(to_me, "the end").await.expect("sent");
    }
    assert_eq!(tail.await.expect("no panic"), 130, "{}", written.stderr());
    assert_eq!(written.stderr(), "");
    assert_eq!(without_times(&written.stdout()), ["  x: oops", "  x: (recalled message 1)", "  x: the end"]);
}

/// It looks once an hour only where the server brings nothing by itself.
#[tokio::test]
async fn a_tail_without_a_user_is_live_and_nobody_sees_it() {
    let node = Node::ephemeral(&[]).await;
    let (surroundings, written) = until_the_end(&node);
    let line = ["chatctl", "-v", "--as", "a", "tail", "--unseen", "--every", "1h", "", "user:b"];
    let tail = tokio::spawn(chatctl::run(line.map(Into::into), surroundings));
    until("it is connected", SOON, async || written.stderr().contains("connected to")).await;
    let (mut a, mut b) = (node.login(APP, "a").await, node.login(APP, "b").await);
    a.send("user:b".parse().expect("a target"), "one").await.expect("sent");
    b.send("user:a".parse().expect("a target"), "two").await.expect("sent");
    assert_eq!(next_text(&mut a).await, "two");
    a.close().await;
    until("a has gone", SOON, async || chatctl(&node, &["online", "a", "-q"]).await.0 == 5).await;
    b.send(chat_protocol::Target::World, "the end").await.expect("sent");
    assert_eq!(tail.await.expect("no panic"), 130, "{}", written.stderr());
    assert_eq!(
        without_times(&written.stdout()),
        ["  user:b  a: one", "  user:b  b: two", "  (world)  b: the end"]
    );
}

/// Runs a line of the shell in which `$0` is chatctl.
async fn in_shell(node: &Node, script: &'static str) -> Ended {
    let server = node.server().to_string();
    let shell = move || {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).arg(chat_tests::node::program("chatctl"));
        shell.envs([("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401"), ("CHATCTL_AS", "u")]);
        shell.output().expect("a shell")
    };
    let output = tokio::task::spawn_blocking(shell).await.expect("no panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let exit = output.status.code().and_then(|code| u8::try_from(code).ok());
    (exit.expect("no signal"), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn too_few_descriptors_are_said_and_no_panic() {
    let node = Node::ephemeral(&[]).await;
    for limit in ["ulimit -n 6; exec \"$0\" state", "ulimit -n 8; exec \"$0\" state"] {
        let (exit, out, err) = in_shell(&node, limit).await;
        assert_eq!((exit, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("Too many open files") && err.contains("ulimit -n"), "{err}");
    }
    assert_eq!(in_shell(&node, "ulimit -n 32; exec \"$0\" state -o name").await.0, 0);
}

#[tokio::test]
async fn a_reader_that_goes_ends_every_command_in_silence() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "a").await;
    for text in ["one", "two", "three"] {
        assert_eq!(chatctl(&node, &["broadcast", "--from", "b", text]).await.0, 0);
    }
    for script in [
        "(\"$0\" tail --last 3; echo $? >&2) | head -1",
        "(\"$0\" history; echo $? >&2) | head -1",
        "(\"$0\" list -q; echo $? >&2) | head -1",
        "(\"$0\" state; echo $? >&2) | head -1",
        "(\"$0\" --help; echo $? >&2) | head -1",
    ] {
        let (exit, out, err) = in_shell(&node, script).await;
        assert_eq!((exit, out.lines().count(), err.as_str()), (0, 1, "0\n"), "{script}: {out}");
    }
}

#[tokio::test]
async fn every_signal_to_stop_ends_a_tail_in_order() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401")];
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let tail = ["--as", "me", "tail", "-v"];
        let ended = run_until("chatctl", &tail, &variables, "connected to", signal).await;
        assert_eq!(ended.code, Some(130), "{signal}: {ended:?}");
    }
}

#[tokio::test]
async fn the_program_itself_behaves_the_same() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str())];
    let ended = chat_tests::program::run("chatctl", &["--app", "401", "online", "a"], &variables).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), "USER  ONLINE\na     no\n"), "{ended:?}");
    let ended = chat_tests::program::run("chatctl", &["--no-such-flag"], &variables).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
}
