//! chatctl and chatbench with money, against real nodes: one alone, and two over Redis and PostgreSQL.
//!
//! Invariant: both programs see the server only as its users do.

use chat_tests::fault_site::FaultSite;
use chat_tests::money_books::audit_until;
use chat_tests::money_site::{MoneySite, settled};
use chat_tests::node::Node;
use chat_tests::with_money;
use chatctl::surroundings::Surroundings;
use chatd::engine::redis::keys::Keys;
use serde_json::Value;

const APP: u32 = 402;

async fn chatctl(site: &MoneySite, line: &str) -> (u8, String, String) {
    chatctl_on(site.last(), line).await
}

async fn chatctl_on(node: &Node, line: &str) -> (u8, String, String) {
    let server = node.server().to_string();
    let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", "402"), ("CHATCTL_RETRIES", "0")];
    let (surroundings, written) = Surroundings::in_memory(b"", &variables);
    // A word in the line that is to be empty is written _.
    let words = line.split(' ').map(|word| if word == "_" { "" } else { word }.into());
    let exit = chatctl::run(std::iter::once("chatctl".into()).chain(words), surroundings).await;
    (exit, written.stdout(), written.stderr())
}

async fn done(site: &MoneySite, line: &str) -> String {
    let (exit, out, err) = chatctl(site, line).await;
    assert_eq!(exit, 0, "{line}: {err}");
    out
}

async fn a_packet_goes_from_the_deposit_to_the_audit(site: MoneySite) {
    let deposit = "wallet deposit 黄帝 100.00 --transfer-id pay-1";
    assert_eq!(done(&site, deposit).await, "100.00 deposited: 黄帝 has 100.00\n");
    assert_eq!(done(&site, deposit).await, "deposited before; nothing was added: 黄帝 has 100.00\n");
    let again = chatctl(&site, "wallet deposit 黄帝 100.01 --transfer-id pay-1").await;
    assert_eq!(again.0, 6, "another amount under the same id: {again:?}");
    let create = "redpacket create _ --as 黄帝 --total 1000 --count 2 --mode equal --msg-id p-1";
    assert_eq!(chatctl(&site, &create.replace("1000", "100.01")).await.0, 6, "more than there is");
    let packet = done(&site, &format!("{create} -o name")).await.trim().to_owned();
    assert_eq!(done(&site, &format!("{create} -o name")).await.trim(), packet, "created once");
    let grab = |user: &str| format!("redpacket grab {packet} --as {user}");
    assert_eq!(done(&site, &grab("马超")).await, "won 5.00\n");
    assert_eq!(done(&site, &grab("马超")).await, "won 5.00 before\n");
    let shown = done(&site, &format!("redpacket show {packet}")).await;
    assert!(shown.contains("taken       5.00 in 1 share\nopen        5.00\n"), "{shown}");
    assert_eq!(done(&site, &grab("b")).await, "won 5.00\n");
    assert_eq!(chatctl(&site, &grab("c")).await.0, 6, "nothing is left");
    settled(&site.first().http(), APP).await;
    let balances = done(&site, "wallet balance 黄帝 马超 b c -o csv").await;
    assert_eq!(balances, "userId,balance\n黄帝,9000\n马超,500\nb,500\nc,0\n");
    let transfers = done(&site, "wallet transfers 黄帝 --json").await;
    let transfers: Value = serde_json::from_str(&transfers).expect("JSON");
    let amounts: Vec<_> =
        transfers.as_array().expect("a list").iter().map(|one| one["amount"].clone()).collect();
    assert_eq!(amounts, [-1000, 10_000]);
    let shown = done(&site, &format!("redpacket show {packet} -o name")).await;
    assert_eq!(shown, "马超\nb\n");
    assert!(done(&site, "redpacket audit").await.starts_with("holds           yes\npackets         1\n"));
    assert_eq!(done(&site, "redpacket dead-letters -o name").await, "");
    assert_eq!(done(&site, "redpacket replay -y").await, "0 queued again\n");
    assert_eq!(chatctl(&site, "redpacket show nothing").await.0, 5);
    assert_eq!(chatctl(&site, "redpacket grab nothing --as b").await.0, 5);
}

