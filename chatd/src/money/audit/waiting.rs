//! Shares and refunds that no transfer pays: whether they are on their way, name by name.
//!
//! Invariant: nobody's settlement stands for another's. What a queue holds is known by its id and its amount; only a
//! queue that cannot name what it holds is believed to have it, and not for ever.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::{AppId, Refusal};

use super::Auditor;
use super::findings::Findings;
use crate::money::ledger::moves::escrow;
use crate::money::settlement::{Kind, Settlement};

/// How often it is looked whether a settlement that is nowhere was only between two places, and how long between.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Settlements read at once.
const PAGE: usize = 1000;
/// Dead letters that are read. Where there are more, nothing is said to be missing: it may be among the others.
pub const DEAD_LETTERS: usize = 10_000;
/// So long a settlement may be in a queue that cannot name it, in milliseconds.
pub const UNNAMED_MS: u64 = 10 * 60 * 1000;

/// Where what is not paid was looked for.
#[derive(Default)]
pub(super) struct Found {
    /// By id.
    ids: HashSet<String>,
    /// Not every queue can tell what it holds.
    is_vague: bool,
}

impl Found {
    /// Whether a queue was seen to hold it.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Whether a queue may hold more than was seen.
    pub(super) fn is_vague(&self) -> bool {
        self.is_vague
    }

    fn add<'a>(&mut self, wanted: &HashMap<String, Settlement>, bodies: impl Iterator<Item = &'a Bytes>) {
        for body in bodies {
            let Ok(held) = serde_json::from_slice::<Settlement>(body) else { continue };
            let id = held.transfer_id();
            let is_it = |wanted: &Settlement| (wanted.app, wanted.amount) == (held.app, held.amount);
            if wanted.get(&id).is_some_and(is_it) {
                self.ids.insert(id);
            }
        }
    }
}

