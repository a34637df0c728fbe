//! The documented WebSocket frames: log-in, heartbeat, messages, comings and goings.
//!
//! Invariant: what the documents show is sent and compared byte for byte.

use chat_client::connection::Options;
use chat_client::{Connection, Session};
use chat_protocol::Target;
use chat_tests::node::Node;
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use chat_tests::talk::{next_message, next_text};
use chat_tests::wait::SOON;
use serde_json::{Value, json};

const LOGIN: &str = r#"{
    "seq": "1565336219141-266129",
    "cmd": "login",
    "data": {
        "userId": "马远",
        "appId": 101
    }
}"#;
const LOGGED_IN: &str =
    r#"{"seq":"1565336219141-266129","cmd":"login","response":{"code":200,"codeMsg":"Success","data":null}}"#;

async fn connect(node: &Node) -> Connection {
    Connection::open(node.server(), &Options::default()).await.expect("a handshake")
}

async fn ask(connection: &mut Connection, request: &str) -> String {
    connection.send(request.to_owned()).await.expect("sent");
    next(connection).await
}

async fn next(connection: &mut Connection) -> String {
    let frame = tokio::time::timeout(SOON, connection.next()).await;
    frame.expect("a frame soon").expect("an open connection").to_string()
}

async fn the_documented_login_and_heartbeat_get_the_documented_answers(site: Site) {
    let mut connection = connect(site.first()).await;
    assert_eq!(ask(&mut connection, LOGIN).await, LOGGED_IN);
    let heartbeat = "{\n    \"seq\": \"2324\",\n    \"cmd\": \"heartbeat\",\n    \"data\": {}\n}";
    for request in [heartbeat, r#"{"seq":"2324","cmd":"heartbeat"}"#] {
        let text =
            r#"{"seq":"2324","cmd":"heartbeat","response":{"code":200,"codeMsg":"Success","data":null}}"#;
        assert_eq!(ask(&mut connection, request).await, text);
    }
}

