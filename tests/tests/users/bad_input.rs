//! Requests over WebSocket that make no sense: each is answered with its code, and nothing else happens.
//!
//! Invariant: after every bad request the connection still works and two bystanders talk on undisturbed.

use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::talk::Bystanders;
use serde_json::{Value, json};

const APP: u32 = 201;

/// A node, two bystanders, and a connection of the one who misbehaves.
struct Stage {
    node: Node,
    bystanders: Bystanders,
    socket: RawSocket,
}

impl Stage {
    async fn before_login() -> Self {
        let node = Node::ephemeral(&[]).await;
        let bystanders = Bystanders::arrive(&node, APP).await;
        let socket = RawSocket::open(node.server()).await;
        Self { node, bystanders, socket }
    }

    async fn logged_in() -> Self {
        let mut stage = Self::before_login().await;
        stage.socket.login(APP, "clumsy").await;
        stage
    }

    /// The answer to a frame of any text.
    async fn ask(&mut self, text: impl AsRef<[u8]>) -> Value {
        self.socket.send_text(text).await;
        self.socket.answer().await
    }

    /// The code and the words of the answer to a request.
    async fn call(&mut self, cmd: &str, data: &Value) -> (u64, String) {
        let answer = self.ask(json!({"seq": "s", "cmd": cmd, "data": data}).to_string()).await;
        assert_eq!((&answer["seq"], &answer["cmd"]), (&json!("s"), &json!(cmd)));
        refusal(&answer)
    }

    /// Every request is answered with this code and words that begin so.
    async fn each_is_refused(&mut self, cmd: &str, requests: &[Value], code: u64, begin: &str) {
        for data in requests {
            let (found, words) = self.call(cmd, data).await;
            assert_eq!(found, code, "{data}: {words}");
            assert!(words.starts_with(begin), "{data}: {words}");
        }
    }

    /// The connection is still good and nobody noticed anything.
    async fn nothing_happened(mut self) {
        assert_eq!(self.call("ping", &Value::Null).await.0, 200);
        self.bystanders.are_undisturbed().await;
        let list =
            self.node.http().get("/user/list", &[("appId", &APP.to_string())]).await.expect("answered");
        assert_eq!(list.0, 200);
    }
}

fn refusal(answer: &Value) -> (u64, String) {
    let response = &answer["response"];
    (response["code"].as_u64().expect("a code"), response["codeMsg"].as_str().expect("words").to_owned())
}