impl Auditor {
    /// Counts what is unpaid and names what is on no way.
    pub(super) async fn on_their_way(&self, app: AppId, findings: &mut Findings) -> Result<(), Refusal> {
        let unpaid = std::mem::take(&mut findings.unpaid);
        let mut unpaid: HashMap<String, Settlement> =
            unpaid.into_iter().map(|claim| (claim.transfer_id(), claim)).collect();
        let mut found = Found::default();
        for look in 0..LOOKS {
            if unpaid.is_empty() {
                break;
            }
            found = self.look_for(app, &unpaid).await?;
            let missing: Vec<&Settlement> =
                unpaid.iter().filter(|(id, _)| !found.ids.contains(*id)).map(|(_, claim)| claim).collect();
            if missing.is_empty() {
                break;
            }
            // Whatever is settled was posted before it left its queue.
            for id in self.posted(app, &missing).await? {
                unpaid.remove(&id);
            }
            let is_lost = unpaid.keys().any(|id| !found.ids.contains(id));
            if found.is_vague || !is_lost || look + 1 == LOOKS {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let now_ms = self.packets.now_ms().await?;
        let mut claims: Vec<(String, Settlement)> = unpaid.into_iter().collect();
        claims.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (id, claim) in claims {
            findings.answer.unsettled += 1;
            findings.sums.unsettled.grow(claim.amount);
            if !found.ids.contains(&id) {
                missing(&claim, &id, found.is_vague, now_ms, findings);
            }
        }
        Ok(())
    }

    /// Which of these any queue holds.
    pub(super) async fn look_for(
        &self,
        app: AppId,
        wanted: &HashMap<String, Settlement>,
    ) -> Result<Found, Refusal> {
        let mut found = Found::default();
        for queue in &self.queues {
            let mut after = None;
            loop {
                let Some(page) = queue.waiting(app, after.as_deref(), PAGE).await? else {
                    found.is_vague = true;
                    break;
                };
                let Some((last, _)) = page.last() else { break };
                found.add(wanted, page.iter().map(|(_, body)| body));
                after = Some(last.clone());
            }
            let dead = queue.dead(app, DEAD_LETTERS).await?;
            found.is_vague |= dead.len() == DEAD_LETTERS;
            found.add(wanted, dead.iter().map(|dead| &dead.body));
        }
        Ok(found)
    }

    /// Which of these were posted by now.
    pub(super) async fn posted(
        &self,
        app: AppId,
        claims: &[&Settlement],
    ) -> Result<HashSet<String>, Refusal> {
        let mut escrows: Vec<String> = claims.iter().map(|claim| escrow(claim.packet.as_str())).collect();
        escrows.sort_unstable();
        escrows.dedup();
        let mut posted = HashSet::new();
        for escrows in escrows.chunks(PAGE / 10) {
            let statement = self.records.statement(app, escrows).await?;
            let payments = statement.transfers.into_iter().filter(|transfer| transfer.read().is_ok());
            posted.extend(payments.map(|transfer| transfer.id));
        }
        Ok(posted)
    }
}

fn missing(claim: &Settlement, id: &str, is_vague: bool, now_ms: u64, findings: &mut Findings) {
    let (rule, what) = match claim.kind {
        Kind::Grab => ("settlement", "won"),
        Kind::Refund | Kind::Rest => ("refund", "is to get back"),
    };
    let (user, amount, age_ms) = (&claim.user, claim.amount, now_ms.saturating_sub(claim.time_ms));
    if !is_vague {
        let detail = format!(
            "{user} {what} {amount} cents that are on no way to them ({id}); replaying the packet pays them"
        );
        findings.violation(Some(&claim.packet), rule, detail);
    } else if age_ms >= UNNAMED_MS {
        let detail = format!(
            "{user} {what} {amount} cents and has not got them for {} s ({id}); whether the queue still has them it \
             cannot tell; replaying the packet pays them",
            age_ms / 1000
        );
        findings.violation(Some(&claim.packet), "overdue", detail);
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::{PacketId, UserId};

    use super::*;
    use crate::money::Cents;

    fn claim(user: &str, cents: i64, kind: Kind) -> Settlement {
        let amount = Cents::new(cents);
        let (packet, user) = (PacketId::new("p").unwrap(), UserId::new(user).unwrap());
        Settlement { app: 1, packet, kind, user, amount, time_ms: 5 }
    }

    #[test]
    fn only_the_very_settlement_is_one_that_waits() {
        let wanted = HashMap::from(
            [claim("a", 5, Kind::Grab), claim("s", 7, Kind::Refund)].map(|of| (of.transfer_id(), of)),
        );
        let found = |held: &Settlement| {
            let (mut found, body) = (Found::default(), Bytes::from(serde_json::to_vec(held).unwrap()));
            found.add(&wanted, [&body, &Bytes::from_static(b"{")].into_iter());
            found.ids.len()
        };
        assert_eq!(found(&claim("a", 5, Kind::Grab)), 1);
        // When a packet was closed is not kept.
        assert_eq!(found(&Settlement { time_ms: 9, ..claim("s", 7, Kind::Refund) }), 1);
        for other in [
            claim("a", 6, Kind::Grab),
            claim("b", 5, Kind::Grab),
            claim("s", 6, Kind::Refund),
            Settlement { app: 2, ..claim("a", 5, Kind::Grab) },
            Settlement { packet: PacketId::new("q").unwrap(), ..claim("a", 5, Kind::Grab) },
        ] {
            assert_eq!(found(&other), 0, "{other:?}");
        }
    }

    #[test]
    fn a_queue_that_cannot_tell_is_believed_for_a_while() {
        let judged = |is_vague, age_ms: u64| {
            let (mut findings, claim) = (Findings::default(), claim("a", 5, Kind::Grab));
            missing(&claim, "id", is_vague, claim.time_ms + age_ms, &mut findings);
            findings.answer.violations.pop().map(|violation| violation.rule)
        };
        assert_eq!(judged(true, UNNAMED_MS - 1), None);
        assert_eq!(judged(true, UNNAMED_MS).as_deref(), Some("overdue"));
        assert_eq!(judged(false, 0).as_deref(), Some("settlement"));
    }
}
