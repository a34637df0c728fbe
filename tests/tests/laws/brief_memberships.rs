//! Memberships that begin and end within moments: no device misses or doubles anything of them, on any node.
//!
//! Invariant: the judge is the group's log: what stands between an entry that says that the user joined and the one that
//! says that they are gone, is for them.

use chat_client::{Http, Session};
use chat_protocol::session::Push;
use chat_tests::on_every_engine;
use chat_tests::site::Site;
use chat_tests::talk::next_message;
use serde_json::{Value, json};
use tokio::task::JoinSet;

on_every_engine!(
    a_membership_of_a_moment_is_seen_whole_by_every_device,
    a_membership_of_a_moment_is_seen_whole_where_others_read_too,
    comings_and_goings_at_the_same_time_are_seen_whole,
    a_device_gets_no_push_of_what_it_sent_itself,
    a_group_dismissed_and_created_anew_is_seen_whole,
);

const APP: u32 = 305;
const USER: &str = "马超";
const OWNER: &str = "黄帝";

async fn call(http: &Http, path: &str, user: &str, group: &str) -> Result<Value, u16> {
    let text = format!("{user} in {group}");
    let data = json!({"appId": APP, "userId": user, "groupId": group, "name": "n", "message": text,
        "memberId": USER});
    match http.call_raw(path, &data).await {
        Ok(answer) => Ok(answer),
        Err(chat_client::Error::Refused { code, .. }) => Err(code),
        Err(error) => panic!("{path}: {error}"),
    }
}

async fn done(http: &Http, path: &str, user: &str, group: &str) {
    call(http, path, user, group).await.unwrap_or_else(|code| panic!("{path} by {user}: {code}"));
}

/// Offsets of a group's log that are for the user; `by` sent those they skip.
async fn wanted(http: &Http, group: &str, skipped: impl Fn(&Push) -> bool) -> Vec<u64> {
    let (mut wanted, mut member, mut after) = (Vec::new(), false, Some(0));
    while let Some(from) = after {
        let target = format!("group:{group}");
        let ask = json!({"appId": APP, "userId": OWNER, "target": target, "after": from, "limit": 200});
        let page = http.call_raw("/message/history", &ask).await.expect("the owner reads");
        after = page["next"].as_u64();
        for message in page["messages"].as_array().expect("messages") {
            let entry: Push = serde_json::from_value(message.clone()).expect("a push");
            let (kind, own) = (entry.content.kind.as_str(), entry.from.as_str() == USER);
            let kicked = entry.content.member.as_ref().is_some_and(|member| member.as_str() == USER);
            let given = member && !skipped(&entry);
            match kind {
                "join" if own => member = true,
                "leave" if own => member = false,
                "kick" if kicked => member = false,
                _ => {}
            }
            if given {
                wanted.push(entry.offset);
            }
        }
    }
    wanted
}

/// What a device sees of a group up to a message with this text, which the user is a member for.
async fn seen_until(device: &mut Session, group: &str, last: &str) -> Vec<u64> {
    let (mut seen, target) = (Vec::new(), format!("group:{group}"));
    loop {
        let message = next_message(device).await;
        if message.target.to_string() == target {
            seen.push(message.offset);
            if message.content.msg.as_deref() == Some(last) {
                return seen;
            }
        }
    }
}

/// The user joins once more, and all devices have seen exactly what was for them.
async fn all_saw(site: &Site, group: &str, devices: &mut [Session]) {
    let http = site.first().http();
    done(&http, "/group/join", USER, group).await;
    let last = json!({"appId": APP, "userId": OWNER, "groupId": group, "message": "the last"});
    http.call_raw("/group/sendMessage", &last).await.expect("sent");
    let wanted = wanted(&http, group, |_| false).await;
    for device in devices {
        assert_eq!(seen_until(device, group, "the last").await, wanted);
    }
}

async fn devices(site: &Site) -> [Session; 3] {
    let nodes = [site.first(), site.last(), site.last()];
    [nodes[0].login(APP, USER).await, nodes[1].login(APP, USER).await, nodes[2].login(APP, USER).await]
}

async fn moments(site: &Site) {
    let mut devices = devices(site).await;
    let https = [site.first().http(), site.last().http()];
    for round in 0..60_usize {
        let (one, two) = (&https[round % 2], &https[(round / 2) % 2]);
        done(one, "/group/join", USER, "g").await;
        if round % 3 > 0 {
            done(two, "/group/sendMessage", OWNER, "g").await;
            done(one, "/group/sendMessage", USER, "g").await;
        }
        match round % 4 {
            0 => done(two, "/group/kick", OWNER, "g").await,
            _ => done(two, "/group/leave", USER, "g").await,
        }
        done(one, "/group/sendMessage", OWNER, "g").await;
    }
    all_saw(site, "g", &mut devices).await;
}

