//! Red packets as users see them, on one node alone and on two that share Redis and PostgreSQL.

use chat_client::{Http, Session};
use chat_protocol::Target;
use chat_protocol::red_packet::{AuditResponse, DetailResponse};
use chat_tests::money_site::{MoneySite, audited, balance, deposit, settled};
use chat_tests::talk::{next_message, refused};
use chat_tests::wait::{SOON, until};
use chat_tests::with_money;
use serde_json::{Value, json};

with_money!(
    a_packet_reaches_its_room_and_pays_who_grabs,
    a_repeated_creation_creates_nothing_again,
    equal_shares_differ_by_a_cent_at_most,
    what_cannot_be_a_packet_is_refused,
    only_those_it_is_for_may_grab,
    the_detail_lists_every_winner_in_pages,
    a_room_hears_that_nothing_is_left,
    what_nobody_took_returns_after_expiry,
    a_packet_its_room_does_not_take_is_refunded,
    what_a_dismissed_group_left_returns_at_once,
    deposits_are_made_once,
    withdrawals_are_made_once_and_never_below_zero,
    wallets_list_their_transfers,
    wrong_values_move_no_money,
);

const APP: u32 = 811;

async fn ask(http: &Http, path: &str, data: Value) -> Value {
    http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path} {data}: {error}"))
}

async fn create(http: &Http, sender: &str, target: &str, total: u64, count: u32) -> String {
    let mut packet =
        json!({"appId": APP, "userId": sender, "target": target, "total": total, "count": count});
    packet["msgId"] = json!(format!("m{:016x}", rand::random::<u64>()));
    ask(http, "/redPacket/create", packet).await["packetId"].as_str().expect("an id").to_owned()
}

async fn grab(http: &Http, user: &str, packet: &str) -> (String, u64) {
    let answer =
        ask(http, "/redPacket/grab", json!({"appId": APP, "userId": user, "packetId": packet})).await;
    let outcome = answer["outcome"].as_str().expect("an outcome").to_owned();
    (outcome, answer["amount"].as_u64().expect("an amount"))
}

async fn detail(http: &Http, packet: &str) -> DetailResponse {
    let data = json!({"appId": APP, "packetId": packet, "limit": 1000});
    serde_json::from_value(ask(http, "/redPacket/detail", data).await).expect("a detail")
}

async fn next_notice(session: &mut Session, cmd: &str) -> Value {
    loop {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a push");
        if push.cmd == cmd {
            return serde_json::to_value(&push.data).expect("JSON");
        }
    }
}

async fn a_packet_reaches_its_room_and_pays_who_grabs(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "黄帝", 10_000).await;
    let mut sender = site.first().login(APP, "黄帝").await;
    let mut reader = site.last().login(APP, "马超").await;
    let data = json!({"target": "", "total": 1000, "count": 3, "greeting": "恭喜发财", "msgId": "m1"});
    let created = sender.request("redPacket/create", &data).await.expect("created");
    let offer = next_message(&mut reader).await;
    assert_eq!((offer.target.clone(), offer.content.kind.as_str()), (Target::World, "redPacket"));
    assert_eq!((offer.from.as_str(), offer.msg_id.as_str()), ("黄帝", "m1"));
    let packet = offer.content.packet_id.expect("a packet id").to_string();
    assert_eq!(offer.content.greeting.as_deref(), Some("恭喜发财"));
    assert_eq!(
        (created["packetId"].as_str(), created["offset"].as_u64()),
        (Some(&*packet), Some(offer.offset))
    );
    assert_eq!(balance(&other, APP, "黄帝").await, 9000);

    let first = reader.request("redPacket/grab", &json!({"packetId": packet})).await.expect("a share");
    let again = reader.request("redPacket/grab", &json!({"packetId": packet})).await.expect("the same");
    assert_eq!((&first["outcome"], &again["outcome"]), (&json!("won"), &json!("already")));
    assert_eq!(first["amount"], again["amount"]);
    let (won, a) = grab(&http, "a", &packet).await;
    let (sender_won, b) = grab(&other, "黄帝", &packet).await;
    assert_eq!((won.as_str(), sender_won.as_str()), ("won", "won"));
    assert_eq!(grab(&other, "late", &packet).await, ("empty".to_owned(), 0));
    assert_eq!(first["amount"].as_u64().expect("an amount") + a + b, 1000);
    settled(&http, APP).await;
    assert_eq!(balance(&http, APP, "马超").await, first["amount"].as_u64().expect("an amount"));
    assert_eq!(balance(&other, APP, "黄帝").await, 9000 + b);
    let audit: AuditResponse = audited(&http, APP).await;
    assert_eq!((audit.total, audit.grabbed, audit.refunded, audit.open), (1000, 1000, 0, 0));
}

