//! The audit log: what operators do leaves a record, whatever it is and however it ends, and nothing else does.
//!
//! Invariant: what is tried comes from the table of operations, so that a new one is tried too.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chat_client::{Error, Http};
use chat_protocol::audit::{Audit, AuditRequest, By, Record};
use chat_protocol::operation::{Description, Effect};
use chat_protocol::params::{Field, Kind};
use chat_protocol::table::ALL;
use chat_tests::closed::Closed;
use chat_tests::exposition::scrape;
use chat_tests::node::Node;
use chat_tests::raw_http::{post_json, request};
use chat_tests::talk::refused;
use chat_tests::wait::{SOON, until};
use serde_json::{Map, Value, json};

const APP: u32 = 911;
/// What somebody says. It must stand nowhere.
const SAID: &str = "what nobody else is to read";

fn records(file: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(file).expect("an audit log");
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path")
}

/// A closed node with an audit log; the directory is to be kept.
async fn closed(more: &[&str]) -> (Closed, PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    let closed = Closed::start("", &[&["--audit-log", path(&file)], more].concat()).await;
    (closed, file, directory)
}

fn client(closed: &Closed, credential: &str) -> Http {
    Http::new(closed.server(credential), SOON).expect("a client")
}

fn value(field: &Field) -> Value {
    match field.kind {
        Kind::Content | Kind::UpTo(_) => SAID.into(),
        Kind::Target => "".into(),
        Kind::OneOf(words) => words[0].into(),
        Kind::Between(least, _) => least.into(),
        Kind::U32 => APP.into(),
        Kind::U64 => 1.into(),
        Kind::Cursor(cursor) => cursor.example().into(),
        // What is meant for another node does nothing here.
        _ if field.name == "node" => "another".into(),
        _ => field.name.into(),
    }
}

/// Everything that is required, and what would be said to somebody.
fn parameters(operation: &Description) -> Value {
    let is_given = |field: &&Field| {
        field.required || ["node", "greeting", "reason"].contains(&field.name) || field.name.ends_with("Id")
    };
    let given = operation.fields.iter().filter(is_given);
    Value::Object(given.map(|field| (field.name.to_owned(), value(field))).collect())
}

