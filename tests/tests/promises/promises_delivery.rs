//! What chatd promises a client that is connected: every message after its log-in, or word that some are missing.
//!
//! Invariant: a client that goes on from where it stood whenever it is told, ends with every message, each once.

use chat_client::{Error, Session};
use chat_protocol::session::{LOGIN, LoggedIn, Push};
use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const APP: u32 = 602;
/// A reader who stops for a moment is given up soon.
const SMALL: [&str; 2] = ["--outbox-frames=64", "--outbox-bytes=262144"];
const COUNT: u64 = 600;

async fn slow_closes(node: &Node) -> u64 {
    let state = node.http().call_raw("/system/state", &json!({})).await.expect("answered");
    state["slowClosesTotal"].as_u64().expect("a number")
}

/// Says so much that nobody who does not read can have it waiting.
async fn say_much(mut sender: Session) {
    for index in 0..COUNT {
        let text = format!("m{index} {}", "x".repeat(8 * 1024));
        sender.request("msg", &json!({"msg": text, "msgId": format!("m{index}")})).await.expect("answered");
    }
}

/// What a client has of the world room.
struct Reader {
    epoch: String,
    last: u64,
}

impl Reader {
    fn takes(&mut self, message: Push) {
        assert_eq!(message.offset, self.last + 1, "a hole without a word");
        (self.last, self.epoch) = (message.offset, message.epoch);
    }

    /// Reads to the end of the connection, or of the messages; tells whether there are more.
    async fn read(&mut self, session: &mut Session) -> bool {
        while self.last < COUNT {
            match session.next_push(SOON).await {
                Ok(Some(push)) => push.message().into_iter().for_each(|message| self.takes(message)),
                Ok(None) => panic!("neither messages nor a word after {}", self.last),
                Err(Error::Closed { code, .. }) => {
                    assert!((4000..4500).contains(&code), "{code}");
                    return true;
                }
                Err(error) => panic!("{error}"),
            }
        }
        false
    }

    /// Comes back and goes on: from the history what is too much to send again, and live.
    async fn come_back(&mut self, node: &Node) -> bool {
        let mut session = node.connect().await;
        let position = json!({"target": "", "epoch": self.epoch, "offset": self.last});
        let login = json!({"userId": "reader", "appId": APP, "recover": [position]});
        let answer = match session.request(LOGIN, &login).await {
            Ok(answer) => answer,
            Err(Error::Closed { code: 4000..4500, .. }) => return true,
            Err(error) => panic!("{error}"),
        };
        let answer: LoggedIn = serde_json::from_value(answer).expect("an answer about recovery");
        if answer.recovered[0].complete {
            return self.read(&mut session).await;
        }
        let ask = json!({"appId": APP, "target": "", "after": self.last, "limit": 20});
        let page: Value = node.http().call_raw("/message/history", &ask).await.expect("a history");
        for message in page["messages"].as_array().expect("messages") {
            self.takes(serde_json::from_value(message.clone()).expect("a push"));
        }
        self.last < COUNT
    }
}

async fn a_connected_client_gets_every_message_or_is_told(speaks: &Node, reads: &Node) {
    let mut session = reads.login(APP, "reader").await;
    let sending = tokio::spawn(say_much(speaks.login(APP, "sender").await));
    until("the reader is given up", SOON, async || slow_closes(reads).await > 0).await;
    let mut reader = Reader { epoch: String::new(), last: 0 };
    assert!(reader.read(&mut session).await, "more was said than could wait");
    while reader.come_back(reads).await {}
    sending.await.expect("all is said");
    assert_eq!(reader.last, COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connected_client_gets_every_message_after_its_log_in_or_is_told() {
    let node = Node::ephemeral(&SMALL).await;
    a_connected_client_gets_every_message_or_is_told(&node, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_node_gets_every_message_after_its_log_in_or_is_told() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let arguments = [&SMALL[..], &["--redis", &url]].concat();
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    a_connected_client_gets_every_message_or_is_told(&one, &two).await;
}

/// The reader reads nothing until the node has given up waiting for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_4001_however_late_they_read() {
    let node = Node::ephemeral(&SMALL).await;
    let mut slow = RawSocket::open(node.server()).await;
    slow.login(APP, "slow").await;
    say_much(node.login(APP, "sender").await).await;
    let http = node.http();
    until("nobody is connected", SOON, async || {
        http.call_raw("/system/state", &json!({})).await.expect("answered")["connections"] == 0
    })
    .await;
    assert_eq!(slow.close_code().await, 4001);
}
