//! The operator of a run, and their wish to stop early.
//!
//! Invariant: whoever waits for it sees it, also when it came before the wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;
use crate::phases::progress::Progress;

/// Who may stop a run and looks on.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Their wish to stop.
    pub interrupt: Interrupt,
    /// What they see.
    pub progress: Arc<dyn Progress>,
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