fn code<T: std::fmt::Debug>(outcome: &Result<T, Error>) -> u16 {
    match outcome {
        Ok(_) => 200,
        Err(Error::Refused { code, .. }) => *code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn everything_that_a_key_changes_leaves_one_record_before_it_is_answered() {
    let (closed, file, _directory) = closed(&[]).await;
    let http = client(&closed, closed.key("all"));
    for operation in ALL {
        let (before, given) = (records(&file).len(), parameters(operation));
        let answer = http.call_raw(operation.path, &given).await;
        let found = records(&file).split_off(before);
        if operation.effect == Effect::Reads {
            assert_eq!(found, [], "{}", operation.path);
            continue;
        }
        let [record] = &found[..] else { panic!("{}: {found:?}", operation.path) };
        assert_eq!((record.by, record.who.as_str()), (By::Key, "all"), "{}", operation.path);
        assert_eq!((record.operation.as_str(), record.code), (operation.path, Some(code(&answer))));
        assert_eq!(record.scope, Some(operation.rights.scope().to_string()), "{}", operation.path);
        let address = record.address.parse::<std::net::SocketAddr>();
        assert!(record.time > 1_700_000_000_000 && address.is_ok_and(|address| address.ip().is_loopback()));
        let mut expected: Map<String, Value> = given.as_object().expect("parameters").clone();
        let app = expected.remove("appId").and_then(|app| app.as_u64());
        expected.retain(|_, value| value != SAID);
        assert_eq!((record.app_id.map(u64::from), &record.params), (app, &expected), "{}", operation.path);
    }
    let text = std::fs::read_to_string(&file).expect("the log");
    assert!(!text.contains(SAID) && !text.contains(&closed.key("all")[..8]), "{text}");
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_an_operator_does_on_a_websocket_in_the_name_of_a_user_is_recorded_too() {
    let (closed, file, _directory) = closed(&[]).await;
    let (mut session, entered) = closed.enter(APP, "马超", closed.key("all")).await;
    entered.expect("logged in");
    session.request("msg", &json!({"target": "user:b", "msg": SAID, "msgId": "m1"})).await.expect("sent");
    session.request("group/create", &json!({"groupId": "g", "name": "长安"})).await.expect("made");
    session.request("group/members", &json!({"groupId": "g"})).await.expect("read");
    let denied = session.request("msg", &json!({"target": "group:none", "msg": SAID, "msgId": "m2"})).await;
    assert_eq!(refused(denied), 1005);
    let found = records(&file);
    let told: Vec<_> = found.iter().map(|record| (record.operation.as_str(), record.code)).collect();
    let expected =
        [("login", Some(200)), ("msg", Some(200)), ("/group/create", Some(200)), ("msg", Some(1005))];
    assert_eq!(told, expected);
    for record in &found {
        assert_eq!((record.by, record.who.as_str(), record.app_id), (By::Key, "all", Some(APP)));
        assert_eq!(record.params["userId"], "马超", "in whose name");
    }
    assert_eq!((&found[1].params["target"], &found[1].params["msgId"]), (&json!("user:b"), &json!("m1")));
    assert!(!std::fs::read_to_string(&file).expect("the log").contains(SAID));
    // What users do as themselves is nobody's business here.
    let token = closed.token(APP, "b");
    let (mut user, entered) = closed.enter(APP, "b", &token).await;
    entered.expect("logged in");
    user.request("msg", &json!({"msg": "hello"})).await.expect("sent");
    client(&closed, &token).call_raw("/group/join", &json!({"groupId": "g"})).await.expect("joined");
    assert_eq!(records(&file).len(), expected.len());
}

#[tokio::test]
async fn attempts_at_what_is_for_operators_are_recorded_and_a_flood_of_them_is_counted() {
    let (closed, file, _directory) = closed(&[]).await;
    let token = closed.token(APP, "a\u{202e}b\u{2028}帝");
    let for_operators: Vec<_> =
        ALL.iter().filter(|operation| !operation.rights.are_for_users()).map(|o| o.path).collect();
    for path in &for_operators {
        assert_eq!(post_json(closed.node.server(), path, "{}").await.code(), 1000);
    }
    let ban = json!({"appId": APP, "userId": "x", "seconds": 1, "reason": SAID});
    assert_eq!(code(&client(&closed, &token).call_raw("/system/ban", &ban).await), 1003);
    assert_eq!(code(&client(&closed, closed.key("read")).call_raw("/system/ban", &ban).await), 1003);
    let kick = json!({"appId": APP, "userId": "x", "groupId": "g", "memberId": "y"});
    assert_eq!(code(&client(&closed, closed.key("read")).call_raw("/group/kick", &kick).await), 1003);
    // A file is no other change, though it comes in another way.
    let bearer = format!("Bearer {}", closed.key("read"));
    let upload = format!("/file/upload?appId={APP}&userId=x&target=");
    let answer = request(closed.node.server(), "PUT", &upload, &[("Authorization", &bearer)], b"x").await;
    assert_eq!(answer.code(), 1003);
    let expected = for_operators.len() + 4;
    until("they are written", SOON, async || records(&file).len() == expected).await;
    let found = records(&file);
    for (record, path) in found.iter().zip(&for_operators) {
        assert_eq!((record.by, record.operation.as_str(), record.code), (By::Unknown, *path, Some(1000)));
    }
    let told: Vec<_> =
        found[for_operators.len()..].iter().map(|record| (record.by, record.who.as_str())).collect();
    let by_key = (By::Key, "read");
    assert_eq!(told, [(By::User, "a\u{202e}b\u{2028}帝"), by_key, by_key, by_key]);
    assert_eq!(found.last().expect("a record").operation, "/file/upload");
    let text = std::fs::read_to_string(&file).expect("the log");
    assert!(!text.contains(['\u{202e}', '\u{2028}']) && !text.contains(SAID), "{text}");
    for _ in 0..500 {
        assert_eq!(post_json(closed.node.server(), "/system/kick", "{}").await.code(), 1000);
    }
    let reads = closed.key("admin");
    let reload = client(&closed, reads).call_raw("/system/reload", &json!({})).await;
    reload.expect("done");
    let found = records(&file);
    let left_out: u64 = found.iter().filter_map(|record| record.left_out).sum();
    assert_eq!(found.len() as u64 - 1 + left_out, expected as u64 + 500, "each is recorded or counted");
    assert!(found.len() <= 61, "{} records", found.len());
    let headers = format!("Bearer {}", closed.key("read"));
    let metrics = request(closed.node.server(), "GET", "/metrics", &[("Authorization", &headers)], b"").await;
    let text = metrics.body;
    assert!(text.contains(&format!("chatd_audit_log_left_out_total {left_out}")), "{text}");
}

#[tokio::test]
async fn records_are_read_back_by_those_with_the_scope_and_reading_leaves_none() {
    let (closed, file, _directory) = closed(&[]).await;
    let (all, admin) = (client(&closed, closed.key("all")), client(&closed, closed.key("admin")));
    for number in 0..25 {
        let ban = json!({"appId": APP, "userId": format!("u{number}"), "seconds": 60});
        let http = if number % 5 == 0 { &admin } else { &all };
        http.call_raw("/system/ban", &ban).await.expect("banned");
    }
    admin.call_raw("/system/kick", &json!({"appId": APP, "userId": "u1"})).await.expect("kicked");
    let read = async |mut request: AuditRequest| {
        let mut found = Vec::new();
        loop {
            let page = admin.call::<Audit>(&request).await.expect("a page");
            found.extend(page.records);
            match page.cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => return found,
            }
        }
    };
    let mut written = records(&file);
    written.reverse();
    for limit in [None, Some(1), Some(7), Some(200)] {
        assert_eq!(read(AuditRequest { limit, ..AuditRequest::default() }).await, written);
    }
    let by_admin = read(AuditRequest { who: Some("admin".into()), ..AuditRequest::default() }).await;
    assert_eq!(by_admin.len(), 6);
    for asked in ["/system/kick", "system/kick"] {
        let request = AuditRequest { operation: Some(asked.into()), ..AuditRequest::default() };
        assert_eq!(read(request).await, written[..1]);
    }
    let since = AuditRequest { since: Some(written[0].time + 1), ..AuditRequest::default() };
    assert_eq!(read(since).await, []);
    let elsewhere = AuditRequest { node: Some("another".into()), ..AuditRequest::default() };
    assert_eq!(refused(admin.call::<Audit>(&elsewhere).await), 1005);
    for scope in ["read", "send", "money"] {
        let outcome = client(&closed, closed.key(scope)).call::<Audit>(&AuditRequest::default()).await;
        assert_eq!(refused(outcome), 1003, "{scope}");
    }
    let bad = AuditRequest { cursor: Some("1.x".into()), ..AuditRequest::default() };
    assert_eq!(refused(admin.call::<Audit>(&bad).await), 1001);
}

#[tokio::test]
async fn an_open_node_records_what_users_may_not_do_and_its_log_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, file) = (path(directory.path()).to_owned(), directory.path().join("audit.jsonl"));
    let mut node = Node::start(&["--data-dir", &data]).await;
    let http = node.http();
    http.call_raw("/system/ban", &json!({"appId": APP, "userId": "a", "seconds": 60})).await.expect("banned");
    let send = json!({"appId": APP, "userId": "a", "message": SAID});
    http.call_raw("/user/sendMessage", &send).await.expect("sent");
    node.login(APP, "b").await.request("msg", &json!({"msg": SAID})).await.expect("sent");
    node.kill();
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    let node = Node::start(&["--data-dir", &data]).await;
    let answer = node.http().call::<Audit>(&AuditRequest::default()).await.expect("records");
    let [record] = &answer.records[..] else { panic!("{answer:?}") };
    assert_eq!((record.by, record.who.as_str(), record.code), (By::Anonymous, "anonymous", Some(200)));
    assert_ne!(record.node, answer.node_id, "by the node before");
}

