//! Groups, one-to-one talk and recovery while links are slow, cut or refused, and while memberships change.

use std::time::Duration;

use chat_client::Session;
use chat_protocol::session::{LOGIN, LoggedIn, Position};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::{next_message, refused};
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const APP: u32 = 306;

async fn ask(session: &mut Session, cmd: &str, data: Value) -> Value {
    session.request(cmd, &data).await.unwrap_or_else(|error| panic!("{cmd}: {error}"))
}

/// A node, and another one that is far away from Redis.
struct Far {
    redis: RedisServer,
    proxy: FaultProxy,
    near: Node,
    far: Node,
    owner: Session,
}

impl Far {
    /// With a group `g` of an owner, who is near, and `m`.
    async fn start() -> Self {
        let redis = RedisServer::start().await;
        let proxy = FaultProxy::start(redis.address()).await;
        let (url, far_url) = (redis.url(), format!("redis://{}", proxy.address()));
        let (near, far) = (["--redis", url.as_str()], ["--redis", far_url.as_str()]);
        let (near, far) = tokio::join!(Node::start(&near), Node::start(&far));
        let mut owner = near.login(APP, "owner").await;
        ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
        let join = json!({"appId": APP, "userId": "m", "groupId": "g"});
        near.http().call_raw("/group/join", &join).await.expect("joined");
        Self { redis, proxy, near, far, owner }
    }

    /// The owner removes `m` and then says something that is not for them.
    async fn remove_and_say(&mut self, secret: &str) {
        ask(&mut self.owner, "group/kick", json!({"groupId": "g", "memberId": "m"})).await;
        self.owner.send("group:g".parse().expect("a target"), secret).await.expect("sent");
    }
}

async fn command(redis: &RedisServer, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(redis.url()).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.expect("done")
}

/// How often Redis did a command.
async fn calls(redis: &RedisServer, name: &str) -> u64 {
    let info = command(redis, &["INFO", "commandstats"]).await;
    let info: String = redis::from_redis_value(info).expect("a text");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

fn position(target: &str) -> Position {
    Position { target: target.parse().expect("a target"), epoch: String::new(), offset: 0 }
}

#[tokio::test]
async fn who_is_removed_while_he_recovers_gets_nothing_said_after() {
    let mut site = Far::start().await;
    let mut positions: Vec<_> = (0..100).map(|n| position(&format!("user:{n}"))).collect();
    positions.push(position("group:g"));
    let mut back = site.far.connect().await;
    let before = calls(&site.redis, "evalsha").await;
    site.proxy.delay(Duration::from_millis(15));
    let coming = tokio::spawn(async move {
        let login = json!({"userId": "m", "appId": APP, "recover": positions});
        let answer = back.request(LOGIN, &login).await.expect("logged in");
        (back, serde_json::from_value::<LoggedIn>(answer).expect("an answer about recovery"))
    });
    until("they recover", SOON, async || calls(&site.redis, "evalsha").await > before + 5).await;
    site.remove_and_say("secret").await;
    let (mut back, answer) = coming.await.expect("back");
    let group = answer.recovered.last().expect("the group");
    assert_eq!((group.complete, &*group.epoch, group.offset), (false, "", 0));
    site.owner.send("user:m".parse().expect("a target"), "the end").await.expect("sent");
    loop {
        let message = next_message(&mut back).await;
        match message.content.msg.as_deref() {
            Some("the end") => break,
            said => {
                let kick = ("kick", Some("owner removed m from the group"));
                assert_eq!((message.content.kind.as_str(), said), kick);
            }
        }
    }
}

#[tokio::test]
async fn who_is_removed_while_a_history_is_read_gets_nothing_said_after() {
    let mut site = Far::start().await;
    let before = calls(&site.redis, "zscore").await;
    site.proxy.delay(Duration::from_millis(500));
    let http = site.far.http();
    let reading = tokio::spawn(async move {
        let request = json!({"appId": APP, "userId": "m", "target": "group:g"});
        http.call_raw("/message/history", &request).await
    });
    until("they are found to be a member", SOON, async || calls(&site.redis, "zscore").await > before).await;
    site.remove_and_say("secret").await;
    assert_eq!(refused(reading.await.expect("an answer")), 1009);
}

#[tokio::test]
async fn who_joins_while_the_bus_is_cut_gets_the_group_when_it_is_back() {
    let mut site = Far::start().await;
    let mut late = site.near.login(APP, "late").await;
    let ready = async |node: &Node| matches!(node.http().get("/readyz", &[]).await, Ok((200, _)));
    // Commands go through, messages do not.
    command(&site.redis, &["ACL", "SETUSER", "default", "-subscribe"]).await;
    command(&site.redis, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    until("the cut is felt", SOON, async || !ready(&site.near).await).await;
    ask(&mut late, "group/join", json!({"groupId": "g"})).await;
    site.owner.send("group:g".parse().expect("a target"), "during").await.expect("sent");
    command(&site.redis, &["ACL", "SETUSER", "default", "+subscribe"]).await;
    until("the bus is back", SOON, async || ready(&site.near).await).await;
    site.owner.send("group:g".parse().expect("a target"), "after").await.expect("sent");
    for said in ["during", "after"] {
        assert_eq!(next_message(&mut late).await.content.msg.as_deref(), Some(said));
    }
}

#[tokio::test]
async fn who_was_cut_off_hears_of_a_recall_all_the_same() {
    let mut site = Far::start().await;
    let (group, user) = ("group:g".parse().expect("a target"), "user:m".parse().expect("a target"));
    let mut reader = site.far.login(APP, "m").await;
    let said = site.owner.send(group, "a mistake").await.expect("sent");
    let told = site.owner.send(user, "another").await.expect("sent");
    for text in ["a mistake", "another"] {
        assert_eq!(next_message(&mut reader).await.content.msg.as_deref(), Some(text));
    }
    site.proxy.cut();
    for (target, offset) in [("group:g", said.offset), ("user:m", told.offset)] {
        ask(&mut site.owner, "message/recall", json!({"target": target, "offset": offset})).await;
    }
    site.proxy.heal();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let push = reader.next_push(SOON).await.expect("an open connection").expect("a push");
        if push.cmd == "msg" && push.data["type"] == "recall" && !heard.contains(&push.data["target"]) {
            let offset = if push.data["target"] == "user:m" { told.offset } else { said.offset };
            assert_eq!((&push.data["from"], &push.data["recalls"]), (&json!("owner"), &json!(offset)));
            heard.push(push.data["target"].clone());
        }
    }
}
