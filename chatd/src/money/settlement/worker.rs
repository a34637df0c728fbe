//! Applies settlements to the ledger.
//!
//! Invariant: a settlement leaves the queue only after the ledger has committed it, or after it became a dead letter
//! because it can never be applied. What cannot be applied now although others can, because somebody holds its wallet
//! or its packet, goes back to the queue for a while. While the ledger, the packets or the queue cannot be reached the
//! worker keeps what it has and tries again; a settlement that is applied twice moves money once, by its transfer id.
//! What is queued is no order to pay: the packet says what it owes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_protocol::{AppId, Refusal, UserId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::retry::{Pauses, SAID_AGAIN};
use super::{BATCH, Deliveries, Delivery, Kind, Settlement};
use crate::clock::Clock;
use crate::counters::Counter;
use crate::counters::histogram::{Histogram, WAITS};
use crate::money::ledger::{Escrows, LedgerError, Posted};
use crate::money::packets::Debts;

/// Of one batch; what is left then is tried later.
const MOST_FAILURES: u32 = 64;

/// What a worker has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Settlements applied.
    pub settled: u64,
    /// Settlements that had been applied before.
    pub repeated: u64,
    /// Settlements that became dead letters.
    pub buried: u64,
    /// The longest time from the grab, or the close, to the ledger's commit of those, in milliseconds.
    pub lag_max_ms: u64,
}

/// Takes settlements from a queue and applies them.
pub struct Worker {
    queue: Arc<dyn Deliveries>,
    packets: Arc<dyn Debts>,
    escrows: Arc<dyn Escrows>,
    clock: Arc<dyn Clock>,
    pub(super) pauses: Pauses,
    settled: Counter,
    repeated: Counter,
    buried: Counter,
    lag: Histogram,
    lag_max_ms: AtomicU64,
}

