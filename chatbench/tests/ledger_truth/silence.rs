//! Connections that end and answers that do not come.

use crate::bench::{bench, bench_until};
use crate::double::Fault;
use crate::{MEASURED, broadcast};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_close_by_the_server_deliveries_are_disconnected_and_not_lost() {
    let close = Fault::Close { receiver: 2, offset: MEASURED, code: 4001 };
    let ran = bench(&format!("{} --drain 300ms", broadcast()), &[close]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    // All accepted messages from that offset on.
    assert_eq!(ran.count("disconnected"), ran.count("accepted") - (MEASURED - 1), "{}", ran.out);
    assert_eq!(ran.count("lost"), 0);
    assert_eq!(ran.json["connections"]["closed_by_server"]["4001"], 1);
    assert!(ran.out.contains("code 4001: 1"), "{}", ran.out);

    let ran = bench(&format!("{} --drain 300ms --allow-disconnects", broadcast()), &[close]).await;
    assert!(ran.code == 0 || ran.code == 96, "{}", ran.out);
    assert!(ran.count("disconnected") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_skipped_before_the_close_is_lost() {
    let faults = [
        Fault::Lose { receiver: 2, offset: MEASURED - 3 },
        Fault::Close { receiver: 2, offset: MEASURED, code: 4001 },
    ];
    let ran = bench(&format!("{} --drain 300ms --allow-disconnects", broadcast()), &faults).await;
    assert_eq!((ran.code, ran.count("lost")), (97, 1), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_answer_is_not_expected_and_no_run_passes_with_it() {
    let ran = bench(&format!("{} --drain 300ms", broadcast()), &[Fault::NoAnswer { offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert!(ran.out.contains(&format!("1 of {} messages got no answer", ran.count("sent"))), "{}", ran.out);
    assert_eq!(ran.json["times"]["e2e_time"]["censored"], 0, "its deliveries came");
    assert_eq!((ran.count("unanswered"), ran.beside("unexpected")), (1, 5));
    assert_eq!(ran.count("delivered"), ran.count("expected"));
    assert_eq!(ran.count("expected"), (ran.count("sent") - 1) * 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_counted_with_its_code() {
    let ran = bench(&format!("{} --drain 300ms", broadcast()), &[Fault::Refuse { offset: MEASURED }]).await;
    assert!(ran.code == 0 || ran.code == 96, "{}", ran.out);
    assert_eq!((ran.count("refused"), ran.count("lost")), (1, 0));
    assert_eq!(ran.json["ledger"]["refused_by_code"]["1011"], 1);
    assert!(ran.out.contains(&format!("1 of {} messages were refused with code 1011", ran.count("sent"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_for_good_does_not_pass_because_nobody_waits_for_it() {
    let line = "broadcast --clients 4 --senders 2 --closed --warmup 0s --duration 300ms --drain 100ms";
    let lose = |receiver| [1, 2].map(|offset| Fault::Lose { receiver, offset });
    let faults: Vec<Fault> = (0..6).flat_map(lose).chain([Fault::Mute]).collect();
    let ran = bench(line, &faults).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("sent"), ran.count("unanswered")), (2, 2), "{}", ran.out);
    for (time, censored) in [("ack_time", 2), ("e2e_time", 2 * 5)] {
        let time = &ran.json["times"][time];
        assert_eq!((&time["count"], &time["censored"]), (&censored.into(), &censored.into()), "{time}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_breaks_the_run_and_the_window_says_so() {
    let ran = bench(&format!("{} --drain 100ms --window 4", broadcast()), &[Fault::Mute]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("sent"), ran.count("unanswered")), (4, 4), "the window bounds what is sent");
    assert_eq!(ran.json["valid"], false);
    assert!(ran.out.contains("the window of unanswered messages was full"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_answers_has_as_many_messages_under_way_as_is_said() {
    for (window, sent) in [("", 2), ("--window 3", 6)] {
        let line = "broadcast --clients 4 --senders 2 --closed --warmup 0s --duration 300ms --drain 100ms";
        let ran = bench(format!("{line} {window}").trim(), &[Fault::Mute]).await;
        assert_eq!((ran.count("sent"), ran.count("unanswered")), (sent, sent), "{}", ran.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_process_that_ends_costs_its_numbers_and_not_the_report() {
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    let ended = async move {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        std::future::pending().await
    };
    let ran = bench_until(&format!("{} --pid {pid}", broadcast()), &[], ended).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.json["processes"]["servers"], serde_json::json!([]));
    assert!(ran.out.contains(&format!("process {pid} ended during the run")), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_show_signs_of_life_and_their_closes_are_counted() {
    let line = "idle --clients 4 --duration 400ms --heartbeat 100ms";
    let ran = bench(line, &[]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.json["connections"]["heartbeats"].as_u64() >= Some(4), "{}", ran.json);
    assert!(ran.json["idle"]["generator_bytes_per_client"].is_number());

    let close = Fault::CloseOnHeartbeat { receiver: 3, code: 4000 };
    let ran = bench(line, &[close]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!(ran.json["connections"]["closed_by_server"]["4000"], 1);
    let ran = bench(&format!("{line} --allow-disconnects"), &[close]).await;
    assert_eq!(ran.code, 0, "{}", ran.out);
}
