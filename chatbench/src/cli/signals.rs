//! What the system says for an operator who wants a run to end.
//!
//! Invariant: each signal is heard once, also when it came before somebody waited for it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What somebody says who wants a run to end: Ctrl-C, a service manager's SIGTERM, the end of a terminal.
#[derive(Debug)]
pub struct Wish([Signal; 3]);

impl Wish {
    /// Hears it from now on.
    ///
    /// # Errors
    /// When the system lets nobody listen.
    pub fn listen() -> std::io::Result<Self> {
        let hear = |kind: SignalKind| signal(kind);
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(hear);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits until it is said.
    pub async fn said(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
