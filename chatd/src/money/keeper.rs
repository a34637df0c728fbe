//! The keeper of promises: finishes packets whose creation was interrupted, ends those whose time is over, and pays
//! what no queue brought.
//!
//! Invariant: a packet is looked at again and again until its escrow is empty. Everything that is done can be done by
//! several nodes at once and any number of times. One packet that fails, for now or for ever, keeps none waiting.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{AppId, Code, PacketId, Refusal};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::claims::{Applied, Claims};
use super::ledger::{Escrow, Ledger};
use super::packets::Packets;
use super::red_packet::{RedPackets, is_fault};
use super::settlement::{Kind, Settlement};
use crate::clock::Clock;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// Packets in one go, and how many of them at once.
const BATCH: u32 = 500;
const AT_ONCE: usize = 16;
/// A packet is looked at again after so long, in milliseconds: what it waits for takes no longer.
pub const AGAIN_MS: u64 = 5_000;
/// So long after a packet's end its settlements may still be on their way; then they are taken for lost.
pub const LATE_MS: u64 = 60_000;
/// How long a packet waits that nobody but an operator can help.
const HOPELESS_MS: u64 = 10 * 60 * 1000;

/// See the file's head.
pub struct Keeper {
    packets: Arc<dyn Packets>,
    ledger: Arc<dyn Ledger>,
    red_packets: Arc<RedPackets>,
    claims: Arc<Claims>,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Keeps the promises of these red packets.
    #[must_use]
    pub fn new(
        (packets, ledger): (Arc<dyn Packets>, Arc<dyn Ledger>),
        red_packets: Arc<RedPackets>,
        claims: Arc<Claims>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { packets, ledger, red_packets, claims, clock }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
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
                Err(refusal) if stuck => tracing::debug!(reason = refusal.reason, "the keeper"),
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
        let now_ms = self.clock.now_ms();
        let due = self.ledger.take_due(now_ms, now_ms.saturating_add(AGAIN_MS), BATCH).await?;
        let count = due.len();
        let looks = due.into_iter().map(|(app, packet)| async move {
            match self.look_after(app, &packet, now_ms).await {
                Err(refusal) if refusal.code == Code::ServerError => {
                    tracing::error!(app, %packet, "a red packet cannot be looked after");
                    self.give_up(app, &packet, now_ms).await
                }
                looked => looked,
            }
        });
        let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        looks.fold(Ok(count), async |all, one| all.and_then(|count| one.map(|()| count))).await
    }

    async fn look_after(&self, app: AppId, packet: &PacketId, now_ms: u64) -> Result<(), Refusal> {
        let escrow = self.ledger.escrow(app, packet).await?;
        let terms = &escrow.terms;
        if escrow.balance == 0 {
            return Ok(());
        }
        let over = terms.expires_ms <= now_ms;
        if !over {
            if escrow.announced {
                return Ok(self.ledger.postpone(app, packet, terms.expires_ms).await?);
            }
            match self.red_packets.finish(&escrow).await {
                Ok(_) => return Ok(self.ledger.announced(app, packet).await?),
                Err(refusal) if is_fault(&refusal) => return Err(refusal),
                // A conversation that does not take the offer is an answer: the money goes back.
                Err(_) => {}
            }
        }
        let ended_ms = if over { terms.expires_ms } else { terms.created_ms };
        self.end(&escrow, now_ms, now_ms.saturating_sub(ended_ms) >= LATE_MS).await
    }

    /// Nobody takes from the packet any more; its settlements are on their way, or `late`.
    async fn end(&self, escrow: &Escrow, now_ms: u64, late: bool) -> Result<(), Refusal> {
        let terms = &escrow.terms;
        let closed = self.packets.close(terms).await?;
        let applied = if !closed.known {
            self.return_escrow(escrow, now_ms).await?
        } else if closed.now {
            if closed.refunded > 0 {
                self.red_packets.tell_finished(terms.app, &terms.packet).await;
            }
            return Ok(());
        } else if late {
            let applied = self.claims.settle(terms.app, &terms.packet).await?;
            tracing::warn!(app = terms.app, packet = %terms.packet, applied.now, "paid what no queue brought");
            applied
        } else {
            return Ok(());
        };
        // Who was refused, or has nothing to claim although there is money, needs an operator.
        if applied.refused > 0 || applied.now == 0 {
            self.give_up(terms.app, &terms.packet, now_ms).await?;
        }
        Ok(())
    }

    /// The packets lost their memory of this one, or never had any. Its time is over, and who won was paid long ago or
    /// is known to nobody: what the escrow holds is the sender's.
    async fn return_escrow(&self, escrow: &Escrow, now_ms: u64) -> Result<Applied, Refusal> {
        let Escrow { terms, balance, .. } = escrow;
        tracing::warn!(app = terms.app, packet = %terms.packet, cents = balance, "a forgotten packet is refunded");
        let refund = Settlement {
            app: terms.app,
            packet: terms.packet.clone(),
            kind: Kind::Refund,
            user: terms.sender.clone(),
            amount: *balance,
            time_ms: now_ms,
        };
        self.claims.apply(&[refund]).await
    }

    /// For a while.
    async fn give_up(&self, app: AppId, packet: &PacketId, now_ms: u64) -> Result<(), Refusal> {
        Ok(self.ledger.postpone(app, packet, now_ms.saturating_add(HOPELESS_MS)).await?)
    }
}
