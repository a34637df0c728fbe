//! History, read state, recall, friends and blocks as users see them.

use chat_client::Session;
use chat_protocol::{Target, UserId};
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use chat_tests::talk::{next_text, refused};
use chat_tests::wait::SOON;
use serde_json::{Value, json};

on_every_engine!(
    history_pages_tile_while_messages_arrive,
    a_page_of_large_messages_is_never_too_large_to_be_sent,
    history_limits_are_checked,
    an_offline_recipient_finds_messages_later,
    reading_moves_forward_only,
    a_list_of_conversations_shows_what_was_said_last_in_short,
    a_recalled_message_keeps_its_place_and_loses_its_content,
    only_its_sender_or_an_operator_recalls,
    conversations_come_in_pages,
    lists_that_others_can_fill_come_in_pages,
    two_who_ask_each_other_are_friends_once,
    a_friendship_needs_the_other_side,
    a_block_refuses_messages_and_requests,
);

const APP: u32 = 303;

fn to(user: &str) -> Target {
    Target::User(UserId::new(user).expect("a valid user id"))
}

async fn ask(session: &mut Session, cmd: &str, data: Value) -> Value {
    session.request(cmd, &data).await.unwrap_or_else(|error| panic!("{cmd} {data}: {error}"))
}

/// The next push of this kind.
async fn pushed(session: &mut Session, cmd: &str) -> Value {
    loop {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a push");
        if push.cmd == cmd {
            return push.data;
        }
    }
}

fn offsets(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["offset"].as_u64().expect("an offset")).collect()
}

fn listed<'a>(list: &'a Value, target: &str) -> &'a Value {
    let conversations = list["conversations"].as_array().expect("a list");
    conversations.iter().find(|found| found["target"] == target).expect("it is listed")
}

