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
async fn a_wide_top_has_all_columns_and_no_colour_that_vanishes() {
    let node = Node::ephemeral(&[]).await;
    let _user = node.login(APP, "马超").await;
    let mut top = chatctl(&node, &["top", "--interval", "200ms"], &[], (200, 22)).await;
    top.until("open 1 of").await;
    top.until(&node.server().authority()).await;
    let lines = top.lines();
    assert!(lines[0].contains("  1 node  every 200ms  20"), "{lines:?}");
    assert_eq!(
        lines[5],
        "NODE    HOST             ADDRESS                OPEN▼  USERS  MSG/S  OUT/S  REQ/S    P99   WAIT   SLOW  \
         REDIS  LIM/S    CPU    MEM       UP"
    );
    for (keys, shown) in
        [("?", "any key goes back"), ("x\r", "CONNECTION  APP"), ("\r", "user 马超"), ("u", "user:")]
    {
        assert_eq!(top.vanishing(), Vec::<String>::new(), "before {keys:?}");
        top.keys(keys);
        top.until(shown).await;
    }
    assert_eq!(top.vanishing(), Vec::<String>::new());
}

#[tokio::test]
async fn names_packets_and_errors_have_colours_that_are_seen_everywhere() {
    let node = Node::ephemeral(&[]).await;
    let call = async |path: &str, data: serde_json::Value| {
        let mut data = data;
        data["appId"] = json!(APP);
        node.http().call_raw(path, &data).await.expect("done");
    };
    for (at, name) in ["a", "b", "c", "d", "e", "f", "黄帝", "李白"].into_iter().enumerate() {
        let said = json!({"userId": name, "message": "hello", "msgId": at.to_string()});
        call("/user/sendMessageAll", said).await;
    }
    call("/wallet/deposit", json!({"userId": "a", "amount": 100, "transferId": "t"})).await;
    let packet =
        json!({"userId": "a", "target": "", "total": 10, "count": 1, "greeting": "恭喜", "msgId": "p"});
    call("/redPacket/create", packet).await;
    let mut chat = chatctl(&node, &["--as", "马超", "chat"], &[], (80, 20)).await;
    chat.until("/grab").await;
    chat.keys("nobody reads this\r");
    chat.until("马超: nobody reads this").await;
    assert!(chat.coloured().len() > 12, "{:?}", chat.coloured());
    assert_eq!(chat.vanishing(), Vec::<String>::new());

    for line in [&["lsit"][..], &["list", "--limit", "x"], &["--app", "x", "state"]] {
        let mut refused = chatctl(&node, line, &[], (80, 20)).await;
        refused.until("error: ").await;
        assert_eq!(refused.ended().await, Some(2), "{line:?}");
        refused.until("--help").await;
        assert!(!refused.coloured().is_empty(), "{line:?}");
        assert_eq!(refused.vanishing(), Vec::<String>::new(), "{line:?}");
    }
}

#[tokio::test]
async fn tables_and_records_fit_windows_of_all_widths() {
    let node = Node::ephemeral(&[]).await;
    let name = "a house of tea whose name goes on and on, further than eighty columns have room for";
    for (group, name) in [("changan", "长安"), ("tea", name)] {
        let group = json!({"appId": APP, "userId": "马超", "groupId": group, "name": name});
        node.http().call_raw("/group/create", &group).await.expect("made");
    }
    let shown = async |words: &[&str], columns: u16| {
        let line = [&["--no-pager", "--as", "马超"][..], words].concat();
        let mut terminal = chatctl(&node, &line, &[], (columns, 60)).await;
        assert_eq!(terminal.ended().await, Some(0), "{words:?}");
        // What was written before the end may be read behind it.
        terminal.until("1").await;
        assert!(!terminal.is_broken(), "{words:?} at {columns}: {:?}", terminal.lines());
        assert_eq!(terminal.vanishing(), Vec::<String>::new(), "{words:?}");
        terminal
    };
    let wide = shown(&["group", "list"], 200).await;
    let last = "马超         1";
    let wanted = [
        format!("GROUP    NAME{}  OWNER  MEMBERS", " ".repeat(name.len() - 4)),
        format!("changan  长安{}  {last}", " ".repeat(name.len() - 4)),
        format!("tea      {name}  {last}"),
    ];
    until("all of it is there", SOON, async || wide.lines()[..3] == wanted).await;
    assert!(!wide.is_broken(), "{:?}", wide.lines());
    let narrow = shown(&["group", "list"], 80).await;
    let is_cut = |lines: &[String]| lines[2].starts_with("tea      a house of tea") && lines[2].contains('…');
    until("it is cut", SOON, async || is_cut(&narrow.lines()) && narrow.lines()[3].starts_with('…')).await;
    for columns in [60, 80, 120, 200] {
        let state = shown(&["state"], columns).await;
        state.until("picture_pixels").await;
        assert!(!state.is_broken(), "{columns}: {:?}", state.lines());
        let lines = state.lines();
        let at = lines.iter().position(|line| line.starts_with("file_types ")).expect("there");
        let goes_on = lines[at + 1].starts_with(' ') && lines[at + 1].contains('/');
        assert_eq!(goes_on, columns < 180, "{columns}: {lines:?}");
    }
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
    assert!(!top.coloured().is_empty());
    assert_eq!(top.vanishing(), Vec::<String>::new());
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
