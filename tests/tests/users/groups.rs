//! Groups as users see them: only members read, send and receive, on every node, at once after a change.

use chat_client::Session;
use chat_protocol::session::Push;
use chat_protocol::{GroupId, Target};
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use chat_tests::talk::{next_message, refused};
use serde_json::{Value, json};

on_every_engine!(
    members_on_every_node_get_a_groups_messages,
    only_members_read_send_and_receive,
    who_is_kicked_gets_nothing_more,
    a_dismissed_group_is_gone_for_everyone,
    a_group_joined_over_http_reaches_open_connections,
    a_member_who_logs_in_later_gets_the_group,
    only_the_owner_kicks_and_dismisses,
    names_and_ids_are_checked,
    members_are_listed_in_pages,
);

const APP: u32 = 301;

fn group(id: &str) -> Target {
    Target::Group(GroupId::new(id).expect("a valid id"))
}

async fn ask(session: &mut Session, cmd: &str, data: Value) -> Value {
    session.request(cmd, &data).await.unwrap_or_else(|error| panic!("{cmd} {data}: {error}"))
}

/// The next message of type text; joins and leaves before it are passed over.
async fn next_said(session: &mut Session) -> Push {
    loop {
        let push = next_message(session).await;
        if push.content.kind == "text" {
            return push;
        }
    }
}

async fn said(session: &mut Session) -> String {
    next_said(session).await.content.msg.expect("a text")
}

async fn members_on_every_node_get_a_groups_messages(site: Site) {
    let mut owner = site.first().login(APP, "黄帝").await;
    let mut member = site.last().login(APP, "马超").await;
    let created = ask(&mut owner, "group/create", json!({"groupId": "g", "name": "长安"})).await;
    assert_eq!(created, json!({"groupId": "g", "name": "长安", "owner": "黄帝", "memberCount": 1}));
    assert_eq!(ask(&mut member, "group/join", json!({"groupId": "g"})).await["memberCount"], 2);
    for i in 0..20 {
        owner.send(group("g"), &format!("o{i}")).await.expect("sent");
        member.send(group("g"), &format!("m{i}")).await.expect("sent");
    }
    for i in 0..20 {
        assert_eq!(said(&mut member).await, format!("o{i}"));
        assert_eq!(said(&mut owner).await, format!("m{i}"));
    }
}

async fn only_members_read_send_and_receive(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    let mut stranger = site.last().login(APP, "stranger").await;
    ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
    owner.send(group("g"), "secret").await.expect("sent");
    assert_eq!(refused(stranger.send(group("g"), "let me in").await), 1009);
    for (cmd, data) in [
        ("message/history", json!({"target": "group:g"})),
        ("group/members", json!({"groupId": "g"})),
        ("conversation/read", json!({"target": "group:g", "offset": 1})),
        ("group/sendMessage", json!({"groupId": "g", "message": "x"})),
        ("message/recall", json!({"target": "group:g", "offset": 1})),
    ] {
        assert_eq!(refused(stranger.request(cmd, &data).await), 1009, "{cmd}");
    }
    assert_eq!(refused(stranger.send(group("none"), "x").await), 1005);
    // Had the secret reached the stranger, it would stand before this.
    owner.send(Target::World, "to all").await.expect("sent");
    assert_eq!(next_message(&mut stranger).await.content.msg.as_deref(), Some("to all"));
}

async fn who_is_kicked_gets_nothing_more(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    let mut member = site.last().login(APP, "member").await;
    let mut device = site.first().login(APP, "member").await;
    ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
    ask(&mut member, "group/join", json!({"groupId": "g"})).await;
    owner.send(group("g"), "before").await.expect("sent");
    ask(&mut owner, "group/kick", json!({"groupId": "g", "memberId": "member"})).await;
    owner.send(group("g"), "after").await.expect("sent");
    assert_eq!(said(&mut member).await, "before");
    let kick = next_message(&mut member).await;
    assert_eq!((&*kick.content.kind, kick.from.as_str()), ("kick", "owner"));
    assert_eq!(kick.content.member.expect("who").as_str(), "member");
    assert_eq!(refused(member.send(group("g"), "x").await), 1009);
    // Coming back brings what is said from then on, on the connections that were thrown out too, and nothing of
    // what was said in between.
    ask(&mut member, "group/join", json!({"groupId": "g"})).await;
    owner.send(group("g"), "welcome").await.expect("sent");
    assert_eq!(said(&mut member).await, "welcome");
    // The other device's node may have looked only after the kick; then it has nothing from before it.
    let first = said(&mut device).await;
    let last = if first == "before" { said(&mut device).await } else { first };
    assert_eq!(last, "welcome");
}

