//! A session that stays and is no user's.

use chat_client::Live;
use chat_client::live::{Observer, Options};
use chat_protocol::UserId;
use chat_protocol::observe::OBSERVE;
use chat_protocol::session::Position;
use serde_json::{Value, json};

use crate::script::{Peer, accept, expect, listen};

fn observe(server: &chat_client::Server) -> Live {
    let observer = Observer { app_id: 5, side: UserId::new("me").ok() };
    let at = |target: &str, offset| Position {
        target: target.parse().expect("a target"),
        epoch: "e".to_owned(),
        offset,
    };
    let positions = vec![at("", 3), at("user:x", 7)];
    Live::observe(vec![server.clone()], observer, Options { positions, ..Options::default() })
}

/// Takes the request to observe, and gives what is to be recovered.
async fn asked(peer: &mut Peer, code: u16, answer: &Value) -> Value {
    let (seq, cmd, data) = peer.request().await.expect("a request");
    assert_eq!((cmd.as_str(), &data["userId"], &data["appId"]), (OBSERVE, &json!("me"), &json!(5)));
    peer.write(&seq, OBSERVE, code, "told", answer).await;
    data["recover"].clone()
}

#[tokio::test]
async fn who_observes_goes_on_where_it_was_and_sees_each_message_once() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let recovered = |world, pair| {
            json!({"recovered": [
                {"target": "", "epoch": "e", "offset": world, "complete": true},
                {"target": "user:x", "epoch": "e", "offset": pair, "complete": true},
            ]})
        };
        let mut peer = accept(&listener).await;
        asked(&mut peer, 200, &recovered(3, 7)).await;
        peer.message("", "e", 4).await;
        peer.message("user:me", "e", 8).await;
        peer.message("user:x", "e", 9).await;
        peer.cut();
        let mut peer = accept(&listener).await;
        let mut places = asked(&mut peer, 200, &recovered(5, 9)).await;
        places.as_array_mut().expect("a list").sort_by_key(|place| place["target"].to_string());
        let expected = [("", 4), ("user:x", 9)];
        assert_eq!(
            places,
            json!(expected.map(|(target, at)| json!({"target": target, "epoch": "e", "offset": at})))
        );
        peer.message("", "e", 4).await;
        peer.message("", "e", 5).await;
        peer.request().await
    });
    let mut live = observe(&server);
    expect(&mut live, &["connected", "#4", "user:me#8", "user:x#9", "closed 1006", "connected", "#5"]).await;
    live.close().await;
    assert!(script.await.expect("no panic").is_none());
}

#[tokio::test]
async fn a_server_that_knows_no_observers_says_so_once() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move { asked(&mut accept(&listener).await, 1010, &Value::Null).await });
    let mut live = observe(&server);
    expect(&mut live, &["refused told (code 1010)", "end"]).await;
    script.await.expect("no panic");
}
