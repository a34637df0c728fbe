//! What chatd's document says in tables and examples is what chatd does: pushes, codes, settings.
//!
//! Invariant: the judge is the running program; a shape it sends and the document lacks is as wrong as the reverse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_client::{Http, Session};
use chat_protocol::Code;
use chat_protocol::params::Kind;
use chat_protocol::route::Place;
use chat_protocol::table::{ALL, ROUTES};
use chat_tests::closed::{Closed, SECRET};
use chat_tests::jwt::{Signer, in_seconds};
use chat_tests::manual::{blocks, text_of};
use chat_tests::node::Node;
use chat_tests::program::run;
use chat_tests::raw_http::get;
use chat_tests::site::ANY_MEDIA;
use chat_tests::wait::{SOON, until};
use regex::Regex;
use serde_json::{Value, json};

const APP: u32 = 1101;
const DOCUMENT: &str = "chatd/README.md";
const DOCUMENTS: [&str; 2] = [DOCUMENT, "chatd/README.zh-CN.md"];
/// Users of a crowd that comes too quickly to be told singly.
const CROWD: usize = 40;

/// What a push is and which members it has: `cmd`, `type` and the names, in order.
type Shape = (String, String, Vec<String>);

fn shape(cmd: &str, data: &Value) -> Shape {
    let mut names: Vec<_> = data.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    (cmd.to_owned(), data["type"].as_str().unwrap_or_default().to_owned(), names)
}

fn documented(document: &str) -> BTreeSet<Shape> {
    let blocks = blocks(&text_of(document));
    let block = blocks.iter().find(|block| block.mark("pushes").is_some()).expect("the block of pushes");
    let read = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")) };
    let pushes = block.text.lines().map(read);
    pushes.map(|push| shape(push["cmd"].as_str().expect("a cmd"), &push["data"])).collect()
}

async fn call(http: &Http, path: &str, data: Value) -> Value {
    let mut data = data;
    data["appId"] = json!(APP);
    http.call_raw(path, &data).await.unwrap_or_else(|error| panic!("{path} {data}: {error}"))
}

/// Everything that makes a push, by 马远 to 马超 where it matters.
/// Gives a second device of 马远, which came back after the group was there.
async fn everything_happens(node: &Node, giver: &mut Session) -> Session {
    let http = node.http();
    for message in [
        json!({"msg": "hello"}),
        json!({"target": "user:马超", "type": "img", "url": "u", "secret": "s", "size": {"width": 1, "height": 1}}),
        json!({"type": "audio", "url": "u"}),
        json!({"type": "video", "url": "u"}),
    ] {
        giver.request("msg", &message).await.expect("it is taken");
    }
    call(&http, "/message/recall", json!({"target": "", "offset": 1, "userId": "马远"})).await;
    call(&http, "/wallet/deposit", json!({"userId": "马远", "amount": 100, "transferId": "t"})).await;
    let packet =
        json!({"userId": "马远", "target": "", "total": 10, "count": 1, "greeting": "恭喜", "msgId": "p"});
    let packet = call(&http, "/redPacket/create", packet).await["packetId"].clone();
    call(&http, "/redPacket/grab", json!({"userId": "马超", "packetId": packet})).await;

    call(&http, "/group/create", json!({"userId": "马远", "groupId": "changan", "name": "长安"})).await;
    let created = call(&http, "/message/history", json!({"userId": "马远", "target": "group:changan"})).await;
    let from = json!({"target": "group:changan", "epoch": created["epoch"], "offset": 0});
    let again = json!({"userId": "马远", "appId": APP, "recover": [from]});
    let mut returned = node.connect().await;
    returned.request("login", &again).await.expect("it logs in");
    for (path, user) in [("join", "马超"), ("join", "黄帝"), ("join", "曹操"), ("leave", "曹操")] {
        call(&http, &format!("/group/{path}"), json!({"userId": user, "groupId": "changan"})).await;
    }
    call(&http, "/group/kick", json!({"userId": "马远", "groupId": "changan", "memberId": "黄帝"})).await;
    call(&http, "/group/dismiss", json!({"userId": "马远", "groupId": "changan"})).await;

    let asked = json!({"userId": "马超", "friendId": "马远", "greeting": "we met at the gate"});
    call(&http, "/friend/request", asked).await;
    call(&http, "/friend/accept", json!({"userId": "马远", "friendId": "马超"})).await;
    returned
}

