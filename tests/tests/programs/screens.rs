//! The views of chatctl on a real terminal: what a person sees, and that the terminal is given back.
//!
//! Invariant: a screen is compared line by line; what changes from run to run (times, addresses, names) is left out.

use chat_tests::node::Node;
use chat_tests::terminal::Terminal;
use chat_tests::wait::{SOON, until};
use chatctl::surroundings::Surroundings;
use nix::sys::signal::Signal;
use serde_json::json;

const APP: u32 = 403;

async fn chatctl(node: &Node, line: &[&str], more: &[(&str, &str)], size: (u16, u16)) -> Terminal {
    let server = node.server().to_string();
    let own = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "403")];
    Terminal::run("chatctl", line, &[own.as_slice(), more].concat(), size).await
}

/// The window as it was before: its own screen, its cursor, its lines.
async fn is_given_back(terminal: &Terminal) {
    let as_before = async || !terminal.is_taken() && !terminal.hides_cursor() && terminal.is_as_before();
    until("the terminal is given back", SOON, as_before).await;
}

#[tokio::test]
async fn top_shows_the_nodes_and_what_is_behind_them() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "马超").await;
    let address = node.server().authority();
    let mut top = chatctl(&node, &["top", "--interval", "200ms"], &[], (80, 12)).await;
    top.until("open 1 of").await;
    top.until(&address).await;
    let lines = top.lines();
    assert!(lines[0].starts_with(" chatctl top  http://127.0.0.1:"), "{lines:?}");
    assert_eq!(lines[5], "NODE    ADDRESS                OPEN▼  USERS  MSG/S  OUT/S    P99   WAIT    CPU");
    assert!(lines[11].starts_with("enter open  ←→ sort: OPEN  r reverse"), "{lines:?}");
    top.keys("\u{1b}[C");
    top.until("USERS▼").await;
    top.keys("\r");
    top.until("马超").await;
    top.keys("\r");
    top.until("user 马超 in app 403").await;
    top.resize(120, 20);
    top.until("logged in over WebSocket from 127.0.0.1").await;
    assert_eq!(top.lines().len(), 20);
    assert!(top.is_taken() && !top.is_as_before());
    top.keys("q");
    assert_eq!(top.ended().await, Some(0));
    is_given_back(&top).await;
}

#[tokio::test]
async fn however_a_view_ends_the_terminal_is_given_back() {
    let node = Node::ephemeral(&[]).await;
    let lines: [&[&str]; 2] = [&["top"], &["--as", "马超", "chat"]];
    for line in lines {
        for end in [Ok("\u{3}"), Err(Signal::SIGTERM), Err(Signal::SIGHUP), Err(Signal::SIGINT)] {
            let mut view = chatctl(&node, line, &[], (80, 10)).await;
            until("it is there", SOON, async || view.is_taken() && !view.is_as_before()).await;
            match end {
                Ok(keys) => view.keys(keys),
                Err(signal) => view.signal(signal),
            }
            assert_eq!(view.ended().await, Some(130), "{line:?} {end:?}");
            is_given_back(&view).await;
        }
    }
}

#[tokio::test]
async fn a_node_that_goes_away_keeps_its_line_and_the_others_are_asked() {
    let mut node = Node::ephemeral(&[]).await;
    let mut top = chatctl(&node, &["top", "--interval", "200ms", "--timeout", "1s"], &[], (100, 10)).await;
    top.until(&node.server().authority()).await;
    node.kill();
    top.until("nobody says which nodes there are").await;
    assert!(
        top.lines().iter().any(|line| line.contains("127.0.0.1:") && !line.contains("top")),
        "its line stays"
    );
    top.keys("q");
    assert_eq!(top.ended().await, Some(0));
}

