//! Signals that end the node.
//!
//! Invariant: the first one begins an orderly stop; one that comes later than [`SAME_WISH`] after it ends the process
//! without further ado. A program started with SIGHUP ignored, as `nohup` does, goes on without its terminal; for a service
//! SIGHUP is no end, but asks it to read its settings again.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// What follows a signal so soon is the same wish, told twice: by a terminal and by a supervisor, say.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Waits for the signals that end the node.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where it is ignored, or means something else.
    hangup: Option<Signal>,
    first: Option<Instant>,
}

impl Signals {
    /// Listens from now on; a service is not ended by SIGHUP. Needs a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(is_service: bool) -> io::Result<Self> {
        let ignored =
            std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status));
        // Once it was listened to, it does not end the process, whoever hears it.
        let hangup = if ignored { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup.filter(|_| !is_service),
            first: None,
        })
    }

    /// Waits for a signal that asks to stop and gives its name; after the first, for one that is another wish.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                () = heard(self.hangup.as_mut()) => "SIGHUP",
            };
            match self.first {
                Some(first) if first.elapsed() <= SAME_WISH => {}
                Some(_) => return name,
                None => {
                    self.first = Some(Instant::now());
                    return name;
                }
            }
        }
    }
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the mask of ignored signals in `/proc/self/status` has SIGHUP, the lowest bit.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        for (status, ignored) in [
            ("Name:\tchatd\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n", true),
            ("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", false),
            ("SigIgn:\tnonsense\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hangup(status), ignored, "{status:?}");
        }
    }
}
