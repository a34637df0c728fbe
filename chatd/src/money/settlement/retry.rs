//! Repeating a step of the settlements' road until it works.
//!
//! Invariant: a step is never given up, only stopped.

use std::fmt::Display;
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often it is said again that a step does not work.
pub(super) const SAID_AGAIN: Duration = Duration::from_secs(60);

/// How long to wait between the attempts at a step.
#[derive(Debug, Clone)]
pub(super) struct Pauses(pub(super) Backoff);

impl Default for Pauses {
    fn default() -> Self {
        Self(Backoff::half(Duration::from_millis(20), Duration::from_secs(2)))
    }
}

impl Pauses {
    /// Repeats `step`, which is named `what` in the log, until it works; none when `stop` comes first. Says
    /// that it is stuck, again every minute, and once that it goes on, however often it tries.
    pub(super) async fn until_done<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        what: &'static str,
        stop: &CancellationToken,
        mut step: impl FnMut() -> F,
    ) -> Option<T> {
        let mut pauses = self.0.clone();
        let (mut tries, mut said) = (1_u64, None::<Instant>);
        loop {
            let error = match stop.run_until_cancelled(step()).await? {
                Ok(value) if tries == 1 => return Some(value),
                Ok(value) => {
                    tracing::info!(what, tries, "settlement goes on");
                    return Some(value);
                }
                Err(error) => error,
            };
            if said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
                said = Some(Instant::now());
                tracing::warn!(what, tries, %error, "settlement is stuck");
            } else {
                tracing::debug!(what, tries, %error, "settlement is still stuck");
            }
            stop.run_until_cancelled(sleep(pauses.pause(rand::random()))).await?;
            tries += 1;
        }
    }
}
