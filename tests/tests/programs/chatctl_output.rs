//! What chatctl shows of an answer: rows, columns and order, forms, times, widths, pages; and the same request for curl.
//!
//! Invariant: data is on stdout and nothing else is; what is shown comes from a real node.

use chat_tests::node::Node;
use chat_tests::program::run;
use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};

const APP: u32 = 401;

/// How a run ended: exit code, data, messages.
type Ended = (u8, String, String);

async fn seen(node: &Node, words: &[&str], columns: Option<usize>) -> Ended {
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401"), ("CHATCTL_RETRIES", "0")];
    let (mut surroundings, written) = Surroundings::in_memory(b"", &variables);
    (surroundings.terminals.stdout, surroundings.terminals.columns) = (columns.is_some(), columns);
    let line = ["chatctl", "--color", "never"].into_iter().chain(words.iter().copied()).map(Into::into);
    let exit = chatctl::run(line, surroundings).await;
    (exit, written.stdout(), written.stderr())
}

async fn chatctl(node: &Node, words: &[&str]) -> String {
    let (exit, out, err) = seen(node, words, None).await;
    assert_eq!(exit, 0, "{words:?}: {err}");
    out
}

/// A node with a conversation of three messages.
async fn talked() -> Node {
    let node = Node::ephemeral(&[]).await;
    for (from, text) in [("b", "first"), ("黄帝", "second, of some length"), ("a", "third")] {
        chatctl(&node, &["broadcast", "--from", from, text]).await;
    }
    node
}

#[tokio::test]
async fn rows_columns_and_order_are_chosen() {
    let node = talked().await;
    let from = async |more: &[&str]| {
        let words = [&["history", "", "-o", "tsv", "--no-headers", "--columns", "from"], more].concat();
        chatctl(&node, &words).await.replace('\n', " ")
    };
    assert_eq!(from(&[]).await, "b 黄帝 a ");
    assert_eq!(from(&["--sort-by", "from"]).await, "a b 黄帝 ");
    assert_eq!(from(&["--sort-by", "-offset"]).await, "a 黄帝 b ");
    assert_eq!(from(&["--filter", "offset>1"]).await, "黄帝 a ");
    assert_eq!(from(&["--filter", "text~OF SOME"]).await, "黄帝 ");
    assert_eq!(from(&["--filter", "from!=b", "--filter", "offset<3"]).await, "黄帝 ");
    let picked =
        chatctl(&node, &["history", "", "-o", "json", "--columns", "msgId,offset", "--filter", "offset=2"])
            .await;
    let picked: Value = serde_json::from_str(&picked).expect("JSON");
    assert_eq!((picked[0].as_object().map(serde_json::Map::len), &picked[0]["offset"]), (Some(2), &json!(2)));
    assert_eq!(
        chatctl(&node, &["history", "", "-o", "template={from}: {msg}", "--filter", "from=a"]).await,
        "a: third\n"
    );
    assert_eq!(
        chatctl(&node, &["state", "-o", "template={engine} {limits}", "-q"]).await.split(' ').next(),
        Some("embedded")
    );
    let state = chatctl(&node, &["state", "--columns", "engine,nodes", "-o", "json"]).await;
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!(state, json!({"engine": "embedded", "nodes": 1}));
    let (exit, out, err) = seen(&node, &["history", "", "--sort-by", "nope"], None).await;
    assert!(exit == 2 && out.is_empty() && err.contains("there are: offset, time, from"), "{err}");
    let (exit, _, err) = seen(&node, &["history", "", "--filter", "nope"], None).await;
    assert!(exit == 2 && err.contains("KEY=VALUE"), "{err}");
}

