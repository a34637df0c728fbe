//! chatbench against a server whose faults are known: the ledger must name each of them, exactly.
//!
//! Invariant: no test here depends on how fast the machine is.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod bench;
mod chaos;
mod double;
mod entry;
mod exits;
mod exporter;
mod fault;
mod gate;
mod keeping;
mod loads;
mod money;
mod pages;
mod partial;
mod phases;
mod post;
mod recovery;
mod schema;
mod silence;
mod trouble;
mod vault;
mod workers;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bench::bench;
use double::Fault;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// 8 messages of warm-up and 20 measured ones.
const SHORT: &str = "--clients 5 --rate 40/s --warmup 200ms --duration 500ms";
/// For runs that wait in vain for what a fault took away.
const NO_PATIENCE: &str = "--drain 500ms";
/// Offset of a message in the measured part.
const MEASURED: u64 = 15;

fn broadcast() -> String {
    format!("broadcast {SHORT}")
}

fn impatient() -> String {
    format!("{} {NO_PATIENCE}", broadcast())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faultless_server_passes() {
    let ran = bench(&broadcast(), &[]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted") * 5);
    assert_eq!(ran.part("warmup", "sent"), 8, "{}", ran.out);
    let times = &ran.json["times"];
    assert_eq!(times["e2e_time"]["count"], ran.part("measured", "delivered"), "the warm-up is not timed");
    assert_eq!(times["fanout_time"]["count"], ran.part("measured", "accepted"));
    assert_eq!(times["ack_time"]["count"], ran.part("measured", "answered"));
    assert_eq!(times["login_time"]["count"], 6);
    for (metric, count) in [
        ("service_time", ran.part("measured", "delivered")),
        ("send_lag_time", ran.part("measured", "sent")),
        ("fanout_first_time", ran.part("measured", "accepted")),
        ("fanout_median_time", ran.part("measured", "accepted")),
        ("fanout_skew_time", ran.part("measured", "accepted")),
    ] {
        assert_eq!(
            (&times[metric]["count"], &times[metric]["censored"]),
            (&count.into(), &0.into()),
            "{metric}"
        );
    }
    assert_eq!(ran.json["ledger"]["paths"]["total"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_histogram_of_a_result_says_what_its_summary_says() {
    let ran = bench(&broadcast(), &[]).await;
    let times = &ran.json["times"]["e2e_time"];
    let bytes = STANDARD.decode(times["hdr"].as_str().unwrap()).unwrap();
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
    assert_eq!(histogram.len(), times["count"].as_u64().unwrap());
    assert_eq!(histogram.value_at_quantile(0.5), times["p50_us"].as_u64().unwrap());
    assert_eq!(ran.json["times"]["page_time"]["hdr"], serde_json::Value::Null, "no sample, no histogram");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_series_adds_up_to_the_books() {
    let line = "broadcast --clients 5 --rate 20/s --warmup 200ms --duration 2500ms --no-progress";
    let ran = bench(line, &[]).await;
    ran.assert_nothing_broke();
    let points = ran.json["series"]["points"].as_array().unwrap();
    assert!(points.len() >= 3, "{}", ran.json["series"]);
    let sum = |name: &str| points.iter().map(|point| point[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("sent"), ran.count("sent"));
    assert_eq!(sum("offered"), ran.count("sent"));
    assert_eq!(sum("delivered"), ran.count("delivered"));
    let axis: Vec<u64> = points.iter().map(|point| point["t_ms"].as_u64().unwrap()).collect();
    assert!(axis.is_sorted(), "{axis:?}");
    assert!(points.iter().any(|point| point["phase"] == "measure" && point["response_p99_us"].is_u64()));
    assert!(points.iter().all(|point| point["generator_rss_kib"].is_u64()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_senders_see_each_other_and_not_themselves() {
    let ran = bench(&format!("{} --senders 3", broadcast()), &[]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted") * 7, "5 receivers and the 2 other senders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_delivery_is_one_lost() {
    let ran = bench(&impatient(), &[Fault::Lose { receiver: 3, offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.part("measured", "lost"), ran.count("lost")), (1, 1));
    let worst = &ran.json["ledger"]["paths"]["worst"];
    assert_eq!(worst.as_array().map(Vec::len), Some(1), "{worst}");
    assert_eq!(
        (&worst[0]["receiver"], &worst[0]["sender"], &worst[0]["lost"]),
        (&3.into(), &0.into(), &1.into())
    );
    assert_eq!(worst[0]["expected"], ran.count("accepted"));
    let times = &ran.json["times"];
    assert_eq!(times["e2e_time"]["censored"], 1, "as if it had come when the wait ended");
    assert_eq!(times["e2e_time"]["count"], ran.part("measured", "expected"));
    assert_eq!(times["e2e_time"]["max_us"], times["fanout_time"]["max_us"]);
    assert!(times["fanout_time"]["max_us"].as_u64() >= Some(500_000), "at least the drain: {times}");
    assert_eq!(ran.count("delivered") + 1, ran.count("expected"));
    assert_eq!((ran.count("duplicated"), ran.count("reordered")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_in_the_warm_up_is_a_loss_too() {
    let ran = bench(&impatient(), &[Fault::Lose { receiver: 0, offset: 2 }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.part("warmup", "lost"), ran.part("measured", "lost")), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_double_delivery_is_one_duplicate() {
    let ran = bench(&broadcast(), &[Fault::Double { receiver: 1, offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (0, 1, 0));
    assert_eq!(ran.count("delivered"), ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_swapped_deliveries_are_one_out_of_order() {
    let ran = bench(&broadcast(), &[Fault::Swap { receiver: 4, offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_faults_are_told_apart() {
    let faults = [
        Fault::Lose { receiver: 0, offset: MEASURED },
        Fault::Lose { receiver: 1, offset: MEASURED },
        Fault::Double { receiver: 2, offset: MEASURED },
        Fault::Swap { receiver: 3, offset: MEASURED + 1 },
    ];
    let ran = bench(&impatient(), &faults).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_text_is_corrupt_and_its_message_lost() {
    let ran = bench(&impatient(), &[Fault::Corrupt { receiver: 2, offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.beside("corrupted"), ran.count("lost")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_two_numbers_is_noticed() {
    // The last message, so that no later one seems out of order.
    let ran = bench(&broadcast(), &[Fault::Misnumber { receiver: 2, offset: 28 }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!(ran.beside("misnumbered"), 1, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_to_the_sender_is_stray() {
    let ran = bench(&broadcast(), &[Fault::Echo { offset: MEASURED }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.beside("stray"), ran.count("lost"), ran.count("duplicated")), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_are_kept_apart_and_their_losses_found() {
    let line = format!("unicast {SHORT}");
    let ran = bench(&line, &[]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted"));
    assert_eq!(ran.json["connections"]["connected"], 10);

    let faults = [Fault::Lose { receiver: 2, offset: 3 }, Fault::Double { receiver: 4, offset: 2 }];
    let ran = bench(&format!("{line} {NO_PATIENCE}"), &faults).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_posted_over_http_are_in_the_same_books() {
    for scenario in ["broadcast", "unicast"] {
        let ran = bench(&format!("{scenario} {SHORT} --via http"), &[]).await;
        ran.assert_nothing_broke();
        let reach = if scenario == "broadcast" { 5 } else { 1 };
        assert_eq!(ran.count("expected"), ran.count("accepted") * reach, "{scenario}");
        assert_eq!(ran.json["connections"]["connected"], 5);
    }
    let line = format!("{} --via http", impatient());
    let ran = bench(&line, &[Fault::Lose { receiver: 0, offset: 9 }]).await;
    assert_eq!((ran.code, ran.count("lost")), (97, 1), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let line = "broadcast --clients 3 --senders 2 --closed --warmup 50ms --duration 200ms --drain 5s";
    let ran = bench(line, &[]).await;
    ran.assert_nothing_broke();
    assert_eq!(ran.count("expected"), ran.count("accepted") * 4);
    assert_eq!(ran.json["rates"]["offered_per_s"], serde_json::Value::Null);
}
