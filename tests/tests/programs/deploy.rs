//! What `scripts/deploy` holds fits the programs: the dashboard and the alerts name metrics that there are.
//!
//! Invariant: the judge is a running node with every store, so that no metric is missing for want of one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use chat_proto::ListUsersRequest;
use chat_proto::chat_client::ChatClient;
use chat_protocol::Target;
use chat_tests::authority::Authority;
use chat_tests::exposition::{Exposition, scrape};
use chat_tests::grpc;
use chat_tests::manual::text_of;
use chat_tests::money_site::{audit_pages, deposit};
use chat_tests::node::Node;
use chat_tests::redis_server::RedisServer;
use regex::Regex;
use serde_json::Value;

const APP: u32 = 310;
const DASHBOARD: &str = "scripts/deploy/grafana/chatd.json";
const ALERTS: &str = "scripts/deploy/alerts.yaml";
const NODES: &str = "scripts/deploy/k8s/chatd.yaml";
/// Labels that Prometheus and its histograms add.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

/// A node that tells of everything: Redis, a ledger, an audit, a message, a call.
async fn everything() -> (RedisServer, tempfile::TempDir, Node) {
    let (redis, directory) = (RedisServer::start().await, tempfile::tempdir().expect("a directory"));
    let ledger = format!("sqlite:{}", directory.path().join("ledger.sqlite3").display());
    let authority = Authority::new();
    let tls = authority.arguments();
    let tls: Vec<_> = tls.iter().map(String::as_str).collect();
    let stores = ["--redis", &redis.url(), "--ledger", &ledger];
    let node = Node::start(&[&stores[..], &grpc::ON, &tls].concat()).await;
    let node = node.believed(&authority);
    deposit(&node.http(), APP, "a", 5).await;
    audit_pages(&node.http(), APP, None).await.expect("an audit");
    node.login(APP, "a").await.send(Target::World, "hello").await.expect("accepted");
    let asked = ListUsersRequest { app_id: Some(APP), ..Default::default() };
    let mut calls = ChatClient::new(grpc::secure(&node, &authority).await);
    calls.list_users(grpc::plain(asked)).await.expect("a list");
    (redis, directory, node)
}

/// Names of labels by family.
fn labels(told: &Exposition) -> BTreeMap<&str, BTreeSet<String>> {
    let name = pattern(r#"([a-z_]+)=""#);
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for series in told.samples.keys() {
        let metric = series.split('{').next().expect("a name");
        let known = labels.entry(family(told, metric).expect("a family")).or_default();
        known.extend(name.captures_iter(series).map(|found| found[1].to_owned()));
    }
    labels
}

/// The family of a metric, which for a part of a histogram is not its name.
fn family<'a>(told: &'a Exposition, metric: &str) -> Option<&'a str> {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| metric.strip_suffix(ending));
    [Some(metric), base].into_iter().flatten().find_map(|name| told.families.get_key_value(name)).map(
        |(name, kind)| {
            assert!(name == metric || kind == "histogram", "{metric}: {name} is a {kind}");
            name.as_str()
        },
    )
}

