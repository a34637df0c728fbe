//! Clients that are cut, come back and recover: the books stay exact over all their connections.

use crate::bench::{bench, bench_in};
use crate::double::{Double, Fault};
use crate::{MEASURED, NO_PATIENCE, SHORT, broadcast};

/// The server closes connection 2 instead of delivering this message; the client comes back at once.
const CLOSE: Fault = Fault::Close { receiver: 2, offset: MEASURED, code: 4001 };

fn reconnecting() -> String {
    format!("{} {NO_PATIENCE} --chaos reconnect", broadcast())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_recovery_brings_back_is_delivered_once() {
    let ran = bench(&reconnecting(), &[CLOSE]).await;
    ran.assert_nothing_broke();
    assert_eq!((ran.chaos("reconnects"), ran.chaos("gaps"), ran.chaos("absent")), (1, 0, 0));
    assert!(ran.chaos("recovered") >= 1, "{}", ran.out);
    assert_eq!(ran.json["connections"]["closed_by_server"]["4001"], 1);
    let times = &ran.json["times"];
    assert_eq!(times["recovery_time"]["count"], 1);
    let measured = ran.part("measured", "delivered");
    assert_eq!(times["e2e_time"]["count"], measured - ran.chaos("recovered"), "recovered ones are not timed");
    assert!(ran.out.contains("1 reconnects"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_forgotten_by_recovery_is_one_lost() {
    let forget = Fault::Forget { receiver: 2, offset: MEASURED };
    let ran = bench(&reconnecting(), &[CLOSE, forget]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (1, 0, 0));
    assert_eq!((ran.count("disconnected"), ran.chaos("gaps")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_recovered_twice_is_one_duplicate() {
    let repeat = Fault::Repeat { receiver: 2, offset: MEASURED };
    let ran = bench(&reconnecting(), &[CLOSE, repeat]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (0, 1, 0));
    assert_eq!(ran.count("delivered"), ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_recovery_is_a_gap_and_what_it_lacks_is_lost() {
    let gap = Fault::Gap { receiver: 2, offset: MEASURED };
    let ran = bench(&format!("{} --threshold gaps==0", reconnecting()), &[CLOSE, gap]).await;
    assert_eq!((ran.code, ran.chaos("gaps"), ran.count("lost")), (97, 1, 1), "{}", ran.out);
    assert_eq!(ran.json["thresholds"][0]["ok"], false);
    assert!(ran.out.contains("1 recoveries were incomplete"), "{}", ran.out);

    // The log reaches back to what was seen last: nothing is missing, and the gap is told all the same.
    let gap = Fault::Gap { receiver: 2, offset: MEASURED - 1 };
    let ran = bench(&reconnecting(), &[CLOSE, gap]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.chaos("gaps"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_recovery_leaves_a_gap() {
    let ran = bench(&reconnecting(), &[CLOSE, Fault::NoRecovery { receiver: 2 }]).await;
    assert_eq!((ran.code, ran.chaos("gaps")), (97, 1), "{}", ran.out);
    assert!(ran.count("lost") >= 1);
    assert_eq!(ran.count("delivered") + ran.count("lost"), ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_server_lets_go_stays_away_as_long_as_it_says() {
    let double = Double::start(&[Fault::Part { receiver: 2, offset: MEASURED, away_ms: 700 }]).await;
    let ran = bench_in(&double, &format!("{} --chaos reconnect --drain 10s", broadcast())).await;
    ran.assert_nothing_broke();
    assert_eq!((ran.chaos("reconnects"), ran.chaos("gaps"), ran.chaos("absent")), (1, 0, 0), "{}", ran.out);
    assert_eq!(ran.json["connections"]["closed_by_server"]["4002"], 1);
    assert_eq!(double.world.lock().unwrap().early, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_for_good_is_not_answered_by_a_reconnect() {
    let kicked = Fault::Close { receiver: 2, offset: MEASURED, code: 4500 };
    let ran = bench(&reconnecting(), &[kicked]).await;
    assert_eq!((ran.code, ran.chaos("reconnects"), ran.chaos("absent")), (97, 0, 1), "{}", ran.out);
    assert_eq!(ran.count("disconnected"), ran.count("accepted") - (MEASURED - 1));
    assert_eq!(ran.count("lost"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_loses_nothing_in_worlds_groups_and_pairs() {
    let trouble = "--chaos jitter:0.2,0.05 --seed 7 --drain 10s";
    let shape = "--rate 40/s --warmup 200ms --duration 1500ms";
    for line in [
        format!("broadcast --clients 5 {shape} {trouble}"),
        format!("group --groups 2 --members 3 --senders 2 {shape} {trouble}"),
        format!("unicast --clients 4 {shape} {trouble}"),
    ] {
        let ran = bench(&line, &[]).await;
        ran.assert_nothing_broke();
        assert!(ran.chaos("cuts") > 0, "{}", ran.out);
        assert_eq!(ran.chaos("cuts"), ran.chaos("reconnects"));
        assert_eq!((ran.chaos("gaps"), ran.chaos("absent")), (0, 0));
        assert_eq!(ran.json["times"]["recovery_time"]["count"], ran.chaos("cuts"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_avalanche_all_are_back() {
    let line = format!("{} --chaos avalanche:0.2,0.1 --drain 10s", broadcast());
    let ran = bench(&line, &[]).await;
    ran.assert_nothing_broke();
    assert_eq!((ran.chaos("cuts"), ran.chaos("reconnects")), (5, 5));
    assert_eq!(ran.json["times"]["recovery_time"]["count"], 5);
    assert_eq!(ran.json["times"]["back_time"]["count"], 1);
    assert_eq!(ran.count("expected"), ran.count("accepted") * 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_left_out_and_reported_apart() {
    // 20 % of 5 is the last receiver.
    let line = format!("{} --chaos slow-reader=20%", broadcast());
    let ran = bench(&line, &[]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted") * 4);
    let slow = &ran.json["chaos"]["slow_readers"];
    assert_eq!((&slow["clients"], &slow["kept"]), (&1.into(), &1.into()), "{}", ran.out);

    let close = Fault::Close { receiver: 4, offset: MEASURED, code: 4001 };
    let ran = bench(&line, &[close]).await;
    ran.assert_nothing_broke();
    let slow = &ran.json["chaos"]["slow_readers"];
    assert_eq!((&slow["kept"], &slow["closed"]["4001"]), (&0.into(), &1.into()), "{}", ran.out);
    assert_eq!(ran.chaos("reconnects"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_kept_apart_and_their_losses_found() {
    let line = format!("group --groups 2 --members 3 --senders 2 {}", SHORT.replace("--clients 5 ", ""));
    for via in ["ws", "http"] {
        let ran = bench(&format!("{line} --via {via}"), &[]).await;
        ran.assert_nothing_broke();
        let reach = if via == "ws" { 4 } else { 3 };
        assert_eq!(ran.count("expected"), ran.count("accepted") * reach, "{via}");
    }
    let faults = [Fault::Lose { receiver: 4, offset: 3 }, Fault::Double { receiver: 1, offset: 5 }];
    let ran = bench(&format!("{line} {NO_PATIENCE}"), &faults).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_whose_numbers_differ_is_noticed() {
    // The last message of the pair, so that no later one seems out of order.
    let line = "unicast --clients 2 --rate 20/s --warmup 100ms --duration 400ms";
    let ran = bench(line, &[Fault::Misnumber { receiver: 1, offset: 5 }]).await;
    assert_eq!((ran.code, ran.beside("misnumbered")), (97, 1), "{}", ran.out);
}
