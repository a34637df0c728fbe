//! Two deployments on one Redis, told apart by nothing but the number of the database.

use chat_protocol::Target;
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::next_message;
use serde_json::json;

const APP: u32 = 304;

#[tokio::test]
async fn they_never_hear_each_other() {
    let redis = RedisServer::start().await;
    let (first, second) = (format!("{}/0", redis.url()), format!("{}/1", redis.url()));
    let (first, second) = (["--redis", first.as_str()], ["--redis", second.as_str()]);
    let (first, second) = tokio::join!(Node::start(&first), Node::start(&second));
    let mut listener = second.login(APP, "b").await;
    let mut speaker = first.login(APP, "a").await;
    speaker.send(Target::World, "to the world").await.expect("sent");
    speaker.send("user:b".parse().expect("a target"), "to b").await.expect("sent");
    let request = json!({"appId": APP, "userId": "a", "friendId": "b"});
    first.http().call_raw("/friend/request", &request).await.expect("asked");
    let mut own = second.login(APP, "own").await;
    own.send(Target::World, "of its own").await.expect("sent");
    let heard = next_message(&mut listener).await;
    assert_eq!((heard.offset, heard.content.msg.as_deref()), (1, Some("of its own")));
}
