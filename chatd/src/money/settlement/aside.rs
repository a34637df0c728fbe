//! Settlements that cannot be applied for now although others can: somebody holds their wallet or their packet.
//!
//! Invariant: they are tried again and again, further and further apart, and keep nobody else waiting. Whoever ends
//! without them gives them back to the queue.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::SAID_AGAIN;
use super::{Delivery, Settlement};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// So many are kept; then nothing is received before they are done.
const MOST: usize = 10_000;

/// See the file's head.
#[derive(Default)]
pub(super) struct Aside {
    kept: Vec<(Delivery, Settlement)>,
    pause: Duration,
    again: Option<Instant>,
    said: Option<Instant>,
}

impl Aside {
    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MOST
    }

    /// When they are to be tried again.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// All of them, once their time has come.
    pub(super) fn due(&mut self) -> Vec<(Delivery, Settlement)> {
        if self.again.is_some_and(|again| Instant::now() < again) {
            return Vec::new();
        }
        self.again = None;
        std::mem::take(&mut self.kept)
    }

    /// Keeps what could not be applied, for this reason.
    pub(super) fn keep(&mut self, kept: Vec<(Delivery, Settlement)>, reason: &str) {
        if kept.is_empty() {
            if self.kept.is_empty() && self.said.take().is_some() {
                tracing::info!("settlements that had to wait are applied");
            }
            return;
        }
        self.kept.extend(kept);
        if self.again.is_none() {
            let longer = if self.said.is_none() { FIRST_PAUSE } else { self.pause * 2 };
            self.pause = longer.min(LONGEST_PAUSE);
            self.again = Some(Instant::now() + self.pause);
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
            self.said = Some(Instant::now());
            let waiting = self.kept.len();
            tracing::warn!(waiting, reason, "settlements have to wait while others are applied");
        }
    }
}
