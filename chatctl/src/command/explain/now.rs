//! How it is now, for people: times as moments, bytes and money as amounts, lists as lines.
//!
//! Invariant: whatever a node tells is shown, also what this build has no words for.

use serde_json::{Map, Value};

use crate::calendar::{moment, rough};
use crate::money::units;
use crate::output::json::compact;
use crate::report::Report;

/// What is told first, and what a person calls it. What is not named here comes behind, under its own name.
const NAMES: [(&str, &str); 28] = [
    ("userId", "user"),
    ("online", "online"),
    ("connectionsHere", "connections"),
    ("banned", "banned"),
    ("groups", "groups"),
    ("offset", "offset"),
    ("type", "type"),
    ("from", "from"),
    ("msgId", "id"),
    ("lastOffset", "newest offset"),
    ("epoch", "epoch"),
    ("member", "member of the group"),
    ("blocksSender", "blocks the sender"),
    ("read", "read it"),
    ("readOffset", "read up to"),
    ("conversations", "conversations"),
    ("state", "state"),
    ("total", "offered"),
    ("count", "shares"),
    ("grabbed", "taken"),
    ("grabbedCount", "shares taken"),
    ("refunded", "given back"),
    ("open", "left in it"),
    ("expires", "expires"),
    ("unsettled", "payments under way"),
    ("unsettledAmount", "amount under way"),
    ("queued", "queued"),
    ("deadLetters", "dead letters"),
];

/// The page, one line a fact.
pub fn page(now: &Map<String, Value>, now_ms: u64) -> Report {
    let named = NAMES.iter().filter_map(|(key, title)| Some((*key, *title, now.get(*key)?)));
    let is_named = |key: &str| NAMES.iter().any(|(named, _)| *named == key);
    let others = now.iter().filter(|(key, _)| !is_named(key));
    let others =
        others.map(|(key, value)| (key.as_str(), if key == "holds" { "books agree" } else { key }, value));
    let facts = named.chain(others);
    let rows = facts.flat_map(|(key, title, value)| {
        let lines = lines(key, value, now_ms).into_iter().enumerate();
        lines.map(move |(at, line)| vec![if at == 0 { title } else { "" }.into(), line.into()])
    });
    Report::list(&[("name", "NOW"), ("value", "")], rows.collect())
}

fn lines(key: &str, value: &Value, now_ms: u64) -> Vec<String> {
    let number = value.as_u64();
    match (key, value, number) {
        ("connectionsHere" | "conversations", Value::Array(items), _) if items.is_empty() => {
            vec!["none".to_owned()]
        }
        ("connectionsHere", Value::Array(items), _) => items.iter().map(connection).collect(),
        ("conversations", Value::Array(items), _) => items.iter().map(conversation).collect(),
        ("banned", Value::Object(_), _) => vec![ban(value, now_ms)],
        ("expires", _, Some(at)) => vec![when(at, now_ms)],
        ("total" | "grabbed" | "refunded" | "open" | "unsettledAmount", _, Some(cents)) => vec![units(cents)],
        (_, Value::String(text), _) => vec![text.clone()],
        (_, Value::Bool(yes), _) => vec![if *yes { "yes" } else { "no" }.to_owned()],
        _ => vec![compact(value)],
    }
}

/// `12 on node 5d0c1f from 127.0.0.1:4242; 1.2 KiB wait for it`.
fn connection(value: &Value) -> String {
    let [number, address, node] = ["connection", "address", "node"].map(|key| plain(&value[key]));
    let node = node.get(..6).unwrap_or(&node);
    match value["waitingBytes"].as_u64().unwrap_or(0) {
        0 => format!("{number} on node {node} from {address}"),
        waiting => format!("{number} on node {node} from {address}; {} wait for it", bytes(waiting)),
    }
}

/// `group:tea: 3 unread, read up to 17 of 20`.
fn conversation(value: &Value) -> String {
    let place = match value["target"].as_str() {
        Some("") => "(world)",
        Some(target) => target,
        None => "?",
    };
    let [unread, read, last] = ["unread", "readOffset", "lastOffset"].map(|key| plain(&value[key]));
    match unread.as_str() {
        "0" => format!("{place}: nothing unread, the newest is {last}"),
        unread => format!("{place}: {unread} unread, read up to {read} of {last}"),
    }
}

fn ban(value: &Value, now_ms: u64) -> String {
    let until =
        value["until"].as_u64().map_or("for good".to_owned(), |at| format!("until {}", when(at, now_ms)));
    let since = value["since"].as_u64().map_or(String::new(), |at| format!(", since {}", moment(at)));
    match value["reason"].as_str().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{until}{since}: {reason}"),
        None => format!("{until}{since}"),
    }
}

/// A moment, and how far away it is.
fn when(at: u64, now_ms: u64) -> String {
    match at.checked_sub(now_ms) {
        Some(left) => format!("{} (in {})", moment(at), rough(left)),
        None => format!("{} ({} ago)", moment(at), rough(now_ms - at)),
    }
}

/// `17 B`, `1.5 KiB`, `2.0 MiB`.
pub fn bytes(count: u64) -> String {
    let (mut whole, mut rest, mut unit) = (count, 0, 0);
    while whole >= 1024 {
        (whole, rest, unit) = (whole / 1024, whole % 1024, unit + 1);
    }
    match ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit] {
        "B" => format!("{whole} B"),
        name => format!("{whole}.{} {name}", rest * 10 / 1024),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => compact(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Look, table};
    use serde_json::json;

    fn shown(now: Value) -> String {
        let Value::Object(now) = now else { panic!("an object") };
        table::render(&page(&now, 10_000), &Look::default())
    }

    #[test]
    fn people_read_no_json_and_no_milliseconds() {
        let text = shown(json!({
            "conversations": [
                {"target": "", "lastOffset": 20, "readOffset": 17, "unread": 3},
                {"target": "user:黄帝", "lastOffset": 4, "readOffset": 4, "unread": 0},
            ],
            "banned": {"until": 70_000, "since": 5_000, "reason": "spam"},
            "connectionsHere": [
                {"connection": 12, "address": "127.0.0.1:4242", "waitingBytes": 1300, "node": "5d0c1f00aa"},
            ],
            "online": true, "userId": "马超", "somethingNew": {"a": 1},
        }));
        let wanted = "NOW\n\
            user           马超\n\
            online         yes\n\
            connections    12 on node 5d0c1f from 127.0.0.1:4242; 1.2 KiB wait for it\n\
            banned         until 1970-01-01 00:01:10Z (in 1m 0s), since 1970-01-01 00:00:05Z: spam\n\
            conversations  (world): 3 unread, read up to 17 of 20\n\
            \u{20}              user:黄帝: nothing unread, the newest is 4\n\
            somethingNew   {\"a\":1}\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_packet_is_told_in_money_and_moments() {
        let text = shown(json!({"total": 1000, "open": 5, "expires": 4_000, "holds": false, "count": 3}));
        let wanted = "NOW\n\
            offered      10.00\n\
            shares       3\n\
            left in it   0.05\n\
            expires      1970-01-01 00:00:04Z (6s ago)\n\
            books agree  no\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn bytes_are_rounded_down() {
        let all = [0, 1023, 1024, 1_048_575, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1023.9 KiB", "1.0 MiB", "15.9 EiB"]);
    }
}
