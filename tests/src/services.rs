//! A store in a shape of `scripts/services`, for one test.
//!
//! Invariant: it lives in a directory of its own, and ends with the value or, whatever happens, with the test process.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use chat_tidy::root;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts `$2`, says its URL, and ends all of it when nobody holds the input any more.
const KEEPER: &str = r#"
    trap '' INT TERM HUP
    export SERVICES_DIR="$0"
    "$1" up "$2" 2>"$0/log" || cat "$0/log"
    read -r _
    "$1" down >/dev/null 2>&1
    rm -rf "$0"
"#;

/// Servers that belong together.
pub struct Services {
    directory: PathBuf,
    url: String,
    keeper: Child,
}

impl Services {
    /// Starts what `scripts/services` knows by this name.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn up(name: &'static str) -> Self {
        tokio::task::spawn_blocking(move || start(name)).await.expect("started")
    }

    /// Where they are, all of them.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends one of them at once (SIGKILL), by the name of its directory.
    ///
    /// # Panics
    /// When there is none of that name, or it does not run.
    pub fn kill(&self, which: &str) {
        let text = std::fs::read_to_string(self.directory.join(which).join("pid")).expect("its process");
        let pid: i32 = text.trim().parse().expect("a number");
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            // Most have seen the end of their parent and are gone.
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do when this fails.
        let _ = self.keeper.wait();
    }
}

fn start(name: &str) -> Services {
    let directory = tempfile::Builder::new().prefix("services-").tempdir().expect("a directory").keep();
    // PostgreSQL and RabbitMQ run as users of their own, who must reach it.
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).expect("reachable");
    let mut keeper = Command::new("bash");
    keeper.args(["-c", KEEPER]).arg(&directory).arg(root().join("scripts/services")).arg(name);
    keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut keeper = keeper.spawn().expect("bash");
    let mut told = BufReader::new(keeper.stdout.take().expect("a pipe")).lines();
    let url = told.next().expect("an address").expect("UTF-8");
    let url = match url.split_once('=') {
        Some((_, url)) => url.to_owned(),
        None => panic!("{name} does not start: {url}\n{}", told.map_while(Result::ok).collect::<String>()),
    };
    Services { directory: directory.join(name), url, keeper }
}
