//! Red packets of groups that come to an end and are founded anew.

use chat_client::Http;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_site::{MoneySite, audited, balance, deposit};
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const APP: u32 = 877;

async fn ask(http: &Http, path: &str, data: Value) -> Value {
    http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path} {data}: {error}"))
}

fn tea(who: &str) -> Value {
    json!({"appId": APP, "userId": who, "groupId": "tea", "name": "tea"})
}

fn offer() -> Value {
    json!({"appId": APP, "userId": "a", "target": "group:tea", "total": 900, "count": 3, "msgId": "m"})
}

async fn kinds(http: &Http) -> Vec<String> {
    let data = json!({"appId": APP, "userId": "a", "target": "group:tea", "after": 0});
    let page = ask(http, "/message/history", data).await;
    let kind = |entry: &Value| entry["type"].as_str().expect("a type").to_owned();
    page["messages"].as_array().expect("a list").iter().map(kind).collect()
}

async fn what_was_offered_to_a_former_group_is_not_repeated_to_the_new_one(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "a", 1000).await;
    let said = json!({"appId": APP, "userId": "a", "groupId": "tea", "message": "x", "msgId": "said"});
    ask(&http, "/group/create", tea("a")).await;
    let first = ask(&http, "/redPacket/create", offer()).await;
    ask(&http, "/group/sendMessage", said.clone()).await;
    ask(&http, "/group/dismiss", tea("a")).await;
    for founder in ["a", "m"] {
        ask(&other, "/group/create", tea(founder)).await;
        if founder != "a" {
            ask(&other, "/group/join", tea("a")).await;
        }
        for node in [&http, &other] {
            assert_eq!(refused(node.call_raw("/redPacket/create", &offer()).await), 1009);
            assert_eq!(refused(node.call_raw("/group/sendMessage", &said).await), 1009);
        }
        let kinds = kinds(&http).await;
        assert!(kinds.iter().all(|kind| ["create", "join"].contains(&kind.as_str())), "{kinds:?}");
        let grab = json!({"appId": APP, "userId": "a", "packetId": first["packetId"]});
        assert_eq!(refused(other.call_raw("/redPacket/grab", &grab).await), 1009);
        ask(&http, "/group/dismiss", tea(founder)).await;
    }
    until("the money is back", SOON, async || balance(&http, APP, "a").await == 1000).await;
    audited(&http, APP).await;
}

chat_tests::with_money!(what_was_offered_to_a_former_group_is_not_repeated_to_the_new_one);

/// The packets have a day left.
#[tokio::test]
async fn a_node_without_a_ledger_dismisses_a_group_and_its_packets_go_back() {
    let mut site = FaultSite::stores().await;
    site.join(&[]).await;
    let redis = site.redis().url();
    site.start(&["--redis", &redis]).await;
    let (http, poor) = (site.http(0), site.http(1));
    deposit(&http, APP, "a", 1000).await;
    ask(&poor, "/group/create", tea("a")).await;
    let packet = ask(&http, "/redPacket/create", offer()).await["packetId"].clone();
    let grab = json!({"appId": APP, "userId": "a", "packetId": packet});
    assert!(ask(&http, "/redPacket/grab", grab.clone()).await["amount"].as_u64().is_some());
    // Nobody who has a ledger runs when the group ends.
    site.kill(0);
    ask(&poor, "/group/dismiss", tea("a")).await;
    site.restart(0).await;
    let http = site.http(0);
    until("the money is back", SOON, async || {
        // Whoever dismisses what is not theirs, or is gone, changes nothing.
        assert!(poor.call_raw("/group/dismiss", &tea("b")).await.is_err());
        balance(&http, APP, "a").await == 1000
    })
    .await;
    assert_eq!(ask(&http, "/redPacket/grab", grab).await["outcome"], "already");
    audited(&http, APP).await;
}
