//! Money at its edges: settlements that come twice, grabs at the moment of expiry, stores that are missing or forget.
//!
//! Invariant: every test ends with the audit and with the books of its clients, which must agree to the cent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chat_client::Http;
use chat_protocol::PacketId;
use chat_protocol::red_packet::Outcome;
use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::{Books, PATIENCE, audit_until, detail, ways};
use chat_tests::money_site::{MoneySite, audit, audited, balance, deposit};
use chat_tests::node::Node;
use chat_tests::program;
use chat_tests::raw_http::get;
use chat_tests::redis_server::RedisServer;
use chat_tests::talk::refused;
use chat_tests::wait::{pace, until};
use chat_tests::with_money;
use chatd::clock::{Clock, SystemClock};
use chatd::engine::redis::keys::Keys;
use futures_util::future::join_all;
use serde_json::{Value, json};

with_money!(grabs_race_with_expiry, the_last_grab_races_with_expiry);

const APP: u32 = 851;
const RICH: u64 = 1_000_000;

async fn opened(http: &Http, books: &Books) -> Vec<PacketId> {
    deposit(http, APP, "s", RICH).await;
    let mut packets = Vec::new();
    for number in 0..3 {
        packets.push(books.create("s", 3000, 30, &format!("p{number}")).await);
    }
    packets
}

#[tokio::test]
async fn settlements_come_twice_from_redis() {
    let mut site = FaultSite::shared(2, &["--settle", "false"]).await;
    let books = Books::new(APP, site.ways());
    let packets = opened(&site.http(0), &books).await;
    books.crowd(&packets, 25).await.expect("no panic");
    let (mut redis, outbox) = (site.redis_client().await, Keys::default().outbox(APP));
    let mut read = redis::cmd("XRANGE");
    let queued: Vec<(String, HashMap<String, Vec<u8>>)> =
        read.arg(&outbox).arg("-").arg("+").query_async(&mut redis).await.expect("read");
    assert_eq!(queued.len(), 75);
    for (_, fields) in queued.iter().rev() {
        let mut add = redis::cmd("XADD");
        add.arg(&outbox).arg("*");
        fields.iter().for_each(|(name, value)| _ = add.arg(name).arg(value));
        add.query_async::<String>(&mut redis).await.expect("put");
        // And as a chatd wrote it that put all of it into one text.
        let text = |name: &str| std::str::from_utf8(&fields[name]).expect("a text");
        let body = format!(
            r#"{{"app":{APP},"packet":"{}","kind":"grab","user":"{}","amount":{},"time_ms":{}}}"#,
            text("packet"),
            text("user"),
            text("amount"),
            text("time_ms")
        );
        let mut add = redis::cmd("XADD");
        add.arg(&outbox).arg("*").arg("body").arg(body);
        add.query_async::<String>(&mut redis).await.expect("put");
    }
    assert_eq!(audit(&site.http(1), APP).await.queued, 225);
    // Two at once, so that copies are in different hands.
    site.join(&["--role", "settler"]).await;
    site.join(&["--role", "settler"]).await;
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.queued, audit.total), (0, 9000));
}

#[tokio::test]
async fn settlements_come_twice_from_the_file() {
    let mut site = FaultSite::alone(&["--settle", "false"]).await;
    let books = Books::new(APP, site.ways());
    let packets = opened(&site.http(0), &books).await;
    books.crowd(&packets, 25).await.expect("no panic");
    site.kill(0);
    let file = rusqlite::Connection::open(site.file("money.sqlite3")).expect("the file");
    let again = "INSERT INTO outbox(app, body, packet, kind, user, amount, time_ms)
        SELECT app, body, packet, kind, user, amount, time_ms FROM outbox";
    // As a chatd wrote it that put all of it into one text.
    let before = "INSERT INTO outbox(app, body) SELECT app, CAST(json_object('app', app, 'packet', packet, 'kind', kind,
        'user', user, 'amount', amount, 'time_ms', time_ms) AS BLOB) FROM outbox WHERE id <= 75";
    for put in [again, before] {
        assert_eq!(file.execute(put, []).expect("put"), 75);
    }
    drop(file);
    site.restart_without(0, &["--settle", "false"]).await;
    let audit = books.agree(&site.http(0)).await;
    assert_eq!((audit.queued, audit.total), (0, 9000));
}

async fn short_lived(site: MoneySite) -> (MoneySite, Arc<Books>) {
    let site = site.with(&["--packet-expiry", "2"]).await;
    let nodes = [site.first().http(), site.last().http()];
    deposit(&nodes[0], APP, "s", RICH).await;
    let books = Books::new(APP, ways(&nodes));
    (site, books)
}

