//! What the service manager is told, in systemd's protocol (sd_notify(3)): ready, stopping, and that the node still
//! turns.
//!
//! Invariant: where no manager asks for it, nothing is told; and the node never waits for a manager, nor fails for one
//! that does not listen.

use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::App;

/// Least pause between two signs of life, whatever the manager asks for.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
/// Pause before the stores are asked again whether they are ready.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The service manager that started this process; perhaps none.
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// How long it waits for a sign of life before it ends the process.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    #[must_use]
    pub fn of_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, socket = ?name, "the service manager cannot be told anything");
                None
            }
        });
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|us| *us > 0 && is_meant).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// What the node is about.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// The node stops.
    pub fn is_stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// Says that the node is ready once it is, and then gives signs of life for as long as it turns, twice within the
    /// time that the manager waits for one.
    pub async fn attend(&self, app: &App, status: &str) -> Infallible {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        while app.ready().await.is_err() {
            sleep(ASK_AGAIN).await;
        }
        self.tell(&format!("READY=1\nSTATUS={status}"));
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        let pause = (watchdog / 2).max(LEAST_PAUSE);
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match timeout(pause, app.turns()).await.unwrap_or(Err("a thread does not turn")) {
                Ok(()) => self.tell("WATCHDOG=1"),
                Err(why) => tracing::error!(why, "no sign of life for the service manager"),
            }
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// To a path, or to an abstract name, which is written with an @ before it.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_encoded_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(rest)?)?;
        }
        _ => socket.connect(name)?,
    }
    Ok(socket)
}
