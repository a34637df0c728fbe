//! A run that cannot come to its end: a result all the same, marked partial, and soon.
//!
//! Invariant: the server tells how far a run is, no clock does.

use std::time::Duration;

use serde_json::Value;

use crate::double::{Double, Fault, World};
use crate::schema;

const PACKETS: &str = "redpacket --clients 2 --packets 2 --count 2 --total 10 --drain 300ms";
const HISTORY: &str = "history --clients 2 --messages 20 --duration 1h";

/// Runs a scenario; the operator stops it as soon as the server's world is `ripe`. Gives the exit code, the text and the
/// result.
async fn run(line: &str, fault: Fault, ripe: fn(&World) -> bool) -> (u8, String, Value) {
    let double = Double::start(&[fault]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.json");
    let line = format!("chatbench {line} --server http://{} --out {}", double.addresses[0], file.display());
    let world = double.world.clone();
    let stop = async move {
        while !ripe(&world.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = chatbench::run_until(line.split(' '), &mut out, &mut err, stop);
    // Whoever hangs here fails; how fast the others are is not looked at.
    let code = tokio::time::timeout(Duration::from_secs(90), ended).await.expect("it hangs");
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    let bytes = std::fs::read(&file).unwrap_or_else(|_| panic!("{line}: {code}, no result\n{out}{err}"));
    let json = serde_json::from_slice(&bytes).unwrap();
    schema::check(&json);
    assert_eq!((&json["exit_code"], &json["partial"]), (&code.into(), &true.into()), "{line}: {out}");
    (code, out, json)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_while_a_run_is_set_up_does_not_hold_the_operator() {
    let cases = [
        (HISTORY, "/user/sendMessageAll"),
        (PACKETS, "/wallet/deposit"),
        (PACKETS, "/redPacket/create"),
        ("redpacket --clients 2 --packets 2 --count 2 --total 10 --rate 5/s", "/redPacket/create"),
        ("group --groups 1 --members 2 --duration 1h", "/group/create"),
    ];
    let runs = cases.map(|(line, path)| async move {
        let (code, out, _) = run(line, Fault::Hang { path }, |world| world.hung > 0).await;
        assert_eq!(code, 130, "{line}, {path}: {out}");
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_with_the_books_does_not_hold_the_operator() {
    let (code, out, json) =
        run(PACKETS, Fault::Hang { path: "/redPacket/audit" }, |world| world.hung > 0).await;
    assert_eq!(code, 130, "{out}");
    assert_eq!(json["red_packets"]["discrepancies"], Value::Null, "nobody compared anything");
    assert!(json["red_packets"]["won"].as_u64() > Some(0) && out.contains("not compared"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_leaves_a_partial_result() {
    let over_http = format!("{PACKETS} --via http");
    let cases = [
        (HISTORY, "/user/sendMessageAll", 1),
        (HISTORY, "/message/history", 1),
        (PACKETS, "/wallet/deposit", 1),
        (PACKETS, "/redPacket/create", 1),
        (&over_http, "/redPacket/grab", 96),
        (PACKETS, "/redPacket/audit", 96),
        (PACKETS, "/redPacket/detail", 96),
    ];
    let runs = cases.map(|(line, path, expected)| async move {
        let (code, out, json) = run(line, Fault::Die { path }, |_| false).await;
        assert_eq!(code, expected, "{line}, {path}: {out}");
        let proven = json["red_packets"]["discrepancies"].is_u64();
        assert!(json["valid"] == false && !proven, "{line}, {path}: {out}");
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_wait_for_a_server_that_is_gone_wait_not_for_ever() {
    let scenarios =
        ["unicast --clients 3", "churn --clients 3 --churn-rate 1/s --away 1s", "mixed --clients 8"];
    let runs = scenarios.map(|scenario| async move {
        let line = format!("{scenario} --rate 20/s --warmup 0s --duration 1h --drain 2s");
        let (code, out, _) = run(&line, Fault::Hang { path: "" }, |world| {
            if world.messages() > 5 {
                world.gone.send_replace(true);
            }
            false
        })
        .await;
        assert!([96, 97].contains(&code) && out.contains("the run ended early"), "{line}: {code} {out}");
    });
    futures_util::future::join_all(runs).await;
}
