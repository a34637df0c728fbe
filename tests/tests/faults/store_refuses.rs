//! A Redis that takes no writes: what can be answered is, what is not known is never told, and nobody is called ready.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{Code, Target, UserId};
use chat_tests::node::Node;
use chat_tests::presence;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, pace, until};
use chatd::presence::{Change, Presence};
use serde_json::{Value, json};

const APP: u32 = 305;
/// Short, so that tests may wait for its end.
const LEASE_MS: u64 = 1_500;

async fn state(node: &Node) -> Value {
    node.http().call_raw("/system/state", &json!({})).await.expect("a state")
}

#[tokio::test]
async fn a_full_redis_is_read_and_not_called_ready() {
    let redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let http = node.http();
    let (mut a, _b) = (node.login(APP, "a").await, node.login(APP, "b").await);
    for (path, data) in [
        ("/group/create", json!({"appId": APP, "userId": "a", "name": "g", "groupId": "g"})),
        ("/group/join", json!({"appId": APP, "userId": "b", "groupId": "g"})),
        ("/friend/request", json!({"appId": APP, "userId": "a", "friendId": "b"})),
    ] {
        http.call_raw(path, &data).await.expect("done");
    }
    for target in ["", "group:g", "user:b"] {
        a.send(target.parse().expect("a target"), "kept").await.expect("sent");
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).await;

    let refusal = refused(a.send(Target::World, "too much").await);
    assert_eq!(refusal, Code::StoreUnreachable.number());
    for (path, data) in [
        ("/message/history", json!({"appId": APP, "target": ""})),
        ("/message/history", json!({"appId": APP, "target": "group:g", "userId": "b"})),
        ("/conversation/list", json!({"appId": APP, "userId": "b"})),
        ("/group/list", json!({"appId": APP, "userId": "b"})),
        ("/group/members", json!({"appId": APP, "groupId": "g"})),
        ("/friend/list", json!({"appId": APP, "userId": "a"})),
        ("/friend/requests", json!({"appId": APP, "userId": "b"})),
        ("/user/list", json!({"appId": APP})),
    ] {
        http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let ready = get(node.server(), "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("messages"), "{}", ready.body);
    let told = state(&node).await;
    assert_eq!((&told["ready"], &told["unready"]), (&json!(false), &json!(["messages"])));

    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    until("ready again", SOON, async || get(node.server(), "/readyz").await.status == 200).await;
    a.send(Target::World, "taken").await.expect("sent");
    assert_eq!(state(&node).await.get("unready"), None);
}

async fn presence(redis: &RedisServer) -> Arc<dyn Presence> {
    let user = UserId::new("a").expect("a name");
    let node = presence::node(redis, 1, LEASE_MS).await;
    node.apply(&[Change { app: APP, user, here: true }]).await.expect("applied");
    node
}

#[tokio::test]
async fn whoever_is_connected_stays_online_while_redis_is_full() {
    let redis = RedisServer::start().await;
    let node = presence(&redis).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    let user = UserId::new("a").expect("a name");
    for _ in 0..10 {
        assert!(!node.renew().await.expect("renewed"), "it was never dead");
        assert!(node.is_online(APP, &user).await.expect("known"));
        pace(Duration::from_millis(LEASE_MS / 4)).await;
    }
}

#[tokio::test]
async fn while_leases_cannot_be_renewed_nobody_is_told_to_be_away() {
    let redis = RedisServer::start().await;
    let node = presence(&redis).await;
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let user = UserId::new("a").expect("a name");
    let unknown = async || {
        assert!(node.renew().await.is_err(), "the script writes");
        match node.is_online(APP, &user).await {
            Ok(online) => assert!(online, "they are"),
            Err(_) => return true,
        }
        false
    };
    until("not known", SOON, unknown).await;
    assert!(node.list(APP, None, 10).await.is_err());
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    until("renewed", SOON, async || node.renew().await.is_ok()).await;
    assert!(node.is_online(APP, &user).await.expect("known again"));
}
