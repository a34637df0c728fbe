//! A session that stays, against a scripted WebSocket server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chat_client::live::{Identity, Item, Options};
use chat_client::{Error, Live, Server};
use chat_protocol::content::Content;
use chat_protocol::session::{HEARTBEAT, Msg, Position};
use chat_protocol::{Code, Target, UserId};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

const DRAIN: &str = "system/drain";

/// One accepted connection of the script.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    /// The next request: its seq, cmd and data. `None` at the end.
    async fn request(&mut self) -> Option<(String, String, Value)> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => {
                    let request: Value = serde_json::from_str(&text).expect("JSON");
                    let text = |name: &str| request[name].as_str().expect("a text").to_owned();
                    return Some((text("seq"), text("cmd"), request["data"].clone()));
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    async fn write(&mut self, seq: &str, cmd: &str, code: u16, code_msg: &str, data: &Value) {
        let response = json!({"code": code, "codeMsg": code_msg, "data": data});
        let frame = json!({"seq": seq, "cmd": cmd, "response": response}).to_string();
        // A client that has gone is part of some scripts.
        let _ = self.0.send(Message::text(frame)).await;
    }

    async fn push(&mut self, cmd: &str, data: &Value) {
        self.write("p", cmd, 200, "Ok", data).await;
    }

    async fn message(&mut self, target: &str, epoch: &str, offset: u64) {
        let data = json!({
            "target": target, "type": "text", "msg": offset.to_string(), "from": "x", "msgId": "m",
            "offset": offset, "epoch": epoch, "time": 1
        });
        self.push("msg", &data).await;
    }

    /// Takes the log-in, answers it, and gives what was to be recovered.
    async fn login(&mut self, answer: Value) -> Value {
        let (seq, cmd, data) = self.request().await.expect("a log-in");
        assert_eq!((cmd.as_str(), &data["userId"], &data["appId"]), ("login", &json!("me"), &json!(5)));
        self.write(&seq, "login", 200, "Success", &answer).await;
        data["recover"].clone()
    }

    async fn close(mut self, code: u16) {
        let _ =
            self.0.send(Message::Close(Some(CloseFrame { code: code.into(), reason: "told".into() }))).await;
        while let Some(Ok(_)) = self.0.next().await {}
    }

    /// Breaks without a close frame.
    fn cut(self) {
        drop(self.0);
    }
}

async fn listen() -> (TcpListener, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = listener.local_addr().expect("an address").to_string().parse().expect("a server");
    (listener, server)
}

async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = listener.accept().await.expect("a connection");
    Peer(accept_async(stream).await.expect("a handshake"))
}

fn quiet() -> Options {
    Options { discover: false, ..Options::default() }
}

fn start(servers: &[&Server], options: Options) -> Live {
    let user_id = UserId::new("me").expect("a name");
    let identity = Identity { app_id: 5, user_id, token: None };
    Live::start(servers.iter().map(|server| (*server).clone()).collect(), identity, options)
}

/// The next item in words.
async fn next(live: &mut Live) -> String {
    let item = timeout(Duration::from_secs(20), live.next()).await.expect("an item in time");
    match item {
        None => "end".to_owned(),
        Some(Item::Message(push)) => format!("{}#{}", push.target, push.offset),
        Some(Item::Push(pushed)) => pushed.cmd,
        Some(Item::Gap(gap)) => {
            format!("gap {}#{}-{}", gap.target, gap.seen.map_or(0, |seen| seen.offset), gap.newest)
        }
        Some(Item::NewEpoch { target, epoch }) => format!("epoch {target}#{epoch}"),
        Some(Item::Connected { .. }) => "connected".to_owned(),
        Some(Item::Disconnected { code, .. }) => format!("closed {code}"),
        Some(Item::Retrying { .. }) => "retrying".to_owned(),
        Some(Item::Refused(error)) => format!("refused {error}"),
    }
}

