//! A Redis with replicas, and the sentinels that put one of them in the place of a master that is gone.
//!
//! Invariant: all of it belongs to one test and ends with it; it is handed over when every part knows the others.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;

use crate::redis_server::{RedisServer, free_port};
use crate::wait::{pace, until};

/// Longest wait for servers to find each other, or one to be replaced.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "main";

/// A master, two replicas and three sentinels.
pub struct Watched {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sentinel {
    fn watching(master: u16) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {NAME} 1500\nsentinel failover-timeout {NAME} 10000\n"
        );
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is missing: run scripts/services install redis");
        Self { port, child, _directory: directory }
    }

    async fn ask(&self, words: &[&str]) -> Option<Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        redis::cmd("SENTINEL").arg(words).query_async(&mut connection).await.ok()
    }

    async fn number(&self, of: &str) -> usize {
        let listed = self.ask(&[of, NAME]).await;
        listed
            .and_then(|listed| redis::from_redis_value::<Vec<Value>>(listed).ok())
            .map_or(0, |all| all.len())
    }

    async fn master(&self) -> Option<u16> {
        let named = self.ask(&["GET-MASTER-ADDR-BY-NAME", NAME]).await?;
        redis::from_redis_value::<(String, u16)>(named).ok().map(|(_, port)| port)
    }
}

impl Watched {
    /// All of it, with further settings of the servers.
    ///
    /// # Panics
    /// When redis-server is not installed, or they do not find each other.
    pub async fn start_with(settings: &[&str]) -> Self {
        let master = RedisServer::start_with(settings).await;
        let port = master.address().port();
        let of = format!("127.0.0.1 {port}");
        let replica = [&["--replicaof", &of, "--repl-diskless-sync-delay", "0"], settings].concat();
        let (one, two) = tokio::join!(RedisServer::start_with(&replica), RedisServer::start_with(&replica));
        until("replicas", PATIENCE, async || master.command(&["WAIT", "2", "100"]).await == Value::Int(2))
            .await;
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::watching(port)).collect();
        let known = async || {
            for sentinel in &sentinels {
                if sentinel.number("SENTINELS").await != 2 || sentinel.number("REPLICAS").await != 2 {
                    pace(Duration::from_millis(100)).await;
                    return false;
                }
            }
            true
        };
        until("sentinels that know each other", PATIENCE, known).await;
        Self { servers: vec![master, one, two], sentinels }
    }

    /// The URL that names the sentinels; `user` is what stands before the first, such as `:password@`.
    #[must_use]
    pub fn url_for(&self, user: &str) -> String {
        let sentinels: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{user}{}/{NAME}", sentinels.join(","))
    }

    /// The same without a user.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for("")
    }

    async fn named(&self) -> usize {
        let named = self.sentinels[0].master().await;
        let place = self.servers.iter().position(|server| Some(server.address().port()) == named);
        place.expect("a master of this test")
    }

    /// Whom the first sentinel calls the master.
    ///
    /// # Panics
    /// When it names none.
    pub async fn master(&self) -> &RedisServer {
        &self.servers[self.named().await]
    }

    /// Ends the master at once (SIGKILL).
    ///
    /// # Panics
    /// When there is none.
    pub async fn kill_master(&mut self) {
        let named = self.named().await;
        self.servers[named].kill();
    }

    /// Ends all sentinels.
    pub fn lose_sentinels(&mut self) {
        self.sentinels.clear();
    }

    /// Gives the place of the master to a replica, while the master lives.
    ///
    /// # Panics
    /// When the sentinels do not.
    pub async fn hand_over(&self) {
        let before = self.named().await;
        self.sentinels[0].ask(&["FAILOVER", NAME]).await.expect("a failover begins");
        until("another master", PATIENCE, async || self.named().await != before).await;
    }

    /// Those that are no masters.
    pub async fn replicas(&self) -> Vec<&RedisServer> {
        let named = self.named().await;
        let others = self.servers.iter().enumerate().filter(|(place, _)| *place != named);
        others.map(|(_, server)| server).collect()
    }
}