#[tokio::test]
async fn one_noun_has_one_shape() {
    let node = Node::ephemeral(&[]).await;
    let keys = async |words: &[&str]| {
        let told: Value =
            serde_json::from_str(&chatctl(&node, &[words, &["-o", "json"]].concat()).await).expect("JSON");
        let one = if told.is_array() { told[0].clone() } else { told };
        one.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    let created = keys(&["--as", "a", "group", "create", "Tea", "--id", "tea"]).await;
    assert_eq!(created, keys(&["--as", "a", "group", "ls"]).await);
    assert_eq!(keys(&["ban", "x", "--for", "1h", "--reason", "r"]).await, keys(&["bans"]).await);
    assert_eq!(keys(&["nodes"]).await, keys(&["node", "list"]).await);
    let sent = keys(&["broadcast", "--from", "a", "hi"]).await;
    assert_eq!(sent, keys(&["--as", "a", "group", "send", "tea", "hi"]).await);
    chatctl(&node, &["wallet", "deposit", "a", "100.00", "--transfer-id", "t"]).await;
    let moved = keys(&["wallet", "deposit", "a", "1", "--transfer-id", "u"]).await;
    assert_eq!(moved, keys(&["wallet", "withdraw", "a", "1", "--transfer-id", "v"]).await);
}

#[tokio::test]
async fn a_table_fits_the_terminal_and_says_what_it_left_out() {
    let node = talked().await;
    let words = ["bans"];
    let (name, reason) = ("长".repeat(20), "why ".repeat(20));
    chatctl(&node, &["ban", &name, "--for", "1h", "--reason", reason.trim()]).await;
    let (_, out, _) = seen(&node, &words, Some(80)).await;
    let width =
        |line: &str| line.chars().map(|c| if c.is_ascii() || c == '…' { 1 } else { 2 }).sum::<usize>();
    assert!(out.lines().all(|line| width(line) <= 80), "{out}");
    assert_eq!(out.matches("why").count(), 20, "the last column goes on below: {out}");
    let (_, out, err) = seen(&node, &["nodes"], Some(80)).await;
    assert!(out.contains('…') && err.contains("--wide"), "{out}{err}");
    let (_, out, _) = seen(&node, &["nodes"], Some(50)).await;
    assert!(out.lines().all(|line| width(line) <= 50) && !out.contains('…'), "{out}");
    assert!(out.starts_with("NODE     ") && out.contains("\nSILENT   "), "no room side by side: {out}");
    let (_, out, err) = seen(&node, &["nodes", "--filter", "nodeId=x"], Some(80)).await;
    assert!(out.is_empty() && err.contains("--filter"), "{out}{err}");
    let (_, out, err) = seen(&node, &["nodes", "--wide"], Some(50)).await;
    assert!(!out.contains('…') && out.lines().count() == 2 && !err.contains("--wide"), "{out}{err}");
    let piped = chatctl(&node, &["nodes"]).await;
    assert!(!piped.contains('…') && piped.lines().count() == 2, "{piped}");
    let bare = chatctl(&node, &["nodes", "--no-headers"]).await;
    assert_eq!(bare.lines().count(), 1, "{bare}");
}

#[tokio::test]
async fn times_are_those_of_the_readers_clock() {
    let node = talked().await;
    let server = node.server().to_string();
    let shown = async |more: &[&str]| {
        let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "401"), ("TZ", "CST-8")];
        let ended = run(
            "chatctl",
            &[&["history", "", "--columns", "time", "--no-headers"], more].concat(),
            &variables,
        )
        .await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout.lines().next().expect("a line").to_owned()
    };
    let (local, utc, age) = (shown(&[]).await, shown(&["--utc"]).await, shown(&["--ages"]).await);
    assert!(local.ends_with("+08") && utc.ends_with('Z') && age.ends_with(" ago"), "{local} {utc} {age}");
    let exact = shown(&["-o", "csv"]).await;
    assert!(exact.parse::<u64>().is_ok(), "programs get milliseconds: {exact}");
}

#[tokio::test]
async fn the_line_of_curl_does_the_same() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "it's 黄帝").await;
    let words: [&[&str]; 3] = [
        &["list"],
        &["send", "it's 黄帝", "a 'b' \"c\" $d"],
        &["api", "GET", "/user/online", "userId=it's 黄帝"],
    ];
    for words in words {
        let line = chatctl(&node, &[words, &["--curl"]].concat()).await;
        assert!(line.starts_with("curl -sS ") && line.lines().count() == 1, "{line}");
        let shell = ["-c".to_owned(), line.clone()];
        let run = move || std::process::Command::new("sh").args(shell).output();
        let output = tokio::task::spawn_blocking(run).await.expect("no panic").expect("a shell");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(answer["code"], 200, "{line}: {answer}");
    }
    let said = chatctl(&node, &["--as", "it's 黄帝", "history", "user:system", "-o", "template={msg}"]).await;
    assert_eq!(said, "a 'b' \"c\" $d\n");
}

