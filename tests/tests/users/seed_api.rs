//! The documented HTTP operations: the exact text of their answers, by GET and by POST, in both spellings.
//!
//! Invariant: documented members stand first and in the documented order; what is added stands behind them.

use chat_protocol::Target;
use chat_tests::on_every_engine;
use chat_tests::raw_http::{self, Answer};
use chat_tests::site::Site;
use chat_tests::talk::{next_message, next_text, texts};
use chat_tests::wait::{SOON, until};

/// Percent-encoded 黄帝.
const HUANGDI: &str = "%E9%BB%84%E5%B8%9D";
const FORM: &str = "application/x-www-form-urlencoded";

/// The same call in every way the documents allow: form-encoded parameters, and the same as JSON members.
async fn in_every_way(site: &Site, path: &str, encoded: &str, members: &str) -> Vec<Answer> {
    let server = site.last().server();
    let mut answers = Vec::new();
    for (encoded, members) in [
        (encoded.to_owned(), members.to_owned()),
        (spelled_otherwise(encoded, "="), spelled_otherwise(members, "\"")),
    ] {
        answers.push(raw_http::get(server, &format!("{path}?{encoded}")).await);
        answers.push(raw_http::post(server, path, FORM, &encoded).await);
        answers.push(raw_http::post_json(server, path, format!("{{{members}}}")).await);
        answers.push(raw_http::post(server, &format!("{path}?{encoded}"), "", "").await);
    }
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    }
    answers
}

fn spelled_otherwise(text: &str, end: &str) -> String {
    ["app", "user", "msg"].iter().fold(text.to_owned(), |text, noun| {
        text.replace(&format!("{noun}Id{end}"), &format!("{noun}ID{end}"))
    })
}

async fn user_list_answers_the_documented_text(site: Site) {
    let nobody = r#"{"code":200,"msg":"Success","data":{"userCount":0,"userList":[]}}"#;
    for answer in in_every_way(&site, "/user/list", "appId=101", r#""appId":101"#).await {
        assert_eq!(answer.body, nobody);
    }
    let _user = site.first().login(101, "黄帝").await;
    let one = r#"{"code":200,"msg":"Success","data":{"userCount":1,"userList":["黄帝"]}}"#;
    for answer in in_every_way(&site, "/user/list", "appId=101", r#""appId":101"#).await {
        assert_eq!(answer.body, one);
    }
}