async fn grabs_race_with_expiry(site: MoneySite) {
    let (site, books) = short_lived(site).await;
    let mut packets = Vec::new();
    for number in 0..4_u32 {
        packets.push(books.create("s", 5000, 2000, &format!("p{number}")).await);
    }
    let first = packets[0].clone();
    // Whoever comes, until nobody gets anything any more.
    let (mut user, mut outcome) = (0, Outcome::Won);
    while outcome == Outcome::Won {
        let grabs = packets.iter().flat_map(|packet| {
            let books = &books;
            (user..user + 4).map(move |who| async move { books.grab(packet, &format!("u{who}")).await })
        });
        join_all(grabs).await;
        user += 4;
        outcome = books.grab(&first, &format!("u{user}")).await;
    }
    assert_eq!(outcome, Outcome::Expired);
    let ended = audit_until(&site.first().http(), APP, "all ended", |audit| audit.open == 0).await;
    assert!(ended.grabbed > 0 && ended.refunded > 0, "{ended:?}");
    books.agree(&site.last().http()).await;
    assert_eq!(balance(&site.first().http(), APP, "s").await, RICH - ended.grabbed);
}

async fn the_last_grab_races_with_expiry(site: MoneySite) {
    let (site, books) = short_lived(site).await;
    let http = site.first().http();
    let races = (0..30_u64).map(|number| {
        let (books, http) = (&books, &http);
        async move {
            let packet = books.create("s", 77, 1, &format!("p{number}")).await;
            let expires = detail(http, APP, &packet).await.expires;
            let begin = (expires + number % 5).saturating_sub(5);
            pace(Duration::from_millis(begin.saturating_sub(SystemClock.now_ms()))).await;
            let grabs = (0..4).map(|user| {
                let packet = &packet;
                async move { books.grab(packet, &format!("u{user}")).await }
            });
            join_all(grabs).await;
        }
    });
    join_all(races).await;
    let ended = audit_until(&http, APP, "all ended", |audit| audit.open == 0).await;
    assert_eq!(ended.total, 30 * 77);
    books.agree(&site.last().http()).await;
    assert_eq!(balance(&http, APP, "s").await, RICH - ended.grabbed);
}