#[tokio::test]
async fn a_node_without_a_log_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = path(directory.path()).to_owned();
    for arguments in [vec!["--ephemeral"], vec!["--data-dir", &data, "--audit-log", ""]] {
        let node = Node::start(&arguments).await;
        let outcome = node.http().call::<Audit>(&AuditRequest::default()).await;
        let Err(Error::Refused { code: 1005, reason, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("--audit-log"), "{reason}");
        until("it says so", SOON, async || node.log().contains("--audit-log")).await;
        let kick = json!({"appId": APP, "userId": "a"});
        node.http().call_raw("/system/kick", &kick).await.expect("kicked all the same");
    }
    assert!(!directory.path().join("audit.jsonl").exists());
}

#[tokio::test]
async fn a_reload_goes_on_with_a_new_file_and_a_full_one_is_put_aside() {
    let (closed, file, directory) = closed(&["--audit-max-bytes", "65536", "--audit-old-files", "2"]).await;
    let http = client(&closed, closed.key("admin"));
    let kick = async |user: &str| {
        http.call_raw("/system/kick", &json!({"appId": APP, "userId": user})).await.expect("kicked");
    };
    kick("first").await;
    let moved = directory.path().join("moved");
    std::fs::rename(&file, &moved).expect("moved");
    http.call_raw("/system/reload", &json!({})).await.expect("read again");
    kick("second").await;
    assert_eq!(records(&moved).len(), 1);
    let told: Vec<_> = records(&file).into_iter().map(|record| record.operation).collect();
    assert_eq!(told, ["/system/reload", "/system/kick"]);
    // As many as make more than three files.
    let bytes = file.metadata().expect("a file").len() / 2;
    for number in 0..4 * 65_536 / bytes {
        kick(&format!("user-{number}")).await;
    }
    let named = |suffix: &str| PathBuf::from(format!("{}{suffix}", path(&file)));
    for suffix in ["", ".1", ".2"] {
        let length = named(suffix).metadata().expect("a file").len();
        assert!((1..=65_536).contains(&length), "{suffix}: {length} bytes");
    }
    assert!(!named(".3").exists());
    let kept: usize = ["", ".1", ".2"].iter().map(|suffix| records(&named(suffix)).len()).sum();
    let (mut read, mut request) = (0, AuditRequest { limit: Some(200), ..AuditRequest::default() });
    loop {
        let page = http.call::<Audit>(&request).await.expect("a page");
        read += page.records.len();
        let Some(cursor) = page.cursor else { break };
        request.cursor = Some(cursor);
    }
    assert_eq!(read, kept);
}

