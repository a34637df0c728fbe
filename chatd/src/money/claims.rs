//! What a packet owes: the shares of its winners and its refund, told from the packet itself, whatever became of the
//! settlements on their way.
//!
//! Invariant: a claim has the id of the settlement it stands for, so whichever comes first is applied, and once.

use std::collections::HashSet;
use std::sync::Arc;

use chat_protocol::{AppId, PacketId, Refusal, UserId};

use super::Terms;
use super::ledger::{Escrows, Paid, Posted};
use super::packets::{PacketError, Packets, Snapshot, Winner};
use super::settlement::{BATCH, Kind, Settlement};

/// Winners in one read.
const PAGE: u32 = 1000;

/// Tells what packets owe, and pays it.
pub struct Claims {
    packets: Arc<dyn Packets>,
    escrows: Arc<dyn Escrows>,
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
    /// Of these packets, paid from these escrows.
    #[must_use]
    pub fn new(packets: Arc<dyn Packets>, escrows: Arc<dyn Escrows>) -> Self {
        Self { packets, escrows }
    }

    /// All winners of a packet that stands so.
    ///
    /// # Errors
    /// Of [`super::packets::Shares::winners`].
    pub async fn winners(&self, snapshot: &Snapshot) -> Result<Vec<Winner>, PacketError> {
        let (app, packet) = (snapshot.terms.app, &snapshot.terms.packet);
        let mut winners: Vec<Winner> = Vec::new();
        while winners.len() < snapshot.grabbed_count as usize {
            let (after, left) = (winners.last().map_or(0, |winner| winner.number), winners.len());
            let limit = PAGE.min(snapshot.grabbed_count - u32::try_from(left).unwrap_or(u32::MAX));
            let page = self.packets.winners(app, packet, after, limit).await?;
            if page.is_empty() {
                break;
            }
            winners.extend(page);
        }
        Ok(winners)
    }

    /// Makes a packet agree with what the ledger paid of it, where its store went back to an older state. Whether it
    /// did not agree; false for a packet that the store does not know.
    ///
    /// # Errors
    /// Of the ports.
    pub async fn restore(&self, terms: &Terms) -> Result<bool, Refusal> {
        let paid = self.escrows.paid(terms.app, &terms.packet).await?;
        Ok(self.packets.restore(terms, &paid).await?)
    }

    /// What a packet owes and the ledger has not posted.
    ///
    /// # Errors
    /// Of the ports.
    pub async fn unpaid(&self, app: AppId, packet: &PacketId) -> Result<Vec<Settlement>, Refusal> {
        let snapshot = self.packets.snapshot(app, packet).await?;
        let winners = self.winners(&snapshot).await?;
        let paid = self.escrows.paid(app, packet).await?;
        Ok(unpaid(&snapshot, &winners, &paid, self.packets.now_ms().await?))
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
            for (claim, result) in batch.iter().zip(self.escrows.settle(batch).await?) {
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
pub fn unpaid(snapshot: &Snapshot, winners: &[Winner], paid: &[Paid], now_ms: u64) -> Vec<Settlement> {
    let posted: HashSet<(Kind, &UserId)> = paid.iter().map(|paid| (paid.kind, &paid.user)).collect();
    let claim = |kind, user: &UserId, amount, time_ms| Settlement {
        app: snapshot.terms.app,
        packet: snapshot.terms.packet.clone(),
        kind,
        user: user.clone(),
        amount,
        time_ms,
    };
    let shares = winners.iter().map(|winner| claim(Kind::Grab, &winner.user, winner.amount, winner.time_ms));
    let unposted = |claim: &Settlement| !posted.contains(&(claim.kind, &claim.user));
    let mut claims: Vec<Settlement> = shares.filter(unposted).collect();
    // Packets that forgot a grab which was paid would refund more than there is.
    let gone = paid.iter().map(|paid| paid.amount).chain(claims.iter().map(|claim| claim.amount)).sum();
    let refund = snapshot.refunded.min(snapshot.terms.total.less(gone));
    // When it was closed is not kept; it was not before its time, or it is as young as can be.
    let refund = claim(Kind::Refund, &snapshot.terms.sender, refund, snapshot.terms.expires_ms.min(now_ms));
    if refund.amount.is_positive() && unposted(&refund) {
        claims.push(refund);
    }
    claims
}

#[cfg(test)]
mod tests {
    use chat_protocol::red_packet::{Mode, State};
    use chat_protocol::{MsgId, Target};

    use super::*;
    use crate::money::Cents;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn snapshot(grabbed: i64, refunded: i64) -> Snapshot {
        let open = Cents::new(9 - grabbed - refunded);
        let (grabbed, refunded) = (Cents::new(grabbed), Cents::new(refunded));
        let terms = Terms {
            app: 1,
            packet: PacketId::new("p").unwrap(),
            sender: user("s"),
            target: Target::World,
            incarnation: None,
            total: Cents::new(9),
            count: 3,
            mode: Mode::Equal,
            greeting: String::new(),
            msg_id: MsgId::new("m").unwrap(),
            created_ms: 1,
            expires_ms: 5,
        };
        Snapshot { terms, state: State::Expired, grabbed, grabbed_count: 1, refunded, open, luckiest: None }
    }

    fn owed(snapshot: &Snapshot, winners: &[&str], paid: &[(Kind, &str, i64)]) -> Vec<(Kind, String, i64)> {
        let winner = |(number, name): (u32, &&str)| Winner {
            number,
            user: user(name),
            amount: Cents::new(3),
            time_ms: 2,
        };
        let winners: Vec<_> = (1..).zip(winners).map(winner).collect();
        let paid = paid.iter().map(|(kind, name, amount)| Paid {
            kind: *kind,
            user: user(name),
            amount: Cents::new(*amount),
            time_ms: 2,
        });
        let claims = unpaid(snapshot, &winners, &paid.collect::<Vec<_>>(), 7);
        claims.into_iter().map(|claim| (claim.kind, claim.user.to_string(), claim.amount.get())).collect()
    }

    #[test]
    fn what_is_owed_is_what_was_won_and_left_and_is_not_paid() {
        let claim = |kind, name: &str, amount| (kind, name.to_owned(), amount);
        let all = owed(&snapshot(6, 3), &["a", "b"], &[(Kind::Grab, "a", 3)]);
        assert_eq!(all, [claim(Kind::Grab, "b", 3), claim(Kind::Refund, "s", 3)]);
        assert_eq!(owed(&snapshot(6, 0), &["a", "b"], &[]).len(), 2);
        let paid = [(Kind::Grab, "a", 3), (Kind::Refund, "s", 6)];
        assert_eq!(owed(&snapshot(3, 6), &["a"], &paid), []);
    }

    #[test]
    fn packets_that_forgot_a_winner_refund_no_more_than_there_is() {
        let left = owed(&snapshot(3, 6), &["b"], &[(Kind::Grab, "a", 3)]);
        assert_eq!(left, [(Kind::Grab, "b".to_owned(), 3), (Kind::Refund, "s".to_owned(), 3)]);
        let paid = [(Kind::Grab, "a", 3), (Kind::Grab, "b", 3), (Kind::Grab, "c", 3)];
        assert_eq!(owed(&snapshot(0, 9), &[], &paid), []);
    }
}
