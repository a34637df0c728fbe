//! Results are kept whatever happens to the reader, to the run or to the generator.

use std::io::{Error, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::double::Double;
use crate::workers::{run_with, until};

/// Where nothing can be written.
struct Shut(ErrorKind);

impl Write for Shut {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(Error::from(self.0))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(Error::from(self.0))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_gone_costs_neither_the_files_nor_the_verdict() {
    let double = Double::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, shut, threshold, code) in [
        ("gone.json", ErrorKind::BrokenPipe, "lost==0", 0),
        ("failed.json", ErrorKind::BrokenPipe, "e2e_time:max<0us", 99),
        ("full.json", ErrorKind::StorageFull, "lost==0", 1),
        ("full-failed.json", ErrorKind::StorageFull, "e2e_time:max<0us", 99),
    ] {
        let file = folder.path().join(name);
        let line = format!(
            "chatbench broadcast --clients 2 --rate 20/s --warmup 0s --duration 300ms --server http://{} --out {} \
             --threshold {threshold}",
            double.addresses[0],
            file.display()
        );
        let mut err = Vec::new();
        let found = chatbench::run(line.split(' '), &mut Shut(shut), &mut err).await;
        let err = String::from_utf8(err).unwrap();
        // 96 judges a machine that is too busy.
        assert!(found == code || found == 96, "{name}: {found} {err}");
        assert_eq!(err.contains("written to stdout"), shut == ErrorKind::StorageFull, "{err}");
        let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(result["schema"], "chatbench.result/v1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_and_a_closed_terminal_get_a_partial_result() {
    for (signal, workers) in [(Signal::SIGTERM, 1), (Signal::SIGHUP, 1), (Signal::SIGTERM, 2)] {
        let line =
            format!("broadcast --clients 5 --rate 50/s --warmup 100ms --duration 1h --workers {workers}");
        let double = Double::start(&[]).await;
        let world = Arc::clone(&double.world);
        let ran = run_with(&double, &line, move |pid| {
            until(|| world.lock().unwrap().messages() > 20);
            kill(Pid::from_raw(pid), signal).unwrap();
        })
        .await;
        assert_eq!(ran.code, 130, "{signal}: {}\n{}", ran.out, ran.err);
        assert_eq!(ran.json["partial"], true, "{signal}");
        assert_eq!(ran.count("expected"), ran.count("accepted") * 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_that_stood_still_blames_itself_and_not_the_server() {
    let line = "broadcast --clients 4 --rate 50/s --warmup 0s --duration 5s --threshold e2e_time:p(99)<500ms";
    let double = Double::start(&[]).await;
    let world = Arc::clone(&double.world);
    let ran = run_with(&double, line, move |pid| {
        until(|| world.lock().unwrap().messages() > 20);
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    })
    .await;
    assert_eq!((ran.code, &ran.json["valid"]), (96, &false.into()), "{}", ran.out);
    assert!(ran.json["validity"]["delay_p99_us"].as_u64() > Some(50_000), "{}", ran.json["validity"]);
    assert!(ran.out.contains("the generator is saturated"), "{}", ran.out);
    assert!(ran.out.contains("the generator sent its messages"), "{}", ran.out);
}
