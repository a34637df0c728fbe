//! A program of this workspace that runs to its end by itself.
//!
//! Invariant: it sees no variable of the environment but those a test gives it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use crate::node::program;

/// Longest run; far more than any needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it told on the side.
    pub stderr: String,
}

/// Runs a program with arguments and variables.
///
/// # Panics
/// When it does not end by itself.
pub async fn run(name: &'static str, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    finish(name, start(name, arguments, variables).await).await
}

/// Runs a program until it says these words on the side, and then signals it.
///
/// # Panics
/// When it does not say them, or does not end.
pub async fn run_until(
    name: &'static str,
    arguments: &[&str],
    variables: &[(&str, &str)],
    words: &'static str,
    signal: Signal,
) -> Ended {
    let mut child = start(name, arguments, variables).await;
    let pid = Pid::from_raw(child.id().cast_signed());
    let mut stderr = child.stderr.take().expect("a pipe");
    let listening = tokio::task::spawn_blocking(move || {
        let (mut said, mut piece, mut is_signalled) = (Vec::new(), [0; 1024], false);
        while let Ok(length @ 1..) = stderr.read(&mut piece) {
            said.extend_from_slice(&piece[..length]);
            if !is_signalled && String::from_utf8_lossy(&said).contains(words) {
                is_signalled = true;
                kill(pid, signal).expect("it is there");
            }
        }
        assert!(is_signalled, "{:?} without {words:?}", String::from_utf8_lossy(&said));
        String::from_utf8_lossy(&said).into_owned()
    });
    let ended = finish(name, child).await;
    Ended { stderr: listening.await.expect("the words"), ..ended }
}

async fn start(name: &'static str, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let path = tokio::task::spawn_blocking(move || program(name)).await.expect("the program is built");
    Command::new(path)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

async fn finish(name: &str, child: Child) -> Ended {
    let pid = Pid::from_raw(child.id().cast_signed());
    let running = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Ok(ended) = timeout(PATIENCE, running).await else {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("{name} does not end");
    };
    let output = ended.expect("no panic").expect("the output can be read");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
