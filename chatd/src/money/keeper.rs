//! The keeper of promises: finishes packets whose creation was interrupted, and ends those whose time is over.
//!
//! Invariant: everything it does can be done by several nodes at once and any number of times.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::Refusal;
use tokio_util::sync::CancellationToken;

use super::ledger::{Escrow, Ledger};
use super::packets::Packets;
use super::red_packet::RedPackets;
use super::settlement::{Kind, Settlement};
use crate::clock::Clock;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// A creation may take so long before somebody else finishes it, in milliseconds.
const UNFINISHED_AFTER_MS: u64 = 10_000;
/// Packets in one go.
const BATCH: u32 = 200;

/// See the file's head.
pub struct Keeper {
    packets: Arc<dyn Packets>,
    ledger: Arc<dyn Ledger>,
    red_packets: Arc<RedPackets>,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Keeps the promises of these red packets.
    #[must_use]
    pub fn new(
        packets: Arc<dyn Packets>,
        ledger: Arc<dyn Ledger>,
        red_packets: Arc<RedPackets>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { packets, ledger, red_packets, clock }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut stuck = false;
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            match stop.run_until_cancelled(self.round()).await {
                None => return,
                Some(Ok(_)) if stuck => {
                    tracing::info!("red packets are looked after again");
                    stuck = false;
                }
                Some(Ok(_)) => {}
                Some(Err(refusal)) if stuck => tracing::debug!(reason = refusal.reason, "the keeper"),
                Some(Err(refusal)) => {
                    tracing::warn!(reason = refusal.reason, "red packets cannot be looked after for now");
                    stuck = true;
                }
            }
        }
    }

    /// Looks once at everything that is due; how many packets were.
    ///
    /// # Errors
    /// The first refusal; the packets after it in the round were tried all the same.
    pub async fn round(&self) -> Result<usize, Refusal> {
        let now = self.clock.now_ms();
        let due = self.ledger.due(now.saturating_sub(UNFINISHED_AFTER_MS), now, BATCH).await?;
        let mut result = Ok(due.len());
        for escrow in due {
            let done = if escrow.terms.expires_ms <= now {
                self.expire(&escrow).await
            } else {
                self.red_packets.finish(&escrow.terms).await.map(|_| ())
            };
            if let Err(refusal) = done {
                // A conversation that does not take the offer is an answer; the money is on its way back.
                let passing = matches!(
                    refusal.code,
                    chat_protocol::Code::StoreUnreachable | chat_protocol::Code::ServerError
                );
                if passing && result.is_ok() {
                    result = Err(refusal);
                }
            }
        }
        result
    }

    async fn expire(&self, escrow: &Escrow) -> Result<(), Refusal> {
        let terms = &escrow.terms;
        let closed = self.packets.close(terms).await?;
        if !closed.known {
            self.return_escrow(escrow).await?;
        }
        self.ledger.close(terms.app, &terms.packet).await?;
        if closed.now && closed.known && closed.refunded > 0 {
            self.red_packets.tell_finished(terms.app, &terms.packet).await;
        }
        Ok(())
    }

    /// The packets lost their memory of this one, or never had any. Its time is over, and who won was paid long ago or
    /// is known to nobody: what the escrow holds is the sender's.
    async fn return_escrow(&self, escrow: &Escrow) -> Result<(), Refusal> {
        let Escrow { terms, balance, .. } = escrow;
        tracing::warn!(app = terms.app, packet = %terms.packet, cents = balance, "a forgotten packet is refunded");
        if *balance == 0 {
            return Ok(());
        }
        let refund = Settlement {
            app: terms.app,
            packet: terms.packet.clone(),
            kind: Kind::Refund,
            user: terms.sender.clone(),
            amount: *balance,
            time_ms: self.clock.now_ms(),
        };
        for settled in self.ledger.settle(&[refund]).await? {
            settled?;
        }
        Ok(())
    }
}
