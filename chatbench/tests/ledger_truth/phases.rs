//! Ctrl-C in every part of a run: what there was is reported, in every format, and called partial.
//!
//! Invariant: the server tells when a part has begun, no clock does.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::double::{Double, Fault, World};
use crate::schema;

/// What a partial file of each format says.
const MARKS: [(&str, &str); 7] = [
    ("r.json", "\"partial\": true"),
    ("r.csv", ",partial,"),
    ("r.hgrm", "#[partial"),
    ("r.hlog", ", partial"),
    ("r.junit.xml", "a run that was not interrupted"),
    ("r.md", "(partial)"),
    ("r.html", ">partial<"),
];

/// Runs broadcast with so many workers, and stops it as soon as the server's world is like this.
async fn stop(options: &str, workers: u32, faults: &[Fault], mut begun: impl FnMut(&World) -> bool) -> Value {
    let double = Double::start(faults).await;
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = double.addresses;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chatbench"));
    command.args(["broadcast", "--rate", "40/s", "--server", &format!("http://{first},http://{second}")]);
    command.args(["--workers", &workers.to_string()]).args(options.split(' '));
    for (name, _) in MARKS {
        command.arg("--out").arg(folder.path().join(name));
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    while !begun(&double.world.lock().unwrap()) {
        assert!(!ended.is_finished(), "it ended by itself: {:?}", ended.await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill(pid, Signal::SIGINT).unwrap();
    let output = ended.await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{options}, {workers} workers: {output:?}");
    for (name, mark) in MARKS {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains(mark), "{options}, {workers} workers: {name} says nothing of it\n{text}");
    }
    let json = serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    schema::check(&json);
    json
}

fn count(json: &Value, name: &str) -> u64 {
    ["warmup", "measured"].map(|part| json["ledger"][part][name].as_u64().unwrap()).iter().sum()
}

fn assert_exact(json: &Value) {
    assert!(count(json, "accepted") > 0, "{json}");
    assert_eq!(count(json, "expected"), count(json, "accepted") * 5);
    assert_eq!(count(json, "delivered") + count(json, "lost"), count(json, "expected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_opened() {
    for workers in [1, 2] {
        let options = "--clients 4000 --connect-rate 20/s";
        let json = stop(options, workers, &[], |world| world.clients() >= 3).await;
        assert!(json["connections"]["connected"].as_u64() < Some(4000), "{}", json["connections"]);
        assert_eq!((count(&json, "sent"), &json["connections"]["failed"]), (0, &serde_json::json!({})));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_does_not_let_anybody_in() {
    for workers in [1, 2] {
        let json = stop("--clients 300", workers, &[Fault::IgnoreLogin], |world| world.ignored >= 2).await;
        assert_eq!((&json["connections"]["connected"], count(&json, "sent")), (&0.into(), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_still_tells_of_log_ins() {
    for workers in [1, 2] {
        let json = stop("--clients 5", workers, &[Fault::Chatter], |world| world.clients() == 6).await;
        assert_eq!((&json["connections"]["connected"], count(&json, "sent")), (&6.into(), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_warm_up_and_in_the_measured_part() {
    for workers in [1, 2] {
        for (options, part, other) in
            [("--warmup 1h", "warmup", "measured"), ("--warmup 0s --duration 1h", "measured", "warmup")]
        {
            let options = format!("--clients 5 {options}");
            let json = stop(&options, workers, &[], |world| world.messages() > 0).await;
            assert_exact(&json);
            assert_eq!(count(&json, "lost"), 0);
            let sent = |part: &str| json["ledger"][part]["sent"].as_u64().unwrap();
            assert!(sent(part) > 0 && sent(other) == 0, "{options}: {}", json["ledger"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_drain() {
    let options = "--clients 5 --warmup 0s --duration 200ms --drain 1h";
    let lose = Fault::Lose { receiver: 1, offset: 3 };
    for workers in [1, 2] {
        // The last message may still belong to the sending, the hundredth look after it does not.
        for looks in [1, 100] {
            let mut looked = 0;
            let done = |world: &World| {
                looked += u32::from(world.messages() == 8);
                looked == looks
            };
            let json = stop(options, workers, &[lose], done).await;
            assert_exact(&json);
            assert_eq!(count(&json, "lost"), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_closed() {
    let silent: Vec<Fault> = (0..6).map(|user| Fault::KeepOpen { user }).collect();
    for workers in [1, 2] {
        let options = "--clients 5 --warmup 0s --duration 200ms";
        let json = stop(options, workers, &silent, |world| world.closes > 0).await;
        assert_exact(&json);
        assert_eq!((count(&json, "lost"), &json["connections"]["unanswered_closes"]), (0, &6.into()));
    }
}
