//! The sweeper: finishes packets whose creation was interrupted, ends those whose time is over or whose
//! group is gone, and pays what no queue brought.
//!
//! Invariant: a packet is looked at again and again until its escrow is empty, and then once more, when it is late enough that
//! nothing of it changes any more: what its store forgot is entered there again. Everything that is done can be done by
//! several nodes at once and any number of times. One packet that fails, for now or for ever, keeps none waiting.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{AppId, Code, PacketId, Refusal};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::claims::{Applied, Claims};
use super::ledger::{Agenda, Escrow, Escrows};
use super::packets::{Closed, Packets};
use super::red_packet::{RedPackets, is_fault};
use super::settlement::{Kind, Settlement};
use super::{Cents, Terms};
use crate::broker::REPEAT_WINDOW_MS;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// Packets in one go, and how many of them at once.
const BATCH: u32 = 500;
const AT_ONCE: usize = 16;
/// Nobody else looks at a packet for so long, in milliseconds; what fails is tried again then.
pub const AGAIN_MS: u64 = 5_000;
/// So long after a packet's end its settlements may still be on their way; then they are taken for lost.
pub const LATE_MS: u64 = 60_000;
/// How long a packet waits that nobody but an operator can help; shorter than the audit waits for its rest.
const HOPELESS_MS: u64 = 4 * 60 * 1000;

/// Looks after packets until nothing is left in their escrows and their books agree with that.
pub struct Sweeper {
    packets: Arc<dyn Packets>,
    escrows: Arc<dyn Escrows>,
    agenda: Arc<dyn Agenda>,
    red_packets: Arc<RedPackets>,
    claims: Arc<Claims>,
}

impl Sweeper {
    /// Keeps the promises of these red packets.
    #[must_use]
    pub fn new(
        packets: Arc<dyn Packets>,
        escrows: Arc<dyn Escrows>,
        agenda: Arc<dyn Agenda>,
        red_packets: Arc<RedPackets>,
        claims: Arc<Claims>,
    ) -> Self {
        Self { packets, escrows, agenda, red_packets, claims }
    }