#[tokio::test]
async fn a_chat_shows_what_is_said_in_its_columns_and_says_what_is_typed() {
    let node = Node::ephemeral(&[]).await;
    let say = async |text: &str| {
        let message =
            json!({"appId": APP, "userId": "黄帝", "message": text, "msgId": text.len().to_string()});
        node.http().call_raw("/user/sendMessageAll", &message).await.expect("said");
    };
    say("今天我们在长安喝茶，你来不来？\u{1b}[2J").await;
    let mut chat = chatctl(&node, &["--as", "马超", "chat"], &[("NO_COLOR", "1")], (40, 8)).await;
    chat.until("connected").await;
    chat.until("今天").await;
    let without_times = |chat: &Terminal| -> Vec<String> {
        let cut = |line: String| match line.get(..6) {
            Some(time) if time.as_bytes()[2] == b':' => line[6..].to_owned(),
            _ => line,
        };
        chat.lines().into_iter().map(cut).collect()
    };
    let lines = without_times(&chat);
    assert_eq!(lines[0], " 马超 in (world)  connected  /help");
    assert_eq!(lines[1..3], ["黄帝: 今天我们在长安喝茶，你来不来", "      ？\\u{1b}[2J"]);
    assert_eq!((lines[7].as_str(), chat.cursor()), (">", (7, 2)));
    chat.keys("我来，黄\t");
    chat.until("> 我来，黄").await;
    chat.keys("\u{15}黄\t茶\u{1b}[200~ a\nb\u{1b}[201~");
    chat.until("> 黄帝: 茶 a↵b").await;
    assert_eq!(chat.cursor(), (7, 14));
    chat.keys("\r");
    let reads = async || without_times(&chat).contains(&"马超: 黄帝: 茶 a".to_owned());
    until("it stands in the room", SOON, reads).await;
    say("good").await;
    chat.until("黄帝: good").await;
    chat.resize(60, 12);
    chat.until("今天我们在长安喝茶，你来不来？\\u{1b}[2J").await;
    chat.keys("/quit\r");
    assert_eq!(chat.ended().await, Some(0));
    is_given_back(&chat).await;
}

#[tokio::test]
async fn where_nothing_can_be_drawn_it_is_said_and_a_table_is_there_all_the_same() {
    let node = Node::ephemeral(&[]).await;
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let server = node.server().to_string();
    let line = ["chatctl", "top", "--server", &server].map(Into::into);
    assert_eq!(chatctl::run(line, surroundings).await, 2);
    assert!(written.stderr().contains("--once"), "{}", written.stderr());
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let line = ["chatctl", "top", "--server", &server, "--once", "--interval", "100ms", "-o", "json"]
        .map(Into::into);
    assert_eq!(chatctl::run(line, surroundings).await, 0, "{}", written.stderr());
    let rows: serde_json::Value = serde_json::from_str(&written.stdout()).expect("JSON");
    assert_eq!((&rows[0]["connections"], rows[0]["cpuCores"].is_number()), (&json!(0), true), "{rows}");

    let mut dumb = chatctl(&node, &["top", "--interval", "200ms"], &[("TERM", "dumb")], (200, 30)).await;
    dumb.until("MSG/S").await;
    assert!(!dumb.is_taken());
    dumb.signal(Signal::SIGINT);
    assert_eq!(dumb.ended().await, Some(130));
    let mut chat = chatctl(&node, &["--as", "a", "chat"], &[("TERM", "dumb")], (80, 10)).await;
    assert_eq!(chat.ended().await, Some(2));
    chat.until("chatctl tail").await;
}

#[tokio::test]
async fn a_watched_list_stands_still_and_follows_what_happens() {
    let node = Node::ephemeral(&[]).await;
    let _first = node.login(APP, "黄帝").await;
    let mut list = chatctl(&node, &["list", "--watch", "200ms"], &[], (80, 10)).await;
    list.until("1 user online").await;
    let _second = node.login(APP, "马超").await;
    list.until("2 users online").await;
    let lines = list.lines();
    assert!(lines[0].starts_with("every 200ms, "), "{lines:?}");
    assert_eq!(lines[1..5], ["USER", "马超", "黄帝", "2 users online in app 403"]);
    assert_eq!(lines[5], "");
    list.signal(Signal::SIGINT);
    assert_eq!(list.ended().await, Some(130));
}