#[tokio::test]
async fn what_the_queue_loses_is_paid_from_the_packets_own_books() {
    let mut site = FaultSite::shared(1, &["--settle", "false"]).await;
    let books = Books::new(APP, site.ways());
    let packets = opened(&site.http(0), &books).await;
    books.crowd(&packets, 10).await.expect("no panic");
    let (mut redis, outbox) = (site.redis_client().await, Keys::default().outbox(APP));
    let lost: u64 = redis::cmd("DEL").arg(&outbox).query_async(&mut redis).await.expect("deleted");
    assert_eq!(lost, 1);
    site.join(&["--role", "settler"]).await;
    let (server, app) = (site.http(0).server().to_string(), APP.to_string());
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", app.as_str())];
    for paid in [10, 0] {
        for packet in &packets {
            let line = ["redpacket", "replay", "--packet", packet.as_str(), "-y", "-o", "jsonl"];
            let ended = program::run("chatctl", &line, &variables).await;
            assert_eq!(
                (ended.code, ended.stdout.trim()),
                (Some(0), &*format!(r#"{{"replayed":{paid}}}"#)),
                "{ended:?}"
            );
        }
    }
    books.agree(&site.http(0)).await;
    for (line, code) in [
        (&["redpacket", "replay", "--packet", "nobody", "-y"][..], 5),
        (&["redpacket", "replay", "1-0", "--packet", "p", "-y"], 2),
        (&["redpacket", "replay", "--packet", "", "-y"], 2),
    ] {
        let ended = program::run("chatctl", line, &variables).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
    }
}

#[tokio::test]
async fn a_node_without_a_ledger_does_everything_else() {
    let redis = RedisServer::start().await;
    let node = Node::start(&["--redis", &redis.url()]).await;
    let http = node.http();
    let packet = json!({"appId": APP, "userId": "a", "packetId": "p"});
    let wallet = json!({"appId": APP, "userId": "a", "amount": 5, "transferId": "t"});
    let create = json!({"appId": APP, "userId": "a", "target": "", "total": 100, "count": 1, "msgId": "m"});
    for (path, data) in [
        ("/redPacket/create", &create),
        ("/redPacket/grab", &packet),
        ("/redPacket/detail", &packet),
        ("/redPacket/audit", &packet),
        ("/redPacket/deadLetters", &packet),
        ("/redPacket/replay", &packet),
        ("/wallet/deposit", &wallet),
        ("/wallet/withdraw", &wallet),
        ("/wallet/balance", &wallet),
        ("/wallet/transfers", &wallet),
    ] {
        assert_eq!(refused(http.call_raw(path, data).await), 1013, "{path}");
    }
    let group = json!({"appId": APP, "userId": "a", "name": "g", "groupId": "g"});
    http.call_raw("/group/create", &group).await.expect("a group");
    let mut reader = node.login(APP, "b").await;
    let said = json!({"appId": APP, "userId": "a", "msgId": "m", "message": "hello"});
    http.call_raw("/user/sendMessageAll", &said).await.expect("a message");
    assert_eq!(chat_tests::talk::next_text(&mut reader).await, "hello");
}

#[tokio::test]
async fn what_redis_forgets_is_named_and_goes_back_to_the_sender() {
    let site = FaultSite::shared(2, &[]).await;
    let (http, books) = (site.http(0), Books::new(APP, site.ways()));
    let packets = opened(&http, &books).await;
    books.crowd(&packets[..2], 10).await.expect("no panic");
    let before = books.agree(&http).await;
    let mut redis = site.redis_client().await;
    redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await.expect("flushed");

    let lost = audit(&http, APP).await;
    let mut rules: Vec<_> =
        lost.violations.iter().map(|found| (found.packet_id.clone(), &*found.rule)).collect();
    rules.sort_unstable();
    let mut wanted: Vec<_> = packets.iter().map(|packet| (Some(packet.clone()), "lost")).collect();
    wanted.sort_unstable();
    assert_eq!((lost.holds, rules), (false, wanted));
    assert_eq!((lost.total, lost.grabbed, lost.open), (9000, before.grabbed, 9000 - before.grabbed));
    // A repeated creation is a repetition, and opens nothing that was perhaps paid out.
    for (number, packet) in packets.iter().enumerate() {
        let again = json!({"appId": APP, "userId": "s", "target": "", "total": 3000, "count": 30, "msgId": format!("p{number}")});
        let again: Value = site.http(1).call_raw("/redPacket/create", &again).await.expect("answered");
        assert_eq!((again["packetId"].as_str(), &again["duplicate"]), (Some(packet.as_str()), &json!(true)));
        let grab = json!({"appId": APP, "userId": "u1", "packetId": packet});
        assert_eq!(refused(http.call_raw("/redPacket/grab", &grab).await), 1005);
    }
    assert_eq!(balance(&http, APP, "s").await, RICH - 9000);

    // Their time is over at once.
    site.sql(
        "UPDATE chat_escrow SET expires = 1, look = 0, terms = jsonb_set(terms::jsonb, '{expires_ms}', '1')::json",
    )
    .await;
    until("the money is back", PATIENCE, async || balance(&http, APP, "s").await == RICH - before.grabbed)
        .await;
    let after = audited(&http, APP).await;
    assert_eq!((after.grabbed, after.refunded, after.open), (before.grabbed, 9000 - before.grabbed, 0));
    let late = json!({"appId": APP, "userId": "s", "target": "", "total": 3000, "count": 30, "msgId": "p0"});
    http.call_raw("/redPacket/create", &late).await.expect("a repetition");
    assert_eq!(balance(&http, APP, "s").await, RICH - before.grabbed);
    // The app goes on.
    let fresh = Books::new(APP, site.ways());
    let packet = fresh.create("s", 500, 5, "fresh").await;
    fresh.crowd(std::slice::from_ref(&packet), 6).await.expect("no panic");
    let settled = audit_until(&http, APP, "settled", |audit| audit.unsettled == 0).await;
    assert_eq!((settled.holds, settled.grabbed), (true, before.grabbed + 500));
}

#[tokio::test]
async fn a_settler_answers_for_itself_only_and_a_gateway_says_when_there_is_none() {
    let mut site = FaultSite::shared(1, &["--settle", "false"]).await;
    let books = Books::new(APP, site.ways());
    let packets = opened(&site.http(0), &books).await;
    books.crowd(&packets[..1], 3).await.expect("no panic");
    let gateway = site.http(0).server().clone();
    let value = async |name: &str| {
        let page = get(&gateway, "/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
    };
    until("the gateway counts them", PATIENCE, async || value("chatd_settlements_waiting ").await == 3.0)
        .await;
    until("their age is known", PATIENCE, async || value("chatd_settlement_oldest_seconds ").await > 0.0)
        .await;
    until("it says so", PATIENCE, async || site.node(0).log().contains("nobody settles them")).await;
    site.join(&["--role", "settler"]).await;
    until("they are settled", PATIENCE, async || value("chatd_settlements_waiting ").await == 0.0).await;
    let settler = site.http(1).server().clone();
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/system/state", 200),
        ("/acc", 404),
        ("/home/index?appId=1", 404),
        ("/user/list?appId=1", 404),
        ("/wallet/balance?appId=1&userId=s", 404),
    ] {
        assert_eq!(get(&settler, path).await.status, status, "{path}");
    }
    books.agree(&site.http(0)).await;
}
