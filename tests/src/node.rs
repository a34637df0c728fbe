//! A chatd process of a test: the real program on a free port.
//!
//! Invariant: the process ends with its test, however the test ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use chat_client::connection::Options;
use chat_client::{Http, Server, Session, Trust};
use chat_protocol::UserId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::authority::Authority;
use crate::island::Island;

/// A running chatd.
pub struct Node {
    child: Child,
    server: Server,
    log: Arc<Mutex<String>>,
    /// What it writes from its readiness on, while nobody reads it.
    unread: Option<BufReader<ChildStderr>>,
}

/// Path of a program of this workspace, built if it is missing or older than the tests.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    let tests = std::env::current_exe().expect("the test's own path");
    let is_of_cargo = |path: &&Path| path.ends_with("deps") || path.ends_with("examples");
    let target = tests.ancestors().find(is_of_cargo).and_then(Path::parent);
    let target =
        target.expect("tests run from target/<profile>/deps, and examples from beside it").to_owned();
    BUILT.call_once(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--locked",
            "--bins",
            "-p",
            "chatd",
            "-p",
            "chatctl",
            "-p",
            "chatbench",
        ]);
        // Else crates that look at these are built anew, and all that stands on them, and once more by whoever comes next.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                build.env_remove(name);
            }
        }
        if target.ends_with("release") {
            build.arg("--release");
        }
        let built = build.status().expect("cargo can be started");
        assert!(built.success(), "the programs under test do not build");
    });
    target.join(name)
}

impl Node {
    /// Starts chatd in memory, with further arguments.
    pub async fn ephemeral(arguments: &[&str]) -> Self {
        Self::start(&[&["--ephemeral"], arguments].concat()).await
    }

    /// Starts chatd in memory on another address than the usual.
    pub async fn ephemeral_on(listen: &'static str, arguments: &[&str]) -> Self {
        Self::start_on(listen, &[&["--ephemeral"], arguments].concat()).await
    }

    /// Starts chatd in memory with the certificate of this authority, which its clients believe.
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn secure(authority: &Authority, arguments: &[&str]) -> Self {
        let own = authority.arguments();
        let own: Vec<_> = own.iter().map(String::as_str).collect();
        Self::ephemeral(&[&own, arguments].concat()).await.believed(authority)
    }

    /// The same node, whose clients believe this authority alone.
    ///
    /// # Panics
    /// When that has no certificate.
    #[must_use]
    pub fn believed(mut self, authority: &Authority) -> Self {
        self.server =
            self.server.clone().trusting(Trust::Authority(authority.file())).expect("a certificate");
        self
    }

