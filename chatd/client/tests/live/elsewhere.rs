//! What is said in conversations that a log-in only tells of.

use chat_client::live::Options;
use serde_json::{Value, json};

use crate::script::{Peer, accept, expect, listen, next, said, start};

/// Answers the next request, which must be this, with a page of messages.
async fn history(peer: &mut Peer, asked: Value, offsets: std::ops::RangeInclusive<u64>, next: Option<u64>) {
    let (seq, cmd, data) = peer.request().await.expect("a request");
    assert_eq!((cmd.as_str(), &data), ("message/history", &asked));
    let target = asked["target"].as_str().expect("a target");
    let messages: Vec<_> = offsets.map(|offset| said(target, "e", offset)).collect();
    let mut page = json!({"messages": messages, "epoch": "e"});
    if let Some(next) = next {
        page["next"] = next.into();
    }
    peer.write(&seq, &cmd, 200, "Success", &page).await;
}

fn also(list: &[(&str, u64)]) -> Value {
    let also: Vec<_> = list
        .iter()
        .map(|(target, last)| json!({"target": target, "epoch": "e", "lastOffset": last}))
        .collect();
    json!({"recovered": [], "also": also})
}

#[tokio::test]
async fn what_was_said_elsewhere_while_away_comes_once_and_in_order() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        assert_eq!(peer.login(also(&[("user:old", 7)])).await, json!([]));
        peer.close(4001).await;
        let mut peer = accept(&listener).await;
        let known = json!([{"target": "user:old", "epoch": "e", "offset": 7}]);
        let mut answer = also(&[("group:x", 302), ("group:g", 5), ("group:r", 2)]);
        answer["recovered"] = json!([{"target": "user:old", "epoch": "e", "offset": 7, "complete": true}]);
        assert_eq!(peer.login(answer).await, known);
        peer.message("group:g", "e", 6).await;
        peer.message("", "e", 1).await;
        // No joining is found: what is older is told.
        let group = |member: &str, offset| json!({"target": "group:x", "limit": 200, member: offset});
        history(&mut peer, group("before", 303), 103..=302, Some(103)).await;
        history(&mut peer, group("before", 103), 101..=102, None).await;
        history(&mut peer, group("after", 100), 101..=300, Some(300)).await;
        history(&mut peer, group("after", 300), 301..=302, None).await;
        // What was said before one joined is not missed.
        let (seq, cmd, data) = peer.request().await.unwrap();
        assert_eq!(data, json!({"target": "group:g", "limit": 200, "before": 6}));
        let mut joining = said("group:g", "e", 4);
        (joining["from"], joining["type"]) = ("me".into(), "join".into());
        let page =
            json!({"messages": [said("group:g", "e", 3), joining, said("group:g", "e", 5)], "epoch": "e"});
        peer.write(&seq, &cmd, 200, "Success", &page).await;
        history(&mut peer, json!({"target": "group:g", "limit": 200, "after": 4}), 5..=6, None).await;
        let (seq, cmd, _) = peer.request().await.unwrap();
        peer.write(&seq, &cmd, 1009, "not a member", &Value::Null).await;
        peer.message("group:x", "e", 303).await;
        peer.close(4001).await;
    });
    let mut live = start(&[&server], Options::default());
    expect(&mut live, &["connected", "closed 4001", "connected", "#1"]).await;
    expect(&mut live, &["gap group:x#0-100"]).await;
    for offset in 101..=302 {
        assert_eq!(next(&mut live).await, format!("group:x#{offset}"));
    }
    expect(&mut live, &["group:g#5", "group:g#6", "gap group:r#0-2", "group:x#303", "closed 4001"]).await;
    drop(live);
    script.await.unwrap();
}

#[tokio::test]
async fn a_strangers_first_messages_come_though_more_are_pushed() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.login(also(&[])).await;
        peer.close(4001).await;
        let mut peer = accept(&listener).await;
        assert_eq!(peer.login(also(&[("user:x", 2)])).await, json!([]));
        peer.message("user:x", "e", 3).await;
        let after = |offset: u64| json!({"target": "user:x", "limit": 200, "after": offset});
        history(&mut peer, after(0), 1..=2, None).await;
        history(&mut peer, after(2), 3..=3, None).await;
        peer.message("user:x", "e", 4).await;
        peer.close(4001).await;
        let mut peer = accept(&listener).await;
        let known = json!([{"target": "user:x", "epoch": "e", "offset": 4}]);
        assert_eq!(peer.login(json!({"recovered": [], "also": []})).await, known);
    });
    let mut live = start(&[&server], Options::default());
    expect(&mut live, &["connected", "closed 4001", "connected"]).await;
    expect(&mut live, &["user:x#1", "user:x#2", "user:x#3", "user:x#4", "closed 4001", "connected"]).await;
    drop(live);
    script.await.unwrap();
}

#[tokio::test]
async fn all_conversations_are_known_before_one_can_begin() {
    let (listener, server) = listen().await;
    let script = tokio::spawn(async move {
        let list = |target: &str| json!([{"target": target, "epoch": "e", "lastOffset": 5, "lastTime": 1, "readOffset": 0, "unread": 0}]);
        for round in 0..2 {
            let mut peer = accept(&listener).await;
            let (seq, _, data) = peer.request().await.unwrap();
            let mut answer = also(&[("user:a", 9)]);
            answer["more"] = true.into();
            answer["recovered"] = data["recover"].clone();
            for recovered in answer["recovered"].as_array_mut().unwrap() {
                recovered["complete"] = true.into();
            }
            peer.write(&seq, "login", 200, "Success", &answer).await;
            let mut query = json!({"limit": 200});
            for (target, cursor) in [("user:b", Some("c")), (["user:c", "user:d"][round], None)] {
                let (seq, cmd, data) = peer.request().await.unwrap();
                assert_eq!((cmd.as_str(), &data), ("conversation/list", &query));
                let mut page = json!({"conversations": list(target)});
                if let Some(cursor) = cursor {
                    page["cursor"] = cursor.into();
                    query["cursor"] = cursor.into();
                }
                peer.write(&seq, &cmd, 200, "Success", &page).await;
            }
            if round == 1 {
                let after = json!({"target": "user:d", "limit": 200, "after": 0});
                history(&mut peer, after, 1..=5, None).await;
            }
            peer.push("enter", &Value::Null).await;
            peer.close(4001).await;
        }
    });
    let mut live = start(&[&server], Options::default());
    expect(&mut live, &["connected", "enter", "closed 4001", "connected"]).await;
    for offset in 1..=5 {
        assert_eq!(next(&mut live).await, format!("user:d#{offset}"));
    }
    expect(&mut live, &["enter", "closed 4001"]).await;
    drop(live);
    script.await.unwrap();
}
