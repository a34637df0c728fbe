//! What an audit finds.
//!
//! Invariant: nothing is read here; the same input always gives the same findings.

use chat_protocol::PacketId;
use chat_protocol::red_packet::{AuditResponse, MAX_VIOLATIONS, Violation};

use crate::money::Cents;
use crate::money::settlement::Settlement;

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    /// As far as it is known, its sums of money excepted.
    pub answer: AuditResponse,
    /// These.
    pub sums: Sums,
    /// Shares and refunds that no transfer pays. Whether they are on their way is looked at later.
    pub unpaid: Vec<Settlement>,
}

/// Money of the packets looked at, as [`AuditResponse`] names it.
#[derive(Default)]
pub struct Sums {
    /// Put into them.
    pub total: Cents,
    /// Taken out by winners.
    pub grabbed: Cents,
    /// Goes, or has gone, back.
    pub refunded: Cents,
    /// Can still be taken.
    pub open: Cents,
    /// Is on its way to the ledger.
    pub unsettled: Cents,
}

impl Findings {
    /// All of it.
    pub fn into_answer(self) -> AuditResponse {
        let Sums { total, grabbed, refunded, open, unsettled } = self.sums;
        AuditResponse {
            total: total.unsigned(),
            grabbed: grabbed.unsigned(),
            refunded: refunded.unsigned(),
            open: open.unsigned(),
            unsettled_amount: unsettled.unsigned(),
            ..self.answer
        }
    }

    /// Notes a broken rule.
    pub fn violation(&mut self, packet: Option<&PacketId>, rule: &str, detail: String) {
        let answer = &mut self.answer;
        answer.holds = false;
        answer.violation_count += 1;
        if answer.violations.len() < MAX_VIOLATIONS {
            answer.violations.push(Violation { packet_id: packet.cloned(), rule: rule.to_owned(), detail });
        }
    }
}
