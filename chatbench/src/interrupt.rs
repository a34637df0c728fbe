//! The operator's wish to stop early.
//!
//! Invariant: whoever waits for it sees it, also when it came before the wait.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

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

/// Becomes true once.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// An interrupt that comes when `signal` ends.
    pub fn on(signal: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                () = signal => { let _ = sender.send(true); }
                // Nobody waits any more.
                () = sender.closed() => {}
            }
        });
        Self(receiver)
    }

    /// Whether it has come.
    pub fn came(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|came| *came).await.is_err() {
            // The signal can no longer come.
            std::future::pending::<()>().await;
        }
    }

    /// Does `work`, and goes on with it for `patience` at most once this has come. None when it was given up.
    pub async fn soon<T>(&self, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut interrupt = self.clone();
        let given_up = async move {
            interrupt.wait().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            biased;
            () = given_up => None,
            done = work => Some(done),
        }
    }

    /// Does `work` unless this comes first, or has come: then [`Failure::Stopped`]. Every step that sets a run up goes
    /// through here.
    ///
    /// # Errors
    /// As the work.
    pub async fn unless<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.soon(Duration::ZERO, work).await.unwrap_or(Err(Failure::Stopped))
    }

    /// Waits for it, at most until `deadline`; says whether it came.
    pub async fn within(&mut self, deadline: tokio::time::Instant) -> bool {
        tokio::time::timeout_at(deadline, self.wait()).await.is_ok()
    }
}
