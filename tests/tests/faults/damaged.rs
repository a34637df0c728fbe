//! Keys of Redis that hold something else than chatd writes: what they concern says so, and nobody is kept from the rest.

use std::sync::Arc;

use chat_protocol::GroupId;
use chat_protocol::session::{LOGIN, LoggedIn};
use chat_tests::broker::{HandClock, Recorder, redis_broker, to_world};
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::{refused, texts};
use chat_tests::wait::{SOON, until};
use chatd::broker::Retention;
use chatd::counters::Counters;
use chatd::engine::redis::keys::Keys;
use chatd::model::Topic;
use serde_json::{Value, json};

const APP: u32 = chat_tests::broker::APP;
const DAMAGED: u16 = 1004;

fn named(list: &Value, name: &str) -> Vec<String> {
    let names =
        list.as_array().expect("a list").iter().map(|one| one[name].as_str().expect("a name").to_owned());
    names.collect()
}

/// Makes the text of an entry of the world's log end in what is no JSON.
async fn spoil(redis: &RedisServer, index: &str) {
    let key = Keys::default().topic_log(&Topic::World(APP));
    let entry: String =
        redis::from_redis_value(redis.command(&["LINDEX", &key, index]).await).expect("an entry");
    let spoiled = format!("{}{{{{{{", &entry[..entry.len() - 3]);
    redis.command(&["LSET", &key, index, &spoiled]).await;
}

#[tokio::test]
async fn a_damaged_group_keeps_its_members_from_nothing_else() {
    let redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let mut owner = node.login(APP, "owner").await;
    for group in ["a", "g", "h"] {
        let created = owner.request("group/create", &json!({"groupId": group, "name": group})).await;
        created.expect("created");
        owner.send(format!("group:{group}").parse().expect("a target"), group).await.expect("sent");
    }
    let (keys, id) = (Keys::default(), |name: &str| GroupId::new(name).expect("an id"));
    let damaged = [("a", keys.group(APP, &id("a"))), ("g", keys.members(APP, &id("g")))];
    for (_, key) in &damaged {
        redis.command(&["DEL", key]).await;
        redis.command(&["SET", key, "x"]).await;
    }

    node.login(APP, "owner").await;
    let mut back = node.connect().await;
    let place = json!({"target": "group:h", "epoch": "", "offset": 0});
    let login = json!({"userId": "owner", "appId": APP, "recover": [place]});
    let answer = back.request(LOGIN, &login).await.expect("logged in");
    let answer: LoggedIn = serde_json::from_value(answer).expect("an answer about recovery");
    assert!(answer.recovered[0].complete);

    let (http, mut ask) = (node.http(), json!({"appId": APP, "userId": "owner"}));
    let all = http.call_raw("/conversation/list", &ask).await.expect("listed");
    assert_eq!(named(&all["conversations"], "target"), ["group:h", ""]);
    let groups = http.call_raw("/group/list", &ask).await.expect("listed");
    assert_eq!(named(&groups["groups"], "groupId"), ["h"]);
    ask["limit"] = json!(1);
    let first = http.call_raw("/conversation/list", &ask).await.expect("listed");
    ask["cursor"] = first["cursor"].clone();
    let second = http.call_raw("/conversation/list", &ask).await.expect("listed");
    let pages = [first, second].map(|page| named(&page["conversations"], "target"));
    assert_eq!(pages, [["group:h"], [""]], "what is left out ends no list");

    for (group, key) in &damaged {
        let members = http.call_raw("/group/members", &json!({"appId": APP, "groupId": group})).await;
        assert_eq!(refused(members), DAMAGED);
        let sent = owner.send(format!("group:{group}").parse().expect("a target"), "after").await;
        assert_eq!(refused(sent), DAMAGED);
        let names = |line: &str| line.contains("ERROR") && line.contains(key.as_str());
        until("the key is named", SOON, async || node.log().lines().any(names)).await;
    }
    owner.send("group:h".parse().expect("a target"), "after").await.expect("sent");
}

#[tokio::test]
async fn what_is_no_json_is_sent_to_nobody_who_comes_back() {
    let redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let mut writer = node.login(APP, "writer").await;
    for text in ["1", "2", "3"] {
        writer.send("".parse().expect("a target"), text).await.expect("sent");
    }
    spoil(&redis, "1").await;
    let mut back = node.connect().await;
    let place = json!({"target": "", "epoch": "", "offset": 0});
    let login = json!({"userId": "reader", "appId": APP, "recover": [place]});
    let answer = back.request(LOGIN, &login).await.expect("logged in");
    let answer: LoggedIn = serde_json::from_value(answer).expect("an answer about recovery");
    assert_eq!((answer.recovered[0].complete, answer.recovered[0].offset), (false, 3));
    assert_eq!(texts(&mut back, 2).await, ["1", "3"]);
}

#[tokio::test]
async fn what_is_no_json_is_delivered_to_no_node_that_missed_it() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let (seen, counters, clock) = <(Arc<Recorder>, Arc<Counters>, Arc<HandClock>)>::default();
    let retention = Retention { max_messages: 100, max_age_ms: 0 };
    let behind = format!("redis://{}", proxy.address());
    let reader = redis_broker(&behind, retention, clock.clone(), &counters, &seen).await.expect("a broker");
    let (other, none) = (Arc::default(), Arc::default());
    let writer = redis_broker(&server.url(), retention, clock, &none, &other).await.expect("a broker");
    let world = Topic::World(APP);
    reader.subscribe(&world).await.expect("subscribed");
    proxy.cut();
    until("the cut is felt", SOON, async || reader.ready().await.is_err()).await;
    for id in ["1", "2"] {
        writer.append(to_world("a", id)).await.expect("appended");
    }
    spoil(&server, "0").await;
    proxy.heal();
    seen.has(&world, 1).await;
    assert_eq!((seen.offsets(&world), seen.lost_topics()), (vec![2], vec![world]));
}
