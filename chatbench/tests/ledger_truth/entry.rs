//! Runs in which some clients do not get in: what was measured is reported, and the books are those of the others.
//!
//! Invariant: a run that waited for the deliveries of who is not in would drain for an hour.

use serde_json::Value;

use crate::bench::{Ran, bench};
use crate::double::Fault;
use crate::workers::run;

const SHAPE: &str = "--rate 40/s --warmup 100ms --duration 400ms --drain 1h";

fn refuse(users: &[u32]) -> Vec<Fault> {
    users.iter().map(|user| Fault::RefuseUser { user: *user }).collect()
}

/// The same in one process and in three.
async fn both(line: &str, faults: &[Fault]) -> [Ran; 2] {
    [bench(line, faults).await, run(&format!("{line} --workers 3"), faults, |_| {}).await]
}

fn assert_invalid(ran: &Ran, failed: u64, wanted: u64) {
    assert_eq!(ran.code, 96, "{}\n{}", ran.out, ran.err);
    assert_eq!(ran.json["valid"], false);
    let connections = &ran.json["connections"];
    assert_eq!(
        (&connections["wanted"], &connections["connected"]),
        (&wanted.into(), &(wanted - failed).into())
    );
    let causes = connections["failed"].as_object().unwrap();
    assert_eq!(causes.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), failed);
    let says = format!("{failed} of {wanted} clients did not get in; most often: log-in refused: code 1003");
    let reasons = ran.json["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason.as_str().unwrap().starts_with(&says)), "{reasons:?}");
    assert!(ran.out.contains(&says), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_get_in_is_expected_to_receive_nothing() {
    // Receivers 0 to 4, senders 5 and 6.
    let line = format!("broadcast --clients 5 --senders 2 {SHAPE}");
    for ran in both(&line, &refuse(&[1, 4])).await {
        assert_invalid(&ran, 2, 7);
        ran.assert_nothing_broke();
        assert_eq!(ran.count("expected"), ran.count("accepted") * 4, "{}", ran.out);
        assert_eq!(ran.json["validity"]["dropped"], 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_that_did_not_get_in_should_have_sent_is_missing_and_named() {
    let line = format!("broadcast --clients 5 --senders 2 {SHAPE}");
    for ran in both(&line, &refuse(&[6])).await {
        assert_invalid(&ran, 1, 7);
        ran.assert_nothing_broke();
        assert_eq!((ran.part("measured", "sent"), ran.count("expected")), (8, ran.count("accepted") * 5));
        assert!(
            ran.out.contains("8 of 16 offered messages were sent: senders did not get in"),
            "{}",
            ran.out
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_anybody_or_without_any_sender_there_is_no_result() {
    for (line, faults) in [
        (format!("broadcast --clients 5 --senders 2 {SHAPE}"), refuse(&[5, 6])),
        (format!("unicast --clients 3 {SHAPE}"), refuse(&[3, 4, 5])),
        (format!("mixed --clients 4 {SHAPE}"), vec![Fault::RefuseLogin]),
    ] {
        for ran in both(&line, &faults).await {
            assert_eq!((ran.code, &ran.json), (1, &Value::Null), "{line}: {}", ran.out);
            assert!(ran.err.contains("code 1003") && ran.err.contains("next:"), "{line}: {}", ran.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_and_groups_lack_exactly_the_deliveries_of_those_outside() {
    let line = format!("unicast --clients 4 {SHAPE}");
    for ran in both(&line, &refuse(&[2])).await {
        assert_invalid(&ran, 1, 8);
        ran.assert_nothing_broke();
        // Five messages of each sender; those of sender 2 reach nobody.
        assert_eq!((ran.count("accepted"), ran.count("expected")), (20, 15), "{}", ran.out);
    }
    // Members 0 to 2 and 3 to 5; senders 6 and 8 of the first group, 7 and 9 of the second.
    let line = format!("group --groups 2 --members 3 --senders 2 {SHAPE}");
    for ran in both(&line, &refuse(&[0, 1, 9])).await {
        assert_invalid(&ran, 3, 10);
        ran.assert_nothing_broke();
        // Senders 0 and 2 with five each to member 2 and to each other, sender 1 to members 3 to 5.
        assert_eq!((ran.count("accepted"), ran.count("expected")), (15, 10 * 2 + 5 * 3), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_run_goes_on_without_those_outside() {
    // User 0 of each kind: a receiver of the world, of the group and of the pairs.
    let line = format!("mixed --clients 16 --members 4 {SHAPE}").replace("--rate 40/s", "--rate 100/s");
    let mut counts = Vec::new();
    for ran in both(&line, &refuse(&[0])).await {
        assert_invalid(&ran, 3, 16 + 1 + 1 + 4);
        ran.assert_nothing_broke();
        counts.push((ran.count("sent"), ran.count("expected")));
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_and_claimants_report_who_did_not_get_in() {
    for line in ["connect --clients 5", "idle --clients 5 --duration 200ms"] {
        for ran in both(line, &refuse(&[3])).await {
            assert_invalid(&ran, 1, 5);
            assert_eq!(ran.json["times"]["login_time"]["count"], 4);
            assert_eq!(ran.json["connections"]["unanswered_closes"], 0);
        }
    }
    let line = "redpacket --clients 5 --packets 2 --count 3 --grabs 1";
    let ran = bench(line, &refuse(&[3])).await;
    assert_invalid(&ran, 1, 5);
    let packets = &ran.json["red_packets"];
    assert_eq!(
        (&packets["grabs"], &packets["won"], &packets["discrepancies"]),
        (&8.into(), &6.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_outside_is_not_called_kept() {
    // 40 % of 5 are receivers 2 and 4.
    let ran = bench(&format!("broadcast --clients 5 --chaos slow-reader=40% {SHAPE}"), &refuse(&[4])).await;
    assert_invalid(&ran, 1, 6);
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted") * 3);
    assert_eq!(ran.json["chaos"]["slow_readers"]["clients"], 1, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closes_without_an_answer_are_counted_and_hold_up_nobody() {
    // More than are closed at once; the first of them are never answered.
    let ran =
        bench("connect --clients 600", &[Fault::KeepOpen { user: 0 }, Fault::KeepOpen { user: 7 }]).await;
    assert_eq!((ran.code, &ran.json["connections"]["unanswered_closes"]), (0, &2.into()), "{}", ran.out);
    let silent: Vec<Fault> = (0..300).map(|user| Fault::KeepOpen { user }).collect();
    let ran = bench("connect --clients 310", &silent).await;
    assert_eq!(
        ran.json["connections"]["unanswered_closes"], 300,
        "the others were told in the end: {}",
        ran.out
    );
}
