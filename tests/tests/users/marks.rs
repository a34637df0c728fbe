//! Who is typing, and how far others have read: told to who looks, and to nobody else.
//!
//! Invariant: that a mark was not told is concluded from a later one that was.

use std::time::{Duration, Instant};

use chat_client::Session;
use chat_protocol::session::MAX_WATCHING;
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use chat_tests::talk::refused;
use chat_tests::wait::SOON;
use serde_json::{Value, json};

const APP: u32 = 108;

async fn watch(session: &mut Session, target: &str) {
    session.request("watch", &json!({"target": target})).await.expect("it may look");
}

async fn typing(session: &mut Session, target: &str) {
    let answer = session.request("typing", &json!({"target": target})).await;
    assert_eq!(answer.expect("it may write"), Value::Null);
}

/// The next mark; everything else before it is dropped.
async fn mark(session: &mut Session) -> (String, Value) {
    loop {
        let push = session.next_push(SOON).await.expect("an open connection").expect("a mark");
        if ["typing", "read"].contains(&push.cmd.as_str()) {
            return (push.cmd, push.data);
        }
    }
}

/// Marks again and again until it is told: the looker's node may hear of the group later than its owner.
async fn typing_until_told(typist: &mut Session, target: &str, looker: &mut Session) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        typing(typist, target).await;
        while let Ok(Some(push)) = looker.next_push(Duration::from_millis(1_500)).await {
            if push.cmd == "typing" {
                return push.data;
            }
        }
        assert!(Instant::now() < deadline, "never told");
    }
}

async fn who_looks_is_told_who_writes_and_who_has_read(site: Site) {
    let mut one = site.first().login(APP, "马远").await;
    let mut other = site.last().login(APP, "马超").await;
    let mut third = site.last().login(APP, "黄帝").await;
    watch(&mut other, "user:马远").await;
    // Who looks elsewhere hears nothing; the mark that it hears last is the first it gets.
    watch(&mut third, "user:马远").await;
    typing(&mut one, "user:马超").await;
    assert_eq!(
        mark(&mut other).await,
        ("typing".to_owned(), json!({"target": "user:马超", "users": ["马远"]}))
    );
    typing(&mut one, "user:黄帝").await;
    assert_eq!(mark(&mut third).await.1, json!({"target": "user:黄帝", "users": ["马远"]}));

    watch(&mut one, "user:马超").await;
    let sent = one.request("msg", &json!({"target": "user:马超", "msg": "hello"})).await.expect("sent");
    let read = json!({"target": "user:马远", "offset": sent["offset"]});
    other.request("conversation/read", &read).await.expect("read");
    let readers = json!([{"userId": "马超", "offset": 1}]);
    let expected = json!({"target": "user:马远", "epoch": sent["epoch"], "readers": readers});
    assert_eq!(mark(&mut one).await, ("read".to_owned(), expected));
}

async fn a_group_is_looked_at_by_members_only(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    let mut member = site.last().login(APP, "member").await;
    let mut outsider = site.last().login(APP, "outsider").await;
    let group = json!({"groupId": "g", "name": "n"});
    owner.request("group/create", &group).await.expect("created");
    member.request("group/join", &group).await.expect("joined");
    for command in ["watch", "typing"] {
        let asked = outsider.request(command, &json!({"target": "group:g"})).await;
        assert_eq!(refused(asked), 1009, "{command}");
    }
    watch(&mut member, "group:g").await;
    let told = typing_until_told(&mut owner, "group:g", &mut member).await;
    assert_eq!(told, json!({"target": "group:g", "users": ["owner"]}));
    // Who is removed hears nothing any more, though the connection still looks there.
    owner.request("group/kick", &json!({"groupId": "g", "memberId": "member"})).await.expect("removed");
    loop {
        let push = member.next_push(SOON).await.expect("an open connection").expect("the removal");
        if push.cmd == "msg" && push.data["type"] == "kick" {
            break;
        }
    }
    typing(&mut owner, "group:g").await;
    typing(&mut owner, "user:member").await;
    watch(&mut member, "user:owner").await;
    let told = typing_until_told(&mut owner, "user:member", &mut member).await;
    assert_eq!(told["target"], "user:member");
    assert_eq!(refused(member.request("typing", &json!({"target": "group:g"})).await), 1009);
}