async fn a_repeated_creation_creates_nothing_again(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "a", 1000).await;
    let data = json!({"appId": APP, "userId": "a", "target": "", "total": 600, "count": 2, "msgId": "m"});
    let first = ask(&http, "/redPacket/create", data.clone()).await;
    // There is not enough left for another one: only a true repeat can succeed.
    let mut again = ask(&other, "/redPacket/create", data.clone()).await;
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    again["duplicate"] = json!(false);
    assert_eq!(again, first);
    assert_eq!(balance(&http, APP, "a").await, 400);
    let mut changed = data;
    changed["total"] = json!(400);
    assert_eq!(refused(http.call_raw("/redPacket/create", &changed).await), 1009);
    let said = json!({"appId": APP, "userId": "a", "message": "x", "msgId": "said"});
    ask(&http, "/user/sendMessageAll", said).await;
    let taken = json!({"appId": APP, "userId": "a", "target": "", "total": 10, "count": 1, "msgId": "said"});
    assert_eq!(refused(http.call_raw("/redPacket/create", &taken).await), 1009);
    settled(&http, APP).await;
    assert_eq!(balance(&http, APP, "a").await, 400, "money that bought no packet is back");
    audited(&http, APP).await;
}

async fn equal_shares_differ_by_a_cent_at_most(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 1000).await;
    let data = json!({"appId": APP, "userId": "a", "target": "", "total": 1000, "count": 3, "mode": "equal", "msgId": "m"});
    let packet = ask(&http, "/redPacket/create", data).await["packetId"].as_str().expect("an id").to_owned();
    let mut amounts = Vec::new();
    for user in ["x", "y", "z"] {
        amounts.push(grab(&http, user, &packet).await.1);
    }
    amounts.sort_unstable();
    assert_eq!(amounts, [333, 333, 334]);
    assert_eq!(detail(&http, &packet).await.luckiest, None, "there is no luck in equal shares");
}

async fn what_cannot_be_a_packet_is_refused(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 30_000_000).await;
    let base = json!({"appId": APP, "userId": "a", "target": "", "total": 100, "count": 10, "msgId": "m"});
    for (name, value, code) in [
        ("count", json!(0), 1001),
        ("count", json!(101), 1001),
        ("count", json!(10_001), 1001),
        ("count", json!(-1), 1001),
        ("count", json!(1.5), 1001),
        ("total", json!(9), 1001),
        ("total", json!(20_000_001), 1001),
        ("total", json!("1e3"), 1001),
        ("total", json!(-100), 1001),
        ("mode", json!("fair"), 1001),
        ("greeting", json!("x".repeat(257)), 1001),
        ("target", json!("group:nowhere"), 1005),
        ("target", json!("user:a"), 1009),
        ("target", json!("nobody"), 1001),
        ("userId", json!("poor"), 1014),
        ("userId", json!(""), 1002),
        ("msgId", Value::Null, 1001),
        ("msgId", json!(""), 1001),
    ] {
        let mut data = base.clone();
        data[name] = value.clone();
        let code_of = refused(http.call_raw("/redPacket/create", &data).await);
        assert_eq!(code_of, code, "{name} = {value}");
    }
    assert_eq!(balance(&http, APP, "a").await, 30_000_000);
    let forged = json!({"target": "", "type": "redPacket", "packetId": "p", "msg": "x"});
    let mut session = site.first().login(APP, "forger").await;
    assert_eq!(refused(session.request("msg", &forged).await), 1001);
    let missing = json!({"appId": APP, "userId": "a", "packetId": "no-such"});
    assert_eq!(refused(http.call_raw("/redPacket/grab", &missing).await), 1005);
    assert_eq!(refused(http.call_raw("/redPacket/detail", &missing).await), 1005);
    assert_eq!(refused(http.call_raw("/redPacket/audit", &missing).await), 1005);
}