#[tokio::test]
async fn any_path_is_asked_for_by_its_method() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "黄帝").await;
    let got = chatctl(&node, &["api", "get", "/user/list", "limit=5", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&got).expect("JSON")["userCount"], 1);
    let ready = seen(&node, &["api", "GET", "/readyz"], None).await;
    assert_eq!(ready.0, 0, "{}", ready.2);
    assert!(chatctl(&node, &["api", "GET", "metrics"]).await.contains("# TYPE "));
    let document = chatctl(&node, &["api", "GET", "/openapi.json", "-o", "json"]).await;
    assert!(serde_json::from_str::<Value>(&document).expect("JSON")["paths"].is_object());
    for (words, code) in [
        (&["api", "GET", "/no/such"][..], 1),
        (&["api", "GET"], 2),
        (&["api", "GET", "/user/list", "limit=x"], 2),
        (&["api", "GET", "/readyz", "x"], 2),
        (&["api", "GET", "/system/kick", "userId=a"], 1),
    ] {
        let (exit, _, err) = seen(&node, words, None).await;
        assert_eq!(exit, code, "{words:?}: {err}");
    }
}

#[tokio::test]
async fn a_mistaken_deposit_is_taken_back_once() {
    let node = Node::ephemeral(&[]).await;
    let balance = async || chatctl(&node, &["wallet", "balance", "黄帝", "-o", "template={balance}"]).await;
    chatctl(&node, &["wallet", "deposit", "黄帝", "100.00", "--transfer-id", "pay-1"]).await;
    chatctl(&node, &["wallet", "deposit", "黄帝", "5.00", "--transfer-id", "pay-2"]).await;
    assert_eq!(seen(&node, &["wallet", "reverse", "黄帝", "pay-1"], None).await.0, 2, "it asks first");
    let words = ["-y", "wallet", "reverse", "黄帝", "pay-1"];
    assert_eq!(chatctl(&node, &words).await, "100.00 of pay-1 taken back: 黄帝 has 5.00\n");
    assert_eq!(chatctl(&node, &words).await, "pay-1 was reversed before: 黄帝 has 5.00\n");
    assert_eq!(balance().await, "500\n");
    chatctl(&node, &["wallet", "withdraw", "黄帝", "4.00", "--transfer-id", "out-1"]).await;
    let (exit, _, err) = seen(&node, &["-y", "wallet", "reverse", "黄帝", "pay-2"], None).await;
    assert_eq!(exit, 6, "a wallet never goes below nothing: {err}");
    chatctl(&node, &["-y", "wallet", "reverse", "黄帝", "out-1"]).await;
    assert_eq!(balance().await, "500\n", "a withdrawal is given back");
    chatctl(&node, &["-y", "wallet", "reverse", "黄帝", "pay-2"]).await;
    assert_eq!(balance().await, "0\n");
    let (exit, _, err) = seen(&node, &["-y", "wallet", "reverse", "黄帝", "pay-9"], None).await;
    assert!(exit == 5 && err.contains("no transfer pay-9"), "{err}");
    chatctl(&node, &["wallet", "deposit", "a", "1.00", "--transfer-id", "pay-3"]).await;
    chatctl(
        &node,
        &["--as", "a", "redpacket", "create", "", "--total", "1.00", "--count", "1", "--msg-id", "p"],
    )
    .await;
    let offered = chatctl(
        &node,
        &["wallet", "transfers", "a", "--filter", "kind=packet", "-o", "template={transferId}"],
    )
    .await;
    let (exit, _, err) = seen(&node, &["-y", "wallet", "reverse", "a", offered.trim()], None).await;
    assert!(exit == 6 && err.contains("it is a packet"), "{err}");
    assert_eq!(seen(&node, &["redpacket", "audit"], None).await.0, 0, "every cent is where it belongs");
}
