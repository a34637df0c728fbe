//! Every kind of trouble in every scenario with clients that stay: it happens there, and the books stay exact.

use crate::bench::{Ran, bench};
use crate::double::Fault;
use crate::workers::run;

const SHAPE: &str = "--rate 40/s --warmup 100ms --duration 1s --drain 10s --seed 7";
/// With how many clients receive.
const SCENARIOS: [(&str, u64); 5] = [
    ("broadcast --clients 6", 6),
    ("unicast --clients 4", 4),
    ("group --groups 2 --members 3", 6),
    ("mixed --clients 16 --members 2", 16),
    ("soak --clients 6", 6),
];

fn assert_all_back(ran: &Ran) {
    ran.assert_nothing_broke();
    assert_eq!((ran.chaos("gaps"), ran.chaos("absent")), (0, 0), "{}", ran.out);
    assert_eq!(ran.json["times"]["reconnect_time"]["count"], ran.chaos("reconnects"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_and_churn_cut_and_everybody_comes_back() {
    for (scenario, _) in SCENARIOS {
        for kind in ["jitter:0.2,0.05", "churn:20,0.05"] {
            let ran = bench(&format!("{scenario} {SHAPE} --chaos {kind}"), &[]).await;
            assert_all_back(&ran);
            assert!(ran.chaos("cuts") > 3, "{scenario} {kind}: {}", ran.out);
            assert_eq!(ran.chaos("cuts"), ran.chaos("reconnects"), "{scenario} {kind}");
            assert_eq!(ran.json["options"]["traffic"]["chaos"][0], kind);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_avalanche_cuts_every_receiver_once() {
    for (scenario, clients) in SCENARIOS {
        let ran = bench(&format!("{scenario} {SHAPE} --chaos avalanche:0.3,0.1"), &[]).await;
        assert_all_back(&ran);
        assert_eq!((ran.chaos("cuts"), ran.chaos("reconnects")), (clients, clients), "{scenario}");
        assert_eq!(ran.json["times"]["back_time"]["count"], 1, "{scenario}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_closed_by_the_server_reconnects() {
    for (scenario, _) in SCENARIOS {
        let close = Fault::Close { receiver: 2, offset: 4, code: 4001 };
        let ran = bench(&format!("{scenario} {SHAPE} --chaos reconnect"), &[close]).await;
        assert_all_back(&ran);
        // Receiver 2 of each kind.
        let times = if scenario.starts_with("mixed") { 3 } else { 1 };
        assert_eq!((ran.chaos("cuts"), ran.chaos("reconnects")), (0, times), "{scenario}: {}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_stop_reading_everywhere() {
    let churn = ("churn --clients 6 --churn-rate 20/s --away 50ms", 6);
    for (scenario, clients) in SCENARIOS.into_iter().chain([churn]) {
        let line = format!("{scenario} {SHAPE} --chaos slow-reader=50%");
        for ran in [bench(&line, &[]).await, run(&format!("{line} --workers 3"), &[], |_| {}).await] {
            ran.assert_nothing_broke();
            let slow = &ran.json["chaos"]["slow_readers"];
            assert_eq!(
                (&slow["clients"], &slow["kept"]),
                (&(clients / 2).into(), &(clients / 2).into()),
                "{line}"
            );
            let all = bench_reach(scenario, &ran);
            assert_eq!(ran.count("expected") * 2, all, "{line}: half of the receivers read\n{}", ran.out);
        }
    }
    let ran = bench(&format!("{} {SHAPE}", churn.0), &[]).await;
    assert!(ran.chaos("cuts") > 3, "{}", ran.out);
}

/// Deliveries that the accepted messages of a scenario would call for if all read.
fn bench_reach(scenario: &str, ran: &Ran) -> u64 {
    match scenario.split(' ').next().unwrap() {
        "unicast" => ran.count("accepted"),
        "group" => ran.count("accepted") * 3,
        // A tenth of the 46 messages to 8, three tenths to 2, the rest to 1, of which 28 would be twice those that read.
        "mixed" => 5 * 8 + 14 * 2 + 28,
        _ => ran.count("accepted") * 6,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_clients_are_troubled_too() {
    for (kind, cuts) in [("jitter:0.2,0.05", None), ("churn:20,0.05", None), ("avalanche:0.3,0.1", Some(6))] {
        let line = format!("idle --clients 6 --duration 1s --seed 7 --chaos {kind}");
        for ran in [bench(&line, &[]).await, run(&format!("{line} --workers 3"), &[], |_| {}).await] {
            assert_eq!(ran.code, 0, "{kind}: {}\n{}", ran.out, ran.err);
            assert!(
                cuts.map_or(ran.chaos("cuts") > 3, |cuts| ran.chaos("cuts") == cuts),
                "{kind}: {}",
                ran.out
            );
            assert_eq!(ran.chaos("cuts"), ran.chaos("reconnects"), "{kind}: {}", ran.out);
            assert_eq!((ran.chaos("gaps"), ran.chaos("absent")), (0, 0), "{kind}: {}", ran.out);
            assert_eq!(ran.json["times"]["reconnect_time"]["count"], ran.chaos("reconnects"));
            assert_eq!(ran.json["options"]["chaos"][0], kind);
        }
    }
    let close = Fault::CloseOnHeartbeat { receiver: 3, code: 4000 };
    let ran = bench("idle --clients 4 --duration 1500ms --heartbeat 700ms --chaos reconnect", &[close]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.chaos("reconnects") >= 1 && ran.chaos("absent") == 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_trouble_makes_no_sense_it_is_refused_by_name() {
    for (line, says) in [
        ("idle --chaos slow-reader", "--chaos slow-reader"),
        ("churn --chaos jitter", "--chaos jitter"),
        ("connect --chaos jitter", "--chaos"),
        ("history --chaos reconnect", "--chaos"),
        ("redpacket --chaos jitter", "--chaos"),
        ("history --workers 2", "--workers: history"),
        ("redpacket --workers 2", "--workers: redpacket"),
    ] {
        let ran = bench(line, &[]).await;
        assert!(ran.code == 2 && ran.err.contains(says), "{line}: {}", ran.err);
    }
    for scenario in ["redpacket", "history"] {
        let ran = bench(&format!("{scenario} --clients 900000"), &[]).await;
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("do not fit") && !ran.err.contains("--workers"), "{}", ran.err);
    }
}