#[tokio::test]
async fn what_is_not_json_is_answered_1001() {
    let mut stage = Stage::before_login().await;
    for text in ["", " ", "x", "{", "\"", "nul", "{}{}", "[", "'a'", "\u{feff}{}", r#"{"seq":"a",}"#, "\0"] {
        let answer = stage.ask(text).await;
        assert_eq!(refusal(&answer).0, 1001, "{text:?}");
        assert_eq!((&answer["seq"], &answer["cmd"]), (&json!(""), &json!("")), "{text:?}");
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn json_of_another_shape_is_answered_1001_with_what_can_be_read_of_it() {
    let mut stage = Stage::logged_in().await;
    for (text, seq, cmd, named) in [
        ("[1]", "", "", "a request is"),
        (r#"["a","ping"]"#, "", "", "a request is"),
        (r#"["a","msg",{"msg":"x"}]"#, "", "", "a request is"),
        ("1", "", "", "a request is"),
        ("\"login\"", "", "", "a request is"),
        ("null", "", "", "a request is"),
        ("{}", "", "", "cmd: "),
        (r#"{"seq":"a"}"#, "a", "", "cmd: "),
        (r#"{"seq":1,"cmd":"ping"}"#, "", "ping", "seq: "),
        (r#"{"seq":"a","cmd":["ping"]}"#, "a", "", "cmd: "),
        (r#"{"seq":"a","seq":"b","cmd":"ping"}"#, "b", "ping", "a request is"),
        (r#"{"seq":"a","cmd":"msg","data":[1]}"#, "a", "msg", "data: "),
        (r#"{"seq":"a","cmd":"msg","data":"x"}"#, "a", "msg", "data: "),
        (r#"{"seq":"a","cmd":"user/list","data":5}"#, "a", "user/list", "data: "),
    ] {
        let answer = stage.ask(text).await;
        let (code, words) = refusal(&answer);
        assert_eq!((code, &answer["seq"], &answer["cmd"]), (1001, &json!(seq), &json!(cmd)), "{text}");
        assert!(words.starts_with(named), "{text}: {words}");
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn an_unknown_command_is_answered_1010() {
    for mut stage in [Stage::before_login().await, Stage::logged_in().await] {
        for cmd in
            ["nope", "", "LOGIN", "login ", "/user/list", "user/list/", "user", "user/list?appId=1", "a\0"]
        {
            assert_eq!(stage.call(cmd, &json!({})).await.0, 1010, "{cmd:?}");
        }
        stage.nothing_happened().await;
    }
}

#[tokio::test]
async fn a_bad_app_id_is_answered_1001_and_named() {
    let mut stage = Stage::before_login().await;
    let mut requests = vec![json!({"userId": "a"})];
    let bad = [json!(-1), json!(4_294_967_296_u64), json!(1e99), json!(1.5), json!("x"), json!("1.0")];
    for app in
        bad.into_iter().chain([json!(""), json!("-1"), json!([1]), json!({}), json!(true), Value::Null])
    {
        requests.push(json!({"userId": "a", "appId": app}));
    }
    stage.each_is_refused("login", &requests, 1001, "appId: ").await;
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_bad_user_id_is_answered_1002() {
    let mut stage = Stage::before_login().await;
    let too_long = ["a".repeat(65), "帝".repeat(21) + "ab", "帝".repeat(22), "a".repeat(5000)];
    let control = ["a\0", "a\nb", "\u{7f}", "\u{85}", "\t"].map(str::to_owned);
    let requests: Vec<_> = too_long
        .into_iter()
        .chain(control)
        .chain([String::new()])
        .map(|user| json!({"appId": APP, "userId": user}))
        .collect();
    stage.each_is_refused("login", &requests, 1002, "userId: ").await;
    let not_texts =
        [json!({"appId": APP}), json!({"appId": APP, "userId": 5}), json!({"appId": APP, "userId": null})];
    stage.each_is_refused("login", &not_texts, 1001, "userId: ").await;
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_user_id_of_exactly_64_bytes_is_taken() {
    let stage = Stage::before_login().await;
    for user in ["a".repeat(64), "帝".repeat(21) + "a", " ".to_owned(), "a:b{c}".to_owned(), "👋🏽".to_owned()]
    {
        let mut socket = RawSocket::open(stage.node.server()).await;
        socket.login(APP, &user).await;
        let online = stage.node.http().call_raw("/user/online", &json!({"appId": APP, "userId": user})).await;
        assert_eq!(online.expect("answered"), json!({"online": true, "userId": user}));
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_message_of_more_than_16_kib_is_answered_1012() {
    let mut stage = Stage::logged_in().await;
    let requests = [
        json!({"msg": "x".repeat(16 * 1024 + 1)}),
        json!({"msg": "帝".repeat(5461) + "ab"}),
        json!({"msg": "x".repeat(60_000)}),
        json!({"type": "img", "url": "u".repeat(16 * 1024), "secret": "s"}),
    ];
    stage.each_is_refused("msg", &requests, 1012, "").await;
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_message_of_exactly_16_kib_and_of_any_characters_arrives_unchanged() {
    let mut stage = Stage::logged_in().await;
    let mut listener = stage.node.login(APP, "listener").await;
    let odd =
        "\0 \u{1} \u{7f} \u{2028} \u{feff} \u{fffd} \u{10ffff} \" \\ / </script> 👋🏽 a\r\nb\t".to_owned();
    for (index, text) in
        ["x".repeat(16 * 1024), "帝".repeat(5461) + "a", "\"".repeat(16 * 1024), odd].into_iter().enumerate()
    {
        let request = json!({"seq": format!("m{index}"), "cmd": "msg", "data": {"msg": text}});
        assert_eq!(refusal(&stage.ask(request.to_string()).await).0, 200);
        assert_eq!(chat_tests::talk::next_text(&mut listener).await, text);
    }
}

#[tokio::test]
async fn a_message_without_content_is_answered_1001_and_the_part_named() {
    let mut stage = Stage::logged_in().await;
    for (data, begin) in [
        (json!({}), "msg: "),
        (json!({"msg": ""}), "msg: "),
        (json!({"msg": null}), "msg: "),
        (json!({"msg": 5}), "msg: "),
        (json!({"msg": ["x"]}), "msg: "),
        (json!({"type": "img"}), "url: "),
        (json!({"type": "img", "url": ""}), "url: "),
        (json!({"type": "redPacket", "msg": "x"}), "type: "),
        (json!({"type": "", "msg": "x"}), "type: "),
        (json!({"type": 1, "msg": "x"}), "type: "),
        (json!({"type": "img", "url": "u", "size": {"width": -1}}), "size: "),
        (json!({"type": "img", "url": "u", "size": {"depth": 1}}), "size: "),
        (json!({"type": "img", "url": "u", "size": "big"}), "size: "),
    ] {
        stage.each_is_refused("msg", &[data], 1001, begin).await;
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_target_that_is_none_is_answered_1001() {
    let mut stage = Stage::logged_in().await;
    let bad = ["world", "user:", "group:", "user", "User:a", " ", "user:a\n", "group:\0"].map(str::to_owned);
    let requests: Vec<_> = bad
        .into_iter()
        .chain([format!("user:{}", "a".repeat(65)), format!("group:{}", "a".repeat(65))])
        .map(|target| json!({"target": target, "msg": "x"}))
        .chain([json!({"target": 5, "msg": "x"}), json!({"target": {}, "msg": "x"})])
        .collect();
    stage.each_is_refused("msg", &requests, 1001, "target: ").await;
    stage.each_is_refused("msg", &[json!({"target": "group:nobody", "msg": "x"})], 1005, "").await;
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_second_login_is_answered_1009_and_changes_nothing() {
    let mut stage = Stage::logged_in().await;
    let others = [json!({"appId": APP, "userId": "clumsy"}), json!({"appId": 1, "userId": "b"}), json!({})];
    stage.each_is_refused("login", &others, 1009, "").await;
    let list = stage.call("user/online", &json!({"userId": "clumsy"})).await;
    assert_eq!(list.0, 200);
    stage.nothing_happened().await;
}

#[tokio::test]
async fn before_login_everything_but_ping_and_login_is_answered_1000() {
    let mut stage = Stage::before_login().await;
    for operation in chat_protocol::table::ALL {
        let cmd = operation.path.trim_start_matches('/');
        stage.each_is_refused(cmd, &[json!({}), json!({"appId": APP}), json!([])], 1000, "").await;
    }
    stage.each_is_refused("msg", &[json!({"msg": "x"}), json!({}), json!("x")], 1000, "").await;
    stage.each_is_refused("heartbeat", &[json!({}), Value::Null], 1000, "").await;
    stage.socket.login(APP, "clumsy").await;
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_seq_is_bounded() {
    let mut stage = Stage::logged_in().await;
    let longest = "s".repeat(256);
    let answer = stage.ask(json!({"seq": longest, "cmd": "ping"}).to_string()).await;
    assert_eq!((refusal(&answer).0, &answer["seq"]), (200, &json!(longest)));
    for seq in ["s".repeat(257), "帝".repeat(86), "s".repeat(60_000)] {
        let answer = stage.ask(json!({"seq": seq, "cmd": "ping"}).to_string()).await;
        let (code, words) = refusal(&answer);
        assert_eq!((code, &answer["seq"], &answer["cmd"]), (1001, &json!(""), &json!("ping")));
        assert!(words.starts_with("seq: "), "{words}");
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn a_message_id_that_is_none_is_answered_1001() {
    let mut stage = Stage::logged_in().await;
    let ids =
        [json!("a\nb"), json!("\0"), json!(""), json!("m".repeat(129)), json!("帝".repeat(43)), json!(5)];
    let requests: Vec<_> = ids.iter().map(|id| json!({"msg": "x", "msgId": id})).collect();
    stage.each_is_refused("msg", &requests, 1001, "msgId: ").await;
    for seq in ["a\nb", &"s".repeat(129)] {
        let request = json!({"seq": seq, "cmd": "msg", "data": {"msg": "x"}});
        let (code, words) = refusal(&stage.ask(request.to_string()).await);
        assert_eq!(code, 1001, "{seq:?}");
        assert!(words.starts_with("msgId"), "a seq that cannot be the msgId: {words}");
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn hostile_json_is_answered_and_forgotten() {
    let mut stage = Stage::logged_in().await;
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let in_data = |data: &str| format!(r#"{{"seq":"s","cmd":"msg","data":{data}}}"#);
    for text in [
        deep("[", "]"),
        "[".repeat(60_000),
        deep(r#"{"a":"#, "") + "1" + &"}".repeat(10_000),
        in_data(&deep("[", "]")),
        in_data(&format!(r#"{{"msg":{}}}"#, deep("[", "]"))),
        in_data(&format!(r#"{{"msg":"x","size":{}}}"#, deep("[", "]"))),
        in_data(r#"{"msg":1e999}"#),
        in_data(&format!(r#"{{"msg":"x","size":{}}}"#, "9".repeat(10_000))),
        in_data(r#"{"msg":"\ud800"}"#),
        in_data(r#"{"msg":"\udc00\ud800"}"#),
        in_data(r#"{"msg":"\u12"}"#),
        in_data(r#"{"msg":"x","msg":"y"}"#),
        in_data(r#"{"msg":"x","msgId":"a","msgID":"b"}"#),
        r#"{"seq":"\ud800","cmd":"ping"}"#.to_owned(),
        r#"{"seq":"s","cmd":"\udfff"}"#.to_owned(),
    ] {
        let (code, words) = refusal(&stage.ask(&text).await);
        let shown: String = text.chars().take(60).collect();
        assert_eq!(code, 1001, "{shown}: {words}");
        assert!(words.len() < 1000, "{shown}: an answer does not repeat the attack");
    }
    stage.nothing_happened().await;
}

#[tokio::test]
async fn refusals_say_nothing_about_the_inside() {
    let mut stage = Stage::logged_in().await;
    for (cmd, data) in [
        ("user/list", json!({"limit": "x"})),
        ("user/list", json!({"cursor": ""})),
        ("user/sendMessage", json!({"userId": "a"})),
        ("user/sendMessageAll", json!({})),
        ("msg", json!({"msg": "x", "size": [[]]})),
    ] {
        let (code, words) = stage.call(cmd, &data).await;
        assert!(code == 1001 || code == 1002, "{cmd} {data}: {code}");
        for inside in ["::", "chatd/", ".rs", "struct", "sqlite", "redis", "panicked"] {
            assert!(!words.to_lowercase().contains(inside), "{cmd} {data}: {words}");
        }
    }
    stage.nothing_happened().await;
}
