//! The audit and the list of red packets against a scripted server.
//!
//! Invariant: what takes several pages is told as one, and ends whatever the server answers.

use crate::scripted::{Reply, Server, line};
use chatctl::surroundings::Surroundings;
use serde_json::{Value, json};

fn audit(violations: &[(Option<&str>, &str)]) -> Value {
    let violations: Vec<_> = violations
        .iter()
        .map(|(packet, rule)| match packet {
            Some(packet) => json!({"packetId": packet, "rule": rule, "detail": "马超: 5 for 4"}),
            None => json!({"rule": rule, "detail": "sum 1"}),
        })
        .collect();
    json!({
        "holds": violations.is_empty(), "packets": 2, "transfers": 7, "accounts": 4, "total": 1000, "grabbed": 300, "refunded": 0, "open": 700,
        "unsettled": 1, "unsettledAmount": 5, "queued": 1, "deadLetters": 0, "ledgerSum": -3,
        "violationCount": violations.len(), "violations": violations
    })
}

#[tokio::test]
async fn an_audit_that_holds_is_a_record() {
    let server = Server::start(|_, _, _| Reply::Success(audit(&[]))).await;
    let (exit, out, err) = server.run(&["--app", "1", "redpacket", "audit", "p1"]).await;
    assert_eq!((exit, err.as_str()), (0, ""));
    assert_eq!(server.requests()[0].1, json!({"appId": 1, "packetId": "p1"}));
    assert!(
        out.starts_with(
            "holds           yes\npackets         2\ntransfers       7\naccounts        4\nput in"
        ),
        "{out}"
    );
    assert!(out.contains("ledger sum      -0.03\n"), "{out}");
    let (_, out, _) = server.run(&["--app", "1", "redpacket", "audit", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), audit(&[]));
}