    /// Starts chatd on a free port and waits until it is ready.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", arguments).await
    }

    /// Starts chatd on an address and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready; the message holds its log.
    pub async fn start_on(listen: &'static str, arguments: &[&str]) -> Self {
        let mut node = Self::start_unread(listen, arguments).await;
        node.read_log();
        node
    }

    /// Starts chatd in memory with these variables of the environment.
    pub async fn ephemeral_with(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::with_variables(variables, &[&["--ephemeral"], arguments].concat()).await
    }

    /// Starts chatd with these variables of the environment.
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn with_variables(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let owned = |text: &&str| (*text).to_owned();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (owned(name), owned(value))).collect();
        let arguments: Vec<_> = arguments.iter().map(owned).collect();
        let start = move || {
            let mut command = Command::new(program("chatd"));
            command.envs(variables);
            Self::start_blocking(command, "127.0.0.1:0", &arguments)
        };
        let mut node = tokio::task::spawn_blocking(start).await.expect("chatd starts");
        node.read_log();
        node
    }

    /// The same, and nobody reads its log before [`Node::read_log`].
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn start_unread(listen: &'static str, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let start = move || {
            // Who was started to outlive its terminal does not hear when that ends; these tests may have been.
            let mut command = Command::new("env");
            command.arg("--default-signal=HUP").arg(program("chatd"));
            Self::start_blocking(command, listen, &arguments)
        };
        tokio::task::spawn_blocking(start).await.expect("chatd starts")
    }

    /// Starts chatd on another machine, at an address that it has there.
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn start_on_island(island: &Island, listen: &str, arguments: &[&str]) -> Self {
        let (command, listen) = (island.command(program("chatd")), listen.to_owned());
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let start = move || Self::start_blocking(command, &listen, &arguments);
        let mut node = tokio::task::spawn_blocking(start).await.expect("chatd starts");
        node.read_log();
        node
    }

    /// Starts chatd in a process that may open so many files.
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn with_files(files: u32, arguments: &[&str]) -> Self {
        let mut node = Self::with_files_unread(files, arguments).await;
        node.read_log();
        node
    }

    /// The same, and nobody reads its log beyond its address.
    ///
    /// # Panics
    /// As [`Node::start_on`].
    pub async fn with_files_unread(files: u32, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let start = move || {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(program("chatd"));
            Self::start_blocking(shell, "127.0.0.1:0", &arguments)
        };
        tokio::task::spawn_blocking(start).await.expect("chatd starts")
    }

    fn start_blocking(mut command: Command, listen: &str, arguments: &[String]) -> Self {
        let own = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHATD_"));
        for (name, _) in own {
            command.env_remove(name);
        }
        // On a loaded machine a client of the tests may take longer than one is given by default.
        command.env("CHATD_LOGIN_TIMEOUT", "2m");
        let mut child = command
            .args(["--listen", listen])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut unread = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let address = unread.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let address = address_in(&line);
            log.lock().push_str(&(line + "\n"));
            address
        });
        let Some(address) = address else {
            panic!("chatd did not get ready: {:?}\n{}", child.wait(), log.lock());
        };
        let server = address.parse().expect("chatd prints its address");
        Self { child, server, log, unread: Some(unread) }
    }

    /// Reads its log from now on.
    pub fn read_log(&mut self) {
        let Some(unread) = self.unread.take() else { return };
        let rest = self.log.clone();
        let lines = unread.lines().map_while(Result::ok);
        std::thread::spawn(move || lines.for_each(|line| rest.lock().push_str(&(line + "\n"))));
    }

    /// Its address.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// The same, of a node whose log is JSON, line by line.
    ///
    /// # Panics
    /// When a line is no JSON object.
    #[must_use]
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(line @ serde_json::Value::Object(_)) => line,
            other => panic!("{other:?}: {line}"),
        };
        self.log().lines().map(parse).collect()
    }

    /// A client of its operations.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(self.server.clone(), Duration::from_secs(20)).expect("an HTTP client")
    }

    /// A logged-in connection.
    ///
    /// # Panics
    /// When the log-in is refused.
    pub async fn login(&self, app: u32, user: &str) -> Session {
        let user = UserId::new(user).expect("a valid user id");
        Session::login(&self.server, app, &user).await.unwrap_or_else(|e| panic!("{user} cannot log in: {e}"))
    }

    /// A connection that has not logged in.
    ///
    /// # Panics
    /// When there is no handshake.
    pub async fn connect(&self) -> Session {
        let opened = Session::open(&self.server, &Options::default(), Duration::from_secs(20)).await;
        opened.expect("a WebSocket handshake")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("the process lives");
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and gives its exit code.
    ///
    /// # Panics
    /// When it does not stop within 20 seconds.
    pub async fn stop(self) -> Option<i32> {
        self.stop_with(Signal::SIGTERM).await
    }

    /// The same with another signal.
    ///
    /// # Panics
    /// As [`Node::stop`].
    pub async fn stop_with(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.ended().await
    }

    /// Waits for its end and gives the exit code.
    ///
    /// # Panics
    /// As [`Node::stop`].
    pub async fn ended(&mut self) -> Option<i32> {
        for _ in 0..400 {
            if let Some(code) = self.exit_code() {
                return code;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("chatd did not stop:\n{}", self.log());
    }

    /// Its exit code, once it has ended; none in it after a signal.
    ///
    /// # Panics
    /// When it is no child any more.
    pub fn exit_code(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child can be waited for").map(|status| status.code())
    }
}

/// The address in the line that tells it, whatever form the log has.
fn address_in(line: &str) -> Option<String> {
    let said =
        serde_json::from_str(line).ok().map(|line: serde_json::Value| line["fields"]["message"].clone());
    let said = said.as_ref().and_then(serde_json::Value::as_str).unwrap_or(line);
    said.strip_prefix("listening on ").map(str::to_owned)
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of chatd {} ---\n{}", self.server, self.log());
        }
    }
}
