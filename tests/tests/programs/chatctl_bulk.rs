//! Messages of chatctl to many: what each line came to, the exit code, and that a repeat delivers nothing twice.
//!
//! Invariant: what was delivered is counted at the receiver, not in what chatctl says.

use chat_tests::node::Node;
use chat_tests::program::run_until;
use chat_tests::talk::next_text;
use chatctl::surroundings::Surroundings;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How a run ended: exit code, data, messages.
type Ended = (u8, String, String);

async fn chatctl_at(server: &str, words: &[&str], stdin: &str) -> Ended {
    let variables = [("CHATCTL_SERVER", server), ("CHATCTL_APP", "401"), ("CHATCTL_RETRIES", "0")];
    let (surroundings, written) = Surroundings::in_memory(stdin.as_bytes(), &variables);
    let line = std::iter::once("chatctl").chain(words.iter().copied()).map(Into::into);
    let exit = chatctl::run(line, surroundings).await;
    (exit, written.stdout(), written.stderr())
}

async fn chatctl(node: &Node, words: &[&str], stdin: &str) -> Ended {
    chatctl_at(&node.server().to_string(), words, stdin).await
}

fn rows(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Messages of the conversation of a user with `system`.
async fn received(node: &Node, user: &str) -> Vec<String> {
    let words = ["--as", user, "history", "user:system", "--all", "-o", "template={msg}"];
    let (exit, out, err) = chatctl(node, &words, "").await;
    assert_eq!(exit, 0, "{err}");
    out.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_list_of_users_is_a_list_of_receivers() {
    let node = Node::ephemeral(&[]).await;
    let mut users = [node.login(401, "黄帝").await, node.login(401, "back\\slash").await];
    let list = chatctl(&node, &["list", "-o", "name"], "").await.1;
    let (exit, out, err) = chatctl(&node, &["send", "--to", "-", "back at six"], &list).await;
    assert_eq!(exit, 0, "{err}");
    for user in &mut users {
        assert_eq!(next_text(user).await, "back at six");
    }
    assert!(out.lines().count() == 3 && out.contains("delivered"), "{out}");
    assert!(err.starts_with("2 messages in ") && err.contains(": 2 delivered"), "{err}");
    let table = chatctl(&node, &["list"], "").await.1;
    let (exit, out, err) = chatctl(&node, &["send", "--to", "-", "a table too", "-o", "jsonl"], &table).await;
    assert_eq!((exit, rows(&out).len()), (0, 2), "{err}");
    for user in &mut users {
        assert_eq!(next_text(user).await, "a table too");
    }
}

#[tokio::test]
async fn each_line_is_told_and_a_bad_one_keeps_none_from_going() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(401, "here").await;
    let lines = "{\"userId\":\"here\",\"message\":\"one\"}\n{\"userId\":\"\",\"message\":\"two\"}\n\
        {\"userId\":\"away\",\"message\":\"three\",\"msgId\":\"m-3\"}\n{\"userId\":\"here\",\"message\":\"one\"}\n";
    let (exit, out, err) = chatctl(&node, &["send", "--from-file", "-", "-o", "jsonl"], lines).await;
    let told: Vec<_> = rows(&out).iter().map(|row| (row["line"].clone(), row["outcome"].clone())).collect();
    let expected = [(1, "delivered"), (2, "failed"), (3, "stored"), (4, "delivered")];
    assert_eq!((exit, told), (3, expected.map(|(line, word)| (json!(line), json!(word))).into()), "{err}");
    assert_eq!(rows(&out)[2]["msgId"], "m-3");
    assert!(rows(&out)[1]["error"].as_str().is_some_and(|error| error.contains("userId")), "{out}");
    assert!(err.contains("2 delivered, 1 stored, 1 failed"), "{err}");
    assert_eq!(received(&node, "here").await, ["one", "one"], "two lines of the same words are two messages");
    let csv = "userId,message,from\naway,\"a, b\",马超\n";
    assert_eq!(chatctl(&node, &["send", "--from-file", "-"], csv).await.0, 0);
    let words = ["--as", "away", "history", "user:马超", "-o", "template={msg}"];
    assert_eq!(chatctl(&node, &words, "").await.1, "a, b\n");
}

#[tokio::test]
async fn a_repeat_of_a_batch_delivers_nothing_twice() {
    let node = Node::ephemeral(&[]).await;
    let batch = "01890a5d-ac96-774b-bcce-b302099a8057";
    let words = ["send", "--from-file", "-", "--batch", batch, "-o", "template={outcome}"];
    let lines = "userId,message\na,x\na,x\na,y\n";
    assert_eq!(chatctl(&node, &words, lines).await.1, "stored\nstored\nstored\n");
    assert_eq!(chatctl(&node, &words, lines).await.1, "repeated\nrepeated\nrepeated\n");
    let more = format!("{lines}a,z\n");
    assert_eq!(chatctl(&node, &words, &more).await.1, "repeated\nrepeated\nrepeated\nstored\n");
    assert_eq!(received(&node, "a").await, ["x", "x", "y", "z"]);
    let names = ["send", "--to", "-", "hi", "--batch", batch, "-o", "template={outcome}"];
    assert_eq!(chatctl(&node, &names, "b\nc\n").await.1, "stored\nstored\n");
    assert_eq!(chatctl(&node, &names, "a\nc\nb\nc\n").await.1, "stored\nrepeated\nrepeated\nrepeated\n");
}

#[tokio::test]
async fn a_journal_goes_on_where_a_broken_run_ended() {
    let node = Node::ephemeral(&[]).await;
    let gone = Node::ephemeral(&[]).await.server().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let (file, journal) = (folder.path().join("lines.jsonl"), folder.path().join("journal"));
    let lines: String = (0..50).map(|n| format!("{{\"userId\":\"a\",\"message\":\"{n:02}\"}}\n")).collect();
    std::fs::write(&file, &lines).expect("written");
    let (file, journal_name) = (file.to_str().expect("a path"), journal.to_str().expect("a path"));
    let words = [
        "send",
        "--from-file",
        file,
        "--journal",
        journal_name,
        "--concurrency",
        "1",
        "-o",
        "template={outcome}",
    ];
    let (exit, out, err) = chatctl_at(&gone, &words, "").await;
    assert_eq!(exit, 7, "nothing was sent: {err}");
    assert!(out.lines().count() < 5, "a server that is gone stops the batch: {out}");
    assert!(err.contains("--batch "), "{err}");
    assert_eq!(chatctl(&node, &words, "").await.0, 0);
    // As if the run had been killed after line 20, of which the journal knows 19.
    let kept: Vec<_> =
        std::fs::read_to_string(&journal).expect("the journal").lines().take(20).map(str::to_owned).collect();
    std::fs::write(&journal, kept.join("\n") + "\n01890a5d-cut").expect("written");
    let (exit, out, err) = chatctl(&node, &words, "").await;
    let count = |word: &str| out.lines().filter(|line| *line == word).count();
    assert_eq!((exit, count("skipped"), count("repeated")), (0, 19, 31), "{err}");
    let expected: Vec<_> = (0..50).map(|n| format!("{n:02}")).collect();
    assert_eq!(received(&node, "a").await, expected, "in the order of the lines, each once");
}

/// A real SIGINT in the middle: what was on its way is waited for, and the rest goes with the same line.
#[tokio::test]
async fn a_run_that_is_broken_off_ends_in_order_and_goes_on_with_the_rest() {
    let node = Node::ephemeral(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, journal) = (folder.path().join("lines.jsonl"), folder.path().join("journal"));
    let expected: Vec<_> = (0..200).map(|n| format!("{n:03}")).collect();
    let lines: String =
        expected.iter().map(|n| format!("{{\"userId\":\"a\",\"message\":\"{n}\"}}\n")).collect();
    std::fs::write(&file, lines).expect("written");
    let (file, name) = (file.to_str().expect("a path"), journal.to_str().expect("a path"));
    let words = ["send", "--from-file", file, "--journal", name, "-o", "template={outcome}"];
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401")];
    // It takes twenty seconds if nobody breaks it off.
    let slowly = [&words[..], &["--rate", "10", "-v"]].concat();
    let ended =
        run_until("chatctl", &slowly, &variables, "/user/sendMessage: status 200", Signal::SIGINT).await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stderr.contains("interrupted") && ended.stderr.contains(" in "), "{ended:?}");
    assert!(ended.stderr.contains("--batch "), "{ended:?}");
    let kept = std::fs::read_to_string(&journal).expect("the journal");
    let sent = kept.lines().count() - 1;
    assert!((1..200).contains(&sent) && kept.ends_with('\n'), "{sent}");
    assert_eq!(received(&node, "a").await, expected[..sent], "what the journal knows, and no more");
    assert_eq!(ended.stdout.lines().filter(|line| *line == "stored").count(), sent, "{ended:?}");
    let (exit, out, err) = chatctl(&node, &words, "").await;
    let count = |word: &str| out.lines().filter(|line| *line == word).count();
    assert_eq!((exit, count("skipped"), count("stored")), (0, sent, 200 - sent), "{err}");
    assert_eq!(received(&node, "a").await, expected, "each once");
}