#[tokio::test]
async fn a_broken_rule_is_named_with_its_packet() {
    let broken =
        audit(&[(Some("p2"), "winner"), (Some("p1"), "total"), (Some("p2"), "refund"), (None, "ledger")]);
    let server = Server::start(move |_, _, _| Reply::Success(broken.clone())).await;
    for format in ["table", "json", "jsonl", "yaml", "csv", "name"] {
        let (exit, out, err) = server.run(&["--app", "1", "redpacket", "audit", "-q", "-o", format]).await;
        assert_eq!(exit, 6, "{format}");
        assert_eq!(
            err,
            "error: the audit does not hold: 4 rules are broken: ledger (ledger); p1 (total); p2 (winner, refund)\n",
            "{format}"
        );
        match format {
            "table" => {
                assert!(out.contains("\nPACKET  RULE    FOUND\np2      winner  马超: 5 for 4\n"), "{out}")
            }
            "name" => assert_eq!(out, "p2\np1\np2\n\n"),
            _ => assert!(out.contains("1000"), "{out}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_contradicts_itself_is_not_believed() {
    let mut doubtful = audit(&[]);
    doubtful["violationCount"] = 2.into();
    let server = Server::start(move |_, _, _| Reply::Success(doubtful.clone())).await;
    let (exit, _, err) = server.run(&["--app", "1", "redpacket", "audit"]).await;
    assert_eq!((exit, err.as_str()), (6, "error: the audit does not hold: 2 rules are broken\n"));
}

/// Pages of an audit, of which the second finds a broken rule.
fn audit_pages(body: &Value) -> Reply {
    let mut page = match body["cursor"].as_str() {
        Some("b") => audit(&[(Some("p9"), "share")]),
        _ => audit(&[]),
    };
    match body["cursor"].as_str() {
        None => page["cursor"] = "b".into(),
        Some("b") => page["cursor"] = "c".into(),
        _ => {}
    }
    Reply::Success(page)
}

#[tokio::test]
async fn an_audit_of_many_pages_is_one() {
    let server = Server::start(|_, _, body| audit_pages(body)).await;
    let variables = [("CHATCTL_SERVER", server.address.as_str())];
    let (mut surroundings, written) = Surroundings::in_memory(b"", &variables);
    surroundings.clock = || 1_700_000_000_000;
    let words = line(&["--app", "1", "redpacket", "audit", "--since", "2h", "--json"]);
    let exit = chatctl::run(words, surroundings).await;
    let (out, err) = (written.stdout(), written.stderr());
    assert_eq!(exit, 6, "{err}");
    let whole: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&whole["packets"], &whole["total"], &whole["unsettled"]),
        (&json!(6), &json!(3000), &json!(3))
    );
    assert_eq!((&whole["queued"], &whole["violationCount"]), (&json!(1), &json!(1)));
    assert_eq!((&whole["holds"], whole.get("cursor")), (&json!(false), None));
    assert!(
        err.contains("looked at 4 packets, 14 transfers and 8 accounts; broken rules so far: 1\n"),
        "{err}"
    );
    assert!(err.ends_with("error: the audit does not hold: 1 rule is broken: p9 (share)\n"), "{err}");
    let asked: Vec<Value> = server.requests().into_iter().map(|(_, body)| body).collect();
    assert_eq!(asked[0]["since"], json!(1_700_000_000_000_u64 - 2 * 3_600_000));
    assert_eq!(asked[1..], [json!({"appId": 1, "cursor": "b"}), json!({"appId": 1, "cursor": "c"})]);
    let (_, _, err) = server.run(&["--app", "1", "redpacket", "audit", "-q"]).await;
    assert!(!err.contains("looked at"), "{err}");
}

#[tokio::test]
async fn an_audit_without_an_end_is_given_up() {
    let mut endless = audit(&[]);
    endless["cursor"] = "again".into();
    let server = Server::start(move |_, _, _| Reply::Success(endless.clone())).await;
    let (exit, _, err) = server.run(&["--app", "1", "redpacket", "audit"]).await;
    assert_eq!((exit, server.requests().len()), (1, 2));
    assert!(err.contains("does not come to an end"), "{err}");
}

/// Packets `p1` to `p5` in pages of at most two, of which one is empty.
fn packets(body: &Value) -> Reply {
    let packet = |number: u32| {
        let mut packet = json!({
            "packetId": format!("p{number}"), "from": "黄帝", "target": "group:tea", "mode": "lucky", "total": 450,
            "count": 3, "created": 0, "expires": 86_400_000, "grabbed": 150, "grabbedCount": 1, "refunded": 0
        });
        if number != 2 {
            packet["state"] = "open".into();
        }
        packet
    };
    let (page, next) = match body["cursor"].as_str() {
        None => (vec![packet(5), packet(4)], Some("4")),
        Some("4") => (vec![], Some("3")),
        Some("3") => (vec![packet(3), packet(2)], Some("2")),
        _ => (vec![packet(1)], None),
    };
    let mut answer = json!({"packets": page});
    if let Some(next) = next {
        answer["cursor"] = next.into();
    }
    Reply::Success(answer)
}

#[tokio::test]
async fn packets_are_listed_in_pages() {
    let server = Server::start(|_, _, body| packets(body)).await;
    let list = async |words: &[&str]| {
        let before = server.requests().len();
        let (exit, out, err) = server.run(&[&["--app", "1", "redpacket", "list"], words].concat()).await;
        assert_eq!(exit, 0, "{err}");
        (out, server.requests().split_off(before))
    };
    let (out, asked) = list(&["--all", "-o", "name", "--state", "open"]).await;
    assert_eq!((out.as_str(), asked.len()), ("p5\np4\np3\np2\np1\n", 4));
    assert_eq!(asked[0].1, json!({"appId": 1, "state": "open", "limit": 200}));
    let (out, asked) = list(&["--limit", "3", "-o", "name"]).await;
    assert_eq!((out.as_str(), asked.len()), ("p5\np4\np3\n", 3));
    let (out, _) = list(&["--limit", "4"]).await;
    let wanted = "p2      -      黄帝  group:tea   4.50   1.50  1970-01-01 00:00:00Z  1970-01-02 00:00:00Z";
    assert!(out.contains("PACKET  STATE  FROM") && out.contains(wanted), "{out}");
    let endless = json!({"packets": [], "cursor": "again"});
    let server = Server::start(move |_, _, _| Reply::Success(endless.clone())).await;
    let (exit, _, err) = server.run(&["--app", "1", "redpacket", "list", "--all"]).await;
    assert_eq!((exit, server.requests().len()), (1, 2));
    assert!(err.contains("does not come to an end"), "{err}");
}