async fn history_pages_tile_while_messages_arrive(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let mut reader = site.last().login(APP, "reader").await;
    for i in 0..57 {
        speaker.send(Target::World, &format!("{i}")).await.expect("sent");
    }
    let (mut backwards, mut query) = (Vec::new(), json!({"target": "", "limit": 10}));
    loop {
        let page = ask(&mut reader, "message/history", query).await;
        backwards = [offsets(&page), backwards].concat();
        speaker.send(Target::World, "meanwhile").await.expect("sent");
        let Some(next) = page["next"].as_u64() else { break };
        query = json!({"target": "", "limit": 10, "before": next});
    }
    assert_eq!(backwards, (1..=57).collect::<Vec<_>>());
    let (mut forwards, mut after) = (Vec::new(), 0);
    loop {
        let page =
            ask(&mut reader, "message/history", json!({"target": "", "limit": 7, "after": after})).await;
        forwards.extend(offsets(&page));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(forwards, (1..=63).collect::<Vec<_>>());
}

async fn a_page_of_large_messages_is_never_too_large_to_be_sent(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    // As JSON each takes six times as many bytes.
    let text = "\u{1}".repeat(2_500);
    for _ in 0..150 {
        speaker.send(Target::World, &text).await.expect("sent");
    }
    let mut reader = site.last().login(APP, "reader").await;
    for (side, mut place) in [("before", 151), ("after", 0)] {
        let (mut read, mut pages) = (Vec::new(), 0);
        loop {
            let page = ask(&mut reader, "message/history", json!({"target": "", side: place})).await;
            read.extend(offsets(&page));
            pages += 1;
            match page["next"].as_u64() {
                Some(next) => place = next,
                None => break,
            }
        }
        read.sort_unstable();
        assert_eq!((read, pages), ((1..=150).collect::<Vec<_>>(), 3), "{side}");
    }
}

async fn history_limits_are_checked(site: Site) {
    let http = site.first().http();
    let read = async |query: Value| refused(http.call_raw("/message/history", &query).await);
    assert_eq!(read(json!({"appId": APP, "target": "", "limit": 0})).await, 1001);
    assert_eq!(read(json!({"appId": APP, "target": "", "limit": 201})).await, 1001);
    assert_eq!(read(json!({"appId": APP, "target": "", "before": 1, "after": 1})).await, 1001);
    assert_eq!(read(json!({"appId": APP, "target": "user:a"})).await, 1001);
    assert_eq!(read(json!({"appId": APP, "target": "group:none"})).await, 1005);
    assert_eq!(read(json!({"appId": APP})).await, 1001);
    let empty =
        http.call_raw("/message/history", &json!({"appId": APP, "target": ""})).await.expect("a page");
    assert_eq!(empty, json!({"messages": [], "epoch": ""}));
}

async fn an_offline_recipient_finds_messages_later(site: Site) {
    let mut sender = site.first().login(APP, "马超").await;
    for i in 0..3 {
        sender.send(to("later"), &format!("{i}")).await.expect("sent");
    }
    let mut later = site.last().login(APP, "later").await;
    let list = ask(&mut later, "conversation/list", json!({})).await;
    let pair = listed(&list, "user:马超");
    assert_eq!(
        (&pair["lastOffset"], &pair["readOffset"], &pair["unread"]),
        (&json!(3), &json!(0), &json!(3))
    );
    let page = ask(&mut later, "message/history", json!({"target": "user:马超"})).await;
    assert_eq!(offsets(&page), [1, 2, 3]);
    assert_eq!(page["messages"][0]["target"], "user:later");
    // The sender has read what they wrote themselves.
    let list = ask(&mut sender, "conversation/list", json!({})).await;
    assert_eq!(listed(&list, "user:later")["unread"], 0);
}

async fn reading_moves_forward_only(site: Site) {
    let mut speaker = site.first().login(APP, "speaker").await;
    let mut reader = site.last().login(APP, "reader").await;
    for _ in 0..5 {
        speaker.send(Target::World, "x").await.expect("sent");
    }
    for (offset, read) in [(3, 3), (2, 3), (0, 3), (99, 5), (4, 5)] {
        let state = ask(&mut reader, "conversation/read", json!({"target": "", "offset": offset})).await;
        assert_eq!((&state["readOffset"], &state["unread"]), (&json!(read), &json!(5 - read)), "{offset}");
    }
    let list = ask(&mut reader, "conversation/list", json!({})).await;
    assert_eq!(listed(&list, "")["readOffset"], 5);
}

async fn a_list_of_conversations_shows_what_was_said_last_in_short(site: Site) {
    let mut sender = site.first().login(APP, "sender").await;
    let mut reader = site.last().login(APP, "reader").await;
    let last = async |reader: &mut Session| {
        let list = ask(reader, "conversation/list", json!({})).await;
        listed(&list, "user:sender")["last"].clone()
    };
    let world = ask(&mut reader, "conversation/list", json!({})).await;
    assert!(listed(&world, "").get("last").is_none(), "nothing was said");
    let long = "\u{9ec4}".repeat(300);
    let sent = sender.send(to("reader"), &long).await.expect("sent");
    let short: String = long.chars().take(200).collect();
    let wanted = json!({"from": "sender", "type": "text", "msg": short, "offset": 1, "time": sent.time});
    assert_eq!(last(&mut reader).await, wanted);
    let picture = json!({"target": "user:reader", "type": "img", "url": "http://files/1"});
    ask(&mut sender, "msg", picture).await;
    let shown = last(&mut reader).await;
    assert_eq!(
        (&shown["type"], &shown["msg"], &shown["offset"]),
        (&json!("img"), &json!("[picture]"), &json!(2))
    );
    ask(&mut sender, "message/recall", json!({"target": "user:reader", "offset": 2})).await;
    let shown = last(&mut reader).await;
    assert_eq!((&shown["type"], &shown["msg"]), (&json!("recall"), &json!("sender recalled a message")));
}

async fn a_recalled_message_keeps_its_place_and_loses_its_content(site: Site) {
    let mut sender = site.first().login(APP, "sender").await;
    let mut reader = site.last().login(APP, "reader").await;
    for text in ["a", "secret", "c"] {
        sender.send(to("reader"), text).await.expect("sent");
    }
    let recalled = ask(&mut sender, "message/recall", json!({"target": "user:reader", "offset": 2})).await;
    assert_eq!((&recalled["from"], &recalled["offset"]), (&json!("sender"), &json!(2)));
    let told = loop {
        let push = pushed(&mut reader, "msg").await;
        if push["type"] == "recall" {
            break push;
        }
    };
    let said = ["target", "from", "recalls", "offset", "epoch"].map(|member| told[member].clone());
    assert_eq!(json!(said), json!(["user:reader", "sender", 2, 4, recalled["epoch"]]));
    let page = ask(&mut reader, "message/history", json!({"target": "user:sender"})).await;
    assert_eq!(offsets(&page), [1, 2, 3, 4]);
    let mut entry = told.clone();
    let words = entry.as_object_mut().and_then(|entry| entry.remove("msg"));
    assert_eq!(words, Some(json!("sender recalled a message")), "an old client can show it");
    assert_eq!(page["messages"][3], entry, "it is an entry like any other");
    assert_eq!(
        (&page["messages"][1]["type"], &page["messages"][1]["from"]),
        (&json!("recalled"), &json!("sender"))
    );
    assert!(!page.to_string().contains("secret"));
}

async fn only_its_sender_or_an_operator_recalls(site: Site) {
    let mut sender = site.first().login(APP, "sender").await;
    let mut other = site.last().login(APP, "other").await;
    sender.send(Target::World, "x").await.expect("sent");
    let recall = json!({"target": "", "offset": 1});
    assert_eq!(refused(other.request("message/recall", &recall).await), 1003);
    assert_eq!(refused(other.request("message/recall", &json!({"target": "", "offset": 2})).await), 1005);
    assert_eq!(refused(other.request("message/recall", &json!({"target": "", "offset": 0})).await), 1005);
    let operator = json!({"appId": APP, "target": "", "offset": 1});
    let first = site.first().http().call_raw("/message/recall", &operator).await.expect("recalled");
    let again = site.last().http().call_raw("/message/recall", &operator).await.expect("recalled again");
    assert_eq!(first, again);
    let told = json!({"appId": APP, "target": "", "offset": 2});
    let refusal = refused(site.first().http().call_raw("/message/recall", &told).await);
    assert_eq!(refusal, 1009, "that it was taken back stays");
}

async fn conversations_come_in_pages(site: Site) {
    let mut sender = site.first().login(APP, "sender").await;
    let mut support = site.last().login(APP, "support").await;
    for customer in 0..7 {
        let message =
            json!({"appId": APP, "userId": "support", "from": format!("c{customer}"), "message": "hi"});
        site.first().http().call_raw("/user/sendMessage", &message).await.expect("sent");
    }
    sender.send(Target::World, "x").await.expect("sent");
    let (mut found, mut query) = (Vec::new(), json!({"limit": 3}));
    loop {
        let page = ask(&mut support, "conversation/list", query).await;
        found.extend(page["conversations"].as_array().expect("a list").clone());
        let Some(cursor) = page["cursor"].as_str() else { break };
        query = json!({"limit": 3, "cursor": cursor});
    }
    let whole = ask(&mut support, "conversation/list", json!({})).await;
    assert_eq!(whole, json!({"conversations": found}));
    assert_eq!(found.len(), 8);
    assert!(
        found.iter().all(|one| one["unread"] == 1 && one["epoch"].as_str().is_some_and(|e| !e.is_empty()))
    );
    for wrong in [
        json!({"limit": 0}),
        json!({"limit": 201}),
        json!({"cursor": "x"}),
        json!({"cursor": "1:x"}),
        json!({"cursor": "18446744073709551615:"}),
    ] {
        assert_eq!(refused(support.request("conversation/list", &wrong).await), 1001, "{wrong}");
    }
}

/// Reads a list page by page and gives the pages.
async fn pages(session: &mut Session, cmd: &str, limit: u32) -> Vec<Value> {
    let (mut pages, mut query) = (Vec::new(), json!({"limit": limit}));
    loop {
        let page = ask(session, cmd, query).await;
        let cursor = page["cursor"].clone();
        pages.push(page);
        if cursor.is_null() {
            return pages;
        }
        query = json!({"limit": limit, "cursor": cursor});
    }
}

async fn lists_that_others_can_fill_come_in_pages(site: Site) {
    let mut user = site.first().login(APP, "user").await;
    let http = site.last().http();
    for number in 0..7 {
        let name = format!("u{number}");
        let request = json!({"appId": APP, "userId": &name, "friendId": "user"});
        http.call_raw("/friend/request", &request).await.expect("asked");
        ask(&mut user, "friend/request", json!({"friendId": format!("v{number}")})).await;
        ask(&mut user, "group/create", json!({"name": "n", "groupId": format!("g{number}")})).await;
    }
    for (cmd, list, most) in [
        ("friend/requests", "requests", 200),
        ("friend/list", "requested", 1000),
        ("group/list", "groups", 500),
    ] {
        let found = pages(&mut user, cmd, 3).await;
        let items: Vec<Value> =
            found.iter().flat_map(|page| page[list].as_array().expect("a list").clone()).collect();
        assert_eq!((found.len(), items.len()), (3, 7), "{cmd}");
        assert_eq!(ask(&mut user, cmd, json!({})).await[list], json!(items), "{cmd}");
        for wrong in [json!({"limit": 0}), json!({"limit": most + 1}), json!({"cursor": "\n"})] {
            let code = refused(user.request(cmd, &wrong).await);
            assert!([1001, 1002].contains(&code), "{cmd} {wrong}: {code}");
        }
    }
}

async fn two_who_ask_each_other_are_friends_once(site: Site) {
    let mut a = site.first().login(APP, "a").await;
    let mut b = site.last().login(APP, "b").await;
    for _ in 0..5 {
        let (to_b, to_a) = (json!({"friendId": "b"}), json!({"friendId": "a"}));
        let (one, two) = tokio::join!(a.request("friend/request", &to_b), b.request("friend/request", &to_a));
        let (one, two) = (one.expect("asked"), two.expect("asked"));
        let became = [&one, &two].into_iter().filter(|answer| answer["standing"] == "friends").count();
        assert_eq!(became, 1, "{one} {two}");
        for (session, friend) in [(&mut a, "b"), (&mut b, "a")] {
            let list = ask(session, "friend/list", json!({})).await;
            assert_eq!(list, json!({"friends": [friend], "requested": [], "blocked": []}));
            assert_eq!(ask(session, "friend/requests", json!({})).await, json!({"requests": []}));
        }
        ask(&mut a, "friend/remove", json!({"friendId": "b"})).await;
    }
}

async fn a_friendship_needs_the_other_side(site: Site) {
    let mut a = site.first().login(APP, "a").await;
    let mut b = site.last().login(APP, "b").await;
    assert_eq!(refused(b.request("friend/accept", &json!({"friendId": "a"})).await), 1005);
    assert_eq!(refused(a.request("friend/request", &json!({"friendId": "a"})).await), 1009);
    let asked = ask(&mut a, "friend/request", json!({"friendId": "b", "greeting": "你好"})).await;
    assert_eq!((&asked["standing"], &asked["changed"]), (&json!("requested"), &json!(true)));
    let push = pushed(&mut b, "friend/request").await;
    assert_eq!((&push["from"], &push["greeting"]), (&json!("a"), &json!("你好")));
    assert_eq!(ask(&mut b, "friend/requests", json!({})).await["requests"][0]["greeting"], "你好");
    assert_eq!(ask(&mut b, "friend/list", json!({})).await["friends"], json!([]));
    assert_eq!(ask(&mut b, "friend/accept", json!({"friendId": "a"})).await["standing"], "friends");
    assert_eq!(pushed(&mut a, "friend/accept").await["from"], "b");
    let repeated = ask(&mut b, "friend/accept", json!({"friendId": "a"})).await;
    assert_eq!((&repeated["standing"], &repeated["changed"]), (&json!("friends"), &json!(false)));
}

async fn a_block_refuses_messages_and_requests(site: Site) {
    let mut a = site.first().login(APP, "a").await;
    let mut b = site.last().login(APP, "b").await;
    a.send(to("b"), "before").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "before");
    ask(&mut b, "friend/block", json!({"friendId": "a"})).await;
    assert_eq!(refused(a.send(to("b"), "during").await), 1009);
    assert_eq!(refused(a.request("friend/request", &json!({"friendId": "b"})).await), 1009);
    b.send(to("a"), "one-sided").await.expect("sent");
    assert_eq!(next_text(&mut a).await, "one-sided");
    ask(&mut b, "friend/unblock", json!({"friendId": "a"})).await;
    a.send(to("b"), "after").await.expect("sent");
    assert_eq!(next_text(&mut b).await, "after");
}
