//! A session that stays, against a scripted WebSocket server.

mod elsewhere;
mod observing;
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chat_client::Error;
use chat_client::live::Options;
use chat_protocol::session::{HEARTBEAT, Msg, Position};
use chat_protocol::{Code, Target};
use script::{DRAIN, accept, expect, listen, next, quiet, start};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

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
    let msg = Msg::text(Target::World, "hi");
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
async fn an_answer_that_overtakes_an_earlier_push_hides_nothing() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(Value::Null).await;
        peer.message("", "e", 1).await;
        let (seq, cmd, _) = peer.request().await.unwrap();
        let receipt = json!({"msgId": "m", "offset": 3, "epoch": "e", "time": 1, "duplicate": false});
        peer.write(&seq, &cmd, 200, "Success", &receipt).await;
        // The push of 2 is on its way when the connection breaks.
        peer.cut();
        let mut peer = accept(&listener).await;
        let answer = json!({"recovered": [{"target": "", "epoch": "e", "offset": 3, "complete": true}]});
        assert_eq!(peer.login(answer).await, json!([{"target": "", "epoch": "e", "offset": 1}]));
        peer.message("", "e", 2).await;
        // The server does not know that the client has its own message.
        peer.message("", "e", 3).await;
        peer.message("", "e", 4).await;
        peer.close(4001).await;
    });
    let mut live = start(&[&server], quiet());
    expect(&mut live, &["connected", "#1"]).await;
    let msg = Msg::text(Target::World, "own");
    assert_eq!(live.send(&msg).await.unwrap().offset, 3);
    expect(&mut live, &["closed 1006", "connected", "#2", "#4", "closed 4001"]).await;
    drop(live);
    script.await.unwrap();
}