async fn expect(live: &mut Live, expected: &[&str]) {
    for item in expected {
        assert_eq!(next(live).await, *item);
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_is_recovered_without_hole_or_repeat() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        assert_eq!(peer.login(Value::Null).await, Value::Null);
        peer.message("", "e", 3).await;
        peer.message("user:me", "u", 1).await;
        peer.message("", "e", 4).await;
        peer.cut();
        let mut peer = accept(&listener).await;
        let answer = json!({"recovered": [
            {"target": "", "epoch": "e", "offset": 6, "complete": true},
            {"target": "user:x", "epoch": "u", "offset": 1, "complete": true},
        ]});
        let asked = peer.login(answer).await;
        let expected = [
            json!({"target": "", "epoch": "e", "offset": 4}),
            json!({"target": "user:x", "epoch": "u", "offset": 1}),
        ];
        assert_eq!(asked.as_array().unwrap()[..], expected);
        for offset in [4, 5, 5, 6, 3, 7] {
            peer.message("", "e", offset).await;
        }
        peer.request().await
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["connected", "#3", "user:me#1", "#4", "closed 1006"]).await;
    expect(&mut live, &["connected", "#5", "#6", "#7"]).await;
    live.close().await;
    assert!(script.await.unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_is_gone_for_two_seconds_is_found_again() {
    let (listener, server) = listen().await;
    let address = listener.local_addr().unwrap();
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(Value::Null).await;
        peer.message("", "e", 1).await;
        drop(listener);
        peer.close(1001).await;
        sleep(Duration::from_secs(2)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let mut peer = accept(&listener).await;
        let asked = peer
            .login(json!({"recovered": [{"target": "", "epoch": "e", "offset": 2, "complete": true}]}))
            .await;
        assert_eq!(asked[0]["offset"], 1);
        peer.message("", "e", 2).await;
        peer.request().await
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["connected", "#1", "closed 1001"]).await;
    let mut attempts = 0;
    loop {
        match next(&mut live).await.as_str() {
            "retrying" => attempts += 1,
            other => {
                assert_eq!(other, "connected");
                break;
            }
        }
        let asked = live.request("ping", &json!({})).await;
        assert!(matches!(asked, Err(Error::Unreachable { .. })), "{asked:?}");
    }
    assert!((1..60).contains(&attempts), "{attempts}");
    expect(&mut live, &["#2"]).await;
    drop(live);
    assert!(script.await.unwrap().is_none(), "dropping closes the connection");
}

#[tokio::test]
async fn what_cannot_be_recovered_is_told() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        let answer = json!({"recovered": [
            {"target": "", "epoch": "e", "offset": 900, "complete": false},
            {"target": "group:g", "epoch": "h", "offset": 2, "complete": false},
        ]});
        peer.login(answer).await;
        peer.message("", "e", 899).await;
        peer.message("group:g", "h", 3).await;
        peer.message("group:g", "i", 1).await;
        peer.request().await
    });
    let place = |text: &str, epoch: &str, offset| {
        let target: Target = text.parse().unwrap();
        Position { target, epoch: epoch.to_owned(), offset }
    };
    let positions = vec![place("", "e", 4), place("group:g", "g", 9), place("user:x", "u", 7)];
    let mut live = start(&[&server], Options { positions, ..quiet() });
    expect(&mut live, &["connected", "gap #4-900", "epoch group:g#h", "gap group:g#9-2"]).await;
    // Not mentioned in the answer: silence would be a lie.
    expect(&mut live, &["gap user:x#7-7"]).await;
    expect(&mut live, &["#899", "group:g#3", "epoch group:g#i", "group:g#1"]).await;
    drop(live);
    script.await.unwrap();
}