async fn who_begins_to_look_is_told_how_far_others_had_read(site: Site) {
    let mut one = site.first().login(APP, "one").await;
    let mut other = site.last().login(APP, "other").await;
    let look = async |session: &mut Session, target: &str, readers: u64| {
        let asked = json!({"target": target, "readers": readers});
        session.request("watch", &asked).await.expect("it may look")["readers"].clone()
    };
    assert_eq!(look(&mut one, "user:other", 50).await, json!([]), "nothing was said");
    let group = json!({"groupId": "read", "name": "n"});
    one.request("group/create", &group).await.expect("created");
    other.request("group/join", &group).await.expect("joined");
    for (target, back) in [("user:other", "user:one"), ("", ""), ("group:read", "group:read")] {
        let sent = one.request("msg", &json!({"target": target, "msg": "hello"})).await.expect("sent");
        let read = json!({"target": back, "offset": sent["offset"]});
        other.request("conversation/read", &read).await.expect("read");
        // Whoever comes later, too, and over and over.
        let mut later = site.last().login(APP, "one").await;
        let readers = json!([{"userId": "other", "offset": sent["offset"]}]);
        let told =
            later.request("watch", &json!({"target": target, "readers": 1})).await.expect("it may look");
        assert_eq!(told, json!({"target": target, "epoch": sent["epoch"], "readers": readers}));
    }
    // Where others are more than fit it is told of nobody.
    let _third = site.first().login(APP, "third").await;
    assert_eq!(look(&mut one, "", 1).await, json!([]));
    assert_ne!(look(&mut one, "", 2).await, json!([]));
    for asked in [json!({"target": ""}), json!({"readers": 5}), json!({})] {
        assert_eq!(one.request("watch", &asked).await.expect("it may look"), Value::Null, "{asked}");
    }
    for readers in [0, 51] {
        let asked = json!({"target": "", "readers": readers});
        assert_eq!(refused(one.request("watch", &asked).await), 1001, "{readers}");
    }
    assert_eq!(refused(one.request("watch", &json!({"target": "group:none", "readers": 1})).await), 1009);
}

/// However often it is marked, it is told once a second; and where many look it is not told at all.
async fn marks_are_bounded(site: Site) {
    let mut one = site.first().login(APP, "one").await;
    let mut other = site.first().login(APP, "other").await;
    watch(&mut other, "").await;
    one.request("msg", &json!({"msg": "the beginning"})).await.expect("sent");
    while other.next_push(SOON).await.expect("an open connection").expect("the beginning").cmd != "msg" {}
    let (began, mut asked) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(3) {
        typing(&mut one, "").await;
        one.request("conversation/read", &json!({"target": "", "offset": 1})).await.expect("read");
        asked += 2;
    }
    let seconds = began.elapsed().as_secs();
    one.request("msg", &json!({"msg": "the end"})).await.expect("sent");
    let mut marks = 0;
    loop {
        let push = other.next_push(SOON).await.expect("an open connection").expect("the end");
        match push.cmd.as_str() {
            "typing" | "read" => marks += 1,
            "msg" => break,
            _ => {}
        }
    }
    assert!(marks > 0 && marks <= 2 * (seconds + 2), "{marks} marks of {asked} in {seconds} s");

    let mut crowd = Vec::new();
    for number in 0..MAX_WATCHING {
        let mut session = site.first().login(APP, &format!("u{number}")).await;
        watch(&mut session, "").await;
        crowd.push(session);
    }
    // What was gathered before they came is told by now, or never.
    watch(&mut one, "user:other").await;
    typing(&mut other, "user:one").await;
    assert_eq!(mark(&mut one).await.1["target"], "user:one");
    typing(&mut one, "").await;
    typing(&mut one, "user:other").await;
    typing(&mut other, "user:one").await;
    assert_eq!(mark(&mut one).await.1["target"], "user:one");
    one.request("msg", &json!({"msg": "once more"})).await.expect("sent");
    // Who came last never looked where few did.
    let late = crowd.last_mut().expect("a crowd");
    loop {
        let push = late.next_push(SOON).await.expect("an open connection").expect("the end");
        assert!(push.cmd != "typing", "{:?}", push.data);
        if push.cmd == "msg" {
            break;
        }
    }
}

on_every_engine!(
    who_looks_is_told_who_writes_and_who_has_read,
    a_group_is_looked_at_by_members_only,
    who_begins_to_look_is_told_how_far_others_had_read,
    marks_are_bounded,
);