async fn a_membership_of_a_moment_is_seen_whole_by_every_device(site: Site) {
    done(&site.first().http(), "/group/create", OWNER, "g").await;
    moments(&site).await;
}

async fn a_membership_of_a_moment_is_seen_whole_where_others_read_too(site: Site) {
    let _readers = [site.first().login(APP, OWNER).await, site.last().login(APP, OWNER).await];
    done(&site.first().http(), "/group/create", OWNER, "g").await;
    moments(&site).await;
}

async fn comings_and_goings_at_the_same_time_are_seen_whole(site: Site) {
    let groups = ["g", "h"];
    let mut devices = devices(&site).await;
    for group in groups {
        done(&site.first().http(), "/group/create", OWNER, group).await;
    }
    let mut running = JoinSet::new();
    for lane in 0..6 {
        let http = if lane % 2 == 0 { site.first().http() } else { site.last().http() };
        let group = groups[lane / 2 % 2];
        running.spawn(async move {
            for _ in 0..60 {
                let path = ["/group/join", "/group/leave", "/group/kick", "/group/sendMessage"];
                let path = path[rand::random_range(0..4)];
                let user = if path == "/group/kick" || rand::random() { OWNER } else { USER };
                if let Err(code) = call(&http, path, user, group).await {
                    assert_eq!(code, 1009, "{path} by {user}");
                }
            }
        });
    }
    running.join_all().await;
    // Seen in two passes: what comes of one group does not hide the other.
    let (first, second) = devices.split_at_mut(2);
    all_saw(&site, "g", first).await;
    all_saw(&site, "h", second).await;
}

async fn a_device_gets_no_push_of_what_it_sent_itself(site: Site) {
    let http = site.first().http();
    done(&http, "/group/create", OWNER, "g").await;
    let mut one = site.first().login(APP, USER).await;
    let mut two = site.last().login(APP, USER).await;
    for round in 0..40 {
        let text = format!("from the second device {round}");
        let said = json!({"target": "group:g", "msg": text, "msgId": text});
        let join = json!({"groupId": "g"});
        let (joined, ()) = tokio::join!(one.request("group/join", &join), async {
            while let Err(error) = two.request("msg", &said).await {
                assert!(matches!(error, chat_client::Error::Refused { code: 1009, .. }), "{error}");
            }
        });
        joined.expect("joined");
        if round % 2 == 0 {
            one.request("group/leave", &json!({"groupId": "g"})).await.expect("left");
        } else {
            done(&http, "/group/leave", USER, "g").await;
        }
    }
    done(&http, "/group/join", USER, "g").await;
    let last = json!({"appId": APP, "userId": OWNER, "groupId": "g", "message": "the last"});
    http.call_raw("/group/sendMessage", &last).await.expect("sent");
    let sent = |entry: &Push| entry.content.msg.as_deref().is_some_and(|text| text.starts_with("from"));
    assert_eq!(seen_until(&mut one, "g", "the last").await, wanted(&http, "g", |_| false).await);
    assert_eq!(seen_until(&mut two, "g", "the last").await, wanted(&http, "g", sent).await);
}

async fn a_group_dismissed_and_created_anew_is_seen_whole(site: Site) {
    let https = [site.first().http(), site.last().http()];
    let mut devices = devices(&site).await;
    for round in 0..20_usize {
        let (one, two) = (&https[round % 2], &https[(round / 2) % 2]);
        done(one, "/group/create", OWNER, "g").await;
        if round % 2 == 0 {
            done(two, "/group/sendMessage", OWNER, "g").await;
        }
        done(one, "/group/join", USER, "g").await;
        let text = json!({"appId": APP, "userId": OWNER, "groupId": "g", "message": format!("{round}")});
        two.call_raw("/group/sendMessage", &text).await.expect("sent");
        for device in &mut devices {
            let message = next_message(device).await;
            assert_eq!(message.content.msg, Some(format!("{round}")));
            assert_eq!(message.offset, if round % 2 == 0 { 4 } else { 3 });
        }
        done(two, "/group/dismiss", OWNER, "g").await;
        for device in &mut devices {
            assert_eq!(next_message(device).await.content.kind, "dismiss");
        }
    }
}
