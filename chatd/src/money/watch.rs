//! Looks at the road of the settlements and at the clocks of the stores, so that somebody is told before people ask
//! where their money is.
//!
//! Invariant: nothing is changed here, and a store that does not answer only leaves old numbers standing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Agenda;
use super::packets::Packets;
use super::settlement::{Backlog, Depth, QueueError};
use crate::clock::Clock;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(10);
/// Settlements that wait for so long are taken by nobody.
const STUCK: Duration = Duration::from_secs(30);
/// What is wrong is said again after this long.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// A clock may be off by so much, in milliseconds.
pub const MOST_OFF_MS: u64 = 2_000;

/// What was seen last.
#[derive(Debug, Default)]
pub struct Seen {
    /// Settlements that are not done.
    pub waiting: AtomicU64,
    /// Settlements that were given up.
    pub dead: AtomicU64,
    /// Age of the oldest that is not done, as far as a queue can tell, in milliseconds.
    pub oldest_ms: AtomicU64,
    /// By how much the clock of the packets' store is ahead of this node's, in milliseconds.
    pub packets_ahead_ms: AtomicI64,
    /// The same of the ledger's.
    pub ledger_ahead_ms: AtomicI64,
}

/// Looks every few seconds and remembers what it saw.
pub struct Watch {
    queues: Vec<Arc<dyn Backlog>>,
    packets: Arc<dyn Packets>,
    agenda: Arc<dyn Agenda>,
    clock: Arc<dyn Clock>,
    seen: Seen,
}

/// Something that may be wrong for a while.
#[derive(Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    /// Whether it is time to say that it is wrong.
    fn is_news(&mut self, now: Instant) -> bool {
        let news = self.0.is_none_or(|said| now.duration_since(said) >= SAID_AGAIN);
        if news {
            self.0 = Some(now);
        }
        news
    }

    /// Whether it was wrong, and is no more.
    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Since when settlements wait and become no fewer.
struct Standstill {
    since: Instant,
    waiting: u64,
}

impl Standstill {
    fn lasts(&mut self, waiting: u64, now: Instant) -> Duration {
        if waiting == 0 || waiting < self.waiting {
            self.since = now;
        }
        self.waiting = waiting;
        now.duration_since(self.since)
    }
}

impl Watch {
    /// Of these queues and stores, by the clock of this node.
    #[must_use]
    pub fn new(
        queues: Vec<Arc<dyn Backlog>>,
        packets: Arc<dyn Packets>,
        agenda: Arc<dyn Agenda>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { queues, packets, agenda, clock, seen: Seen::default() }
    }

    /// What it saw last.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Looks until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let (mut stuck, mut clocks) = (Trouble::default(), [Trouble::default(), Trouble::default()]);
        let mut standstill = Standstill { since: Instant::now(), waiting: 0 };
        loop {
            let look = async {
                self.look_at_clocks(&mut clocks).await;
                self.look_at_queues(&mut standstill, &mut stuck).await;
                tokio::time::sleep(EVERY).await;
            };
            if stop.run_until_cancelled(look).await.is_none() {
                return;
            }
        }
    }

    async fn look_at_queues(&self, standstill: &mut Standstill, stuck: &mut Trouble) {
        let (depth, oldest_ms) = match self.depth().await {
            Ok(found) => found,
            Err(error) => return tracing::debug!(%error, "settlements cannot be counted"),
        };
        self.seen.waiting.store(depth.waiting, Relaxed);
        self.seen.dead.store(depth.dead, Relaxed);
        self.seen.oldest_ms.store(oldest_ms.unwrap_or_default(), Relaxed);
        let lasts = standstill.lasts(depth.waiting, Instant::now());
        let lasts = oldest_ms.map_or(lasts, Duration::from_millis);
        if depth.waiting > 0 && lasts >= STUCK {
            if stuck.is_news(Instant::now()) {
                let (waiting, seconds) = (depth.waiting, lasts.as_secs());
                tracing::warn!(
                    waiting,
                    seconds,
                    "settlements wait and nobody settles them; does a settler run?"
                );
            }
        } else if stuck.is_over() {
            tracing::info!("settlements are settled again");
        }
    }

    /// All queues together, and the age of the oldest settlement where a queue can tell.
    async fn depth(&self) -> Result<(Depth, Option<u64>), QueueError> {
        let (mut all, mut oldest) = (Depth::default(), None);
        for queue in &self.queues {
            let depth = queue.depth().await?;
            all.waiting += depth.waiting;
            all.dead += depth.dead;
            oldest = oldest.max(queue.oldest_ms().await?);
        }
        Ok((all, oldest))
    }

    async fn look_at_clocks(&self, troubles: &mut [Trouble; 2]) {
        let begun_ms = self.clock.now_ms();
        if let Ok(store_ms) = self.packets.now_ms().await {
            let ahead_ms = self.ahead(begun_ms, store_ms, "packets", &mut troubles[0]);
            self.seen.packets_ahead_ms.store(ahead_ms, Relaxed);
        }
        let begun_ms = self.clock.now_ms();
        if let Ok(store_ms) = self.agenda.now_ms().await {
            let ahead_ms = self.ahead(begun_ms, store_ms, "ledger", &mut troubles[1]);
            self.seen.ledger_ahead_ms.store(ahead_ms, Relaxed);
        }
    }

    /// By how much a store's clock is ahead of this node's, which showed `begun_ms` when the store was asked.
    fn ahead(&self, begun_ms: u64, store_ms: u64, store: &'static str, trouble: &mut Trouble) -> i64 {
        let ended_ms = self.clock.now_ms();
        let ahead_ms = store_ms.cast_signed() - begun_ms.midpoint(ended_ms).cast_signed();
        // The answer may have been as old as the question.
        let surely_ms = ahead_ms.unsigned_abs().saturating_sub(ended_ms.saturating_sub(begun_ms));
        if surely_ms > MOST_OFF_MS {
            if trouble.is_news(Instant::now()) {
                tracing::warn!(store, ahead_ms, "the clock of this node is not the store's; set it by NTP");
            }
        } else if trouble.is_over() {
            tracing::info!(store, "the clock of this node is right again");
        }
        ahead_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_at_once_and_every_minute_until_it_is_over() {
        let (mut trouble, now) = (Trouble::default(), Instant::now());
        assert!(!trouble.is_over());
        assert!(trouble.is_news(now) && !trouble.is_news(now + SAID_AGAIN / 2));
        assert!(trouble.is_news(now + SAID_AGAIN) && trouble.is_over() && !trouble.is_over());
        assert!(trouble.is_news(now));
    }

    #[test]
    fn settlements_that_become_fewer_stand_not_still() {
        let now = Instant::now();
        let mut standstill = Standstill { since: now, waiting: 0 };
        let looks = [(5, 10), (5, 20), (9, 30), (8, 0), (8, 10), (0, 0), (0, 0)];
        for ((waiting, lasts), number) in looks.into_iter().zip(1..) {
            let now = now + number * Duration::from_secs(10);
            assert_eq!(standstill.lasts(waiting, now).as_secs(), lasts, "{waiting}");
        }
    }
}