#[tokio::test]
async fn every_push_has_the_documented_members_and_there_are_no_others() {
    let documented = documented(DOCUMENT);
    let node = Node::ephemeral(&ANY_MEDIA).await;
    let mut reader = node.login(APP, "马超").await;
    let mut giver = node.login(APP, "马远").await;
    node.login(APP, "passer-by").await.close().await;
    let mut returned = everything_happens(&node, &mut giver).await;
    for (session, target) in [(&mut reader, "user:马远"), (&mut giver, "user:马超")] {
        session.request("watch", &json!({"target": target})).await.expect("it may look");
    }
    giver.request("typing", &json!({"target": "user:马超"})).await.expect("it may write");
    let read = json!({"target": "user:马远", "offset": 1});
    reader.request("conversation/read", &read).await.expect("read");
    let names: Vec<_> = (0..CROWD).map(|number| format!("crowd-{number}")).collect();
    let _crowd = futures_util::future::join_all(names.iter().map(|name| node.login(APP, name))).await;

    // Where users prove who they are there is one more.
    let closed = Closed::start("", &[]).await;
    let ends_soon = json!({"sub": "马超", "appId": APP, "exp": in_seconds(30)});
    let (mut expiring, entered) = closed.enter(APP, "马超", &Signer::secret(SECRET).of(&ends_soon)).await;
    entered.expect("it logs in");

    // And one on a node that stops.
    let stopping = Node::ephemeral(&[]).await;
    let mut leaving = stopping.login(APP, "马超").await;
    call(&stopping.http(), "/system/drain", json!({})).await;

    let mut seen = BTreeSet::new();
    until("every documented push comes", SOON, async || {
        for session in [&mut reader, &mut giver, &mut returned, &mut expiring, &mut leaving] {
            while let Ok(Some(push)) = session.next_push(Duration::from_millis(50)).await {
                seen.insert(shape(&push.cmd, &push.data));
            }
        }
        documented.difference(&seen).inspect(|missing| eprintln!("not yet: {missing:?}")).next().is_none()
    })
    .await;
    let more: Vec<_> = seen.difference(&documented).collect();
    assert!(more.is_empty(), "not documented: {more:?}");
}

#[test]
fn every_code_stands_in_the_table_with_its_status() {
    for document in DOCUMENTS {
        let text = text_of(document);
        for code in Code::ALL {
            let cell = format!("| {} | {} |", code.number(), code.http_status());
            assert!(text.contains(&cell), "{document}: {cell}");
        }
    }
}

