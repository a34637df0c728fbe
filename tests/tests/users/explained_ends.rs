//! The ends and refusals that only time, haste or a credential brings about, as `/system/explain` tells them.
//!
//! Invariant: each is told under its own name, which programs know.

use chat_client::Http;
use chat_protocol::UserId;
use chat_protocol::explain::{Explain, ExplainRequest, ExplainResponse};
use chat_tests::closed::{Closed, SECRET};
use chat_tests::jwt::{Signer, in_seconds};
use chat_tests::node::Node;
use chat_tests::raw_socket::RawSocket;
use chat_tests::talk::{close_code, refused};
use chat_tests::wait::{SOON, until};
use serde_json::json;

const APP: u32 = 922;

async fn told(http: &Http, user: &str) -> ExplainResponse {
    let request = ExplainRequest {
        app_id: APP,
        user_id: Some(UserId::new(user).expect("a name")),
        target: None,
        offset: None,
        msg_id: None,
        packet_id: None,
        node: None,
    };
    http.call::<Explain>(&request).await.expect("explained")
}

/// Waits until something of this name happened to the user, and gives how.
async fn how(http: &Http, user: &str, what: &str) -> String {
    let find = async || told(http, user).await.events.into_iter().find(|event| event.what == what);
    until(what, SOON, async || find().await.is_some()).await;
    find().await.expect("it happened").text
}

#[tokio::test]
async fn who_says_nothing_for_too_long_is_told_as_silent() {
    let node = Node::ephemeral(&["--heartbeat-timeout", "2s"]).await;
    let mut mute = RawSocket::open(node.server()).await;
    mute.login(APP, "mute").await;
    let how = how(&node.http(), "mute", "silent").await;
    assert!(how.contains("with 4000"), "{how}");
    drop(mute);
}

#[tokio::test]
async fn who_asks_too_much_is_told_as_limited_and_stays_connected() {
    let node = Node::ephemeral(&["--rate-per-connection", "1/s", "--burst-per-connection", "2"]).await;
    let mut hasty = node.login(APP, "hasty").await;
    let mut codes = Vec::new();
    while codes.len() < 8 && !codes.contains(&1011) {
        let outcome = hasty.request("msg", &json!({"msg": "now"})).await;
        codes.push(outcome.map_or_else(|error| error.code().map_or(0, chat_protocol::Code::number), |_| 200));
    }
    assert_eq!(codes.last(), Some(&1011), "{codes:?}");
    let how = how(&node.http(), "hasty", "limited").await;
    assert!(how.contains("a request was refused with 1011"), "{how}");
    assert_eq!(told(&node.http(), "hasty").await.now["online"], true);
}

#[tokio::test]
async fn who_stays_longer_than_a_token_is_told_so() {
    let closed = Closed::start("leeway = 0", &[]).await;
    let token = Signer::secret(SECRET).of(&json!({"sub": "late", "appId": APP, "exp": in_seconds(6)}));
    let (mut late, entered) = closed.enter(APP, "late", &token).await;
    entered.expect("it is good still");
    assert_eq!(close_code(&mut late).await, 4501);
    let http = Http::new(closed.server(closed.key("read")), SOON).expect("a client");
    let how = how(&http, "late", "tokenEnded").await;
    assert!(how.contains("with 4501"), "{how}");
    let (_, again) = closed.enter(APP, "late", &token).await;
    assert_eq!(refused(again), 1003);
}