async fn only_those_it_is_for_may_grab(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "owner", 1000).await;
    let group = json!({"appId": APP, "userId": "owner", "name": "g", "groupId": "g"});
    ask(&http, "/group/create", group).await;
    for user in ["in", "out"] {
        ask(&http, "/group/join", json!({"appId": APP, "userId": user, "groupId": "g"})).await;
    }
    let packet = create(&http, "owner", "group:g", 300, 3).await;
    ask(&http, "/group/leave", json!({"appId": APP, "userId": "out", "groupId": "g"})).await;
    for stranger in ["stranger", "out"] {
        let data = json!({"appId": APP, "userId": stranger, "packetId": packet});
        assert_eq!(refused(other.call_raw("/redPacket/grab", &data).await), 1009, "{stranger}");
        assert_eq!(refused(other.call_raw("/redPacket/detail", &data).await), 1009, "{stranger}");
    }
    assert_eq!(grab(&other, "in", &packet).await.0, "won");
    assert_eq!(grab(&other, "owner", &packet).await.0, "won");
    // Another app has no such packet.
    let elsewhere = json!({"appId": APP + 1, "userId": "in", "packetId": packet});
    assert_eq!(refused(http.call_raw("/redPacket/grab", &elsewhere).await), 1005);

    let present = create(&http, "owner", "user:friend", 50, 1).await;
    for other_user in ["in", "owner"] {
        let data = json!({"appId": APP, "userId": other_user, "packetId": present});
        assert_eq!(refused(http.call_raw("/redPacket/grab", &data).await), 1009, "{other_user}");
    }
    assert_eq!(grab(&other, "friend", &present).await, ("won".to_owned(), 50));
    settled(&http, APP).await;
    audited(&http, APP).await;
}

async fn the_detail_lists_every_winner_in_pages(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 10_000).await;
    let packet = create(&http, "a", "", 5000, 25).await;
    for number in 0..25 {
        grab(&http, &format!("u{number}"), &packet).await;
    }
    let (mut after, mut winners) = (None, Vec::new());
    loop {
        let data = json!({"appId": APP, "packetId": packet, "limit": 10, "after": after});
        let page: DetailResponse =
            serde_json::from_value(ask(&http, "/redPacket/detail", data).await).expect("a detail");
        winners.extend(page.winners);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let users: Vec<_> = winners.iter().map(|winner| winner.user_id.to_string()).collect();
    assert_eq!(users, (0..25).map(|number| format!("u{number}")).collect::<Vec<_>>());
    assert_eq!(winners.iter().map(|winner| winner.amount).sum::<u64>(), 5000);
    let most = winners.iter().map(|winner| winner.amount).max();
    let luckiest =
        winners.iter().find(|winner| Some(winner.amount) == most).map(|winner| winner.user_id.clone());
    assert_eq!(detail(&http, &packet).await.luckiest, luckiest);
}

async fn a_room_hears_that_nothing_is_left(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 100).await;
    let mut reader = site.last().login(APP, "reader").await;
    let packet = create(&http, "a", "", 100, 2).await;
    grab(&http, "x", &packet).await;
    grab(&http, "y", &packet).await;
    let finished = next_notice(&mut reader, "redPacket/finished").await;
    let luckiest = detail(&http, &packet).await.luckiest.expect("the luckiest").to_string();
    let expected =
        json!({"target": "", "from": "a", "packetId": packet, "state": "empty", "luckiest": luckiest});
    assert_eq!(finished, expected);
}

