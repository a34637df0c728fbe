//! Users who are sent away, and kept out for a time: on one node and over two, over WebSocket and HTTP, over restarts.
//!
//! Invariant: the user is on the one node and the operator asks the other, where there are two.

use chat_client::{Error, Http, Session};
use chat_protocol::UserId;
use chat_protocol::access::{Bans, BansRequest};
use chat_tests::closed::Closed;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::node::Node;
use chat_tests::on_every_engine;
use chat_tests::raw_http::request;
use chat_tests::redis_server::RedisServer;
use chat_tests::site::Site;
use chat_tests::talk::{Bystanders, next_text, refused};
use chat_tests::wait::{SOON, until};
use serde_json::{Value, json};

const APP: u32 = 641;

/// Close code and reason, after whatever comes before.
async fn closed(session: &mut Session) -> (u16, String) {
    loop {
        match session.next_push(SOON).await {
            Ok(Some(push)) => assert_ne!(push.cmd, "system/kick", "clients do not get what nodes say"),
            Ok(None) => panic!("the connection stays open"),
            Err(Error::Closed { code, reason }) => return (code, reason),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A log-in: the connection, and the refusal.
async fn try_login(node: &Node, user: &str) -> (Session, Result<Value, Error>) {
    let mut session = node.connect().await;
    let answer = session.request("login", &json!({"userId": user, "appId": APP})).await;
    (session, answer)
}

async fn call(http: &Http, path: &str, data: Value) -> Value {
    let mut data = data;
    data["appId"] = json!(APP);
    http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path} {data}: {error}"))
}

async fn banned(http: &Http) -> Vec<String> {
    let answer = call(http, "/system/bans", json!({})).await;
    let bans = answer["bans"].as_array().expect("a list");
    bans.iter().map(|ban| ban["userId"].as_str().expect("a name").to_owned()).collect()
}

async fn a_kick_ends_every_connection_of_the_user_with_its_reason_and_no_other(site: Site) {
    let mut bystanders = Bystanders::arrive(site.first(), APP).await;
    let (mut one, mut two) = (site.first().login(APP, "a").await, site.last().login(APP, "a").await);
    let mut elsewhere = site.first().login(APP + 1, "a").await;
    let http = site.last().http();
    let answer = call(&http, "/system/kick", json!({"userId": "a", "reason": "the gate closes"})).await;
    assert_eq!(answer, json!({"userId": "a", "online": true}));
    for session in [&mut one, &mut two] {
        assert_eq!(closed(session).await, (4500, "the gate closes".to_owned()));
    }
    bystanders.are_undisturbed().await;
    elsewhere.request("msg", &json!({"msg": "the a of another app"})).await.expect("still there");
    // They may come back, and are told when nobody said why.
    let mut again = site.first().login(APP, "a").await;
    call(&http, "/system/kick", json!({"userId": "a"})).await;
    let (code, reason) = closed(&mut again).await;
    assert!(code == 4500 && !reason.is_empty(), "{reason}");
    let answer = call(&http, "/system/kick", json!({"userId": "nobody"})).await;
    assert_eq!(answer["online"], json!(false));
}

async fn a_ban_keeps_out_on_every_node_until_it_is_lifted(site: Site) {
    let mut inside = site.first().login(APP, "a").await;
    let http = site.last().http();
    let ban = call(&http, "/system/ban", json!({"userId": "a", "seconds": 3600, "reason": "spam"})).await;
    let (until_ms, since) = (ban["until"].as_u64().expect("a time"), ban["since"].as_u64().expect("a time"));
    assert_eq!((until_ms - since, &ban["reason"]), (3_600_000, &json!("spam")));
    let (code, reason) = closed(&mut inside).await;
    assert!(
        code == 4500 && reason.starts_with("you are banned until 2") && reason.ends_with("Z: spam"),
        "{reason}"
    );
    for node in [site.first(), site.last()] {
        let (mut session, answer) = try_login(node, "a").await;
        let Err(Error::Refused { code, reason: words, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!((code, &words), (1003, &reason), "as they were told");
        assert_eq!(closed(&mut session).await, (4500, words));
    }
    // Somebody else of a similar name, and the same name in another app.
    site.first().login(APP, "ab").await;
    site.first().login(APP + 1, "a").await;

    // Another ban replaces it.
    call(&http, "/system/ban", json!({"userId": "a", "seconds": 60})).await;
    let listed = call(&site.first().http(), "/system/bans", json!({})).await;
    let bans = listed["bans"].as_array().expect("a list");
    assert!(bans.len() == 1 && bans[0]["userId"] == "a" && bans[0].get("reason").is_none(), "{listed}");
    for changed in [true, false] {
        let answer = call(&site.first().http(), "/system/unban", json!({"userId": "a"})).await;
        assert_eq!(answer, json!({"userId": "a", "changed": changed}));
    }
    assert_eq!(banned(&http).await, Vec::<String>::new());
    for node in [site.first(), site.last()] {
        node.login(APP, "a").await;
    }
}

async fn a_ban_ends_by_itself(site: Site) {
    let http = site.first().http();
    call(&http, "/system/ban", json!({"userId": "a", "seconds": 1})).await;
    call(&http, "/system/ban", json!({"userId": "b", "seconds": 3600})).await;
    until("the ban ends", SOON, async || try_login(site.last(), "a").await.1.is_ok()).await;
    until("and is listed no more", SOON, async || banned(&http).await == ["b"]).await;
    assert_eq!(call(&http, "/system/unban", json!({"userId": "a"})).await["changed"], json!(false));
}

async fn bans_are_listed_in_pages_by_name(site: Site) {
    let http = site.first().http();
    let mut names: Vec<_> = (0..25).map(|number| format!("u{number:02}")).collect();
    names.extend(["帝".to_owned(), "A".to_owned(), "a:b".to_owned()]);
    for name in &names {
        call(&http, "/system/ban", json!({"userId": name, "seconds": 3600})).await;
    }
    names.sort();
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let request = BansRequest { app_id: APP, limit: Some(4), cursor };
        let page = site.last().http().call::<Bans>(&request).await.expect("a page");
        assert!(page.bans.len() <= 4);
        listed.extend(page.bans.into_iter().map(|ban| ban.user_id.to_string()));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, names);
}

on_every_engine!(
    a_kick_ends_every_connection_of_the_user_with_its_reason_and_no_other,
    a_ban_keeps_out_on_every_node_until_it_is_lifted,
    a_ban_ends_by_itself,
    bans_are_listed_in_pages_by_name,
);

#[tokio::test]
async fn a_ban_outlives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--data-dir", directory.path().to_str().expect("a path")];
    let node = Node::start(&arguments).await;
    call(&node.http(), "/system/ban", json!({"userId": "a", "seconds": 3600, "reason": "spam"})).await;
    assert_eq!(node.stop().await, Some(0));
    let node = Node::start(&arguments).await;
    assert_eq!(refused(try_login(&node, "a").await.1), 1003);
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let node = Node::start(&arguments).await;
    call(&node.http(), "/system/ban", json!({"userId": "a", "seconds": 3600})).await;
    assert_eq!(node.stop().await, Some(0));
    let node = Node::start(&arguments).await;
    assert_eq!(refused(try_login(&node, "a").await.1), 1003);
}

#[tokio::test]
async fn a_banned_user_is_refused_over_http_and_an_operator_is_not() {
    let site = Closed::start("", &[]).await;
    let bearer = format!("Bearer {}", site.token(APP, "a"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let ask = async |path: &str| request(site.node.server(), "POST", path, &headers, b"{}").await;
    assert_eq!(ask("/conversation/list").await.code(), 200);
    let admin = format!("Bearer {}", site.key("all"));
    let as_admin = [("Authorization", admin.as_str()), ("Content-Type", "application/json")];
    let operate = async |path: &str, data: Value| {
        request(site.node.server(), "POST", path, &as_admin, data.to_string().as_bytes()).await
    };
    let ban = json!({"appId": APP, "userId": "a", "seconds": 3600, "reason": "spam"});
    assert_eq!(operate("/system/ban", ban).await.code(), 200);
    for path in ["/conversation/list", "/user/list", "/group/create"] {
        let answer = ask(path).await;
        assert_eq!((answer.code(), answer.status), (1003, 403), "{path}");
        assert!(answer.reason().starts_with("you are banned until 2") && answer.reason().ends_with("spam"));
    }
    let mine = json!({"appId": APP, "userId": "a"});
    assert_eq!(operate("/conversation/list", mine.clone()).await.code(), 200);
    let (mut session, entered) = site.enter(APP, "a", &site.token(APP, "a")).await;
    assert_eq!((refused(entered), closed(&mut session).await.0), (1003, 4500));
    assert_eq!(operate("/system/unban", mine).await.code(), 200);
    assert_eq!(ask("/conversation/list").await.code(), 200);
}

/// Who log in at the moment of the ban are refused, or let in and sent away: nobody stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_slips_in_while_a_ban_is_stored() {
    let redis = RedisServer::start().await;
    let arguments = ["--redis", &redis.url()];
    let (one, two) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
    let operator = two.http();
    for round in 0..10 {
        let user = format!("u{round}");
        let coming = futures_util::future::join_all((0..8).map(|number| {
            let (node, user) = (if number % 2 == 0 { &one } else { &two }, user.clone());
            async move { try_login(node, &user).await }
        }));
        let ban = call(&operator, "/system/ban", json!({"userId": user, "seconds": 3600}));
        let (entered, _) = tokio::join!(coming, ban);
        for (mut session, answer) in entered {
            assert!(matches!(answer, Ok(_) | Err(Error::Refused { code: 1003, .. } | Error::Closed { .. })));
            if !matches!(answer, Err(Error::Closed { .. })) {
                assert_eq!(closed(&mut session).await.0, 4500, "{user}: {answer:?}");
            }
        }
    }
}

/// A node that does not hear of a ban, because its link was cut, finds it when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_that_was_not_heard_of_is_found_when_the_link_is_back() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.address()).await;
    let behind = Node::start(&["--redis", &format!("redis://{}", proxy.address())]).await;
    let other = Node::start(&["--redis", &redis.url()]).await;
    let (mut inside, mut stays) = (behind.login(APP, "a").await, behind.login(APP, "b").await);
    proxy.stall();
    call(&other.http(), "/system/ban", json!({"userId": "a", "seconds": 3600, "reason": "spam"})).await;
    proxy.cut();
    proxy.heal();
    let (code, reason) = closed(&mut inside).await;
    assert!(code == 4500 && reason.ends_with("spam"), "{code} {reason}");
    let mut speaker = other.login(APP, "c").await;
    speaker.send(chat_protocol::Target::World, "still here").await.expect("sent");
    assert_eq!(next_text(&mut stays).await, "still here");
}

#[tokio::test]
async fn bad_bans_are_refused() {
    let node = Node::ephemeral(&[]).await;
    let http = node.http();
    for (path, data, code) in [
        ("/system/ban", json!({"userId": "a"}), 1001),
        ("/system/ban", json!({"userId": "a", "seconds": 0}), 1001),
        ("/system/ban", json!({"userId": "a", "seconds": -1}), 1001),
        ("/system/ban", json!({"userId": "a", "seconds": 1_000_000_000}), 1001),
        ("/system/ban", json!({"userId": "a", "seconds": 1, "reason": "a\nb"}), 1001),
        ("/system/ban", json!({"userId": "a", "seconds": 1, "reason": "x".repeat(101)}), 1001),
        ("/system/ban", json!({"userId": "", "seconds": 1}), 1002),
        ("/system/kick", json!({"userId": "x".repeat(65)}), 1002),
        ("/system/kick", json!({}), 1001),
    ] {
        let mut data = data;
        data["appId"] = json!(APP);
        assert_eq!(refused(http.call_raw(path, &data).await), code, "{path} {data}");
    }
    assert_eq!(banned(&http).await, Vec::<String>::new());
    UserId::new("a").expect("a valid name");
    node.login(APP, "a").await;
}