#[tokio::test]
async fn while_no_record_can_be_written_nothing_is_done_that_needs_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &file).expect("a link");
    let node = Node::ephemeral(&["--audit-log", path(&file)]).await;
    let http = node.http();
    let ban = async |user: &str| {
        http.call_raw("/system/ban", &json!({"appId": APP, "userId": user, "seconds": 60})).await
    };
    assert_eq!(code(&ban("first").await), 200, "nobody knew");
    until("the lost record stands in the log", SOON, async || {
        let log = node.log();
        log.contains("the audit log cannot be written")
            && log.contains("/system/ban")
            && log.contains("first")
    })
    .await;
    assert_eq!(code(&ban("second").await), 1013);
    let bans = http.call_raw("/system/bans", &json!({"appId": APP})).await.expect("reading needs no record");
    assert_eq!(bans["bans"].as_array().map(Vec::len), Some(1), "{bans}");
    node.login(APP, "b").await.request("msg", &json!({"msg": "hello"})).await.expect("nor do users");
    assert_eq!(scrape(&node).await.of("chatd_audit_log_failures_total"), 1.0);
    std::fs::remove_file(&file).expect("gone");
    assert_eq!(code(&ban("third").await), 200, "there is room again");
    let found = records(&file);
    let told: Vec<_> = found.iter().map(|record| (record.operation.as_str(), record.by)).collect();
    assert_eq!(told, [("audit/missing", By::Node), ("/system/ban", By::Anonymous)]);
    assert_eq!(found[0].params["records"], 1);
}

#[tokio::test]
async fn many_acts_at_once_have_a_record_each() {
    let (closed, file, _directory) = closed(&[]).await;
    let each = (0..8).map(|worker| {
        let http = client(&closed, closed.key("all"));
        tokio::spawn(async move {
            for number in 0..50 {
                let user = format!("u-{worker}-{number}");
                let send = json!({"appId": APP, "userId": user, "message": "hello"});
                http.call_raw("/user/sendMessage", &send).await.expect("sent");
            }
        })
    });
    for worker in each.collect::<Vec<_>>() {
        worker.await.expect("done");
    }
    let found = records(&file);
    let users: std::collections::BTreeSet<_> =
        found.iter().map(|record| record.params["userId"].as_str().map(str::to_owned)).collect();
    assert_eq!((found.len(), users.len()), (400, 400));
    assert!(found.is_sorted_by_key(|record| record.time));
}
