//! A pgbouncer in transaction mode before the PostgreSQL of the test process: few sessions, lent for a transaction
//! each.
//!
//! Invariant: it listens on loopback only, keeps its files in its own directory, and ends with its value or, however
//! the test process ends, with that.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

use crate::postgres_server::{PASSWORD, PostgresServer, as_unprivileged, free_port, give_away};
use crate::wait::{SOON, until};

/// Sessions it has for a database: fewer than a ledger has connections.
const SESSIONS: u32 = 2;
/// Runs `$1` with the configuration in `$0`, and kills it when standard input ends.
const KEEPER: &str = r#"
    "$1" -q "$0/pgbouncer.ini" </dev/null &
    read -r _
    kill -KILL $!
    wait $!
    rm -rf "$0"
"#;

/// A running pgbouncer.
pub struct PgBouncer {
    port: u16,
    directory: PathBuf,
    /// The end of its input ends pgbouncer; none while that is killed.
    keeper: Option<Child>,
}

impl PgBouncer {
    /// The one of this test process, before its PostgreSQL.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<PgBouncer> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// One that can be killed.
    ///
    /// # Panics
    /// When it is not installed (`scripts/services install pgbouncer`) or does not start.
    pub async fn start() -> Self {
        let mut bouncer = Self { port: 0, directory: PathBuf::new(), keeper: None };
        // Another process may take a port between its choice and the start.
        for _ in 0..10 {
            bouncer.port = free_port();
            bouncer.spawn().await;
            if bouncer.answers().await {
                return bouncer;
            }
        }
        panic!("pgbouncer does not start:\n{}", bouncer.log());
    }

    /// `postgres://…` of a database behind it, without a word of how sessions are lent.
    pub async fn plain_url(&self, database: &str) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        PostgresServer::shared().await.url(database, Some(address))
    }

    /// The same for a ledger.
    pub async fn url(&self, database: &str) -> String {
        format!("{}?pool_mode=transaction", self.plain_url(database).await)
    }

    /// A connection to a database behind it.
    ///
    /// # Errors
    /// When it takes none.
    ///
    /// # Panics
    /// When the URL is not valid.
    pub async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let config: Config = self.plain_url(database).await.parse().expect("a URL");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill9(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        drop(keeper.stdin.take());
        // Nothing is left to do when this fails.
        let _ = keeper.wait();
    }

    /// Starts it again on the same port, after killing it if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill9();
        self.spawn().await;
        assert!(self.answers().await, "pgbouncer does not come back:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    async fn spawn(&mut self) {
        self.kill9();
        let server = PostgresServer::shared().await.address();
        self.directory = TempDir::with_prefix("pgbouncer").expect("a temporary directory").keep();
        let at = self.directory.display();
        let (host, server_port, port) = (server.ip(), server.port(), self.port);
        // Idle sessions go soon: every test has a database of its own, and the server has room for a hundred sessions.
        let settings = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = md5\nauth_file = {at}/users\nlogfile = {at}/log\n\
             pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 500\n\
             server_idle_timeout = 2\nserver_login_retry = 1\n"
        );
        let users = format!("\"postgres\" \"{PASSWORD}\"\n");
        for (name, text) in [("pgbouncer.ini", settings), ("users", users)] {
            let path = self.directory.join(name);
            std::fs::write(&path, text).expect("written");
            give_away(&path);
        }
        give_away(&self.directory);
        let mut keeper = as_unprivileged(Path::new("sh"));
        keeper.args(["-c", KEEPER]).arg(&self.directory).arg(program());
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A signal for the test's process group is not for the keeper.
        self.keeper = Some(keeper.process_group(0).spawn().expect("a shell"));
    }

    /// Waits until it serves; false when it ends instead, as where another process has the port.
    async fn answers(&self) -> bool {
        let serves = || self.log().contains("process up");
        until("pgbouncer serves or ends", SOON, async || serves() || self.log().contains("FATAL")).await;
        serves()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Where Debian keeps it, which is on no everyday PATH.
fn program() -> PathBuf {
    let program = PathBuf::from("/usr/sbin/pgbouncer");
    assert!(program.exists(), "pgbouncer is missing: run scripts/services install pgbouncer");
    program
}
