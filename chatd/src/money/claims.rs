//! What a packet owes: the shares of its winners and its refund, told from the packet itself, whatever became of the
//! settlements on their way.
//!
//! Invariant: a claim has the id of the settlement it stands for, so whichever comes first is applied, and once.

use std::collections::HashSet;
use std::sync::Arc;

use chat_protocol::{AppId, PacketId, Refusal, UserId};

use super::ledger::{Ledger, Paid, Posted};
use super::packets::{PacketError, Packets, Standing, Winner};
use super::settlement::{BATCH, Kind, Settlement};
use crate::clock::Clock;

/// Winners in one read.
const PAGE: u32 = 1000;

/// See the file's head.
pub struct Claims {
    packets: Arc<dyn Packets>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
}

/// What applying claims did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Applied now.
    pub now: u64,
    /// The ledger refuses these, today and always.
    pub refused: u64,
}

impl Claims {
    /// Of these packets to this ledger.
    #[must_use]
    pub fn new(packets: Arc<dyn Packets>, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { packets, ledger, clock }
    }

    /// All winners of a packet that stands so.
    ///
    /// # Errors
    /// Of [`Packets::winners`].
    pub async fn winners(&self, standing: &Standing) -> Result<Vec<Winner>, PacketError> {
        let (app, packet) = (standing.terms.app, &standing.terms.packet);
        let mut winners: Vec<Winner> = Vec::new();
        while winners.len() < standing.grabbed_count as usize {
            let (after, left) = (winners.last().map_or(0, |winner| winner.number), winners.len());
            let limit = PAGE.min(standing.grabbed_count - u32::try_from(left).unwrap_or(u32::MAX));
            let page = self.packets.winners(app, packet, after, limit).await?;
            if page.is_empty() {
                break;
            }
            winners.extend(page);
        }
        Ok(winners)
    }

    /// What a packet owes and the ledger has not posted.
    ///
    /// # Errors
    /// Of the ports.
    pub async fn unpaid(&self, app: AppId, packet: &PacketId) -> Result<Vec<Settlement>, Refusal> {
        let standing = self.packets.standing(app, packet).await?;
        let winners = self.winners(&standing).await?;
        let paid = self.ledger.paid(app, packet).await?;
        Ok(unpaid(&standing, &winners, &paid, self.clock.now_ms()))
    }

    /// Applies what a packet owes and the ledger has not posted.
    ///
    /// # Errors
    /// Of the ports; some may have been applied.
    pub async fn settle(&self, app: AppId, packet: &PacketId) -> Result<Applied, Refusal> {
        self.apply(&self.unpaid(app, packet).await?).await
    }

    /// Applies claims.
    ///
    /// # Errors
    /// When the ledger does not answer; some may have been applied.
    pub async fn apply(&self, claims: &[Settlement]) -> Result<Applied, Refusal> {
        let mut applied = Applied::default();
        for batch in claims.chunks(BATCH) {
            for (claim, result) in batch.iter().zip(self.ledger.settle(batch).await?) {
                match result {
                    Ok(Posted::Now) => applied.now += 1,
                    Ok(Posted::Before) => {}
                    Err(error) if error.is_passing() => return Err(error.into()),
                    Err(error) => {
                        let id = claim.transfer_id();
                        tracing::error!(app = claim.app, id, %error, "what a packet owes cannot be paid");
                        applied.refused += 1;
                    }
                }
            }
        }
        Ok(applied)
    }
}

/// Shares and refund of a packet that the ledger has not posted.
#[must_use]
pub fn unpaid(standing: &Standing, winners: &[Winner], paid: &[Paid], now_ms: u64) -> Vec<Settlement> {
    let posted: HashSet<(Kind, &UserId)> = paid.iter().map(|paid| (paid.kind, &paid.user)).collect();
    let claim = |kind, user: &UserId, amount, time_ms| Settlement {
        app: standing.terms.app,
        packet: standing.terms.packet.clone(),
        kind,
        user: user.clone(),
        amount,
        time_ms,
    };
    let shares = winners.iter().map(|winner| claim(Kind::Grab, &winner.user, winner.amount, winner.time_ms));
    // When it was closed is not kept; it was not before its time, or it is as young as can be.
    let closed_ms = standing.terms.expires_ms.min(now_ms);
    let refund = (standing.refunded > 0)
        .then(|| claim(Kind::Refund, &standing.terms.sender, standing.refunded, closed_ms));
    shares.chain(refund).filter(|claim| !posted.contains(&(claim.kind, &claim.user))).collect()
}