impl Worker {
    /// Applies what is in `queue` and the packets owe, from these escrows.
    #[must_use]
    pub fn new(
        queue: Arc<dyn Deliveries>,
        packets: Arc<dyn Debts>,
        escrows: Arc<dyn Escrows>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            queue,
            packets,
            escrows,
            clock,
            pauses: Pauses::default(),
            settled: Counter::default(),
            repeated: Counter::default(),
            buried: Counter::default(),
            lag: Histogram::new(&WAITS),
            lag_max_ms: AtomicU64::new(0),
        }
    }

    /// Works until `stop`. What it has in its hands then is received again by the next worker.
    pub async fn run(&self, stop: CancellationToken) {
        let mut said = None;
        while self.step(&stop, &mut said).await.is_some() {}
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            settled: self.settled.get(),
            repeated: self.repeated.get(),
            buried: self.buried.get(),
            lag_max_ms: self.lag_max_ms.load(Ordering::Relaxed),
        }
    }

    /// From the grab, or the close, to the ledger's commit, of those that were applied.
    #[must_use]
    pub fn lag(&self) -> &Histogram {
        &self.lag
    }

    /// `said`: when it was said last that some have to wait.
    async fn step(&self, stop: &CancellationToken, said: &mut Option<Instant>) -> Option<()> {
        let batch = self.pauses.until_done("reading the queue", stop, || self.queue.receive(BATCH)).await?;
        let (mut work, mut dead) = (Vec::with_capacity(batch.len()), Vec::new());
        for delivery in batch {
            match delivery.settlement() {
                Ok(settlement) => work.push((delivery, settlement)),
                Err(reason) => dead.push((delivery, reason)),
            }
        }
        let mut work = self.owed(work, &mut dead, stop).await?;
        // What fails for the sake of one wallet fails together.
        work.sort_by(|(_, one), (_, other)| wallet(one).cmp(&wallet(other)));
        let (mut done, mut later, mut why) = (Vec::with_capacity(work.len()), Vec::new(), String::new());
        for some in work.chunks(BATCH) {
            let settlements: Vec<_> = some.iter().map(|(_, settlement)| settlement.clone()).collect();
            let posted = self.pauses.until_done("posting", stop, || self.post(&settlements)).await?;
            for ((delivery, settlement), result) in some.iter().cloned().zip(posted) {
                match result {
                    Ok(posted) => {
                        self.count(&settlement, posted);
                        done.push(delivery.tag);
                    }
                    Err(error) if error.is_passing() || self.is_mended(&settlement).await => {
                        why = error.to_string();
                        later.push(delivery);
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
        self.put_off(&later, &why, stop, said).await
    }

    async fn put_off(
        &self,
        later: &[Delivery],
        reason: &str,
        stop: &CancellationToken,
        said: &mut Option<Instant>,
    ) -> Option<()> {
        if later.is_empty() {
            return Some(());
        }
        if said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
            *said = Some(Instant::now());
            tracing::warn!(
                waiting = later.len(),
                reason,
                "settlements have to wait while others are applied"
            );
        }
        self.pauses.until_done("putting off", stop, || self.queue.later(later)).await
    }

    /// Only what the packets themselves owe is paid, whoever put something else into the queue.
    async fn owed(
        &self,
        work: Vec<(Delivery, Settlement)>,
        dead: &mut Vec<(Delivery, String)>,
        stop: &CancellationToken,
    ) -> Option<Vec<(Delivery, Settlement)>> {
        let asked: Vec<_> = work.iter().map(|(_, settlement)| settlement.clone()).collect();
        let owed = self.pauses.until_done("asking the packets", stop, || self.packets.owed(&asked)).await?;
        let mut due = Vec::with_capacity(work.len());
        for ((delivery, settlement), owed) in work.into_iter().zip(owed) {
            match (settlement.kind, owed) {
                // What goes back may have become less since it was queued.
                (Kind::Refund, Some(amount)) => due.push((delivery, Settlement { amount, ..settlement })),
                (_, Some(amount)) if amount == settlement.amount => due.push((delivery, settlement)),
                (_, owed) => {
                    let (id, owed) = (settlement.transfer_id(), owed.unwrap_or_default());
                    dead.push((
                        delivery,
                        format!("{id}: its packet owes {owed} cents, not {}", settlement.amount),
                    ));
                }
            }
        }
        Some(due)
    }

    /// One result for each: final, or one that may pass while others do not wait for it. Fails when the ledger does
    /// nothing at all.
    async fn post(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let mut failures = 0;
        self.post_some(settlements, &mut failures).await
    }

    /// What fails as a whole is split, to find out what makes it fail.
    async fn post_some(
        &self,
        settlements: &[Settlement],
        failures: &mut u32,
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let error = match self.escrows.settle(settlements).await {
            Ok(posted) if posted.len() == settlements.len() => return Ok(posted),
            Ok(posted) => {
                let detail = format!("{} results for {} settlements", posted.len(), settlements.len());
                return Err(LedgerError::Corrupt(detail));
            }
            Err(error) => error,
        };
        *failures += 1;
        if self.escrows.ready().await.is_err() {
            return Err(error);
        }
        let together = settlements.windows(2).all(|pair| wallet(&pair[0]) == wallet(&pair[1]));
        if settlements.len() == 1 || (together && error.is_passing()) {
            return Ok(vec![Err(error); settlements.len()]);
        }
        if *failures >= MOST_FAILURES {
            // Which of them it was is not known.
            return Ok(vec![Err(LedgerError::Unreachable(error.to_string())); settlements.len()]);
        }
        let (some, others) = settlements.split_at(settlements.len() / 2);
        let mut posted = Box::pin(self.post_some(some, failures)).await?;
        posted.extend(Box::pin(self.post_some(others, failures)).await?);
        Ok(posted)
    }

    /// Whether a settlement that the ledger refuses for good showed that its packet had forgotten what was paid.
    async fn is_mended(&self, settlement: &Settlement) -> bool {
        let mend = async {
            let terms = self.escrows.escrow(settlement.app, &settlement.packet).await?.terms;
            let paid = self.escrows.paid(settlement.app, &settlement.packet).await?;
            Ok::<bool, Refusal>(self.packets.restore(&terms, &paid).await?)
        };
        // Where it cannot be found out, the dead letter is replayed by an operator.
        mend.await.unwrap_or(false)
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
                let lag_ms = self.clock.now_ms().saturating_sub(settlement.time_ms);
                self.settled.add(1);
                self.lag.record(Duration::from_millis(lag_ms));
                self.lag_max_ms.fetch_max(lag_ms, Ordering::Relaxed);
            }
            Posted::Before => self.repeated.add(1),
        }
    }
}

fn wallet(settlement: &Settlement) -> (AppId, &UserId) {
    (settlement.app, &settlement.user)
}
