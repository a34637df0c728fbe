//! A store that is away when the node starts: it is waited for, aloud and not for ever.
//!
//! Invariant: what would not pass by itself, such as a wrong password, ends the start at once.

use std::fmt::Display;
use std::time::Duration;

use chat_protocol::backoff::Backoff;
use tokio::time::{Instant, sleep};

/// Longest pause after the first attempt, and after any.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Until when a start waits for its stores, all of them together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    until: Instant,
}

impl Waiting {
    /// From now on.
    pub(super) fn at_most(span: Duration) -> Self {
        Self { until: Instant::now() + span }
    }

    /// Opens a store as often as it takes; `place` is where it is, without secrets.
    ///
    /// # Errors
    /// What the last attempt met, when it does not pass or the time is over.
    pub(super) async fn open<T, E: Display>(
        &self,
        place: &str,
        mut open: impl AsyncFnMut() -> Result<T, E>,
        passes: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let (mut said, mut backoff) = (None::<Instant>, Backoff::half(FIRST_PAUSE, MAX_PAUSE));
        loop {
            let error = match open().await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() || !passes(&error) {
                return Err(error);
            }
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                tracing::warn!(%error, left_s = left.as_secs(), "waiting for {place}");
                said = Some(Instant::now());
            }
            sleep(backoff.pause(rand::random()).min(left)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn attempts(seconds: u64, passes: bool, succeed_at: usize) -> (usize, Result<(), &'static str>) {
        let mut attempts = 0;
        let open = async || {
            attempts += 1;
            if attempts == succeed_at { Ok(()) } else { Err("away") }
        };
        let ended = Waiting::at_most(Duration::from_secs(seconds)).open("a store", open, |_| passes).await;
        (attempts, ended)
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_nothing_else() {
        assert_eq!(attempts(60, true, 2).await, (2, Ok(())));
        assert_eq!(attempts(60, false, 5).await, (1, Err("away")));
        assert_eq!(attempts(0, true, 5).await, (1, Err("away")));
        let (tried, ended) = attempts(1, true, usize::MAX).await;
        assert!(tried > 1 && ended.is_err(), "{tried}");
    }
}