async fn a_mistaken_movement_is_reversed_once_and_never_below_nothing(site: MoneySite) {
    done(&site, "wallet deposit 黄帝 100.00 --transfer-id pay-1").await;
    done(&site, "wallet deposit 黄帝 50.00 --transfer-id pay-2").await;
    done(&site, "wallet withdraw 黄帝 30.00 --transfer-id out-1").await;
    let reverse = |id: &str| format!("wallet reverse 黄帝 {id} -y");
    assert_eq!(chatctl(&site, "wallet reverse 黄帝 pay-2").await.0, 2, "nobody said yes");
    let mistaken = reverse("pay-2");
    let (one, two) = tokio::join!(chatctl(&site, &mistaken), chatctl(&site, &mistaken));
    assert_eq!((one.0, two.0), (0, 0), "{one:?} {two:?}");
    let told = [&one.1, &two.1].map(|said| said.contains("50.00 of pay-2 taken back"));
    assert_eq!(
        told.iter().filter(|is_told| **is_told).count(),
        1,
        "one of two at once did it: {one:?} {two:?}"
    );
    assert!(done(&site, &reverse("pay-2")).await.starts_with("pay-2 was reversed before"));
    assert!(done(&site, &reverse("out-1")).await.starts_with("30.00 of out-1 given back"));
    assert_eq!(done(&site, "wallet balance 黄帝 -o csv").await, "userId,balance\n黄帝,10000\n");
    done(&site, "redpacket create _ --as 黄帝 --total 0.01 --count 1 --msg-id p-1").await;
    settled(&site.first().http(), APP).await;
    let short = chatctl(&site, &reverse("pay-1")).await;
    assert_eq!((short.0, short.1.as_str()), (6, ""), "the wallet holds less: {short:?}");
    assert_eq!(chatctl(&site, &reverse("nothing")).await.0, 5);
    let transfers = done(&site, "wallet transfers 黄帝 --json").await;
    let transfers: Value = serde_json::from_str(&transfers).expect("JSON");
    let of = |kind: &str| {
        let all = transfers.as_array().expect("a list").iter().filter(move |one| one["kind"] == kind);
        all.map(|one| (one["transferId"].as_str().unwrap_or_default(), one["amount"].clone()))
            .collect::<Vec<_>>()
    };
    let kinds: Vec<_> = transfers.as_array().expect("a list").iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds.len(), 6, "{transfers}");
    assert!(of("withdrawal").contains(&("reverse:pay-2", (-5000).into())), "{transfers}");
    assert!(of("deposit").contains(&("reverse:out-1", 3000.into())), "{transfers}");
    let packet = of("packet");
    assert_eq!(chatctl(&site, &reverse(packet[0].0)).await.0, 6, "a packet is nobody's to take back");
    let audit = done(&site, "redpacket audit").await;
    assert!(audit.starts_with("holds           yes\n"), "{audit}");
}

/// Nobody won what comes into the outbox.
#[tokio::test]
async fn a_dead_letter_is_given_up_for_good() {
    let mut site = FaultSite::shared(1, &[]).await;
    let (keys, http) = (Keys::default(), site.http(0));
    let (apps, outbox, app) = (keys.outboxes(), keys.outbox(APP), APP.to_string());
    let body = format!(r#"{{"app":{APP},"packet":"p","kind":"grab","user":"m","amount":7,"time_ms":1}}"#);
    site.redis().command(&["SADD", &apps, &app]).await;
    site.redis().command(&["XADD", &outbox, "*", "body", &body]).await;
    audit_until(&http, APP, "it is dead", |audit| audit.dead_letters == 1).await;
    let (exit, id, err) = chatctl_on(site.node(0), "redpacket dead-letters -o name").await;
    assert_eq!(exit, 0, "{err}");
    let discard = |id: &str| format!("redpacket dead-letters discard {id} --reason forged");
    for (line, exits) in [
        (discard(id.trim()), 2),
        (format!("{} --dry-run", discard(id.trim())), 0),
        (format!("{} -y", discard("1-1")), 5),
        (format!("redpacket dead-letters discard {} -y", id.trim()), 2),
    ] {
        let answer = chatctl_on(site.node(0), &line).await;
        assert_eq!(answer.0, exits, "{line}: {answer:?}");
        assert_eq!(chatctl_on(site.node(0), "redpacket audit").await.0, 6, "it is there");
    }
    let answer = chatctl_on(site.node(0), &format!("{} -y", discard(id.trim()))).await;
    assert_eq!((answer.0, answer.1.as_str()), (0, "1 given up\n"), "{answer:?}");
    assert_eq!(chatctl_on(site.node(0), "redpacket dead-letters -o name").await.1, "");
    let audit = chatctl_on(site.node(0), "redpacket audit").await;
    assert!(audit.1.starts_with("holds           yes\n"), "{audit:?}");
    site.sql("DELETE FROM chat_discard").await;
    let audit = chatctl_on(site.node(0), "redpacket audit").await;
    assert!(audit.0 == 6 && audit.1.contains("of the discards, 1 to 1 are gone"), "{audit:?}");
}

async fn chatbench(site: &MoneySite, line: &str) {
    let servers = format!("{},{}", site.first().server(), site.last().server());
    let line = format!("chatbench redpacket {line} --server {servers} --threshold discrepancies==0");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = chatbench::run_until(line.split(' '), &mut out, &mut err, std::future::pending()).await;
    let text = [out, err].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    // 96 judges the machine the test runs on.
    assert!(exit == 0 || exit == 96, "{line}: exit {exit}\n{text}");
}

async fn a_crowd_that_grabs_at_once_agrees_with_every_book(site: MoneySite) {
    chatbench(&site, "--clients 60 --packets 4 --count 25 --senders 2 --total 2503").await;
    chatbench(&site, "--clients 60 --packets 2 --count 59 --hot --via http --grabs 3").await;
    chatbench(&site, "--clients 20 --packets 30 --count 10 --rate 400/s --duration 1s").await;
}

async fn a_crowd_that_is_cut_off_agrees_with_every_book(site: MoneySite) {
    chatbench(&site, "--clients 60 --packets 3 --count 40 --reconnect-during").await;
}

async fn what_nobody_took_comes_back(site: MoneySite) {
    let site = site.with(&["--packet-expiry", "2"]).await;
    chatbench(&site, "--clients 10 --packets 4 --count 25 --total 2503 --await-refund 60s").await;
}

with_money!(
    a_packet_goes_from_the_deposit_to_the_audit,
    a_mistaken_movement_is_reversed_once_and_never_below_nothing,
    a_crowd_that_grabs_at_once_agrees_with_every_book,
    a_crowd_that_is_cut_off_agrees_with_every_book,
    what_nobody_took_comes_back,
);