async fn ping_is_answered_before_and_after_login(site: Site) {
    let mut connection = connect(site.first()).await;
    let pong = r#"{"seq":"1","cmd":"ping","response":{"code":200,"codeMsg":"Success","data":"pong"}}"#;
    for request in [r#"{"seq":"1","cmd":"ping","data":{}}"#, r#"{"seq":"1","cmd":"ping"}"#] {
        assert_eq!(ask(&mut connection, request).await, pong);
    }
    assert_eq!(ask(&mut connection, LOGIN).await, LOGGED_IN);
    assert_eq!(ask(&mut connection, r#"{"seq":"1","cmd":"ping"}"#).await, pong);
}

async fn both_spellings_and_a_token_are_taken_at_login(site: Site) {
    for data in [
        r#"{"userID":"a","appID":101}"#,
        r#"{"userId":"a","appId":"101","serviceToken":"t"}"#,
        r#"{"userId":"a","appId":101,"token":null,"unknown":[1]}"#,
    ] {
        let mut connection = connect(site.first()).await;
        let request = format!(r#"{{"seq":"s","cmd":"login","data":{data}}}"#);
        let answer = r#"{"seq":"s","cmd":"login","response":{"code":200,"codeMsg":"Success","data":null}}"#;
        assert_eq!(ask(&mut connection, &request).await, answer, "{data}");
    }
}

async fn a_text_is_pushed_as_documented(site: Site) {
    let mut reader = connect(site.last()).await;
    ask(&mut reader, LOGIN).await;
    let mut sender = site.first().login(101, "马超").await;
    let enter = next(&mut reader).await;
    let start = r#"{"seq":"","cmd":"enter","response":{"code":200,"codeMsg":"Ok","data":{"target":"","from":"马超","time":"#;
    assert!(enter.starts_with(start), "{enter}");
    let request =
        r#"{"seq":"1569080188418-747717","cmd":"msg","data":{"target":"","type":"text","msg":"hello"}}"#;
    let answer = ask(sender.connection(), request).await;
    let start = r#"{"seq":"1569080188418-747717","cmd":"msg","response":{"code":200,"codeMsg":"Success","data":{"msgId":"1569080188418-747717","offset":1,"epoch":""#;
    assert!(answer.starts_with(start), "{answer}");
    assert!(answer.ends_with(r#","duplicate":false}}}"#), "{answer}");
    let push = next(&mut reader).await;
    let start = r#"{"seq":"1569080188418-747717","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"target":"","type":"text","msg":"hello","from":"马超","#;
    assert!(push.starts_with(start), "{push}");
    let (push, answer): (Value, Value) =
        (serde_json::from_str(&push).expect("JSON"), serde_json::from_str(&answer).expect("JSON"));
    for member in ["msgId", "offset", "epoch", "time"] {
        assert_eq!(push["response"]["data"][member], answer["response"]["data"][member], "{member}");
    }
    assert_eq!(answer["response"]["data"]["from"], Value::Null, "an answer to the sender has no from");
}

async fn a_picture_is_pushed_as_documented(site: Site) {
    let mut reader = connect(site.last()).await;
    ask(&mut reader, LOGIN).await;
    let mut sender = site.first().login(101, "马超").await;
    next(&mut reader).await;
    let members = r#""url":"http://91vh.com/images/home_logo.png","secret":"消息鉴权 secret","size":{"width":480,"height":720}"#;
    for kind in ["img", "audio", "video"] {
        let request =
            format!(r#"{{"seq":"{kind}","cmd":"msg","data":{{"target":"","type":"{kind}",{members}}}}}"#);
        assert!(ask(sender.connection(), &request).await.contains(r#""code":200"#));
        let push = next(&mut reader).await;
        let start = format!(
            r#"{{"seq":"{kind}","cmd":"msg","response":{{"code":200,"codeMsg":"Ok","data":{{"target":"","type":"{kind}","from":"马超",{members},"#
        );
        assert!(push.starts_with(&start), "{push}");
    }
}

async fn comings_and_goings_are_told_once_for_each_user(site: Site) {
    let mut reader = site.first().login(101, "reader").await;
    let (one, two) = (site.first().login(101, "a").await, site.last().login(101, "a").await);
    let _elsewhere = site.last().login(102, "elsewhere").await;
    one.close().await;
    two.close().await;
    let mut told = vec![movement(&mut reader).await, movement(&mut reader).await];
    let mut last = site.last().login(101, "b").await;
    told.push(movement(&mut reader).await);
    last.send(Target::World, "end").await.expect("sent");
    assert_eq!(told, ["enter a", "exit a", "enter b"]);
    assert_eq!(reader.next_push(SOON).await.expect("open").expect("a push").cmd, "msg");
}

/// The next push, which tells who came or went.
async fn movement(session: &mut Session) -> String {
    let push = session.next_push(SOON).await.expect("open").expect("a push");
    assert_eq!((&push.data["target"], push.data["time"].is_u64()), (&json!(""), true), "{push:?}");
    format!("{} {}", push.cmd, push.data["from"].as_str().expect("who"))
}

async fn a_message_to_a_user_reaches_all_devices_but_the_sending_connection(site: Site) {
    let (here, there) = (site.first(), site.last());
    let mut sending = here.login(101, "马超").await;
    let mut beside = there.login(101, "马超").await;
    let mut devices = [here.login(101, "黄帝").await, there.login(101, "黄帝").await];
    let mut stranger = there.login(101, "stranger").await;
    let target: Target = "user:黄帝".parse().expect("a target");
    let receipt = sending.send(target.clone(), "between us").await.expect("sent");
    sending.send(Target::World, "for all").await.expect("sent");
    stranger.send(Target::World, "last").await.expect("sent");
    for device in devices.iter_mut().chain([&mut beside]) {
        // The order between two conversations is open.
        let (mut world, mut own) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let message = next_message(device).await;
            if message.target == Target::World { &mut world } else { &mut own }.push(message);
        }
        assert!(
            world.iter().map(|message| message.content.msg.as_deref()).eq([Some("for all"), Some("last")])
        );
        let [message] = &own[..] else { panic!("{own:?}") };
        assert_eq!((message.content.msg.as_deref(), message.from.as_str()), (Some("between us"), "马超"));
        assert_eq!((&message.target, &message.msg_id, message.offset), (&target, &receipt.msg_id, 1));
    }
    assert_eq!(next_text(&mut sending).await, "last");
    assert_eq!(next_text(&mut stranger).await, "for all");
}

async fn a_message_to_oneself_is_a_note_for_the_other_devices(site: Site) {
    let mut sending = site.first().login(101, "马超").await;
    let mut beside = site.last().login(101, "马超").await;
    sending.send("user:马超".parse().expect("a target"), "note").await.expect("sent");
    assert_eq!(next_text(&mut beside).await, "note");
    beside.send(Target::World, "last").await.expect("sent");
    assert_eq!(next_text(&mut sending).await, "last");
}

async fn operations_can_be_called_as_commands(site: Site) {
    let mut caller = site.first().login(101, "马超").await;
    let mut other = site.last().login(101, "黄帝").await;
    let list = caller.request("user/list", &json!({})).await.expect("answered");
    assert_eq!(list, json!({"userCount": 2, "userList": ["马超", "黄帝"]}));
    let foreign = caller.request("user/list", &json!({"appId": 999})).await.expect("answered");
    assert_eq!(foreign, list, "the app is the session's own");
    let online = caller.request("user/online", &json!({"userId": "黄帝"})).await.expect("answered");
    assert_eq!(online, json!({"online": true, "userId": "黄帝"}));
    let online = caller.request("user/online", &json!({"userID": "nobody"})).await.expect("answered");
    assert_eq!(online, json!({"online": false, "userId": "nobody"}));
    let message = json!({"userId": "黄帝", "message": "hi", "msgId": "m1", "from": "somebody else"});
    let sent = caller.request("user/sendMessage", &message).await.expect("answered");
    assert_eq!(sent, json!({"sendResults": true, "stored": true, "msgId": "m1", "offset": 1}));
    let push = next_message(&mut other).await;
    assert_eq!(
        (push.from.as_str(), push.content.msg.as_deref()),
        ("马超", Some("hi")),
        "who sends is the session's user"
    );
    let message = json!({"userId": "somebody else", "message": "to all", "msgId": "m2"});
    let sent = caller.request("user/sendMessageAll", &message).await.expect("answered");
    assert_eq!(sent, json!({"sendResults": true, "msgId": "m2", "offset": 1}));
    assert_eq!(next_message(&mut other).await.from.as_str(), "马超");
    let state = caller.request("system/state", &json!({})).await.expect("answered");
    assert_eq!(state["ready"], true);
}

on_every_engine! {
    the_documented_login_and_heartbeat_get_the_documented_answers,
    ping_is_answered_before_and_after_login,
    both_spellings_and_a_token_are_taken_at_login,
    a_text_is_pushed_as_documented,
    a_picture_is_pushed_as_documented,
    comings_and_goings_are_told_once_for_each_user,
    a_message_to_a_user_reaches_all_devices_but_the_sending_connection,
    a_message_to_oneself_is_a_note_for_the_other_devices,
    operations_can_be_called_as_commands,
}
