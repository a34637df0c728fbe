//! Red packets of a server that cheats: every cent and every contradiction must be found.

use serde_json::Value;

use crate::bench::{Ran, bench};
use crate::double::Fault;
use crate::vault::Cheat;

/// More clients than shares: nothing is left.
const SCARCE: &str =
    "redpacket --clients 9 --packets 3 --count 5 --total 503 --senders 2 --drain 300ms --seed 7";
/// More shares than clients: a rest comes back.
const PLENTY: &str =
    "redpacket --clients 4 --packets 3 --count 7 --total 703 --drain 300ms --await-refund 5s --seed 7";

impl Ran {
    fn money(&self, name: &str) -> u64 {
        self.json["red_packets"][name].as_u64().unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    fn rules(&self) -> Vec<&str> {
        let found = self.json["red_packets"]["first_discrepancies"].as_array().expect("a list");
        found.iter().map(|one| one["rule"].as_str().expect("a word")).collect()
    }
}

async fn cheated(line: &str, cheat: Cheat) -> Ran {
    let ran = bench(line, &[Fault::Money(cheat)]).await;
    assert_eq!(ran.code, 97, "{cheat:?}: {}\n{}", ran.out, ran.err);
    ran
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_passes_whatever_the_way() {
    for flags in ["", " --hot --mode equal", " --via http --grabs 3", " --reconnect-during --mode lucky"] {
        let ran = bench(&format!("{SCARCE}{flags} --threshold discrepancies==0"), &[]).await;
        assert_eq!(ran.code, 0, "{flags}: {}\n{}", ran.out, ran.err);
        assert_eq!((ran.money("grabbed_cents"), ran.money("open_cents")), (3 * 503, 0));
        let (won, already, unanswered) = (ran.money("won"), ran.money("already"), ran.money("unanswered"));
        assert!(won <= 15 && won + unanswered >= 15, "{}", ran.out);
        assert!(already >= 15 && ran.money("given_up") == 0, "{}", ran.out);
        assert_eq!(ran.json["times"]["grab_won_time"]["count"], won);
        assert_eq!(ran.json["times"]["settlement_time"]["count"], 15);
        if unanswered == 0 {
            assert_eq!((won, ran.money("grabs") % 27), (15, 0), "{}", ran.out);
        }
        if flags.contains("reconnect") {
            assert!(ran.money("cuts") > 0 && ran.money("reconnects") >= ran.money("cuts"), "{}", ran.out);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rest_comes_back_or_stays_open() {
    let ran = bench(PLENTY, &[]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.money("refunded_cents") > 0, "{}", ran.out);
    assert_eq!(ran.money("refunded_cents") + ran.money("grabbed_cents"), 3 * 703);
    let line = PLENTY.replace(" --await-refund 5s", "");
    let ran = bench(&line, &[Fault::Money(Cheat::KeepOpen)]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert_eq!(ran.money("open_cents") + ran.money("grabbed_cents"), 3 * 703);
    let ran = bench(&PLENTY.replace("5s", "200ms"), &[Fault::Money(Cheat::KeepOpen)]).await;
    assert_eq!(ran.code, 96, "{}", ran.out);
    assert!(ran.out.contains("--await-refund"), "{}", ran.out);
    let ran = cheated(&PLENTY.replace("5s", "200ms"), Cheat::KeepRest).await;
    assert!(ran.out.contains("its rest had not gone back"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grabs_at_a_rate_are_in_the_same_books() {
    let line = "redpacket --clients 5 --packets 20 --count 3 --rate 200/s --duration 500ms";
    let ran = bench(line, &[]).await;
    assert!(ran.code == 0 || ran.code == 96, "{}\n{}", ran.out, ran.err);
    assert_eq!((ran.money("grabs"), ran.money("won"), ran.money("empty")), (100, 60, 40), "{}", ran.out);
    let ran = cheated(line, Cheat::NotPaid { share: 2 }).await;
    assert!(
        (21..=25).contains(&ran.money("discrepancies")),
        "20 transfers and up to 5 balances: {}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cheat_is_found_and_named() {
    for (line, cheat, rule) in [
        (SCARCE, Cheat::CentMore { share: 3 }, "total"),
        (SCARCE, Cheat::TwoWinners, "winner"),
        (SCARCE, Cheat::TwoWinners, "count"),
        (SCARCE, Cheat::OtherRepeat, "repeat"),
        (SCARCE, Cheat::WonAgain, "repeat"),
        (SCARCE, Cheat::Forgotten, "repeat"),
        (PLENTY, Cheat::EarlyEmpty, "count"),
        (PLENTY, Cheat::EarlyEmpty, "empty"),
        (SCARCE, Cheat::Missing { share: 2 }, "share"),
        (SCARCE, Cheat::Missing { share: 5 }, "share"),
        (SCARCE, Cheat::Swapped, "share"),
        (SCARCE, Cheat::NotPaid { share: 1 }, "settlement"),
        (SCARCE, Cheat::PaidTwice { share: 4 }, "settlement"),
        (SCARCE, Cheat::PaidShort { share: 4 }, "settlement"),
        (PLENTY, Cheat::ShortRefund, "settlement"),
        (PLENTY, Cheat::NoRefund, "wallet"),
        (SCARCE, Cheat::ChargedTwice, "wallet"),
        (SCARCE, Cheat::AuditFails, "audit"),
        (SCARCE, Cheat::Unsettled, "audit"),
    ] {
        let ran = cheated(line, cheat).await;
        assert!(ran.rules().contains(&rule), "{cheat:?}: {:?}\n{}", ran.rules(), ran.out);
        assert!(ran.out.contains("--seed 7"), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_names_packet_user_and_both_sides() {
    let ran = cheated(&format!("{SCARCE} --hot"), Cheat::PaidShort { share: 4 }).await;
    let found = ran.json["red_packets"]["first_discrepancies"].as_array().expect("a list");
    let trace = found.iter().find(|one| one["rule"] == "settlement").expect("a settlement");
    assert!(trace["packet"].as_str().is_some_and(|packet| packet.starts_with("packet-")), "{trace}");
    assert!(trace["user"].as_str().is_some_and(|user| user.starts_with("bench-")), "{trace}");
    assert_eq!(trace["expected"], "a transfer grab of 100", "{trace}");
    assert!(
        trace["found"].as_str().is_some_and(|found| found.starts_with("a transfer grab of 99")),
        "{trace}"
    );
    assert_eq!(ran.json["red_packets"]["drain_ms"].is_null(), ran.out.contains("had not settled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_settles_is_waited_for_no_longer_than_asked() {
    let ran = cheated(SCARCE, Cheat::Unsettled).await;
    assert_eq!(ran.json["red_packets"]["drain_ms"], Value::Null);
    assert!(ran.out.contains("had not settled everything"), "{}", ran.out);
}
