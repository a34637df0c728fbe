//! The page of the system before chatd, moved over unchanged: the requests it makes, as a browser sends them, from
//! its own host and behind a proxy with its old settings.
//!
//! Invariant: nothing here is spelt as chatd's own page would.

use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, exchange};
use chat_tests::raw_socket::RawSocket;
use serde_json::json;

const BROWSER: &str = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\nX-Requested-With: XMLHttpRequest\r\n\
                       Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";

/// The page under one name.
struct Page<'n> {
    node: &'n Node,
    host: String,
}

impl Page<'_> {
    async fn get(&self, target: &str) -> Answer {
        let Self { host, .. } = self;
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{BROWSER}Connection: close\r\n\r\n");
        exchange(self.node.server(), head.as_bytes()).await.expect("an answer")
    }

    async fn post(&self, target: &str, form: &str) -> Answer {
        let Self { host, .. } = self;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nReferer: http://{host}/home/index\r\n\
             {BROWSER}Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
            form.len()
        );
        exchange(self.node.server(), head.as_bytes()).await.expect("an answer")
    }

    /// Its WebSocket: no subprotocol, an extension that is not spoken here, and a log-in.
    async fn enter(&self, user: &str) -> RawSocket {
        let Self { host, .. } = self;
        let mut socket = RawSocket::connect(self.node.server()).await;
        let head = format!(
            "GET /acc HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUser-Agent: Mozilla/5.0\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCache-Control: no-cache\r\n\r\n"
        );
        socket.send(head.as_bytes()).await;
        let head = socket.read_head().await;
        assert!(
            head.starts_with("HTTP/1.1 101 ") && !head.to_ascii_lowercase().contains("extensions"),
            "{head}"
        );
        let login = format!(
            r#"{{"seq":"1565336219141-266129","cmd":"login","data":{{"userID":"{user}","appID":101}}}}"#
        );
        socket.send_text(login).await;
        assert_eq!(socket.answer().await["response"]["code"], 200);
        socket
    }

    async fn works(&self) {
        assert_eq!(self.get("/home/index?appID=101").await.status, 200);
        let mut other = self.enter("马远").await;
        let list = self.get("/user/list?appID=101").await;
        assert_eq!(list.json()["data"]["userList"], json!(["马远"]));
        let form = "appID=101&userID=%E9%BB%84%E5%B8%9D&msgID=1565336219141-1&message=%E4%BD%A0%E5%A5%BD";
        assert_eq!(self.post("/user/sendMessageAll", form).await.json()["data"]["sendResults"], true);
        let frame = loop {
            let frame = other.next().await.expect("an open connection");
            let push: serde_json::Value = serde_json::from_slice(&frame.payload).expect("JSON");
            if push["cmd"] == "msg" {
                break push;
            }
        };
        assert_eq!(frame["response"]["data"]["msg"], "你好");
        assert_eq!(frame["response"]["data"]["from"], "黄帝");
        let one = "/user/sendMessage?appID=101&userID=%E9%A9%AC%E8%BF%9C&msgID=2&message=hello";
        assert_eq!(self.get(one).await.json()["data"]["sendResults"], true);
        assert_eq!(self.get("/user/online?appID=101&userID=x").await.json()["data"]["online"], false);
        other.send_text(r#"{"seq":"2324","cmd":"heartbeat","data":{}}"#).await;
        assert_eq!(other.answer().await["response"]["code"], 200);
    }
}

#[tokio::test]
async fn it_works_on_the_same_origin() {
    let node = Node::ephemeral(&[]).await;
    Page { node: &node, host: node.server().authority().to_owned() }.works().await;
}

#[tokio::test]
async fn it_works_behind_a_proxy_that_passes_the_name_on_once_the_name_is_listed() {
    let node = Node::ephemeral(&[]).await;
    let refused = Page { node: &node, host: "im.example".to_owned() }.get("/user/list?appID=101").await;
    assert_eq!((refused.status, refused.code()), (403, 1003));
    assert!(refused.reason().contains("--allowed-hosts im.example"), "{refused:?}");
    let node = Node::ephemeral(&["--allowed-hosts", "im.example"]).await;
    Page { node: &node, host: "im.example".to_owned() }.works().await;
}
