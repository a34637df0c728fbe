//! nginx in front of nodes, with a configuration that a document prints.
//!
//! Invariant: it ends with its test, and writes into a directory of its own only.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use chat_client::Server;
use tempfile::TempDir;

use crate::raw_http::get;
use crate::wait::{SOON, until};

/// A running nginx.
pub struct Nginx {
    child: Child,
    server: Server,
    _home: TempDir,
}

impl Nginx {
    /// Starts it with this content of `http { … }`, in which it listens at `listen`, and waits until it passes requests on.
    ///
    /// # Panics
    /// When nginx is not there (Debian: nginx-light; `scripts/services install`), or does not take the configuration.
    pub async fn start(http: &str, listen: SocketAddr) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let at = home.path().display();
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places: String = places.map(|name| format!("{name}_temp_path {at}/{name};\n")).concat();
        // Who runs the tests owns the directory.
        let is_root = std::fs::metadata(home.path()).expect("it is there").uid() == 0;
        let user = if is_root { "user root;\n" } else { "" };
        let text = format!(
            "{user}daemon off;\npid {at}/pid;\nerror_log {at}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{http}\n}}\n"
        );
        let file = home.path().join("nginx.conf");
        std::fs::write(&file, text).expect("written");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut nginx = Command::new("nginx");
        nginx
            .env("PATH", path)
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(home.path().join("log"));
        let child = nginx.stderr(Stdio::inherit()).spawn().expect("nginx is installed");
        let server: Server = format!("http://{listen}").parse().expect("an address");
        let nginx = Self { child, server, _home: home };
        until("nginx passes requests on", SOON, async || {
            tokio::net::TcpStream::connect(listen).await.is_ok()
                && get(&nginx.server, "/livez").await.status == 200
        })
        .await;
        nginx
    }

    /// Where it listens.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to end; killed, it would leave them.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
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