/// Of the table of paths: the parameters of each, with a `?` where they may be left out. A path without a slash is of
/// the noun before it; parameters of several paths are the same, or stand in their order with a `·` between.
fn paths(document: &str) -> BTreeMap<String, String> {
    let text = text_of(document);
    let quoted = Regex::new("`([^`]+)`").expect("a pattern");
    let names =
        |cell: &str| -> Vec<_> { quoted.captures_iter(cell).map(|found| found[1].to_owned()).collect() };
    let mut paths = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `/")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let mut found = names(cells[1]);
        for at in 1..found.len() {
            if !found[at].starts_with('/') {
                let (noun, _) = found[at - 1].rsplit_once('/').expect("a noun");
                found[at] = format!("{noun}/{}", found[at]);
            }
        }
        let groups: Vec<_> = cells[2].split(" · ").collect();
        assert!(groups.len() == 1 || groups.len() == found.len(), "{document}: {line}");
        for (at, path) in found.into_iter().enumerate() {
            let group = groups.get(at).unwrap_or(&groups[0]);
            assert_eq!(paths.insert(path, (*group).to_owned()), None, "{document}: twice: {line}");
        }
    }
    paths
}

#[tokio::test]
async fn the_table_of_paths_has_every_operation_and_route_with_its_parameters_and_no_other() {
    let node = Node::ephemeral(&[]).await;
    let quoted = Regex::new(r"`(\w+\??)`(?: ?\((\d+)\))?").expect("a pattern");
    for document in DOCUMENTS {
        let mut paths = paths(document);
        for operation in ALL {
            let cell =
                paths.remove(operation.path).unwrap_or_else(|| panic!("{document}: no {}", operation.path));
            let named: BTreeSet<_> = quoted.captures_iter(&cell).map(|found| found[1].to_owned()).collect();
            let taken = operation.fields.iter();
            let taken: BTreeSet<_> = taken
                .map(|field| format!("{}{}", field.name, if field.required { "" } else { "?" }))
                .collect();
            assert_eq!(named, taken, "{document}: {}: the document's and the program's", operation.path);
            for (name, most) in
                quoted.captures_iter(&cell).filter_map(|found| Some((found.get(1)?, found.get(2)?)))
            {
                let field = operation.fields.iter().find(|field| name.as_str().starts_with(field.name));
                let Some(Kind::Between(_, max)) = field.map(|field| field.kind) else { panic!("{cell}") };
                assert_eq!(
                    most.as_str(),
                    max.to_string(),
                    "{document}: {}: {}",
                    operation.path,
                    name.as_str()
                );
            }
        }
        for route in ROUTES {
            // What the page loads by itself, and where a WebSocket begins, have sections of their own.
            let is_of_programs =
                matches!(route.place, Place::WebSocket | Place::Root | Place::Asset | Place::VersionedAsset);
            let Some(cell) = paths.remove(route.path) else {
                assert!(is_of_programs, "{document}: no {}", route.path);
                continue;
            };
            let named: BTreeSet<_> = quoted.captures_iter(&cell).map(|found| found[1].to_owned()).collect();
            let taken = route.query.iter();
            let taken: BTreeSet<_> = taken
                .map(|field| format!("{}{}", field.name, if field.required { "" } else { "?" }))
                .collect();
            assert_eq!(named, taken, "{document}: {}: the document's and the program's", route.path);
        }
        for other in paths.keys() {
            let answer = get(node.server(), &format!("{other}?appId=1")).await;
            assert_eq!(answer.status, 200, "{document}: {other} is none: {answer:?}");
        }
    }
}

#[test]
fn the_chinese_document_has_the_same_pushes() {
    assert_eq!(documented(DOCUMENT), documented("chatd/README.zh-CN.md"));
}

#[tokio::test]
async fn every_setting_the_documents_name_is_one() {
    let help = run("chatd", &["--help"], &[]).await.stdout;
    let flag = Regex::new("--[a-z][a-z-]*").expect("a pattern");
    let variable = Regex::new("CHATD_[A-Z_]+").expect("a pattern");
    let quoted = Regex::new("`--[a-z][a-z-]*").expect("a pattern");
    for document in DOCUMENTS {
        let text = text_of(document);
        let found = |pattern: &Regex, text: &str| -> BTreeSet<_> {
            pattern.find_iter(text).map(|found| found.as_str().trim_start_matches('`').to_owned()).collect()
        };
        let known: BTreeSet<_> = found(&flag, &help).union(&found(&variable, &help)).cloned().collect();
        let named: BTreeSet<_> = found(&quoted, &text).union(&found(&variable, &text)).cloned().collect();
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{document}: {unknown:?}");
    }
}

/// The rows of the table of losses, and the tests that each names in its last cell.
fn losses() -> Vec<(String, Vec<String>)> {
    let text = text_of(DOCUMENT);
    let section = text.split("\n## ").find(|section| section.starts_with("What is lost when\n"));
    let rows = section.expect("a section").lines().filter(|line| line.starts_with("| ")).skip(1);
    let quoted = Regex::new(r"`([a-z0-9_]+)`").expect("a pattern");
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(|row| {
        let cells: Vec<String> = cells(row);
        let last = cells.last().expect("a cell");
        (cells[0].clone(), quoted.captures_iter(last).map(|found| found[1].to_owned()).collect())
    })
    .collect()
}

#[test]
fn every_failure_that_the_document_tells_of_is_made_to_happen_by_a_test() {
    let sources = chat_tidy::files(".rs");
    let tests: Vec<_> = sources.iter().filter(|source| source.path.starts_with("tests/tests/")).collect();
    let rows = losses();
    assert!(rows.len() >= 12, "{rows:?}");
    for (failure, named) in rows {
        assert!(!named.is_empty(), "{failure}: no test");
        for name in named {
            let head = format!("fn {name}(");
            assert!(tests.iter().any(|source| source.text.contains(&head)), "{failure}: there is no {name}");
        }
    }
}
