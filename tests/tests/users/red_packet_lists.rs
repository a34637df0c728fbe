//! An operator lists the red packets of an app: `embedded::…` and `shared::…`.

use chat_client::Http;
use chat_protocol::AppId;
use chat_tests::money_books::{Books, ways};
use chat_tests::money_site::{MoneySite, deposit};
use chat_tests::raw_http::get;
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

chat_tests::with_money!(
    packets_are_listed_in_pages_the_newest_first,
    packets_are_listed_by_how_they_stand,
    wrong_values_list_nothing,
);

const APP: AppId = 531;

async fn list(http: &Http, mut data: Value) -> Value {
    data["appId"] = json!(APP);
    http.call_raw("/redPacket/list", &data).await.expect("a list")
}

/// All pages; no page is longer than asked for.
async fn all(http: &Http, data: Value) -> Vec<Value> {
    let (mut found, mut data) = (Vec::new(), data);
    loop {
        let page = list(http, data.clone()).await;
        let packets = page["packets"].as_array().expect("packets");
        assert!(packets.len() as u64 <= data["limit"].as_u64().unwrap_or(50));
        found.extend(packets.iter().cloned());
        let Some(cursor) = page.get("cursor") else { return found };
        assert_ne!(data.get("cursor"), Some(cursor), "it does not end");
        data["cursor"] = cursor.clone();
    }
}

async fn packets_are_listed_in_pages_the_newest_first(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "a", 10_000).await;
    let books = Books::new(APP, ways(&[http.clone(), other.clone()]));
    let mut made = Vec::new();
    for number in 0..7 {
        made.insert(0, books.create("a", 100 + number, 2, &format!("p{number}")).await.to_string());
    }
    for limit in [1, 3, 7, 50] {
        let found = all(&other, json!({"limit": limit})).await;
        let mut ids: Vec<_> = found.iter().map(|of| of["packetId"].as_str().expect("an id")).collect();
        let created: Vec<_> = found.iter().map(|of| of["created"].as_u64().expect("a time")).collect();
        assert!(created.is_sorted_by(|a, b| a >= b), "{created:?}");
        let mut made: Vec<_> = made.iter().map(String::as_str).collect();
        // Those of one millisecond are in no promised order.
        ids.sort_unstable();
        made.sort_unstable();
        assert_eq!(ids, made, "pages of {limit}");
    }
    assert_eq!(all(&http, json!({"state": "open", "limit": 2})).await.len(), 7);
    let first = &list(&http, json!({"limit": 1})).await["packets"][0];
    let expires = first["expires"].as_u64().expect("a time");
    let wanted = json!({
        "packetId": first["packetId"], "from": "a", "target": "", "mode": "lucky", "total": first["total"],
        "count": 2, "created": expires - 24 * 60 * 60 * 1000, "expires": expires, "state": "open", "grabbed": 0,
        "grabbedCount": 0, "refunded": 0
    });
    assert_eq!(*first, wanted);
    let elsewhere = http.call_raw("/redPacket/list", &json!({"appId": APP + 1})).await;
    assert_eq!(elsewhere.expect("a list"), json!({"packets": []}));
}

async fn packets_are_listed_by_how_they_stand(site: MoneySite) {
    let site = site.with(&["--packet-expiry", "3"]).await;
    let http = site.first().http();
    deposit(&http, APP, "a", 10_000).await;
    let books = Books::new(APP, ways(std::slice::from_ref(&http)));
    let (empty, expired) = (books.create("a", 90, 1, "e").await, books.create("a", 100, 2, "x").await);
    books.grab(&empty, "b").await;
    books.grab(&expired, "b").await;
    until("the second is over", SOON, async || {
        all(&http, json!({"state": "expired", "limit": 1})).await.iter().any(|of| of["refunded"] != 0)
    })
    .await;
    for (state, packet, taken) in [("empty", &empty, Some(90)), ("expired", &expired, None)] {
        let found = all(&http, json!({"state": state, "limit": 1})).await;
        assert_eq!(found.len(), 1, "{state}: {found:?}");
        assert_eq!((&found[0]["packetId"], &found[0]["state"]), (&json!(packet), &json!(state)));
        assert_eq!(found[0]["grabbedCount"], 1);
        let grabbed = found[0]["grabbed"].as_u64().expect("cents");
        assert!(taken.is_none_or(|taken| taken == grabbed), "{found:?}");
        let refunded = found[0]["refunded"].as_u64().expect("cents");
        assert_eq!(grabbed + refunded, found[0]["total"].as_u64().expect("cents"));
    }
    assert_eq!(all(&http, json!({"state": "open"})).await, [] as [Value; 0]);
}

async fn wrong_values_list_nothing(site: MoneySite) {
    let http = site.first().http();
    for data in [
        json!({"appId": APP, "state": "shut"}),
        json!({"appId": APP, "limit": 0}),
        json!({"appId": APP, "limit": 201}),
        json!({"appId": APP, "cursor": "x"}),
        json!({"appId": APP, "cursor": "x.p"}),
    ] {
        assert_eq!(refused(http.call_raw("/redPacket/list", &data).await), 1001, "{data}");
    }
    for data in [
        json!({"appId": APP, "limit": 0}),
        json!({"appId": APP, "limit": 100_001}),
        json!({"appId": APP, "cursor": "x"}),
        json!({"appId": APP, "packetId": "p", "limit": 5}),
        json!({"appId": APP, "packetId": "p", "since": 5}),
        json!({"appId": APP, "since": 5, "cursor": "5.5.0.whole"}),
    ] {
        assert_eq!(refused(http.call_raw("/redPacket/audit", &data).await), 1001, "{data}");
    }
    assert_eq!(
        refused(http.call_raw("/redPacket/audit", &json!({"appId": APP, "packetId": "p"})).await),
        1005
    );
}

#[tokio::test]
async fn a_cursor_that_redis_or_postgresql_cannot_have_given_is_a_wrong_value() {
    let site = MoneySite::shared().await;
    let http = site.first().http();
    for stage in [
        "stored.x",
        "stored.",
        "stored.-1",
        "stored.18446744073709551616",
        "stored.1\0",
        "packets.1.p\0",
        "transfers.\0",
        "accounts.wallet:\0",
    ] {
        let data = json!({"appId": APP, "cursor": format!("0.1.0.{stage}")});
        assert_eq!(refused(http.call_raw("/redPacket/audit", &data).await), 1001, "{data}");
    }
    let data = json!({"appId": APP, "cursor": "1.p\0"});
    assert_eq!(refused(http.call_raw("/redPacket/list", &data).await), 1001, "{data}");
    let metrics = get(site.first().server(), "/metrics").await.body;
    let failed = r#"chatd_audits_total{outcome="failed"} 0"#;
    assert!(metrics.lines().any(|line| line == failed), "no store failed: {metrics}");
}