#[tokio::test]
async fn what_cannot_be_sent_to_many_is_refused_before_anything_is() {
    let node = Node::ephemeral(&[]).await;
    for words in [
        &["send", "--to", "-", "-"][..],
        &["send", "--to", "-"],
        &["send", "--from-file", "/no/such/file"],
        &["send", "--from-file", "-", "--to", "-", "x"],
        &["send", "--from-file", "-", "a", "x"],
        &["send", "a", "x", "--rate", "0"],
        &["send", "--to", "-", "x", "--msg-id", "m"],
        &["send", "--from-file", "-", "--journal", "/dev/null/x"],
        &["send", "--to", "-", "x", "--columns", "nope"],
        &["send", "--to", "-", "x", "-o", "template={nope}"],
    ] {
        let (exit, out, err) = chatctl(&node, words, "a\n").await;
        assert_eq!((exit, out.as_str()), (2, ""), "{words:?}: {err}");
    }
    let rehearsed = chatctl(&node, &["send", "--to", "-", "hi", "--dry-run", "-o", "jsonl"], "a\nb\n").await;
    assert_eq!((rehearsed.0, rows(&rehearsed.1).len()), (0, 2), "{}", rehearsed.2);
    let curl = chatctl(&node, &["send", "--to", "-", "it's", "--curl"], "a\n").await.1;
    assert!(curl.starts_with("curl -sS -H 'Content-Type: application/json' -d '{\"appId\":401"), "{curl}");
    assert!(received(&node, "a").await.is_empty());
}

#[tokio::test]
async fn no_more_messages_go_out_in_a_second_than_are_allowed() {
    let node = Node::ephemeral(&[]).await;
    let names: String = (0..40).map(|n| format!("u{n}\n")).collect();
    let begun = std::time::Instant::now();
    let (exit, _, err) = chatctl(&node, &["send", "--to", "-", "x", "--rate", "100"], &names).await;
    assert_eq!(exit, 0, "{err}");
    // The first goes at once: 39 pauses of 10 ms. A slow machine takes longer, and none less.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(390), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reader_that_goes_keeps_no_message_from_going() {
    let node = Node::ephemeral(&[]).await;
    let server = node.server().to_string();
    let shell = move || {
        let script = "seq -f 'u%.0f' 3000 | \"$0\" send --to - hi -o name | head -1";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).arg(chat_tests::node::program("chatctl"));
        shell.envs([("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401")]);
        shell.output().expect("a shell")
    };
    let output = tokio::task::spawn_blocking(shell).await.expect("no panic");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "u1\n", "{err}");
    assert!(err.contains("3000 messages in ") && err.contains(": 3000 stored"), "{err}");
    assert_eq!(received(&node, "u3000").await, ["hi"]);
}
