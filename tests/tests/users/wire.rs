//! The WebSocket connection as its clients rely on it: what was asked is answered to the end, in whichever frame it came.
//!
//! Invariant: the frames are sent byte by byte as the test wants them, by nobody's library.

use std::collections::BTreeSet;

use chat_client::Session;
use chat_protocol::Target;
use chat_protocol::table::ALL;
use chat_tests::money_site::{balance, deposit};
use chat_tests::node::Node;
use chat_tests::raw_socket::{Frame, RawSocket, frame, handshake, opcode};
use chat_tests::talk::{next_message, next_text};
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const APP: u32 = 205;

fn text(value: &Value) -> Vec<u8> {
    frame(true, opcode::TEXT, value.to_string().as_bytes())
}

/// So many messages of one user to another, as frames.
fn messages(run: &str, count: usize) -> Vec<u8> {
    let message = |index| {
        let data = json!({"target": "user:reader", "msg": format!("{run}-{index}")});
        text(&json!({"seq": format!("{run}-{index}"), "cmd": "msg", "data": data}))
    };
    (0..count).flat_map(message).collect()
}

/// The frames until the connection ends.
async fn rest(socket: &mut RawSocket) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = socket.next().await {
        frames.push(frame);
    }
    frames
}

/// The `seq` of each answer among the frames that says it was done.
fn done(frames: &[Frame]) -> BTreeSet<String> {
    let texts = frames.iter().filter(|frame| frame.opcode == opcode::TEXT);
    let values = texts.map(|frame| serde_json::from_slice::<Value>(&frame.payload).expect("JSON"));
    let answers = values.filter(|value| value["response"]["codeMsg"] == "Success");
    answers.map(|value| value["seq"].as_str().expect("a seq").to_owned()).collect()
}

#[tokio::test]
async fn what_was_asked_before_a_close_is_answered_before_the_close_is_echoed() {
    let node = Node::ephemeral(&[]).await;
    for count in [1, 5, 40] {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, "hasty").await;
        let close = frame(true, opcode::CLOSE, &1000_u16.to_be_bytes());
        let pings = frame(true, opcode::TEXT, br#"{"seq":"last","cmd":"ping"}"#);
        socket.send(&[messages(&format!("close{count}"), count), pings, close].concat()).await;
        let frames = rest(&mut socket).await;
        assert_eq!(done(&frames).len(), count + 1, "{frames:?}");
        let last = frames.last().expect("a close");
        assert_eq!((last.opcode, &last.payload[..2]), (opcode::CLOSE, &1000_u16.to_be_bytes()[..]));
    }
}

#[tokio::test]
async fn what_was_asked_before_the_client_shut_its_side_is_answered() {
    let node = Node::ephemeral(&[]).await;
    for count in [1, 5, 40] {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, "hasty").await;
        socket.send(&messages(&format!("fin{count}"), count)).await;
        socket.shut().await;
        assert_eq!(done(&rest(&mut socket).await).len(), count);
    }
}

