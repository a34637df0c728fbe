//! Applies settlements to the ledger.
//!
//! Invariant: a settlement leaves the queue only after the ledger has committed it, or after it became a dead letter
//! because it can never be applied. While the ledger or the queue cannot be reached the worker keeps what it has and
//! tries again; a settlement that is applied twice moves money once, by its transfer id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::retry::Pauses;
use super::{BATCH, Delivery, Queue, Settlement};
use crate::clock::{Clock, SystemClock};
use crate::counters::Counter;
use crate::money::ledger::{Ledger, LedgerError, Posted};

/// What a worker has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Settlements applied.
    pub settled: u64,
    /// Settlements that had been applied before.
    pub repeated: u64,
    /// Settlements that became dead letters.
    pub buried: u64,
    /// Sum over the applied ones of the time from the grab, or the close, to the ledger's commit, in milliseconds.
    pub lag_sum_ms: u64,
    /// The longest such time.
    pub lag_max_ms: u64,
}

/// See the module.
pub struct Worker {
    queue: Arc<dyn Queue>,
    ledger: Arc<dyn Ledger>,
    pub(super) pauses: Pauses,
    settled: Counter,
    repeated: Counter,
    buried: Counter,
    lag_sum_ms: Counter,
    lag_max_ms: AtomicU64,
}

impl Worker {
    /// Applies what is in `queue` to `ledger`.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            queue,
            ledger,
            pauses: Pauses::default(),
            settled: Counter::default(),
            repeated: Counter::default(),
            buried: Counter::default(),
            lag_sum_ms: Counter::default(),
            lag_max_ms: AtomicU64::new(0),
        }
    }

    /// Works until `stop`. What it has in its hands then is received again by the next worker.
    pub async fn run(&self, stop: CancellationToken) {
        while self.step(&stop).await.is_some() {}
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            settled: self.settled.get(),
            repeated: self.repeated.get(),
            buried: self.buried.get(),
            lag_sum_ms: self.lag_sum_ms.get(),
            lag_max_ms: self.lag_max_ms.load(Ordering::Relaxed),
        }
    }

    async fn step(&self, stop: &CancellationToken) -> Option<()> {
        let batch = self.pauses.until_done("reading the queue", stop, || self.queue.receive(BATCH)).await?;
        let (mut known, mut settlements, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in batch {
            match delivery.settlement() {
                Ok(settlement) => {
                    known.push(delivery);
                    settlements.push(settlement);
                }
                Err(reason) => dead.push((delivery, reason)),
            }
        }
        let mut done = Vec::with_capacity(known.len());
        if !settlements.is_empty() {
            let posted = self.pauses.until_done("posting", stop, || self.post(&settlements)).await?;
            for ((delivery, settlement), result) in known.into_iter().zip(&settlements).zip(posted) {
                match result {
                    Ok(posted) => {
                        self.count(settlement, posted);
                        done.push(delivery.tag);
                    }
                    Err(error) => dead.push((delivery, format!("{}: {error}", settlement.transfer_id()))),
                }
            }
        }
        if !done.is_empty() {
            self.pauses.until_done("emptying the queue", stop, || self.queue.done(&done)).await?;
        }
        for (delivery, reason) in dead {
            self.bury(&delivery, &reason, stop).await?;
        }
        Some(())
    }

    /// Every result is final: the whole batch fails when one of it may succeed later.
    async fn post(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let posted = self.ledger.settle(settlements).await?;
        if posted.len() != settlements.len() {
            let detail = format!("{} results for {} settlements", posted.len(), settlements.len());
            return Err(LedgerError::Corrupt(detail));
        }
        let passing = |result: &Result<Posted, LedgerError>| {
            result.as_ref().err().filter(|error| error.is_passing()).cloned()
        };
        posted.iter().find_map(passing).map_or(Ok(posted), Err)
    }

    async fn bury(&self, delivery: &Delivery, reason: &str, stop: &CancellationToken) -> Option<()> {
        self.pauses.until_done("burying", stop, || self.queue.bury(delivery, reason)).await?;
        self.buried.add(1);
        tracing::error!(reason, "a settlement cannot be applied and is a dead letter now");
        Some(())
    }

    fn count(&self, settlement: &Settlement, posted: Posted) {
        match posted {
            Posted::Now => {
                let lag_ms = SystemClock.now_ms().saturating_sub(settlement.time_ms);
                self.settled.add(1);
                self.lag_sum_ms.add(lag_ms);
                self.lag_max_ms.fetch_max(lag_ms, Ordering::Relaxed);
            }
            Posted::Before => self.repeated.add(1),
        }
    }
}
