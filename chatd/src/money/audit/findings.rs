//! What an audit finds in what was read.
//!
//! Invariant: nothing is read here; the same input always gives the same findings.

use std::collections::{HashMap, HashSet};

use chat_protocol::red_packet::{AuditResponse, MAX_VIOLATIONS, Violation};
use chat_protocol::{PacketId, UserId};

use crate::money::Cents;
use crate::money::ledger::{Escrow, Paid};
use crate::money::packets::{Standing, Winner};
use crate::money::settlement::Kind;

/// The rest of a packet may take so long to be on its way after its end, in milliseconds.
const OVERDUE_MS: u64 = 5 * 60 * 1000;

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    /// None before anything was looked at.
    pub answer: Option<AuditResponse>,
    /// Packets with unsettled shares or refunds.
    pub unsettled: Vec<Escrow>,
}

impl Findings {
    /// The answer as far as it is known.
    pub fn answer(&mut self) -> &mut AuditResponse {
        self.answer.get_or_insert_with(empty)
    }

    /// Notes a broken rule.
    pub fn violation(&mut self, packet: Option<&PacketId>, rule: &str, detail: String) {
        let answer = self.answer();
        answer.violation_count += 1;
        if answer.violations.len() < MAX_VIOLATIONS {
            answer.violations.push(Violation { packet_id: packet.cloned(), rule: rule.to_owned(), detail });
        }
    }

    /// What a packet says about itself.
    pub fn packet_alone(
        &mut self,
        standing: &Standing,
        winners: &[Winner],
        packet: &PacketId,
        funded: Cents,
    ) {
        let Standing { grabbed, refunded, open, grabbed_count, .. } = standing;
        let sum = grabbed.checked_add(*refunded).and_then(|sum| sum.checked_add(*open));
        if sum != Some(funded) || standing.terms.total != funded {
            let detail = format!(
                "{funded} cents were put in, but {grabbed} grabbed + {refunded} refunded + {open} open of {}",
                standing.terms.total
            );
            self.violation(Some(packet), "total", detail);
        }
        let won: Cents = winners.iter().map(|winner| winner.amount).sum();
        if won != *grabbed || winners.len() != *grabbed_count as usize {
            let detail = format!(
                "{grabbed} cents in {grabbed_count} shares are grabbed, but {} winners have {won}",
                winners.len()
            );
            self.violation(Some(packet), "winner", detail);
        }
        let mut seen = HashMap::new();
        for (winner, number) in winners.iter().zip(1..) {
            if winner.number != number || winner.amount == 0 {
                let detail =
                    format!("winner {number} is numbered {} with {} cents", winner.number, winner.amount);
                self.violation(Some(packet), "winner", detail);
            }
            if let Some(first) = seen.insert(&winner.user, number) {
                let detail = format!("{} won twice, as number {first} and {number}", winner.user);
                self.violation(Some(packet), "winner", detail);
            }
        }
    }

    /// What nobody took of a packet whose time is over has gone, or is not long due.
    pub fn rest(&mut self, standing: &Standing, escrow: &Escrow, now_ms: u64) {
        let (terms, open) = (&escrow.terms, standing.open);
        if open > 0 && now_ms > terms.expires_ms.saturating_add(OVERDUE_MS) {
            let detail = format!("its time is over, and {open} cents have not gone back to {}", terms.sender);
            self.violation(Some(&terms.packet), "refund", detail);
        }
    }

    /// Every payment has its winner, or is the refund. Who is not paid yet is looked at later.
    pub fn payments(&mut self, standing: &Standing, winners: &[Winner], paid: &[Paid], escrow: &Escrow) {
        let (terms, packet) = (&escrow.terms, &escrow.terms.packet);
        let won: HashMap<&UserId, Cents> =
            winners.iter().map(|winner| (&winner.user, winner.amount)).collect();
        let mut seen = HashSet::new();
        for Paid { kind, user, amount, .. } in paid {
            if !seen.insert((kind, user)) {
                let rule = if *kind == Kind::Grab { "settlement" } else { "refund" };
                self.violation(Some(packet), rule, format!("{user} was paid once more, {amount} cents"));
            }
            match kind {
                Kind::Grab if won.get(user) != Some(amount) => {
                    let detail = match won.get(user) {
                        Some(won) => format!("{user} won {won} cents and was paid {amount}"),
                        None => format!("{user} won nothing and was paid {amount} cents"),
                    };
                    self.violation(Some(packet), "settlement", detail);
                }
                Kind::Refund if *user != terms.sender || *amount != standing.refunded => {
                    let (due, sender) = (standing.refunded, &terms.sender);
                    let detail = format!("{due} cents are {sender}'s to get back; {user} was paid {amount}");
                    self.violation(Some(packet), "refund", detail);
                }
                Kind::Grab | Kind::Refund | Kind::Rest => {}
            }
        }
        let owed = winners.len() + usize::from(standing.refunded > 0);
        if paid.len() < owed {
            self.unsettled.push(escrow.clone());
        }
    }
}

/// Of nothing.
pub fn empty() -> AuditResponse {
    AuditResponse {
        holds: true,
        packets: 0,
        total: 0,
        grabbed: 0,
        refunded: 0,
        open: 0,
        unsettled: 0,
        unsettled_amount: 0,
        queued: 0,
        dead_letters: 0,
        ledger_sum: 0,
        violation_count: 0,
        violations: Vec::new(),
    }
}
