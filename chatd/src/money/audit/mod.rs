//! The proof that no cent is lost: what the packets say, what the ledger says, and whether they agree.
//!
//! Invariant: nothing is read twice as if it were one moment. Payments are read before winners, so every payment must
//! have its winner; winners without a payment are asked for again after the queue was counted, so each must have been
//! in the queue then.

mod findings;

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::red_packet::{AuditResponse, MAX_VIOLATIONS};
use chat_protocol::{AppId, PacketId, Refusal};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::findings::{Findings, empty};
use crate::clock::Clock;
use crate::money::Cents;
use crate::money::claims::{Claims, unpaid};
use crate::money::ledger::{Escrow, Ledger, LedgerError, Paid};
use crate::money::packets::{PacketError, Packets};
use crate::money::settlement::{Depth, Kind, Queue, QueueError, Settlement};

/// Packets in one read.
const PAGE: u32 = 1000;
/// A settlement that is younger may be in the hands of a worker whom no queue counts.
const IN_HAND_MS: u64 = 30_000;
/// How long a worker that can settle may take for what it has in its hands, and how often that is looked at.
const HANDS_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Dead letters looked at. Where there are more, that is what is wrong, and nothing else is said to be missing.
const DEAD_LETTERS: usize = 1000;

/// See the file's head.
pub struct Auditor {
    packets: Arc<dyn Packets>,
    ledger: Arc<dyn Ledger>,
    claims: Arc<Claims>,
    queues: Vec<Arc<dyn Queue>>,
    clock: Arc<dyn Clock>,
    /// One of the audits of a whole app works, the others wait: each reads everything.
    turn: Mutex<()>,
}

impl Auditor {
    /// Audits these stores; settlements travel over `queues`, the outbox first.
    #[must_use]
    pub fn new(
        (packets, ledger): (Arc<dyn Packets>, Arc<dyn Ledger>),
        claims: Arc<Claims>,
        queues: Vec<Arc<dyn Queue>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { packets, ledger, claims, queues, clock, turn: Mutex::default() }
    }