async fn user_online_answers_the_documented_text(site: Site) {
    let encoded = format!("appId=101&userId={HUANGDI}");
    let members = r#""appId":101,"userId":"黄帝""#;
    for answer in in_every_way(&site, "/user/online", &encoded, members).await {
        assert_eq!(answer.body, r#"{"code":200,"msg":"Success","data":{"online":false,"userId":"黄帝"}}"#);
    }
    let user = site.first().login(101, "黄帝").await;
    for answer in in_every_way(&site, "/user/online", &encoded, members).await {
        assert_eq!(answer.body, r#"{"code":200,"msg":"Success","data":{"online":true,"userId":"黄帝"}}"#);
    }
    user.close().await;
    let offline = async || {
        let answer = raw_http::get(site.server(), &format!("/user/online?{encoded}")).await;
        answer.body.contains(r#""online":false"#)
    };
    until("the user is offline after leaving", SOON, offline).await;
}

async fn a_message_to_an_online_user_is_answered_true_and_arrives(site: Site) {
    let mut user = site.first().login(101, "黄帝").await;
    let encoded = format!("appId=101&userId={HUANGDI}&message=hello");
    let members = r#""appId":101,"userId":"黄帝","message":"hello""#;
    let answers = in_every_way(&site, "/user/sendMessage", &encoded, members).await;
    let start = r#"{"code":200,"msg":"Success","data":{"sendResults":true,"stored":true,"msgId":""#;
    for (offset, answer) in (1..).zip(answers) {
        assert!(answer.body.starts_with(start), "{answer:?}");
        assert_eq!(answer.json()["data"]["offset"], offset);
        let message = next_message(&mut user).await;
        assert_eq!((message.content.msg.as_deref(), message.from.as_str()), (Some("hello"), "system"));
        assert_eq!(
            (message.offset, answer.json()["data"]["msgId"].as_str()),
            (offset, Some(message.msg_id.as_str()))
        );
    }
}

async fn a_message_to_an_offline_user_is_answered_false_and_stored(site: Site) {
    let encoded = format!("appId=101&userId={HUANGDI}&message=hello");
    let members = r#""appId":101,"userId":"黄帝","message":"hello""#;
    let start = r#"{"code":200,"msg":"Success","data":{"sendResults":false,"stored":true,"msgId":""#;
    for answer in in_every_way(&site, "/user/sendMessage", &encoded, members).await {
        assert!(answer.body.starts_with(start), "{answer:?}");
    }
}

async fn the_sender_of_a_message_can_be_named(site: Site) {
    let mut user = site.first().login(101, "黄帝").await;
    let body = r#"{"appId":101,"userId":"黄帝","message":"http://x/y.png","type":"img","from":"马超"}"#;
    assert_eq!(raw_http::post_json(site.last().server(), "/user/sendMessage", body).await.code(), 200);
    let message = next_message(&mut user).await;
    assert_eq!((message.from.as_str(), message.content.kind.as_str()), ("马超", "img"));
    let shown = (message.content.url.as_deref(), message.content.msg.as_deref());
    assert_eq!(shown, (Some("http://x/y.png"), Some("[picture]")), "old clients show the text");
    assert_eq!(message.target.to_string(), "user:黄帝");
}

async fn send_message_all_answers_the_documented_text(site: Site) {
    let server = site.last().server();
    let encoded = format!("appId=101&userId={HUANGDI}&msgId=once&message=hello");
    let members = r#""appId":101,"userId":"黄帝","msgId":"once","message":"hello""#;
    let first = raw_http::get(server, &format!("/user/sendMessageAll?{encoded}")).await;
    let text = r#"{"code":200,"msg":"Success","data":{"sendResults":true,"msgId":"once","offset":1}}"#;
    assert_eq!((first.status, first.body.as_str()), (200, text));
    let repeat = text.replace("1}}", r#"1,"duplicate":true}}"#);
    for answer in in_every_way(&site, "/user/sendMessageAll", &encoded, members).await {
        assert_eq!(answer.body, repeat);
    }
}

async fn send_message_all_reaches_every_device_but_the_senders(site: Site) {
    let (here, there) = (site.first(), site.last());
    let mut senders = [here.login(101, "黄帝").await, there.login(101, "黄帝").await];
    let mut others =
        [here.login(101, "马超").await, there.login(101, "马超").await, there.login(101, "李白").await];
    let path = "/user/sendMessageAll";
    let body = r#"{"appId":101,"userId":"黄帝","msgId":"all","message":"for all"}"#;
    assert_eq!(raw_http::post_json(there.server(), path, body).await.code(), 200);
    let body = r#"{"appId":101,"userId":"system","msgId":"after","message":"after it"}"#;
    assert_eq!(raw_http::post_json(there.server(), path, body).await.code(), 200);
    for other in &mut others {
        let message = next_message(other).await;
        assert_eq!((message.content.msg.as_deref(), message.from.as_str()), (Some("for all"), "黄帝"));
        assert_eq!((message.target, message.msg_id.as_str()), (Target::World, "all"));
        assert_eq!(next_text(other).await, "after it");
    }
    for sender in &mut senders {
        assert_eq!(next_text(sender).await, "after it");
    }
}

async fn pages_of_the_list_are_sorted_and_follow_the_cursor(site: Site) {
    let names = ["丙", "a", "B", "乙", "b", "甲", "A"];
    let mut users = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let node = if index % 2 == 0 { site.first() } else { site.last() };
        users.push(node.login(101, name).await);
        users.push(site.last().login(101, name).await);
    }
    let mut sorted = names.map(str::to_owned);
    sorted.sort_unstable();
    for limit in [1, 3, 6, 7, 8] {
        let mut seen: Vec<String> = Vec::new();
        let mut cursor = serde_json::Value::Null;
        loop {
            let body = serde_json::json!({"appId": 101, "limit": limit, "cursor": cursor}).to_string();
            let answer = raw_http::post_json(site.server(), "/user/list", body).await.json();
            let data = &answer["data"];
            assert_eq!(data["userCount"], 7);
            let page = data["userList"].as_array().expect("a list");
            assert!(page.len() <= limit);
            seen.extend(page.iter().map(|name| name.as_str().expect("a name").to_owned()));
            cursor = data["cursor"].clone();
            if cursor.is_null() {
                break;
            }
            assert_eq!(page.len(), limit, "a page with a next one is full");
        }
        assert_eq!(seen, sorted, "limit {limit}");
    }
}

async fn worlds_do_not_see_each_other(site: Site) {
    let mut here = site.first().login(1, "黄帝").await;
    let mut there = site.last().login(2, "黄帝").await;
    for (app, text) in [(1, "in one"), (2, "in two")] {
        let server = site.last().server();
        let all = format!(
            "/user/sendMessageAll?appId={app}&userId=x&msgId=same&message={}",
            text.replace(' ', "+")
        );
        let answer = raw_http::get(server, &all).await;
        assert_eq!(
            answer.json()["data"],
            serde_json::json!({"sendResults": true, "msgId": "same", "offset": 1})
        );
        let one = format!("/user/sendMessage?appId={app}&userId={HUANGDI}&msgId=own&message=to+{app}");
        assert_eq!(raw_http::get(server, &one).await.json()["data"]["offset"], 1);
        let list = raw_http::get(server, &format!("/user/list?appId={app}")).await;
        assert_eq!(list.json()["data"], serde_json::json!({"userCount": 1, "userList": ["黄帝"]}));
    }
    for (session, wanted) in [(&mut here, ["in one", "to 1"]), (&mut there, ["in two", "to 2"])] {
        // The order between two conversations is open.
        let mut seen = texts(session, 2).await;
        seen.sort_unstable();
        assert_eq!(seen, wanted);
    }
}

async fn the_page_is_served_with_a_content_security_policy(site: Site) {
    for target in ["/home/index?appId=101", "/home/index?appId=101&userId=a"] {
        let page = raw_http::get(site.server(), target).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.body.contains("<html"), "{}", page.body);
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        for allowed in ["unsafe-inline", "unsafe-eval", "default-src *"] {
            assert!(!policy.contains(allowed), "{policy}");
        }
        assert_eq!(page.header("x-content-type-options"), "nosniff");
    }
    let page = raw_http::get(site.server(), "/home/index?appId=101").await.body;
    for asset in ["chat.css", "chat.js"] {
        // A relative address, so that it works below any path of a proxy.
        let address = page.split('"').find(|word| word.ends_with(&format!("/{asset}"))).expect("it loads it");
        assert!(!address.starts_with('/'), "{address}");
        let loaded = raw_http::get(site.server(), &format!("/home/{address}")).await;
        assert_eq!(
            (loaded.status, loaded.header("cache-control")),
            (200, "public, max-age=31536000, immutable")
        );
        let former = raw_http::get(site.server(), &format!("/home/0123456789abcdef/{asset}")).await;
        assert_eq!((former.status, former.header("cache-control")), (200, "no-cache"));
    }
}

on_every_engine! {
    user_list_answers_the_documented_text,
    user_online_answers_the_documented_text,
    a_message_to_an_online_user_is_answered_true_and_arrives,
    a_message_to_an_offline_user_is_answered_false_and_stored,
    the_sender_of_a_message_can_be_named,
    send_message_all_answers_the_documented_text,
    send_message_all_reaches_every_device_but_the_senders,
    pages_of_the_list_are_sorted_and_follow_the_cursor,
    worlds_do_not_see_each_other,
    the_page_is_served_with_a_content_security_policy,
}
