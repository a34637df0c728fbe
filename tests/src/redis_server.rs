//! A redis-server process that belongs to one test.
//!
//! Invariant: it listens on loopback only, keeps its files in its own directory, and ends with the value.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::wait::{SOON, until};

/// A Redis of the tests' own.
pub struct RedisServer {
    port: u16,
    directory: TempDir,
    with_aof: bool,
    settings: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that keeps nothing over a restart.
    ///
    /// # Panics
    /// When redis-server is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_as(false, &[]).await
    }

    /// A server that keeps over a restart whatever it answered.
    ///
    /// # Panics
    /// When redis-server is not installed or does not start.
    pub async fn start_with_aof() -> Self {
        Self::start_as(true, &[]).await
    }

    /// A server that keeps nothing over a restart, with further settings.
    ///
    /// # Panics
    /// When redis-server is not installed or does not start.
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::start_as(false, settings).await
    }

    async fn start_as(with_aof: bool, settings: &[&str]) -> Self {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        // Another process may take a port between its choice and the start of the server.
        for _ in 0..10 {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let mut server =
                Self { port: free_port(), directory, with_aof, settings: settings.clone(), child: None };
            server.spawn();
            if server.answers().await {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// `redis://…` of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The URL by which chatd knows it: that of a cluster, where it is part of one.
    #[must_use]
    pub fn site(&self) -> String {
        let is_cluster = self.settings.iter().any(|setting| setting == "--cluster-enabled");
        if is_cluster { self.url().replace("redis://", "redis-cluster://") } else { self.url() }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends the process at once (SIGKILL).
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill redis-server");
            child.wait().expect("wait for redis-server");
        }
    }

    /// Starts it again on the same port, after killing it if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        assert!(self.answers().await, "redis-server does not come back");
    }

    /// Starts it again on what it saved, and returns while it loads that: its settings must let it take long.
    ///
    /// # Panics
    /// When it has loaded everything before it is asked.
    pub async fn restart_loading(&mut self) {
        self.kill();
        self.spawn();
        let address = self.address();
        until("it loads", SOON, async || {
            let said = ping(address).await.unwrap_or_default();
            assert!(!said.starts_with("+PONG"), "it has loaded everything");
            said.starts_with("-LOADING")
        })
        .await;
    }

    /// Lets it do a command.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn spawn(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        command.arg("--dir").arg(self.directory.path());
        // Killed between an answer and the write, the default setting would forget what it answered.
        let aof: &[&str] = if self.with_aof {
            &["--appendonly", "yes", "--appendfsync", "always"]
        } else {
            &["--appendonly", "no"]
        };
        command
            .args(aof)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.expect("redis-server is missing: run scripts/services install redis"));
    }

    /// Waits until it serves commands; false when the process ended instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + SOON;
        let (address, pid) = (self.address(), self.pid().expect("a process"));
        while Instant::now() < deadline {
            let child = self.child.as_mut().expect("a process");
            if child.try_wait().expect("the state of redis-server").is_some() {
                return false;
            }
            if let Ok(true) = timeout(Duration::from_secs(1), pongs(address, pid)).await {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the process answers at the address. While it loads its data it does not; another server that took the port
/// first is another process.
async fn pongs(address: SocketAddr, pid: u32) -> bool {
    let own = format!("\r\nprocess_id:{pid}\r\n");
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    if stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n").await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    read.is_ok() && answer.starts_with("+PONG") && answer.contains(&own)
}

/// What it says to a PING.
async fn ping(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.write_all(b"PING\r\n").await?;
    let mut said = String::new();
    stream.read_line(&mut said).await?;
    Ok(said)
}

/// A port that nobody has at the moment.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Takes a log or an inbox of which nothing was dropped back to an earlier end, as a replica does that lagged and was promoted.
pub async fn rewind(url: &str, list: &str, number: u64) {
    let client = redis::Client::open(url).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
    let mut trim = redis::cmd("LTRIM");
    trim.arg(list).arg(0).arg(number - 1).query_async::<()>(&mut connection).await.expect("rewound");
}