async fn a_dismissed_group_is_gone_for_everyone(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    let mut member = site.last().login(APP, "member").await;
    ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
    ask(&mut member, "group/join", json!({"groupId": "g"})).await;
    owner.send(group("g"), "first life").await.expect("sent");
    let first = next_said(&mut member).await;
    ask(&mut owner, "group/dismiss", json!({"groupId": "g"})).await;
    assert_eq!(next_message(&mut member).await.content.kind, "dismiss");
    assert_eq!(refused(member.send(group("g"), "x").await), 1005);
    assert_eq!(ask(&mut member, "group/list", json!({})).await, json!({"groups": []}));
    // Another group under the same id is another conversation, and nobody's but its owner's.
    ask(&mut member, "group/create", json!({"groupId": "g", "name": "n"})).await;
    assert_eq!(refused(owner.send(group("g"), "x").await), 1009);
    let again = member.send(group("g"), "second life").await.expect("sent");
    assert_ne!(again.epoch, first.epoch);
}

async fn a_group_joined_over_http_reaches_open_connections(site: Site) {
    let mut member = site.last().login(APP, "member").await;
    let http = site.first().http();
    let create = json!({"appId": APP, "userId": "owner", "groupId": "g", "name": "n"});
    http.call_raw("/group/create", &create).await.expect("created");
    let join = json!({"appId": APP, "userId": "member", "groupId": "g"});
    assert_eq!(http.call_raw("/group/join", &join).await.expect("joined")["changed"], true);
    let message = json!({"appId": APP, "userId": "owner", "groupId": "g", "message": "hello"});
    http.call_raw("/group/sendMessage", &message).await.expect("sent");
    assert_eq!(said(&mut member).await, "hello");
    let repeated = http.call_raw("/group/join", &join).await.expect("joined");
    assert_eq!((&repeated["changed"], &repeated["memberCount"]), (&json!(false), &json!(2)));
}

async fn a_member_who_logs_in_later_gets_the_group(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
    let join = json!({"appId": APP, "userId": "later", "groupId": "g"});
    site.first().http().call_raw("/group/join", &join).await.expect("joined");
    let mut later = site.last().login(APP, "later").await;
    owner.send(group("g"), "hello").await.expect("sent");
    assert_eq!(said(&mut later).await, "hello");
}

async fn only_the_owner_kicks_and_dismisses(site: Site) {
    let mut owner = site.first().login(APP, "owner").await;
    let mut member = site.last().login(APP, "member").await;
    ask(&mut owner, "group/create", json!({"groupId": "g", "name": "n"})).await;
    ask(&mut member, "group/join", json!({"groupId": "g"})).await;
    let kick = json!({"groupId": "g", "memberId": "owner"});
    assert_eq!(refused(member.request("group/kick", &kick).await), 1003);
    assert_eq!(refused(member.request("group/dismiss", &json!({"groupId": "g"})).await), 1003);
    assert_eq!(refused(owner.request("group/leave", &json!({"groupId": "g"})).await), 1009);
    assert_eq!(refused(owner.request("group/kick", &kick).await), 1009);
    let recall = json!({"target": "group:g", "offset": 1});
    assert_eq!(refused(owner.request("message/recall", &recall).await), 1009);
    let taken = json!({"groupId": "g", "name": "mine"});
    assert_eq!(refused(member.request("group/create", &taken).await), 1009);
}

async fn names_and_ids_are_checked(site: Site) {
    let mut user = site.first().login(APP, "u").await;
    for data in [
        json!({"groupId": "g", "name": ""}),
        json!({"groupId": "g", "name": "x".repeat(129)}),
        json!({"groupId": "g", "name": "a\nb"}),
        json!({"groupId": "", "name": "n"}),
        json!({"groupId": "x".repeat(65), "name": "n"}),
        json!({"groupId": "g"}),
    ] {
        assert_eq!(refused(user.request("group/create", &data).await), 1001, "{data}");
    }
    let created = ask(&mut user, "group/create", json!({"name": "无名"})).await;
    assert!(!created["groupId"].as_str().expect("an id").is_empty());
}

async fn members_are_listed_in_pages(site: Site) {
    let http = site.first().http();
    let act = |user: String| json!({"appId": APP, "userId": user, "groupId": "g", "name": "n"});
    http.call_raw("/group/create", &act("m00".to_owned())).await.expect("created");
    for i in 1..25 {
        http.call_raw("/group/join", &act(format!("m{i:02}"))).await.expect("joined");
    }
    let (mut names, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = json!({"appId": APP, "userId": "m03", "groupId": "g", "limit": 10, "cursor": cursor});
        let page = site.last().http().call_raw("/group/members", &page).await.expect("a page");
        assert_eq!(page["memberCount"], 25);
        names.extend(
            page["members"]
                .as_array()
                .expect("names")
                .iter()
                .map(|name| name.as_str().expect("a name").to_owned()),
        );
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(names, (0..25).map(|i| format!("m{i:02}")).collect::<Vec<_>>());
}