/// What an expression names that the node does not tell.
fn unknown(told: &Exposition, expression: &str) -> Vec<String> {
    let known = labels(told);
    let metric = pattern(r"\b((?:chatd|process)_[a-z0-9_]+)(?:\{([^}]*)\})?");
    let (matcher, grouping) = (pattern(r#"([a-z_]+)\s*(?:=~|!~|!=|=)"#), pattern(r"\bby \(([^)]*)\)"));
    let mut unknown = Vec::new();
    let mut own = BTreeSet::new();
    for found in metric.captures_iter(expression) {
        let Some(family) = family(told, &found[1]) else {
            unknown.push(found[1].to_owned());
            continue;
        };
        let of_family = known.get(family).cloned().unwrap_or_default();
        let asked = found.get(2).map_or("", |matchers| matchers.as_str());
        for label in matcher.captures_iter(asked).map(|label| label[1].to_owned()) {
            if !of_family.contains(&label) && !ADDED.contains(&label.as_str()) {
                unknown.push(format!("{family}: {label}"));
            }
        }
        own.extend(of_family);
    }
    for group in grouping.captures_iter(expression) {
        for label in group[1].split(',').map(str::trim) {
            if !own.contains(label) && !ADDED.contains(&label) {
                unknown.push(format!("by {label}"));
            }
        }
    }
    unknown
}

/// Every value under this name, however deep.
fn all<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name));
            members.values().for_each(|member| all(member, name, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, name, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_what_a_node_tells() {
    let (_redis, _directory, node) = everything().await;
    let told = scrape(&node).await;
    let dashboard: Value = serde_json::from_str(&text_of(DASHBOARD)).expect("JSON");
    let mut expressions = Vec::new();
    all(&dashboard, "expr", &mut expressions);
    all(&dashboard, "query", &mut expressions);
    let shown: Vec<_> = expressions.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let alerts = text_of(ALERTS);
    let rule = pattern(r"(?m)^ +expr: (.+)$");
    let alerted: Vec<_> = rule.captures_iter(&alerts).map(|found| found[1].to_owned()).collect();
    assert!(shown.len() > 40 && alerted.len() > 10, "{} and {}", shown.len(), alerted.len());
    let wrong: Vec<_> = shown
        .iter()
        .chain(&alerted)
        .map(|expression| (expression, unknown(&told, expression)))
        .filter(|(_, unknown)| !unknown.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What nobody looks at is told for nothing; those that say how much there may be stand beside the others.
    let looked_at = [shown, alerted].concat().join("\n");
    let idle: Vec<_> = told.families.keys().filter(|family| !looked_at.contains(family.as_str())).collect();
    let known = ["chatd_audit_duration_seconds", "chatd_audit_end_time_seconds"];
    let others = ["process_threads", "process_virtual_memory_bytes"];
    assert_eq!(idle, [known, others].concat());
}

#[tokio::test]
async fn the_document_names_every_metric_and_no_other() {
    let (_redis, _directory, node) = everything().await;
    let told: BTreeSet<_> = scrape(&node).await.families.into_keys().collect();
    let document = text_of("chatd/README.md");
    let section =
        document.split("\n## ").find(|section| section.starts_with("Metrics\n")).expect("a section");
    let name = pattern(r"`((?:chatd|process)_[a-z0-9_]+)`");
    let first_cells =
        section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let named: Vec<_> =
        first_cells.flat_map(|cell| name.captures_iter(cell)).map(|found| found[1].to_owned()).collect();
    assert_eq!(named.len(), told.len(), "each once");
    assert_eq!(BTreeSet::from_iter(named), told);
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard: Value = serde_json::from_str(&text_of(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "an id twice");
    let titles: BTreeSet<_> = panels.iter().map(|panel| panel["title"].as_str().expect("a title")).collect();
    assert_eq!(titles.len(), panels.len(), "a title twice");
    for panel in panels {
        let place = &panel["gridPos"];
        let of = |name: &str| place[name].as_u64().expect("a number");
        assert!(of("x") + of("w") <= 24 && of("h") > 0, "{panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().expect("a description").is_empty(), "{panel}");
        let targets = panel["targets"].as_array().expect("targets");
        let names: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str()).collect();
        assert!(!targets.is_empty() && names.len() == targets.len(), "{panel}");
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let alerts = text_of(ALERTS);
    let rules: Vec<_> = alerts.split("      - alert: ").skip(1).collect();
    let names: BTreeSet<_> = rules.iter().map(|rule| rule.lines().next().expect("a name")).collect();
    assert_eq!(names.len(), rules.len(), "a name twice");
    for rule in rules {
        for part in [
            "        expr: ",
            "        labels: { severity: ",
            "          summary: \"",
            "          description: \"",
        ] {
            assert_eq!(rule.lines().filter(|line| line.starts_with(part)).count(), 1, "{part}: {rule}");
        }
    }
}

/// Where files lie in a bucket, uploads wait in `/tmp` until they are whole.
#[test]
fn a_node_in_kubernetes_has_room_for_uploads_on_a_disk() {
    let manifest = text_of(NODES);
    let room = pattern(r"- name: tmp\n +emptyDir: \{sizeLimit: (\d+)Gi\}");
    let room = room.captures(&manifest).expect("a volume that is not in memory");
    let bytes = room[1].parse::<u64>().expect("a number") << 30;
    let largest = chatd::config::Config::default().limits.file_bytes;
    assert!(bytes >= 50 * largest, "{bytes} bytes for files of {largest}");
}

/// With `promtool` (Debian: prometheus), where it is there: its own word on the rules and on the text of a node.
#[tokio::test]
async fn promtool_has_nothing_against_them() {
    let rules = chat_tidy::root().join(ALERTS);
    let checked = Command::new("promtool").args(["check", "rules"]).arg(rules).output();
    let Ok(checked) = checked else { return };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let (_redis, _directory, node) = everything().await;
    let text = chat_tests::raw_http::get(node.server(), "/metrics").await.body;
    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was there");
    std::io::Write::write_all(&mut lint.stdin.take().expect("piped"), text.as_bytes()).expect("it reads");
    let checked = lint.wait_with_output().expect("it ends");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
