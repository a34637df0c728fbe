//! A WebSocket server that follows a script.

use std::time::Duration;

use chat_client::live::{Identity, Item, Options};
use chat_client::{Live, Server};
use chat_protocol::UserId;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

pub const DRAIN: &str = "system/drain";

/// One accepted connection of the script.
pub struct Peer(pub WebSocketStream<TcpStream>);

impl Peer {
    /// The next request: its seq, cmd and data. `None` at the end.
    pub async fn request(&mut self) -> Option<(String, String, Value)> {
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

    pub async fn write(&mut self, seq: &str, cmd: &str, code: u16, code_msg: &str, data: &Value) {
        let response = json!({"code": code, "codeMsg": code_msg, "data": data});
        let frame = json!({"seq": seq, "cmd": cmd, "response": response}).to_string();
        // A client that has gone is part of some scripts.
        let _ = self.0.send(Message::text(frame)).await;
    }

    pub async fn push(&mut self, cmd: &str, data: &Value) {
        self.write("p", cmd, 200, "Ok", data).await;
    }

    pub async fn message(&mut self, target: &str, epoch: &str, offset: u64) {
        self.push("msg", &said(target, epoch, offset)).await;
    }

    /// Takes the log-in, answers it, and gives what was to be recovered.
    pub async fn login(&mut self, answer: Value) -> Value {
        let (seq, cmd, data) = self.request().await.expect("a log-in");
        assert_eq!((cmd.as_str(), &data["userId"], &data["appId"]), ("login", &json!("me"), &json!(5)));
        self.write(&seq, "login", 200, "Success", &answer).await;
        data["recover"].clone()
    }

    pub async fn close(mut self, code: u16) {
        let _ =
            self.0.send(Message::Close(Some(CloseFrame { code: code.into(), reason: "told".into() }))).await;
        while let Some(Ok(_)) = self.0.next().await {}
    }

    /// Breaks without a close frame.
    pub fn cut(self) {
        drop(self.0);
    }
}

pub fn said(target: &str, epoch: &str, offset: u64) -> Value {
    json!({
        "target": target, "type": "text", "msg": offset.to_string(), "from": "x", "msgId": "m",
        "offset": offset, "epoch": epoch, "time": 1
    })
}

pub async fn listen() -> (TcpListener, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = listener.local_addr().expect("an address").to_string().parse().expect("a server");
    (listener, server)
}

pub async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = listener.accept().await.expect("a connection");
    Peer(accept_async(stream).await.expect("a handshake"))
}

pub fn quiet() -> Options {
    Options { discover: false, ..Options::default() }
}

pub fn start(servers: &[&Server], options: Options) -> Live {
    let user_id = UserId::new("me").expect("a name");
    let identity = Identity { app_id: 5, user_id, token: None };
    Live::start(servers.iter().map(|server| (*server).clone()).collect(), identity, options)
}

/// The next item in words.
pub async fn next(live: &mut Live) -> String {
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

pub async fn expect(live: &mut Live, expected: &[&str]) {
    for item in expected {
        assert_eq!(next(live).await, *item);
    }
}