async fn what_nobody_took_returns_after_expiry(site: MoneySite) {
    let site = site.with(&["--packet-expiry", "2"]).await;
    let http = site.first().http();
    deposit(&http, APP, "a", 1000).await;
    let mut reader = site.last().login(APP, "reader").await;
    let packet = create(&http, "a", "", 900, 3).await;
    let (_, taken) = grab(&http, "x", &packet).await;
    let finished = next_notice(&mut reader, "redPacket/finished").await;
    assert_eq!(finished["state"], "expired");
    settled(&http, APP).await;
    assert_eq!(balance(&http, APP, "a").await, 1000 - taken);
    assert_eq!(grab(&http, "late", &packet).await, ("expired".to_owned(), 0));
    assert_eq!(grab(&http, "x", &packet).await, ("already".to_owned(), taken));
    let audit = audited(&http, APP).await;
    assert_eq!((audit.grabbed, audit.refunded, audit.open), (taken, 900 - taken, 0));
    let detail = detail(&http, &packet).await;
    assert_eq!((detail.grabbed, detail.refunded, detail.open), (taken, 900 - taken, 0));
}

async fn a_packet_its_room_does_not_take_is_refunded(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 1000).await;
    let block = json!({"appId": APP, "userId": "b", "friendId": "a"});
    ask(&http, "/friend/block", block).await;
    let data =
        json!({"appId": APP, "userId": "a", "target": "user:b", "total": 700, "count": 1, "msgId": "m"});
    assert_eq!(refused(http.call_raw("/redPacket/create", &data).await), 1009);
    settled(&http, APP).await;
    assert_eq!(balance(&http, APP, "a").await, 1000);
    audited(&http, APP).await;
}

async fn deposits_are_made_once(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    let data = json!({"appId": APP, "userId": "a", "amount": 500, "transferId": "t"});
    let first = ask(&http, "/wallet/deposit", data.clone()).await;
    assert_eq!(first, json!({"userId": "a", "balance": 500, "duplicate": false}));
    let again = ask(&other, "/wallet/deposit", data).await;
    assert_eq!(again, json!({"userId": "a", "balance": 500, "duplicate": true}));
    for (user, amount) in [("a", 501), ("b", 500)] {
        let data = json!({"appId": APP, "userId": user, "amount": amount, "transferId": "t"});
        assert_eq!(refused(other.call_raw("/wallet/deposit", &data).await), 1009);
    }
    assert_eq!(balance(&other, APP, "b").await, 0);
}

async fn withdrawals_are_made_once_and_never_below_zero(site: MoneySite) {
    let (http, other) = (site.first().http(), site.last().http());
    deposit(&http, APP, "a", 500).await;
    let ask_for =
        |amount: u64, id: &str| json!({"appId": APP, "userId": "a", "amount": amount, "transferId": id});
    let first = ask(&http, "/wallet/withdraw", ask_for(300, "w")).await;
    assert_eq!(first, json!({"userId": "a", "balance": 200, "duplicate": false}));
    let again = ask(&other, "/wallet/withdraw", ask_for(300, "w")).await;
    assert_eq!(again, json!({"userId": "a", "balance": 200, "duplicate": true}));
    for (path, data, code) in [
        ("/wallet/withdraw", ask_for(301, "w"), 1009),
        ("/wallet/deposit", ask_for(300, "w"), 1009),
        ("/wallet/withdraw", ask_for(201, "more"), 1014),
        ("/wallet/withdraw", ask_for(5, "grab:1:p:a"), 1009),
        ("/wallet/withdraw", ask_for(0, "nothing"), 1001),
        ("/wallet/withdraw", json!({"appId": APP, "userId": "poor", "amount": 1, "transferId": "p"}), 1014),
    ] {
        assert_eq!(refused(other.call_raw(path, &data).await), code, "{data}");
    }
    // All at once: as many as there is money for.
    let all = (0..8).map(|number| {
        let (way, data) = (if number % 2 == 0 { &http } else { &other }, ask_for(60, &format!("w{number}")));
        async move { way.call_raw("/wallet/withdraw", &data).await.is_ok() }
    });
    let done = futures_util::future::join_all(all).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 3);
    assert_eq!(balance(&http, APP, "a").await, 20);
    let page = json!({"appId": APP, "userId": "a", "limit": 4});
    let listed = ask(&http, "/wallet/transfers", page).await;
    for (transfer, amount) in
        listed["transfers"].as_array().expect("a list").iter().zip([-60, -60, -60, -300])
    {
        assert_eq!((&transfer["kind"], &transfer["amount"]), (&json!("withdrawal"), &json!(amount)));
        assert_eq!(transfer["packetId"], Value::Null);
    }
    audited(&http, APP).await;
}