#[tokio::test]
async fn a_kick_ends_for_good() {
    let (listener, server) = listen().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        loop {
            let mut peer = accept(&listener).await;
            count.fetch_add(1, Ordering::SeqCst);
            peer.login(Value::Null).await;
            peer.close(4500).await;
        }
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["connected", "closed 4500", "end", "end"]).await;
    let asked = live.request("ping", &json!({})).await;
    assert!(matches!(asked, Err(Error::Unreachable { .. })), "{asked:?}");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refused_user_ends_and_a_busy_store_does_not() {
    let (listener, server) = listen().await;
    tokio::spawn(async move {
        for (code, words) in [(1013, "store"), (1011, "wait"), (1003, "no")] {
            let mut peer = accept(&listener).await;
            let (seq, ..) = peer.request().await.unwrap();
            peer.write(&seq, "login", code, words, &json!({"retryAfterMs": 1})).await;
            peer.request().await;
        }
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["retrying", "retrying", "refused no (code 1003)", "end"]).await;
}

#[tokio::test]
async fn a_draining_node_is_left_for_the_next_one() {
    let ((first, one), (second, two)) = (listen().await, listen().await);
    let script = tokio::spawn(async move {
        let mut peer = accept(&first).await;
        peer.login(Value::Null).await;
        peer.push(DRAIN, &json!({"reconnectInMs": 300})).await;
        let told = Instant::now();
        assert!(peer.request().await.is_none(), "it leaves by itself");
        let mut peer = accept(&second).await;
        assert!(told.elapsed() >= Duration::from_millis(290));
        peer.login(Value::Null).await;
        peer.request().await
    });
    let mut live = start(&[&one, &two], quiet());
    expect(&mut live, &["connected", DRAIN, "closed 4002", "connected"]).await;
    drop(live);
    script.await.unwrap();
}

#[tokio::test]
async fn requests_are_answered_and_those_cut_off_are_told_from_those_not_sent() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(Value::Null).await;
        peer.message("", "e", 1).await;
        let (seq, cmd, data) = peer.request().await.unwrap();
        assert_eq!((cmd.as_str(), &data["msg"]), ("msg", &json!("hi")));
        let receipt = json!({"msgId": seq, "offset": 2, "epoch": "e", "time": 1, "duplicate": false});
        peer.write(&seq, "msg", 200, "Success", &receipt).await;
        let (seq, cmd, _) = peer.request().await.unwrap();
        peer.write(&seq, &cmd, 1005, "no such group", &Value::Null).await;
        peer.request().await.unwrap();
        peer.cut();
        let mut peer = accept(&listener).await;
        assert_eq!(peer.login(Value::Null).await[0]["offset"], 2, "the own message counts as seen");
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["connected", "#1"]).await;
    let msg = Msg { target: Target::World, content: Content::text("hi"), msg_id: None };
    assert_eq!(live.send(&msg).await.unwrap().offset, 2);
    let refused = live.request("group/join", &json!({"groupId": "g"})).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NotFound));
    let lost = live.request("ping", &json!({})).await.unwrap_err();
    assert!(matches!(lost, Error::Interrupted { .. }), "{lost:?}");
    script.await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_replaced() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(Value::Null).await;
        for _ in 0..3 {
            let (seq, cmd, _) = peer.request().await.unwrap();
            assert_eq!(cmd, HEARTBEAT);
            peer.write(&seq, &cmd, 200, "Success", &Value::Null).await;
        }
        // Takes every heartbeat from here on, and says nothing.
        let silent = tokio::spawn(async move { while peer.request().await.is_some() {} });
        accept(&listener).await.login(Value::Null).await;
        silent.await.unwrap();
    });
    let (heartbeat, limit) = (Duration::from_millis(50), Duration::from_millis(500));
    let mut live = start(&[&server], Options { heartbeat, timeout: limit, ..quiet() });
    expect(&mut live, &["connected", "closed 1006", "connected"]).await;
    script.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_waits_holds_back_the_socket_and_loses_nothing() {
    let (listener, server) = listen().await;
    const MESSAGES: u64 = 3000;
    tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(Value::Null).await;
        for offset in 1..=MESSAGES {
            peer.message("", "e", offset).await;
        }
        while let Some((seq, cmd, _)) = peer.request().await {
            peer.write(&seq, &cmd, 200, "Success", &Value::Null).await;
        }
    });
    let options =
        Options { timeout: Duration::from_millis(200), heartbeat: Duration::from_millis(50), ..quiet() };
    let mut live = start(&[&server], options);
    expect(&mut live, &["connected"]).await;
    let unread = live.request("ping", &json!({})).await;
    assert!(matches!(unread, Err(Error::Timeout { .. })), "{unread:?}");
    for offset in 1..=MESSAGES {
        assert_eq!(next(&mut live).await, format!("#{offset}"));
    }
    live.request("ping", &json!({})).await.unwrap();
}

#[tokio::test]
async fn conversations_begun_while_away_are_gaps() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        for last_offset in [0, 2] {
            let mut peer = accept(&listener).await;
            peer.login(Value::Null).await;
            let (seq, cmd, data) = peer.request().await.unwrap();
            assert_eq!((cmd.as_str(), &data["userId"]), ("conversation/list", &json!("me")));
            let found = json!([{
                "target": "user:x", "lastOffset": last_offset, "lastTime": 1, "readOffset": 0, "unread": 0
            }]);
            peer.write(&seq, &cmd, 200, "Success", &found).await;
            peer.push("enter", &Value::Null).await;
            peer.close(4001).await;
        }
    });
    let mut live = start(&[&server], Options::default());
    expect(&mut live, &["connected", "enter", "closed 4001"]).await;
    expect(&mut live, &["connected", "gap user:x#0-2", "enter", "closed 4001"]).await;
    drop(live);
    script.await.unwrap();
}