    /// Works until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let (mut stuck, mut pause) = (false, EVERY);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let Some(result) = stop.run_until_cancelled(self.round()).await else { return };
            // After a full round there is more, unless what fails must come to an end first.
            pause = if result.as_ref().is_ok_and(|count| *count >= BATCH as usize) {
                Duration::ZERO
            } else {
                EVERY
            };
            match result {
                Ok(_) if stuck => {
                    tracing::info!("red packets are looked after again");
                    stuck = false;
                }
                Ok(_) => {}
                Err(refusal) if stuck => tracing::debug!(reason = refusal.reason, "the sweeper"),
                Err(refusal) => {
                    tracing::warn!(reason = refusal.reason, "red packets cannot be looked after for now");
                    stuck = true;
                }
            }
        }
    }

    /// Looks once at packets that are due; how many were.
    ///
    /// # Errors
    /// One of the refusals that may pass; the other packets of the round were looked at all the same.
    pub async fn round(&self) -> Result<usize, Refusal> {
        if let Err(refusal) = self.red_packets.hasten_dismissed().await {
            tracing::debug!(refusal.reason, "dismissed groups are looked after in the next round");
        }
        let now_ms = self.packets.now_ms().await?;
        let due = self.agenda.take_due(now_ms, now_ms.saturating_add(AGAIN_MS), BATCH).await?;
        let count = due.len();
        let looks = due.into_iter().map(|(app, packet)| async move {
            match self.look_after(app, &packet, now_ms).await {
                // Asked again at once it would say the same.
                Err(refusal) if refusal.code != Code::StoreUnreachable => {
                    tracing::error!(app, %packet, refusal.reason, "a red packet cannot be looked after");
                    self.give_up(app, &packet, now_ms).await
                }
                looked => looked,
            }
        });
        let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        looks.fold(Ok(count), async |all, one| all.and_then(|count| one.map(|()| count))).await
    }

    async fn look_after(&self, app: AppId, packet: &PacketId, now_ms: u64) -> Result<(), Refusal> {
        let escrow = self.escrows.escrow(app, packet).await?;
        let terms = &escrow.terms;
        if escrow.balance == Cents::ZERO {
            return self.look_last(terms, now_ms).await;
        }
        let over = terms.expires_ms <= now_ms;
        if !over && !self.red_packets.is_orphan(terms).await? {
            let told = now_ms.saturating_sub(terms.created_ms) >= REPEAT_WINDOW_MS;
            if escrow.announced || told {
                // A log that does not know the offer any more would take it for a new one.
                return Ok(self.agenda.postpone(app, packet, terms.expires_ms).await?);
            }
            match self.red_packets.finish(&escrow).await {
                Ok(_) => return Ok(()),
                Err(refusal) if is_fault(&refusal) => return Err(refusal),
                // A conversation that does not take the offer is an answer: the money goes back.
                Err(_) => {}
            }
        }
        let closed = self.close(terms).await?;
        let ended_ms = match (over, closed.now) {
            (true, _) => terms.expires_ms,
            (false, true) => now_ms,
            (false, false) => terms.created_ms,
        };
        let late_ms = ended_ms.saturating_add(LATE_MS);
        // What was never opened has nothing on its way.
        let is_unopened = !closed.known && !escrow.announced && escrow.balance == terms.total;
        if now_ms < late_ms && !is_unopened {
            return Ok(self.agenda.postpone(app, packet, late_ms).await?);
        }
        let applied = self.pay(&escrow, now_ms).await?;
        // Who was refused, or has nothing to claim although there is money, needs an operator.
        if applied.refused > 0 || applied.now == 0 {
            self.give_up(app, packet, now_ms).await?;
        }
        Ok(())
    }

    /// A packet that is paid out: a store that was started since may have forgotten the last of what was paid.
    async fn look_last(&self, terms: &Terms, now_ms: u64) -> Result<(), Refusal> {
        let mut next_ms = terms.expires_ms.saturating_add(LATE_MS);
        if next_ms <= now_ms {
            self.claims.restore(terms).await?;
            next_ms = u64::MAX;
        }
        Ok(self.agenda.postpone(terms.app, &terms.packet, next_ms).await?)
    }

    /// Pays at once what a packet owes, from its own books, whether or not it is on its way; ends it when its time is
    /// over.
    ///
    /// # Errors
    /// Of the ports; [`Code::NotFound`] when nobody knows the packet, or the packets forgot it before its end.
    pub async fn mend(&self, app: AppId, packet: &PacketId) -> Result<Applied, Refusal> {
        let (escrow, now_ms) = (self.escrows.escrow(app, packet).await?, self.packets.now_ms().await?);
        self.claims.restore(&escrow.terms).await?;
        if escrow.terms.expires_ms <= now_ms {
            self.pay(&escrow, now_ms).await
        } else {
            self.claims.settle(app, packet).await
        }
    }

    /// Nobody takes from the packet any more, and its refund is on its way.
    async fn close(&self, terms: &Terms) -> Result<Closed, Refusal> {
        // What a store that went back would refund may be more than there is.
        self.claims.restore(terms).await?;
        let closed = self.packets.close(terms).await?;
        if closed.now && closed.refunded.is_positive() {
            self.red_packets.tell_finished(terms.app, &terms.packet).await;
        }
        Ok(closed)
    }

    /// Ends the packet and pays what it owes.
    async fn pay(&self, escrow: &Escrow, now_ms: u64) -> Result<Applied, Refusal> {
        let terms = &escrow.terms;
        if !self.close(terms).await?.known {
            return self.return_escrow(escrow, now_ms).await;
        }
        let applied = self.claims.settle(terms.app, &terms.packet).await?;
        if applied.now > 0 {
            tracing::warn!(app = terms.app, packet = %terms.packet, applied.now, "paid what no queue brought in time");
        }
        Ok(applied)
    }

    /// The packets lost their memory of this one, or never had any. Who won was paid by now or is known to nobody: what
    /// the escrow holds is the sender's.
    async fn return_escrow(&self, escrow: &Escrow, now_ms: u64) -> Result<Applied, Refusal> {
        let Escrow { terms, balance, .. } = escrow;
        if *balance == Cents::ZERO {
            return Ok(Applied::default());
        }
        tracing::warn!(app = terms.app, packet = %terms.packet, cents = balance.get(), "a forgotten packet is refunded");
        let rest = Settlement {
            app: terms.app,
            packet: terms.packet.clone(),
            kind: Kind::Rest,
            user: terms.sender.clone(),
            amount: *balance,
            time_ms: now_ms,
        };
        self.claims.apply(&[rest]).await
    }

    /// For a while.
    async fn give_up(&self, app: AppId, packet: &PacketId, now_ms: u64) -> Result<(), Refusal> {
        Ok(self.agenda.postpone(app, packet, now_ms.saturating_add(HOPELESS_MS)).await?)
    }
}
