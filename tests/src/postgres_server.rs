//! A PostgreSQL server that belongs to one test process, or to one test.
//!
//! Invariant: it listens on loopback only, keeps its files in its own directory, and ends with its value or, however
//! the test process ends, with that.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

use crate::authority::Made;
use crate::wait::{SOON, until};

/// Password of the superuser, with what is special in a URL.
pub const PASSWORD: &str = "gehe:im/@?#%";
/// It in a URL.
const ENCODED: &str = "gehe%3Aim%2F%40%3F%23%25";
/// Removes the directory `$0` when standard input ends, after the server that works in it.
const GUARD: &str = r#"
    read -r _
    pid=$(head -1 "$0/data/postmaster.pid" 2>/dev/null)
    works() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$0/data" ]; }
    if works; then kill -QUIT "$pid"; fi
    while works; do sleep 0.05; done
    rm -rf "$0"
"#;

/// A PostgreSQL of the tests' own.
pub struct PostgresServer {
    port: u16,
    directory: PathBuf,
    synced: bool,
    child: Option<Child>,
    /// The end of its input makes it clean up.
    guard: Child,
    databases: AtomicU32,
}

impl PostgresServer {
    /// The server of this test process. What it holds may die with the machine, so it does not wait for the disk.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start_as(false)).await
    }

    /// A server that can be killed, and keeps whatever it committed.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(synced: bool) -> Self {
        let (directory, guard) = tokio::task::spawn_blocking(prepare).await.expect("a directory");
        let databases = AtomicU32::new(0);
        let mut server = Self { port: 0, directory, synced, child: None, guard, databases };
        // Another process may take a port between its choice and the start of the server.
        for _ in 0..10 {
            server.port = free_port();
            server.spawn();
            if server.answers().await {
                return server;
            }
        }
        panic!("PostgreSQL does not start:\n{}", server.log());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `postgres://…` of a database at an address, by default the server's.
    #[must_use]
    pub fn url(&self, database: &str, at: Option<SocketAddr>) -> String {
        format!("postgres://postgres:{ENCODED}@{}/{database}", at.unwrap_or(self.address()))
    }

    /// Makes a new database and gives its name.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Relaxed));
        let client = self.client("postgres").await.expect("a connection");
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        name
    }

    /// Speaks TLS as well from soon on, with this certificate.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn speak_tls(&self, made: &Made) {
        let client = self.client("postgres").await.expect("a connection");
        for (setting, text) in [("ssl_cert_file", &made.certificate), ("ssl_key_file", &made.key)] {
            let path = self.directory.join(setting);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("for its owner alone");
            give_away(&path);
            let statement = format!("ALTER SYSTEM SET {setting} = '{}'", path.display());
            client.batch_execute(&statement).await.expect("set");
        }
        client.batch_execute("ALTER SYSTEM SET ssl = on").await.expect("set");
        client.batch_execute("SELECT pg_reload_conf()").await.expect("read again");
    }

    /// A connection to a database.
    ///
    /// # Errors
    /// When the server does not accept it.
    ///
    /// # Panics
    /// When the URL is not valid.
    pub async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let config: Config = self.url(database, None).parse().expect("a URL");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Ends all its processes at once (SIGKILL).
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill9(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        child.kill().expect("kill PostgreSQL");
        child.wait().expect("wait for PostgreSQL");
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // Most have seen the end of their parent and are gone.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Starts it again on the same port, after killing it if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill9();
        // The last of the old processes may still hold what the new ones need.
        for _ in 0..20 {
            self.spawn();
            if self.answers().await {
                return;
            }
        }
        panic!("PostgreSQL does not come back:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn spawn(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join("log"));
        let fsync = if self.synced { "fsync=on" } else { "fsync=off" };
        let mut command = as_unprivileged(&programs().join("postgres"));
        command.arg("-D").arg(self.directory.join("data")).args(["-p", &self.port.to_string()]);
        // The server's default is the wrong one for money, as an operator may have it.
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "synchronous_commit=off", fsync]
        {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log"));
        self.child = Some(command.spawn().expect("PostgreSQL"));
    }

    /// Waits until it serves; false when the process ended instead.
    async fn answers(&mut self) -> bool {
        let mut ended = false;
        until("PostgreSQL serves or ends", SOON, async || {
            let child = self.child.as_mut().expect("a process");
            ended = child.try_wait().expect("the state of PostgreSQL").is_some();
            ended || self.client("postgres").await.is_ok()
        })
        .await;
        !ended
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill9();
        drop(self.guard.stdin.take());
        // Nothing is left to do when this fails.
        let _ = self.guard.wait();
    }
}

/// Makes a directory with an empty database, and a process that will remove it.
fn prepare() -> (PathBuf, Child) {
    let directory = TempDir::with_prefix("postgres").expect("a temporary directory").keep();
    let password = directory.join("password");
    std::fs::write(&password, PASSWORD).expect("written");
    [&directory, &password].into_iter().for_each(|path| give_away(path));
    let mut guard = as_unprivileged(Path::new("sh"));
    guard.args(["-c", GUARD]).arg(&directory).stdin(Stdio::piped());
    // A signal for the test's process group is not for the guard.
    let guard = guard.process_group(0).spawn().expect("a shell");
    // Logging in is to be quick; who can read this directory knows the password anyway.
    let mut initdb = as_unprivileged(&programs().join("initdb"));
    initdb.args(["-U", "postgres", "-A", "md5", "-E", "UTF8", "--locale=C", "-N"]);
    initdb.arg("-D").arg(directory.join("data")).arg("--pwfile").arg(password);
    let output = initdb.output().expect("initdb");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    (directory, guard)
}

/// Where Debian keeps the newest PostgreSQL.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let programs = versions.map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let found = programs.filter(|programs| programs.join("initdb").exists()).max();
    found.expect("PostgreSQL is missing: run scripts/services install postgres")
}

/// A command of whoever may run PostgreSQL, which root may not.
pub(crate) fn as_unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Gives a file or directory to whoever may run PostgreSQL.
pub(crate) fn give_away(path: &Path) {
    if let Some((user, group)) = unprivileged() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).expect("given away");
    }
}

/// The user and group of PostgreSQL if this is root.
fn unprivileged() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").expect("this process").uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the list of users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    Some((numbers.next().expect("a user"), numbers.next().expect("a group")))
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