#[tokio::test]
async fn a_client_that_closes_and_reads_nothing_does_not_stay() {
    let node = Node::ephemeral(&["--stall-timeout", "2"]).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "deaf").await;
    let large = "x".repeat(16_000);
    for index in 0..100 {
        let data = json!({"target": "user:deaf", "msg": large, "msgId": index.to_string()});
        socket
            .send(&text(&json!({"seq": index.to_string(), "cmd": "user/sendMessage", "data": {
                "userId": "deaf", "message": data["msg"], "msgId": index.to_string(),
            }})))
            .await;
    }
    socket.send(&frame(true, opcode::CLOSE, &1000_u16.to_be_bytes())).await;
    let http = node.http();
    until("nobody is connected", SOON, async || {
        let state = http.call_raw("/system/state", &json!({})).await.expect("answered");
        state["connections"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_request_without_seq_is_done_like_any_other() {
    let node = Node::ephemeral(&[]).await;
    let mut reader = node.login(APP, "reader").await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.send_text(json!({"cmd": "login", "data": {"appId": APP, "userId": "terse"}}).to_string()).await;
    assert_eq!(socket.answer().await["response"]["code"], 200);
    for (request, text) in [
        (json!({"cmd": "ping"}), None),
        (json!({"seq": null, "cmd": "heartbeat", "data": {}}), None),
        (json!({"cmd": "msg", "data": {"target": "user:reader", "msg": "no name"}}), Some("no name")),
        (json!({"seq": null, "cmd": "msg", "data": {"target": "user:reader", "msg": "null"}}), Some("null")),
        (json!({"seq": "", "cmd": "msg", "data": {"target": "user:reader", "msg": "empty"}}), Some("empty")),
        (json!({"cmd": "msg", "data": {"target": "user:reader", "msg": "own", "msgId": "m1"}}), Some("own")),
    ] {
        socket.send_text(request.to_string()).await;
        let answer = socket.answer().await;
        assert_eq!((&answer["seq"], &answer["response"]["code"]), (&json!(""), &json!(200)), "{request}");
        if let Some(text) = text {
            assert_eq!(next_text(&mut reader).await, text);
        }
    }
    for wrong in [json!({"seq": 1, "cmd": "ping"}), json!({"seq": [], "cmd": "ping"}), json!({"seq": "1"})] {
        socket.send_text(wrong.to_string()).await;
        assert_eq!(socket.answer().await["response"]["code"], 1001, "{wrong}");
    }
}

#[tokio::test]
async fn a_message_without_any_name_is_another_one_each_time() {
    let node = Node::ephemeral(&[]).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "terse").await;
    let mut ids = BTreeSet::new();
    for offset in 1..=3 {
        socket.send_text(json!({"cmd": "msg", "data": {"msg": "again"}}).to_string()).await;
        let answer = socket.answer().await["response"]["data"].clone();
        assert_eq!((&answer["offset"], &answer["duplicate"]), (&json!(offset), &json!(false)));
        assert!(ids.insert(answer["msgId"].to_string()), "{answer}");
    }
    let mut named = Vec::new();
    for _ in 0..2 {
        socket.send_text(json!({"cmd": "msg", "data": {"msg": "x", "msgId": "own"}}).to_string()).await;
        named.push(socket.answer().await["response"]["data"]["duplicate"].clone());
    }
    assert_eq!(named, [false, true]);
}

#[tokio::test]
async fn json_in_a_binary_frame_is_read_as_in_a_text_frame() {
    let node = Node::ephemeral(&[]).await;
    let mut reader = node.login(APP, "reader").await;
    let mut socket = RawSocket::open(node.server()).await;
    for request in [
        json!({"seq": "1", "cmd": "login", "data": {"appId": APP, "userId": "binary"}}),
        json!({"seq": "2", "cmd": "msg", "data": {"target": "user:reader", "msg": "黄帝"}}),
        json!({"seq": "3", "cmd": "user/online", "data": {"userId": "reader"}}),
    ] {
        socket.send(&frame(true, opcode::BINARY, request.to_string().as_bytes())).await;
        let answer = socket.answer().await;
        assert_eq!((&answer["seq"], &answer["response"]["code"]), (&request["seq"], &json!(200)));
    }
    let message = next_message(&mut reader).await;
    assert_eq!(message.content.msg.as_deref(), Some("黄帝"));
    assert_eq!(message.target, "user:reader".parse::<Target>().expect("a target"));
}

#[tokio::test]
async fn of_the_offered_subprotocols_ours_is_selected_and_no_other() {
    let node = Node::ephemeral(&[]).await;
    for (offered, selected) in [
        (None, false),
        (Some("chatd.v1"), true),
        (Some("json, chatd.v1,other"), true),
        (Some("json"), false),
        (Some("chatd.v10, xchatd.v1"), false),
    ] {
        let mut request = handshake(node.server());
        if let Some(offered) = offered {
            request = request.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n"));
        }
        let mut socket = RawSocket::connect(node.server()).await;
        socket.send(request.as_bytes()).await;
        let head = socket.read_head().await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{offered:?}: {head}");
        let told: Vec<_> =
            head.lines().filter_map(|line| line.strip_prefix("sec-websocket-protocol: ")).collect();
        assert_eq!(told, if selected { vec!["chatd.v1"] } else { vec![] }, "{offered:?}");
    }
}

/// The answers to one frame that a client sends twice, because the first answer was lost with its connection.
async fn twice(node: &Node, request: &Value) -> [Value; 2] {
    let mut answers = [Value::Null, Value::Null];
    for answer in &mut answers {
        let mut socket = RawSocket::open(node.server()).await;
        socket.login(APP, "payer").await;
        socket.send_text(request.to_string()).await;
        *answer = socket.answer().await["response"].clone();
    }
    answers
}

#[tokio::test]
async fn the_same_frame_sent_twice_is_done_once_whatever_it_sends_or_spends() {
    let node = Node::ephemeral(&[]).await;
    let http = node.http();
    deposit(&http, APP, "payer", 1000).await;
    let group = json!({"appId": APP, "userId": "payer", "name": "g", "groupId": "g"});
    http.call_raw("/group/create", &group).await.expect("a group");
    let mut requests = vec![("msg", json!({"msg": "x"}))];
    for operation in ALL.iter().filter(|operation| operation.key.is_some()) {
        let data = match operation.path {
            "/user/sendMessage" => json!({"userId": "b", "message": "x"}),
            "/user/sendMessageAll" => json!({"message": "x"}),
            "/group/sendMessage" => json!({"groupId": "g", "message": "x"}),
            "/redPacket/create" => json!({"target": "", "total": 100, "count": 1}),
            other => panic!("{other} is not tried"),
        };
        requests.push((operation.path.trim_start_matches('/'), data));
    }
    for (index, (cmd, data)) in requests.iter().enumerate() {
        let seq = format!("s{index}");
        let [first, again] = twice(&node, &json!({"seq": seq, "cmd": cmd, "data": data})).await;
        assert_eq!(first["code"], 200, "{cmd}: {first}");
        let (first, again) = (&first["data"], &again["data"]);
        assert_eq!((&first["msgId"], &again["msgId"]), (&json!(seq), &json!(seq)), "{cmd}");
        assert_eq!((first["duplicate"] == true, again["duplicate"] == true), (false, true), "{cmd}");
        assert_eq!((&first["offset"], &first["packetId"]), (&again["offset"], &again["packetId"]), "{cmd}");
    }
    assert_eq!(balance(&http, APP, "payer").await, 900, "paid once");
    for data in [
        json!({"target": "", "total": 100, "count": 1}),
        json!({"target": "", "total": 100, "count": 1, "msgId": null}),
    ] {
        let [unnamed, _] = twice(&node, &json!({"cmd": "redPacket/create", "data": data})).await;
        assert_eq!(unnamed["code"], 1001);
        assert!(unnamed["codeMsg"].as_str().expect("a reason").starts_with("msgId:"), "{unnamed}");
    }
    assert_eq!(balance(&http, APP, "payer").await, 900);
}

/// The texts of the next pushes of `msg`, as a client shows them that knows nothing else.
async fn shown(session: &mut Session, count: usize) -> Vec<String> {
    let mut shown = Vec::new();
    while shown.len() < count {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a push");
        if push.cmd == "msg" {
            shown.push(push.data["msg"].as_str().unwrap_or_else(|| panic!("{push:?}")).to_owned());
        }
    }
    shown
}

#[tokio::test]
async fn every_push_of_a_message_has_a_text_for_clients_that_show_texts_only() {
    for (language, words) in [
        (
            "en",
            [
                "a joined the group",
                "[picture]",
                "look",
                "[audio]",
                "[red packet] 恭喜",
                "b removed a from the group",
            ],
        ),
        ("zh-CN", ["a 加入了群", "[图片]", "look", "[语音]", "[红包] 恭喜", "b 将 a 移出了群"]),
    ] {
        let node = Node::ephemeral(&["--push-language", language, "--media-origins", "*"]).await;
        let http = node.http();
        let call = async |path: &str, data: Value| {
            http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        deposit(&http, APP, "b", 1000).await;
        call("/group/create", json!({"appId": APP, "userId": "b", "name": "g", "groupId": "g"})).await;
        let (mut sender, mut reader) = (node.login(APP, "a").await, node.login(APP, "b").await);
        sender.request("group/join", &json!({"groupId": "g"})).await.expect("joined");
        let picture = json!({"target": "group:g", "type": "img", "url": "http://x/y.png"});
        sender.request("msg", &picture).await.expect("sent");
        let captioned = json!({"target": "group:g", "type": "video", "url": "http://x/y", "msg": "look"});
        sender.request("msg", &captioned).await.expect("sent");
        let data =
            json!({"appId": APP, "userId": "a", "groupId": "g", "type": "audio", "message": "http://x/z"});
        call("/group/sendMessage", data).await;
        let packet = json!({"target": "group:g", "total": 10, "count": 1, "greeting": "恭喜"});
        reader.request("redPacket/create", &packet).await.expect("created");
        call("/group/kick", json!({"appId": APP, "userId": "b", "groupId": "g", "memberId": "a"})).await;
        assert_eq!(shown(&mut reader, words.len()).await, words);
        // What is read again is shown in the same words, and the log has what was sent.
        let since = json!([{"target": "group:g", "epoch": "", "offset": 0}]);
        let mut again = node.connect().await;
        again
            .request("login", &json!({"appId": APP, "userId": "b", "recover": since}))
            .await
            .expect("logged in");
        assert_eq!(shown(&mut again, words.len() + 1).await[1..], words);
        let history = call("/message/history", json!({"appId": APP, "target": "group:g"})).await;
        let texts = history["messages"].as_array().expect("messages").iter();
        assert_eq!(texts.filter(|message| !message["msg"].is_null()).count(), 1, "{history}");
    }
}