    /// Looks at one packet, or at all of an app and at the app's accounts.
    ///
    /// # Errors
    /// When a store does not answer, or there is no such packet. What is wrong with the money is no error but the answer.
    pub async fn audit(&self, app: AppId, packet: Option<&PacketId>) -> Result<AuditResponse, Refusal> {
        let _turn = match packet {
            Some(_) => None,
            None => Some(self.turn.lock().await),
        };
        let mut findings = Findings::default();
        match packet {
            Some(packet) => {
                let escrow = self.ledger.escrow(app, packet).await?;
                self.packet(escrow, &mut findings).await?;
            }
            None => {
                let mut after = None;
                loop {
                    let page = self.ledger.escrows(app, after.as_ref(), PAGE).await?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.terms.packet.clone());
                    for escrow in page {
                        self.packet(escrow, &mut findings).await?;
                    }
                }
                self.accounts(app, &mut findings).await?;
            }
        }
        let dead = self.dead_letters(app, packet, &mut findings).await?;
        self.missing(dead, &mut findings).await?;
        let mut answer = findings.answer.unwrap_or_else(empty);
        answer.holds = answer.violation_count == 0;
        Ok(answer)
    }

    async fn packet(&self, escrow: Escrow, findings: &mut Findings) -> Result<(), Refusal> {
        let terms = escrow.terms.clone();
        let answer = findings.answer();
        answer.packets += 1;
        answer.total += terms.total;
        // What cannot even be read is a finding too, and no reason not to look at the other packets.
        let mut unreadable = |rule: &str, detail: String| {
            findings.violation(Some(&terms.packet), rule, detail);
            Ok(())
        };
        let paid = match self.ledger.paid(terms.app, &terms.packet).await {
            Err(LedgerError::Corrupt(detail)) => return unreadable("escrow", detail),
            paid => paid?,
        };
        let standing = match self.packets.standing(terms.app, &terms.packet).await {
            Err(PacketError::NoSuchPacket) => return self.unknown(&escrow, &paid, findings).await,
            Err(PacketError::Corrupt(detail)) => return unreadable("total", detail),
            standing => standing?,
        };
        let winners = match self.claims.winners(&standing).await {
            Err(PacketError::Corrupt(detail)) => return unreadable("winner", detail),
            winners => winners?,
        };
        let answer = findings.answer();
        answer.grabbed += standing.grabbed;
        answer.refunded += standing.refunded;
        answer.open += standing.open;
        findings.packet_alone(&standing, &winners, &terms.packet, terms.total);
        findings.rest(&standing, &escrow, self.clock.now_ms());
        findings.payments(&standing, &winners, &paid, &escrow);
        self.escrow_balance(&escrow, findings).await
    }

    /// Not in the packets: being created right now, forgotten and refunded, or lost. The ledger alone tells of it.
    async fn unknown(&self, escrow: &Escrow, paid: &[Paid], findings: &mut Findings) -> Result<(), Refusal> {
        let terms = &escrow.terms;
        let sum = |kind| paid.iter().filter(|paid| paid.kind == kind).map(|paid| paid.amount).sum::<Cents>();
        let answer = findings.answer();
        answer.grabbed += sum(Kind::Grab);
        answer.refunded += sum(Kind::Refund);
        // Its balance may be of another moment than its payments.
        answer.open += terms.total.saturating_sub(sum(Kind::Grab) + sum(Kind::Refund));
        let young = self.clock.now_ms().saturating_sub(terms.created_ms) < IN_HAND_MS;
        if escrow.balance > 0 && (escrow.announced || !young) {
            let detail = format!(
                "the packets do not know it; its escrow holds {} cents of {}",
                escrow.balance, terms.sender
            );
            findings.violation(Some(&terms.packet), "lost", detail);
        }
        self.escrow_balance(escrow, findings).await
    }

    /// What an escrow holds is what was put in less what was paid; both read at one moment, or not compared.
    async fn escrow_balance(&self, escrow: &Escrow, findings: &mut Findings) -> Result<(), Refusal> {
        let terms = &escrow.terms;
        for _ in 0..5 {
            let before = self.ledger.escrow(terms.app, &terms.packet).await?.balance;
            let paid: Cents =
                self.ledger.paid(terms.app, &terms.packet).await?.iter().map(|paid| paid.amount).sum();
            let after = self.ledger.escrow(terms.app, &terms.packet).await?.balance;
            if before == after {
                if paid.checked_add(after) != Some(terms.total) {
                    let detail = format!("{} cents put in, {paid} paid out, {after} left", terms.total);
                    findings.violation(Some(&terms.packet), "escrow", detail);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    async fn accounts(&self, app: AppId, findings: &mut Findings) -> Result<(), Refusal> {
        let check = self.ledger.check(app).await?;
        findings.answer().ledger_sum = check.sum;
        if check.sum != 0 {
            findings.violation(
                None,
                "ledger",
                format!("all balances together are {} cents, not 0", check.sum),
            );
        }
        for (account, off) in check.wrong {
            let detail = format!("the balance of {account} is {off} cents off from its transfers");
            findings.violation(None, "ledger", detail);
        }
        Ok(())
    }

    /// How many there are.
    async fn dead_letters(
        &self,
        app: AppId,
        packet: Option<&PacketId>,
        findings: &mut Findings,
    ) -> Result<u64, Refusal> {
        let mut count = 0;
        for queue in &self.queues {
            let dead = queue.dead(app, DEAD_LETTERS).await?;
            if dead.len() == DEAD_LETTERS {
                count = u64::MAX;
                let detail = format!("{DEAD_LETTERS} settlements or more were given up; replay them first");
                findings.violation(None, "deadLetter", detail);
            }
            for dead in dead {
                let settlement: Option<Settlement> = serde_json::from_slice(&dead.body).ok();
                let about = settlement.as_ref().map(|settlement| &settlement.packet);
                if packet.is_none() || about == packet {
                    count = count.saturating_add(1);
                    let detail = format!("settlement {} was given up: {}", dead.id, dead.reason);
                    findings.violation(about, "deadLetter", detail);
                }
            }
        }
        Ok(count)
    }

    /// Whether everything unsettled is on its way.
    async fn missing(&self, dead: u64, findings: &mut Findings) -> Result<(), Refusal> {
        let unsettled = std::mem::take(&mut findings.unsettled);
        let mut found = self.on_their_way(&unsettled, dead).await?;
        let patience = Instant::now() + HANDS_PATIENCE;
        while !found.missing.is_empty() && Instant::now() < patience {
            // RabbitMQ does not tell what other nodes received from it; they settle it as soon as they can.
            tokio::time::sleep(LOOK_AGAIN).await;
            found = self.on_their_way(&unsettled, dead).await?;
        }
        let answer = findings.answer();
        (answer.unsettled, answer.unsettled_amount) = (found.unsettled, found.unsettled_amount);
        (answer.queued, answer.dead_letters) = (found.depth.waiting, found.depth.dead);
        for claim in found.missing {
            let (rule, what) = match claim.kind {
                Kind::Grab => ("settlement", "won"),
                Kind::Refund | Kind::Rest => ("refund", "is to get back"),
            };
            let detail = format!(
                "{} {what} {} cents that are on no way to him; replaying the packet pays them",
                claim.user, claim.amount
            );
            findings.violation(Some(&claim.packet), rule, detail);
        }
        Ok(())
    }

    /// The queue is counted first: whoever is still unpaid after that and is not young was in it then, or is one of the
    /// `dead` letters of what was looked at.
    async fn on_their_way(&self, unsettled: &[Escrow], dead: u64) -> Result<Unsettled, Refusal> {
        let mut found = Unsettled::default();
        for queue in &self.queues {
            let more = queue.depth().await?;
            found.depth.waiting += more.waiting;
            found.depth.dead += more.dead;
        }
        let mut late = 0_u64;
        for escrow in unsettled {
            let (app, packet) = (escrow.terms.app, &escrow.terms.packet);
            let standing = match self.packets.standing(app, packet).await {
                // Forgotten since it was looked at.
                Err(PacketError::NoSuchPacket) => continue,
                standing => standing?,
            };
            let winners = self.claims.winners(&standing).await?;
            let paid = self.ledger.paid(app, packet).await?;
            for claim in unpaid(&standing, &winners, &paid, self.clock.now_ms()) {
                found.unsettled += 1;
                found.unsettled_amount += claim.amount;
                if self.clock.now_ms().saturating_sub(claim.time_ms) >= IN_HAND_MS {
                    late += 1;
                    if found.missing.len() < MAX_VIOLATIONS {
                        found.missing.push(claim);
                    }
                }
            }
        }
        if late <= found.depth.waiting.saturating_add(dead) {
            found.missing.clear();
        }
        Ok(found)
    }
}

/// What is not settled.
#[derive(Default)]
struct Unsettled {
    depth: Depth,
    /// Shares and refunds.
    unsettled: u64,
    /// Cents of them.
    unsettled_amount: Cents,
    /// Those among which there are some that no queue holds; at most [`MAX_VIOLATIONS`].
    missing: Vec<Settlement>,
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        tracing::warn!(%error, "settlements");
        Refusal::unreachable("settlements")
    }
}
