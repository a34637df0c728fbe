//! Exit codes: what an operator or a script learns from the number alone, and the words beside it.

use crate::bench::{bench, bench_when};
use crate::broadcast;
use crate::double::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_counts_all_and_closes_in_order() {
    let ran = bench("connect --clients 30 --connect-rate 500/s --threshold login_time:max<1h", &[]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert_eq!(ran.json["times"]["connect_time"]["count"], 30);
    assert_eq!(ran.json["times"]["login_time"]["count"], 30);
    assert_eq!(ran.json["connections"]["unanswered_closes"], 0);
    assert_eq!(ran.json["thresholds"][0]["ok"], true);
    assert!(ran.out.contains("30 of 30"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_log_in_and_an_absent_server_are_exit_1_with_a_next_step() {
    for scenario in ["connect", "idle", "broadcast"] {
        let ran = bench(&format!("{scenario} --clients 3"), &[Fault::RefuseLogin]).await;
        assert_eq!(ran.code, 1, "{scenario}: {}", ran.out);
        assert!(ran.err.contains("code 1003") && ran.err.contains("next:"), "{scenario}: {}", ran.err);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["chatbench", "broadcast", "--server", &free.to_string()];
    assert_eq!(chatbench::run(args, &mut out, &mut err).await, 1);
    let err = String::from_utf8(err).unwrap();
    assert!(err.contains("cannot reach") && err.contains("--server"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_exit_2_and_says_what_is_right() {
    for (line, says) in [
        ("broadcast --threshold latency:p(99)<1ms", "e2e_time"),
        ("broadcast --clients 0", "--clients"),
        ("broadcast --rate fast", "100/s"),
        ("unicast --clients 900000", "do not fit"),
        ("dance", "unrecognized subcommand"),
    ] {
        let ran = bench(line, &[]).await;
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(chatbench::run(["chatbench", "--help"], &mut out, &mut err).await, 0);
    let help = String::from_utf8(out).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_threshold_is_99_and_so_is_one_without_a_sample() {
    let ran = bench("connect --clients 3 --threshold login_time:p(50)<0us", &[]).await;
    assert_eq!(ran.code, 99, "{}", ran.out);
    let ran = bench("connect --clients 3 --threshold e2e_time:p(50)<1h", &[]).await;
    assert_eq!(ran.code, 99, "{}", ran.out);
    assert!(ran.out.contains("no sample"), "{}", ran.out);
    let line = format!("{} --threshold lost==0 --threshold e2e_time:count>100000", broadcast());
    let ran = bench(&line, &[]).await;
    assert!(ran.code == 99 || ran.code == 96, "{}", ran.out);
    assert_eq!(
        (&ran.json["thresholds"][0]["ok"], &ran.json["thresholds"][1]["ok"]),
        (&true.into(), &false.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_still_reports_exact_books() {
    let line = "broadcast --clients 5 --rate 50/s --warmup 100ms --duration 1h --drain 5s";
    let ran = bench_when(line, &[], |world| world.messages() >= 20).await;
    assert_eq!(ran.code, 130, "{}\n{}", ran.out, ran.err);
    assert_eq!((&ran.json["partial"], &ran.json["verdict"]), (&true.into(), &"interrupted".into()));
    assert!(ran.count("accepted") > 0);
    assert_eq!(ran.count("expected"), ran.count("accepted") * 5);
    assert_eq!(ran.count("delivered"), ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_before_the_first_message_is_reported_too() {
    for line in ["connect --clients 1000 --connect-rate 10/s", "idle --clients 1000 --connect-rate 10/s"] {
        let ran = bench_when(line, &[], |world| world.clients() >= 3).await;
        assert_eq!(ran.code, 130, "{line}: {}\n{}", ran.out, ran.err);
        assert!(ran.json["connections"]["connected"].as_u64() < Some(1000));
    }
    let line = format!("{} --connect-rate 1/s", broadcast());
    let ran = bench_when(&line, &[], |world| world.clients() >= 1).await;
    assert_eq!((ran.code, ran.count("sent")), (130, 0), "{}\n{}", ran.out, ran.err);
}
