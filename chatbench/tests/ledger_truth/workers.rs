//! The same books when the clients are divided among several processes.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bench::{Ran, unfolded};
use crate::double::{Double, Fault};
use crate::schema;
use crate::{MEASURED, NO_PATIENCE};

const SHAPE: &str = "--rate 40/s --warmup 200ms --duration 500ms --workers 3";

/// Runs the program itself, for only that can start workers; `meanwhile` gets its process id.
pub async fn run(line: &str, faults: &[Fault], meanwhile: impl FnOnce(i32) + Send + 'static) -> Ran {
    run_with(&Double::start(faults).await, line, meanwhile).await
}

/// As [`run`], against this server.
pub async fn run_with(double: &Double, line: &str, meanwhile: impl FnOnce(i32) + Send + 'static) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("result.json");
    let [first, second] = double.addresses;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chatbench"));
    command.args(line.split(' '));
    command.args(["--server", &format!("http://{first},http://{second}"), "--out"]).arg(&file);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    tokio::task::spawn_blocking(move || meanwhile(pid)).await.unwrap();
    let output = ended.await.unwrap();
    let json = std::fs::read(&file).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = u8::try_from(output.status.code().unwrap()).unwrap();
    if !json.is_null() {
        schema::check(&json);
        assert_eq!(json["exit_code"], code);
    }
    Ran { code, out: unfolded(&text(output.stdout)), err: text(output.stderr), json }
}

