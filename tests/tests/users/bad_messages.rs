//! Messages over WebSocket that are not as they should be, each with the very words it is refused with.
//!
//! Invariant: however a request is read, its answer is the same; what is refused is in no log.

use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::site::ANY_MEDIA;
use serde_json::{Value, json};

const APP: u32 = 208;

/// The code and the words of the answer to a text frame.
async fn answer(socket: &mut RawSocket, text: &str) -> (u64, String) {
    socket.send_text(text).await;
    let answer = socket.answer().await["response"].clone();
    (answer["code"].as_u64().expect("a code"), answer["codeMsg"].as_str().expect("words").to_owned())
}

fn message(data: &str) -> String {
    format!(r#"{{"seq":"s","cmd":"msg","data":{data}}}"#)
}

const TEXTS_ONLY: &str = "must be a text";
const TWICE: &str = "given more than once";

#[tokio::test]
async fn each_wrong_message_is_refused_in_its_own_words() {
    let node = Node::ephemeral(&[]).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "clumsy").await;
    let cut = "unexpected end of hex escape at line 1 column";
    let spelt = "msgId: given in two spellings with two values";
    let target = r#"target: must be "" (world), "group:<groupId>" or "user:<userId>""#;
    let sizes = "size: must be an object of whole numbers width and height";
    for (data, words) in [
        ("null", "msg: missing".to_owned()),
        ("{}", "msg: missing".to_owned()),
        (r#"["","text","x"]"#, "data: must be an object".to_owned()),
        ("true", "data: must be an object".to_owned()),
        (r#"{"msg":null}"#, "msg: missing".to_owned()),
        (r#"{"msg":""}"#, "msg: must not be empty".to_owned()),
        (r#"{"msg":5}"#, format!("msg: {TEXTS_ONLY}")),
        (r#"{"msg":"x","target":5}"#, format!("target: {TEXTS_ONLY}")),
        (r#"{"msg":"x","target":"nowhere"}"#, target.to_owned()),
        (r#"{"msg":"x","type":5}"#, format!("type: {TEXTS_ONLY}")),
        (r#"{"msg":"x","type":"tune"}"#, "type: must be one of text, img, audio, video".to_owned()),
        (r#"{"type":"img","msg":"x"}"#, "url: missing".to_owned()),
        (r#"{"type":"img","url":{}}"#, format!("url: {TEXTS_ONLY}")),
        (r#"{"type":"img","url":"u","secret":[]}"#, format!("secret: {TEXTS_ONLY}")),
        (r#"{"type":"img","url":"u","size":4}"#, sizes.to_owned()),
        (r#"{"type":"img","url":"u","size":{"width":4.0}}"#, sizes.to_owned()),
        (r#"{"type":"img","url":"u","size":{"depth":4}}"#, sizes.to_owned()),
        (r#"{"msg":"x","msgId":5}"#, format!("msgId: {TEXTS_ONLY}")),
        (r#"{"msg":"x","msgId":""}"#, "msgId: must not be empty".to_owned()),
        (r#"{"msg":"x","msgId":"a\u0000"}"#, "msgId: must not contain control characters".to_owned()),
        (r#"{"msg":"x","msg":"y"}"#, format!("msg: {TWICE}")),
        (r#"{"target":"","msg":"x","target":""}"#, format!("target: {TWICE}")),
        (r#"{"type":"text","msg":"x","type":"text"}"#, format!("type: {TWICE}")),
        (r#"{"msg":"x","size":{},"size":{}}"#, format!("size: {TWICE}")),
        (r#"{"msg":"x","msgId":"a","msgId":"a"}"#, format!("msgId: {TWICE}")),
        (r#"{"msg":"x","msgID":"a","msgID":"a"}"#, format!("msgId: {TWICE}")),
        (r#"{"msg":"x","msgId":"a","msgID":"b"}"#, format!("{spelt} at line 1 column 35")),
        (
            r#"{"msg":"x","userId":"a","userID":"b"}"#,
            format!("{} at line 1 column 37", spelt.replace("msg", "user")),
        ),
        (r#"{"msg":"x","member":"b"}"#, "member: only chatd itself writes it".to_owned()),
        (r#"{"msg":"x","recalls":1}"#, "recalls: only chatd itself writes it".to_owned()),
        (r#"{"msg":"x","packetId":"p"}"#, "packetId: only chatd itself writes it".to_owned()),
        (r#"{"msg":"x","greeting":"g"}"#, "greeting: only chatd itself writes it".to_owned()),
        (r#"{"msg":"\ud800"}"#, format!("{cut} 15")),
        (r#"{"msg":"x","other":"\ud800"}"#, format!("{cut} 27")),
        (r#"{"msg":"x","other":1e999}"#, "number out of range at line 1 column 24".to_owned()),
    ] {
        assert_eq!(answer(&mut socket, &message(data)).await, (1001, words), "{data}");
    }
    // Of more than one fault the same one is named, wherever it stands.
    for (data, name) in [
        (r#"{"msgId":"","msg":5,"type":5,"target":5}"#, "target"),
        (r#"{"msgId":"","size":1,"type":"tune"}"#, "msgId"),
        (r#"{"size":1,"type":"tune"}"#, "type"),
        (r#"{"size":1,"type":"img"}"#, "url"),
        (r#"{"size":1,"greeting":"g"}"#, "greeting"),
    ] {
        let (code, words) = answer(&mut socket, &message(data)).await;
        assert!(code == 1001 && words.starts_with(&format!("{name}: ")), "{data}: {words}");
    }
    let history = node.http().call_raw("/message/history", &json!({"appId": APP, "target": ""})).await;
    assert_eq!(history.expect("answered")["messages"], json!([]));
}

#[tokio::test]
async fn a_message_is_the_same_in_whatever_order_and_spelling_it_comes() {
    let node = Node::ephemeral(&ANY_MEDIA).await;
    let mut socket = RawSocket::open(node.server()).await;
    socket.login(APP, "free").await;
    let data = r#"{"type":"img","url":"u","size":{"width":4,"height":5},"msgId":"m","target":""}"#;
    let turned =
        r#"{"target":"","msgID":"m","size":{"height":5,"width":9,"width":4},"url":"u","type":"img"}"#;
    let loose = r#" { "other" : [ 1, {} ] , "secret" : null , "url":"\u0075","type":"img","msgId":"m","msgID":"m",
        "size":{"width":4,"height":5}, "appId": 7, "x": 1, "x": 2 } "#;
    let mut first = Value::Null;
    for (index, request) in [
        format!(r#"{{"seq":"s","cmd":"msg","data":{data}}}"#),
        format!(r#"{{"data":{data},"cmd":"msg","seq":"s"}}"#),
        format!(r#"{{"cmd":"msg","data":{turned},"seq":"s"}}"#),
        format!(r#"{{"cmd":"\u006dsg","seq":"s","data":{data}}}"#),
        format!(r#"{{"seq":"s","cmd":"msg","extra":{{}},"data":{loose}}}"#),
    ]
    .iter()
    .enumerate()
    {
        socket.send_text(request).await;
        let mut answer = socket.answer().await;
        assert_eq!((&answer["seq"], &answer["cmd"]), (&json!("s"), &json!("msg")), "{request}");
        let data = answer["response"]["data"].take();
        assert_eq!(data["duplicate"], index > 0, "{request}: {answer}");
        if index == 0 {
            first = data["offset"].clone();
        }
        assert_eq!(data["offset"], first, "{request}");
    }
}
