//! A RabbitMQ node that belongs to one test, or to all tests of a process.
//!
//! Invariant: it listens on loopback only, has a name service, a password and files of its own, and ends with the
//! value or, whatever happens, with the test process.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use crate::authority::Made;
use crate::wait::until;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Longest wait for a node to start, generous because machines are shared.
const BOOT: Duration = Duration::from_secs(90);

/// A RabbitMQ of the tests' own.
pub struct RabbitServer {
    ports: [u16; 3],
    password: String,
    home: PathBuf,
    keeper: Option<Child>,
}

impl RabbitServer {
    /// A node for this test alone. It keeps over a restart whatever it confirmed.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_as(None).await
    }

    /// The same, which speaks TLS as well; then the port for that.
    ///
    /// # Panics
    /// As [`RabbitServer::start`].
    pub async fn start_secure(made: &Made) -> (Self, u16) {
        let [port, ..] = free_ports();
        (Self::start_as(Some((made, port))).await, port)
    }

    async fn start_as(secure: Option<(&Made, u16)>) -> Self {
        assert!(Path::new(SERVER).exists(), "RabbitMQ is missing: run scripts/services install rabbitmq");
        let home = tempfile::Builder::new().prefix("rabbitmq-").tempdir().expect("a temporary directory");
        let mut server = Self {
            ports: free_ports(),
            password: rand::random::<u64>().to_string(),
            home: home.keep(),
            keeper: None,
        };
        let write = |name: &str, text: &str| std::fs::write(server.home.join(name), text).expect("a file");
        let mut settings = format!("default_user = chat\ndefault_pass = {}\n", server.password);
        if let Some((made, port)) = secure {
            write("cert.pem", &made.certificate);
            write("key.pem", &made.key);
            let home = server.home.display();
            settings += &format!(
                "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {home}/cert.pem\n\
                 ssl_options.keyfile = {home}/key.pem\nssl_options.verify = verify_none\n"
            );
        }
        write("rabbitmq.conf", &settings);
        server.restart().await;
        server
    }

    /// The node of all tests of this process that do it no harm.
    pub async fn shared() -> &'static Self {
        static NODE: OnceCell<RabbitServer> = OnceCell::const_new();
        NODE.get_or_init(Self::start).await
    }

    /// `amqp://…` of the node.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// `amqps://…` of the node, by a name that its certificate has.
    #[must_use]
    pub fn secure_url(&self, port: u16) -> String {
        format!("amqps://chat:{}@localhost:{port}/%2f", self.password)
    }

    /// `amqp://…` of the node by way of a proxy.
    #[must_use]
    pub fn url_by(&self, address: SocketAddr) -> String {
        format!("amqp://chat:{}@{address}/%2f", self.password)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Ends all its processes at once (SIGKILL) and keeps its files.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.end("keep\n");
    }

    /// Starts it again on the same port, after killing it if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        let deadline = Instant::now() + BOOT;
        while timeout(Duration::from_secs(1), greets(self.address())).await != Ok(true) {
            let log = || std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "RabbitMQ does not start: {}", log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a quorum queue that was just declared would survive [`RabbitServer::kill`]: some versions, 3.10 among
    /// them, write down that it exists only seconds later.
    ///
    /// # Panics
    /// When it is not written down.
    pub async fn until_kept(&self, queue: &str) {
        let node = format!("chatd{}@localhost", self.ports[0]);
        let names = self.home.join("data").join(&node).join("quorum").join(&node).join("names.dets");
        let name = format!("%2F_{queue}");
        // The name of the dead letters goes on where that of their queue ends.
        let is_there = |bytes: &[u8]| {
            let mut found = bytes.windows(name.len() + 1).filter(|found| found.starts_with(name.as_bytes()));
            found.any(|found| found[name.len()] != b'.')
        };
        until("the queue is written down", BOOT, async || {
            std::fs::read(&names).is_ok_and(|bytes| is_there(&bytes))
        })
        .await;
    }

    fn end(&mut self, order: &str) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let mut stdin = keeper.stdin.take().expect("a pipe");
        stdin.write_all(order.as_bytes()).expect("the keeper listens");
        drop(stdin);
        keeper.wait().expect("the keeper ends");
    }

    fn spawn(&mut self) {
        // Root may not run RabbitMQ; everybody else runs it as themselves.
        let mut command =
            if procfs::process::Process::myself().and_then(|process| process.uid()).expect("its user") == 0 {
                let given = Command::new("chown").args(["-R", "rabbitmq"]).arg(&self.home).status();
                assert!(given.expect("chown").success(), "no user rabbitmq");
                let mut command = Command::new("runuser");
                command.args(["-u", "rabbitmq", "--", "sh"]);
                command
            } else {
                Command::new("sh")
            };
        command.args(["-c", include_str!("rabbitmq_server.sh")]).envs(self.environment());
        // A signal for the tests' process group leaves the keeper time to clean up.
        command.current_dir(&self.home).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(command.spawn().expect("sh"));
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let [port, epmd, distribution] = self.ports;
        let file = |name: &str| self.home.join(name).display().to_string();
        vec![
            ("NODE_HOME", self.home.display().to_string()),
            ("ERL_EPMD_PORT", epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", format!("chatd{port}@localhost")),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", port.to_string()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("none")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            ("RABBITMQ_MNESIA_BASE", file("data")),
            ("RABBITMQ_LOG_BASE", file("logs")),
            ("RABBITMQ_PID_FILE", file("pid")),
            // Idle schedulers that spin would take the processor from the tests.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+sbwt none -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ]
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        self.end("");
    }
}

/// Whether a node at the address begins the AMQP handshake; it listens before it does.
async fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut kind = [0];
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.is_ok()
        && stream.read_exact(&mut kind).await.is_ok()
        && kind == [1]
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