async fn wallets_list_their_transfers(site: MoneySite) {
    let http = site.first().http();
    for number in 0..5 {
        let data =
            json!({"appId": APP, "userId": "a", "amount": 100 + number, "transferId": format!("t{number}")});
        ask(&http, "/wallet/deposit", data).await;
    }
    let packet = create(&http, "a", "", 50, 1).await;
    grab(&http, "b", &packet).await;
    settled(&http, APP).await;
    let page = json!({"appId": APP, "userId": "a", "limit": 2});
    let newest = ask(&http, "/wallet/transfers", page).await;
    assert_eq!(newest["transfers"][0]["kind"], "packet");
    assert_eq!(newest["transfers"][0]["amount"], -50);
    assert_eq!(newest["transfers"][0]["packetId"], *packet);
    let page = json!({"appId": APP, "userId": "a", "before": newest["next"], "limit": 100});
    let older = ask(&http, "/wallet/transfers", page).await;
    let amounts: Vec<_> =
        older["transfers"].as_array().expect("a list").iter().map(|t| t["amount"].clone()).collect();
    assert_eq!(amounts, [103, 102, 101, 100].map(Value::from));
    assert_eq!(older["next"], Value::Null);
    let got = ask(&http, "/wallet/transfers", json!({"appId": APP, "userId": "b"})).await;
    assert_eq!((&got["transfers"][0]["kind"], &got["transfers"][0]["amount"]), (&json!("grab"), &json!(50)));
}

async fn wrong_values_move_no_money(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 100).await;
    for amount in [json!(0), json!(-5), json!(1.5), json!("x"), json!(1_000_000_000_001_u64), json!(null)] {
        let data = json!({"appId": APP, "userId": "a", "amount": amount, "transferId": "t"});
        assert_eq!(refused(http.call_raw("/wallet/deposit", &data).await), 1001, "{amount}");
    }
    for id in [json!(""), json!("x".repeat(129)), json!("a\nb"), json!(7)] {
        let data = json!({"appId": APP, "userId": "a", "amount": 5, "transferId": id});
        assert_eq!(refused(http.call_raw("/wallet/deposit", &data).await), 1001, "{id}");
    }
    for limit in [0, 201] {
        let data = json!({"appId": APP, "userId": "a", "limit": limit});
        assert_eq!(refused(http.call_raw("/wallet/transfers", &data).await), 1001);
    }
    for hostile in ["'; DROP TABLE transfer; --", "\"}]", "{chat:1}:x", "💰"] {
        deposit(&http, APP, hostile, 7).await;
        assert_eq!(balance(&http, APP, hostile).await, 7);
    }
    assert_eq!(balance(&http, APP, "a").await, 100);
    audited(&http, APP).await;
}

async fn what_a_dismissed_group_left_returns_at_once(site: MoneySite) {
    let http = site.first().http();
    deposit(&http, APP, "a", 1000).await;
    let group = json!({"appId": APP, "userId": "a", "groupId": "tea", "name": "tea"});
    ask(&http, "/group/create", group.clone()).await;
    let packet = create(&http, "a", "group:tea", 900, 1).await;
    ask(&http, "/group/dismiss", group).await;
    let stranger = json!({"appId": APP, "userId": "m", "groupId": "tea", "name": "tea"});
    ask(&site.last().http(), "/group/create", stranger).await;
    let taken = json!({"appId": APP, "userId": "m", "packetId": packet});
    assert_eq!(refused(http.call_raw("/redPacket/grab", &taken).await), 1009);
    until("the money is back", SOON, async || balance(&http, APP, "a").await == 1000).await;
    audited(&http, APP).await;
}
