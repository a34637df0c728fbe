//! A proxy in front of nodes (nginx, HAProxy, Caddy), with the configuration that the project ships.
//!
//! Invariant: it ends with its test, and writes into a directory of its own only.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chat_client::Server;
use chatctl::surroundings::Surroundings;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::manual::text_of;
use crate::node::Node;
use crate::raw_http::get;
use crate::wait::{SOON, until};

/// A running proxy.
pub struct Front {
    child: Child,
    server: Server,
    file: PathBuf,
    home: TempDir,
}

/// What chatctl prints for nginx that listens at this address before these nodes.
///
/// # Panics
/// When it prints nothing.
pub async fn nginx_for(listen: SocketAddr, nodes: &[&Server]) -> String {
    let listen = listen.to_string();
    let mut line: Vec<_> = ["chatctl", "nginx", "print", "--listen", &listen].map(Into::into).into();
    for node in nodes {
        line.extend(["--node".into(), node.authority().into()]);
    }
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    assert_eq!(chatctl::run(line, surroundings).await, 0, "{}", written.stderr());
    written.stdout()
}

/// The same, that passes gRPC on as well: what comes at that address to those nodes.
///
/// # Panics
/// When it prints nothing.
pub async fn nginx_with_grpc(
    listen: SocketAddr,
    nodes: &[&Server],
    grpc_listen: SocketAddr,
    grpc_nodes: &[SocketAddr],
) -> String {
    let [listen, grpc_listen] = [listen, grpc_listen].map(|address| address.to_string());
    let mut line: Vec<String> = ["chatctl", "nginx", "print", "--listen", &listen].map(Into::into).into();
    line.extend(["--grpc-listen".into(), grpc_listen]);
    for node in nodes {
        line.extend(["--node".into(), node.authority()]);
    }
    for node in grpc_nodes {
        line.extend(["--grpc-node".into(), node.to_string()]);
    }
    let (surroundings, written) = Surroundings::in_memory(b"", &[]);
    let line = line.into_iter().map(Into::into).collect::<Vec<_>>();
    assert_eq!(chatctl::run(line, surroundings).await, 0, "{}", written.stderr());
    written.stdout()
}

/// A file of `scripts/deploy` for a proxy that listens at this address before these two nodes.
///
/// # Panics
/// When it has no such places.
#[must_use]
pub fn shipped(name: &str, listen: SocketAddr, nodes: [&Node; 2]) -> String {
    let mut text = text_of(&format!("scripts/deploy/{name}"));
    // Of an address Caddy takes only the port for where it listens.
    let meant = match name {
        "Caddyfile" => format!(":{} {{\n\tbind {}", listen.port(), listen.ip()),
        _ => format!("bind {listen}"),
    };
    let written = if name == "Caddyfile" { ":80 {" } else { "bind :80" };
    let [one, two] = nodes.map(|node| node.server().authority());
    for (written, meant) in [(written, &meant), ("node1:8080", &one), ("node2:8080", &two)] {
        assert_eq!(text.matches(written).count(), 1, "{written} in {text}");
        text = text.replace(written, meant);
    }
    text
}

impl Front {
    /// Starts nginx with this content of `http { … }`, in which it listens at `listen`.
    ///
    /// # Panics
    /// When it is not there (`scripts/services install nginx`), or does not take the configuration.
    pub async fn nginx(http: &str, listen: SocketAddr) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("nginx.conf");
        std::fs::write(&file, around(http, home.path())).expect("written");
        let mut nginx = program("nginx");
        nginx.arg("-p").arg(home.path()).arg("-c").arg(&file).arg("-e").arg(home.path().join("log"));
        Self::start(nginx, file, home, listen).await
    }

    /// Starts HAProxy with this configuration, in which it listens at `listen`.
    ///
    /// # Panics
    /// When it is not there (`scripts/services install haproxy`), or does not take the configuration.
    pub async fn haproxy(text: &str, listen: SocketAddr) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("written");
        let mut haproxy = program("haproxy");
        haproxy.args(["-db", "-f"]).arg(&file).stdout(Stdio::null());
        Self::start(haproxy, file, home, listen).await
    }

    /// Starts Caddy with this configuration, in which it listens at `listen`.
    ///
    /// # Panics
    /// When it is not there (`scripts/services install caddy`), or does not take the configuration.
    pub async fn caddy(text: &str, listen: SocketAddr) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("Caddyfile");
        std::fs::write(&file, text).expect("written");
        let mut caddy = program("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            caddy.env(name, home.path());
        }
        let log = std::fs::File::create(home.path().join("log")).expect("a log");
        caddy.stderr(log);
        Self::start(caddy, file, home, listen).await
    }

    /// Waits until it passes requests on.
    async fn start(mut command: Command, file: PathBuf, home: TempDir, listen: SocketAddr) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} is not installed: {error}"));
        let server: Server = format!("http://{listen}").parse().expect("an address");
        let front = Self { child, server, file, home };
        until("it passes requests on", SOON, async || {
            tokio::net::TcpStream::connect(listen).await.is_ok()
                && get(&front.server, "/livez").await.status == 200
        })
        .await;
        front
    }

    /// Where it listens.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Lets nginx read this content of `http { … }` in place of what it had, and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub async fn reload(&self, http: &str) {
        let before = self.workers();
        std::fs::write(&self.file, around(http, self.home.path())).expect("written");
        self.signal(Signal::SIGHUP);
        until("it has new workers", SOON, async || {
            self.workers().iter().any(|worker| !before.contains(worker))
        })
        .await;
    }

    /// The same where nobody is connected, so that those who go on with the old configuration end: waits for that as well.
    ///
    /// # Panics
    /// When they do not.
    pub async fn reload_idle(&self, http: &str) {
        let before = self.workers();
        self.reload(http).await;
        until("its old workers are gone", SOON, async || {
            !self.workers().iter().any(|worker| before.contains(worker))
        })
        .await;
    }

    /// Ends nginx and its workers at once (SIGKILL).
    ///
    /// # Panics
    /// When it has ended before.
    pub fn kill(self) {
        let workers = self.workers();
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL).expect("it runs");
        for worker in workers.iter().filter_map(|worker| worker.parse().ok()) {
            // It may have seen that its master is gone.
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
        }
    }

    fn workers(&self) -> Vec<String> {
        let file = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(file).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to end; killed, it would leave them.
        self.signal(Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// A program that may lie where only administrators look.
fn program(name: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.env("PATH", path);
    command
}

/// The whole of a configuration of nginx with this content of `http { … }`, which writes below this directory.
fn around(http: &str, home: &Path) -> String {
    let at = home.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places: String = places.map(|name| format!("{name}_temp_path {at}/{name};\n")).concat();
    // Who runs the tests owns the directory.
    let is_root = std::fs::metadata(home).expect("it is there").uid() == 0;
    let user = if is_root { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;\npid {at}/pid;\nerror_log {at}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{http}\n}}\n"
    )
}

/// An address that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
