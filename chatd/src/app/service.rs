//! What the service manager is told, in systemd's protocol (sd_notify(3)): ready, stopping, that the node still turns,
//! and that it reads its settings again, for which the manager sends SIGHUP.
//!
//! Invariant: where no manager asks for it, nothing is told; and the node never waits for a manager, nor fails for one
//! that does not listen.

use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};
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

    /// Whether there is one that is told.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Says that the node is ready once it is. Then gives signs of life for as long as it turns, twice within the time
    /// that the manager waits for one, and has the settings read again whenever SIGHUP asks for it.
    pub async fn attend(&self, app: &App, status: &str) -> Infallible {
        if self.socket.is_none() {
            return pending().await;
        }
        while app.ready().await.is_err() {
            sleep(ASK_AGAIN).await;
        }
        self.tell(&format!("READY=1\nSTATUS={status}"));
        let mut hangup = signal(SignalKind::hangup()).inspect_err(|error| {
            tracing::warn!(%error, "SIGHUP is not heard");
        });
        let pause = (self.watchdog.unwrap_or_default() / 2).max(LEAST_PAUSE);
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = async {
                match &mut hangup {
                    Ok(hangup) => _ = hangup.recv().await,
                    Err(_) => pending().await,
                }
            };
            tokio::select! {
                _ = tick.tick(), if self.watchdog.is_some() => self.show_life(app, pause / 2).await,
                () = asked => self.reload(app, status).await,
            }
        }
    }

    async fn show_life(&self, app: &App, patience: Duration) {
        match timeout(patience, app.turns()).await.unwrap_or(Err("a thread does not turn")) {
            Ok(()) => self.tell("WATCHDOG=1"),
            Err(why) => tracing::error!(why, "no sign of life for the service manager"),
        }
    }

    async fn reload(&self, app: &App, status: &str) {
        let now_us = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.num_microseconds());
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reading the settings again"));
        let status = match app.reload().await {
            Ok(_) => status.to_owned(),
            Err(refusal) => {
                tracing::error!(reason = refusal.reason, "the settings stay as they were");
                let why = refusal.reason.replace('\n', " ");
                format!("{status}; not read again: {why}")
            }
        };
        self.tell(&format!("READY=1\nSTATUS={status}"));
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
