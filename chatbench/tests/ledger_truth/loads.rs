//! The ways to put load on: stages, random times, pauses, comings and goings, the floor.

use crate::bench::bench;
use crate::double::Fault;
use crate::workers::run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_and_random_times_send_what_they_say() {
    let ran = bench("broadcast --clients 3 --stages 20..60@500ms,60@250ms --warmup 100ms", &[]).await;
    ran.assert_nothing_broke();
    assert_eq!((ran.part("warmup", "sent"), ran.part("measured", "sent")), (2, 35), "{}", ran.out);
    assert_eq!(ran.json["options"]["traffic"]["stages"], "20..60@0.5s,60..60@0.25s");

    let line = "broadcast --clients 3 --rate 100/s --arrival poisson --duration 700ms --warmup 0s --seed 5";
    let (first, second) = (bench(line, &[]).await, bench(line, &[]).await);
    first.assert_nothing_broke();
    assert_eq!(first.count("sent"), second.count("sent"), "the seed decides");
    assert!((40..100).contains(&first.count("sent")), "{}", first.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_thinks_sends_less() {
    let line = "broadcast --clients 2 --senders 2 --closed --think-time 100ms --warmup 0s --duration 1s";
    let ran = bench(line, &[]).await;
    ran.assert_nothing_broke();
    // Two senders with at least a tenth of a second between two messages.
    assert!((2..=22).contains(&ran.count("sent")), "{}", ran.out);
    assert_eq!(ran.json["options"]["traffic"]["think_time_ms"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_and_go_miss_nothing() {
    let line = "churn --clients 6 --churn-rate 20/s --away 50ms --rate 40/s --warmup 100ms --duration 1s";
    let ran = bench(line, &[]).await;
    ran.assert_nothing_broke();
    assert!(ran.chaos("cuts") >= 5, "{}", ran.out);
    assert_eq!(ran.chaos("cuts"), ran.chaos("reconnects"));
    assert_eq!(ran.json["times"]["reconnect_time"]["count"], ran.chaos("reconnects"));
    assert_eq!(ran.count("expected"), ran.count("accepted") * 6);
    assert_eq!(ran.json["options"]["traffic"]["chaos"][0], "churn:20,0.05");
    let refused = bench("churn --away 20s", &[]).await;
    assert_eq!(refused.code, 2, "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_one_makes_the_stall_of_a_message_the_wait_of_the_next() {
    let line = "broadcast --clients 2 --rate 20/s --warmup 0s --duration 500ms --window 1 --drain 300ms";
    let ran = bench(line, &[Fault::NoAnswer { offset: 5 }]).await;
    assert_eq!((ran.code, &ran.json["valid"]), (97, &false.into()), "{}", ran.out);
    assert_eq!((ran.count("sent"), ran.count("unanswered")), (5, 1));
    assert_eq!(ran.json["validity"]["dropped"], 5);
    assert_eq!(ran.json["validity"]["achieved_share"], 0.5);
    let ack = &ran.json["times"]["ack_time"];
    assert_eq!((&ack["count"], &ack["censored"]), (&5.into(), &1.into()));
    assert!(ack["max_us"].as_u64() >= Some(500_000), "at least from its due time to the end: {ack}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_is_measured_beside_the_server() {
    for scenario in ["broadcast --clients 4", "unicast --clients 3", "group --groups 2 --members 3"] {
        let line = format!("{scenario} --rate 40/s --warmup 100ms --duration 600ms --floor");
        let ran = run(&line, &[], |_| {}).await;
        ran.assert_nothing_broke();
        let floor = &ran.json["floor"];
        assert_eq!(floor["rounds"].as_array().map(Vec::len), Some(2), "{floor}");
        for round in floor["rounds"].as_array().unwrap() {
            assert!(round["deliveries_per_s"].as_f64() > Some(0.0), "{floor}");
            assert!(round["server_cpu_us_per_delivery"].is_number(), "the relay is watched: {floor}");
        }
        assert!(floor["server_to_floor"]["e2e_p50"].as_f64() > Some(0.0), "{floor}");
    }
    let refused = run("broadcast --floor --via http", &[], |_| {}).await;
    assert!(refused.code == 2 && refused.err.contains("--floor"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_run_adds_up_three_kinds_with_exact_books() {
    let line = "mixed --clients 16 --members 2 --rate 100/s --warmup 100ms --duration 600ms";
    let ran = bench(line, &[]).await;
    ran.assert_nothing_broke();
    let parts = ran.json["parts"].as_array().unwrap();
    let sum = |name: &str| parts.iter().map(|part| part["measured"][name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("delivered"), ran.part("measured", "delivered"));
    assert_eq!((sum("sent"), ran.part("measured", "sent")), (60, 60), "{}", ran.out);
    assert_eq!(ran.json["times"]["e2e_time"]["count"], sum("delivered"));
    let clients: Vec<u64> = parts.iter().map(|part| part["clients"].as_u64().unwrap()).collect();
    assert_eq!(clients, [8, 4, 4]);

    let faults = [Fault::Lose { receiver: 0, offset: 3 }];
    let ran = bench(&format!("{line} {}", crate::NO_PATIENCE), &faults).await;
    // Client 0 of each kind lost its third message.
    assert_eq!((ran.code, ran.count("lost")), (97, 3), "{}", ran.out);
    let refused = bench("mixed --clients 3", &[Fault::RefuseLogin]).await;
    assert_eq!(refused.code, 1, "{}", refused.out);
}