/// The workers of a process, as soon as there are three.
fn workers_of(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    until(|| {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let children =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        let pids: Vec<i32> = children
            .flat_map(|line| line.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        found = pids;
        found.len() == 3
    });
    found
}

/// Waits, in a thread that may block, until something is so.
pub fn until(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "it does not come to be so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_keep_one_set_of_books() {
    for (line, reach, connections) in [
        (format!("broadcast --clients 7 --senders 3 {SHAPE}"), 9, 10),
        (format!("unicast --clients 5 {SHAPE}"), 1, 10),
        (format!("group --groups 2 --members 4 --senders 2 {SHAPE}"), 5, 12),
        (format!("broadcast --clients 5 --senders 2 --via http {SHAPE}"), 5, 5),
    ] {
        let ran = run(&line, &[], |_| {}).await;
        ran.assert_nothing_broke();
        assert_eq!(ran.count("expected"), ran.count("accepted") * reach, "{line}\n{}", ran.out);
        assert_eq!(ran.json["connections"]["connected"], connections);
        assert_eq!(ran.json["processes"]["generator_processes"], 4);
        let times = &ran.json["times"];
        assert_eq!(times["e2e_time"]["count"], ran.part("measured", "delivered"), "{line}");
        assert_eq!(times["fanout_time"]["count"], ran.part("measured", "accepted"), "{line}");
        assert_eq!(times["ack_time"]["count"], ran.part("measured", "accepted"), "{line}");
        assert_eq!(times["login_time"]["count"], connections);
        let points = ran.json["series"]["points"].as_array().unwrap();
        let sent: u64 = points.iter().map(|point| point["sent"].as_u64().unwrap()).sum();
        assert_eq!(sent, ran.count("sent"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_counted_exactly_wherever_sender_and_receiver_are() {
    let faults = [
        Fault::Lose { receiver: 0, offset: MEASURED },
        Fault::Lose { receiver: 6, offset: MEASURED + 1 },
        Fault::Double { receiver: 3, offset: MEASURED },
        Fault::Swap { receiver: 5, offset: MEASURED },
    ];
    let ran = run(&format!("broadcast --clients 7 --senders 2 {SHAPE} {NO_PATIENCE}"), &faults, |_| {}).await;
    assert_eq!(ran.code, 97, "{}\n{}", ran.out, ran.err);
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (2, 1, 1));
    assert_eq!(ran.count("delivered") + 2, ran.count("expected"));
    let paths = &ran.json["ledger"]["paths"];
    assert_eq!((&paths["total"], &paths["with_lost"]), (&16.into(), &2.into()));
    let mut faulty: Vec<u64> =
        paths["worst"].as_array().unwrap().iter().map(|path| path["receiver"].as_u64().unwrap()).collect();
    faulty.sort_unstable();
    assert_eq!(faulty, [0, 3, 5, 6]);
    assert_eq!(ran.json["times"]["e2e_time"]["censored"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_ends_the_run_with_its_name() {
    let line = "broadcast --clients 7 --rate 40/s --duration 1h --workers 3";
    let double = Double::start(&[]).await;
    let world = Arc::clone(&double.world);
    let ran = run_with(&double, line, move |pid| {
        let workers = workers_of(pid);
        until(|| world.lock().unwrap().messages() > 0);
        kill(Pid::from_raw(workers[1]), Signal::SIGKILL).unwrap();
        until(|| !workers.iter().any(|worker| std::path::Path::new(&format!("/proc/{worker}")).exists()));
    })
    .await;
    assert_eq!((ran.code, &ran.json["partial"]), (96, &true.into()), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("worker 1 (process ") && ran.out.contains("next:"), "{}", ran.out);
    assert_eq!((&ran.json["valid"], &ran.json["connections"]["connected"]), (&false.into(), &8.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_reaches_the_workers_and_the_books_stay_exact() {
    let line = "broadcast --clients 7 --rate 40/s --warmup 100ms --duration 1h --workers 3";
    let double = Double::start(&[]).await;
    let world = Arc::clone(&double.world);
    let ran = run_with(&double, line, move |pid| {
        let workers = workers_of(pid);
        until(|| world.lock().unwrap().messages() > 20);
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
        until(|| !workers.iter().any(|worker| std::path::Path::new(&format!("/proc/{worker}")).exists()));
    })
    .await;
    assert_eq!((ran.code, &ran.json["partial"]), (130, &true.into()), "{}\n{}", ran.out, ran.err);
    assert!(ran.count("accepted") > 0);
    assert_eq!(ran.count("expected"), ran.count("accepted") * 7);
    assert_eq!(ran.count("delivered"), ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_whose_server_is_gone_do_not_go_on_to_the_end() {
    const PLANNED: Duration = Duration::from_secs(75);
    let runs = ["broadcast --clients 4", "mixed --clients 8"].map(|scenario| async move {
        let line = format!(
            "{scenario} --rate 20/s --warmup 0s --drain 1s --duration {}s --workers 2",
            PLANNED.as_secs()
        );
        let double = Double::start(&[]).await;
        let world = Arc::clone(&double.world);
        let ran = run_with(&double, &line, move |_| {
            until(|| world.lock().unwrap().messages() > 5);
            world.lock().unwrap().gone.send_replace(true);
        })
        .await;
        assert!([96, 97].contains(&ran.code) && ran.json["partial"] == true, "{line}: {}", ran.out);
        assert!(ran.out.contains("the run ended early"), "{line}: {}", ran.out);
        // The books of all workers are in when the last point is.
        let points = ran.json["series"]["points"].as_array().unwrap();
        let end_ms = points.last().unwrap()["t_ms"].as_u64().unwrap();
        assert!(u128::from(end_ms) < PLANNED.as_millis(), "{line}: it went on until {end_ms} ms");
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_in_ten_thousand_deliveries_is_found_by_any_number_of_workers() {
    let faults = [
        Fault::Lose { receiver: 17, offset: 60 },
        Fault::Double { receiver: 3, offset: 90 },
        Fault::Swap { receiver: 49, offset: 120 },
    ];
    for workers in [1, 4] {
        let line = format!(
            "broadcast --clients 50 --senders 2 --rate 200/s --warmup 200ms --duration 800ms --workers {workers} {NO_PATIENCE}"
        );
        let ran = run(&line, &faults, |_| {}).await;
        assert_eq!(ran.code, 97, "{}\n{}", ran.out, ran.err);
        assert!(ran.count("expected") >= 10_000, "{}", ran.out);
        assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (1, 1, 1));
        assert_eq!(ran.count("delivered") + 1, ran.count("expected"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_run_has_the_same_books_with_any_number_of_workers() {
    let line = "mixed --clients 16 --members 2 --rate 100/s --warmup 100ms --duration 600ms --seed 7";
    let mut totals = Vec::new();
    for workers in [1, 4] {
        let ran = run(&format!("{line} --workers {workers}"), &[], |_| {}).await;
        ran.assert_nothing_broke();
        assert_eq!(ran.json["processes"]["generator_processes"], if workers == 1 { 1 } else { 5 });
        assert_eq!(ran.json["times"]["e2e_time"]["count"], ran.part("measured", "delivered"));
        let points = ran.json["series"]["points"].as_array().unwrap();
        let sum = |name: &str| points.iter().map(|point| point[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("sent"), sum("delivered")), (ran.count("sent"), ran.count("delivered")));
        let parts = ran.json["parts"].as_array().unwrap().iter().map(|part| {
            let line = &part["measured"];
            (
                part["scenario"].clone(),
                part["clients"].clone(),
                line["sent"].clone(),
                line["expected"].clone(),
            )
        });
        totals.push((parts.collect::<Vec<_>>(), ran.count("sent"), ran.count("expected"), connections(&ran)));
    }
    assert_eq!(totals[0], totals[1]);
    assert_eq!(totals[0].3, [16 + 1 + 2 + 4; 2], "one sender, one for each group, one for each pair");
}

fn connections(ran: &Ran) -> [u64; 2] {
    ["wanted", "connected"].map(|name| ran.json["connections"][name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_faults_of_a_mixed_run_are_counted_exactly_in_every_kind() {
    let line = format!(
        "mixed --clients 16 --members 2 --rate 100/s --warmup 100ms --duration 600ms --workers 3 {NO_PATIENCE}"
    );
    let faults = [Fault::Lose { receiver: 0, offset: 3 }, Fault::Double { receiver: 3, offset: 2 }];
    let ran = run(&line, &faults, |_| {}).await;
    assert_eq!(ran.code, 97, "{}\n{}", ran.out, ran.err);
    // Client 0 of each kind lost its third message, client 3 got its second twice.
    assert_eq!((ran.count("lost"), ran.count("duplicated"), ran.count("reordered")), (3, 3, 0));
    assert_eq!(ran.count("delivered") + 3, ran.count("expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_run_that_does_not_fit_its_workers_is_refused_before_it_starts() {
    let line = "mixed --clients 900000 --workers 2";
    let ran = run(line, &[], |_| {}).await;
    assert_eq!((ran.code, &ran.json), (2, &Value::Null), "{}", ran.out);
    assert!(ran.err.contains("do not fit"), "{}", ran.err);
}
