//! What an audit finds.
//!
//! Invariant: nothing is read here; the same input always gives the same findings.

use chat_protocol::PacketId;
use chat_protocol::red_packet::{AuditResponse, MAX_VIOLATIONS, Violation};

use crate::money::settlement::Settlement;

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    /// As far as it is known.
    pub answer: AuditResponse,
    /// Shares and refunds that no transfer pays. Whether they are on their way is looked at later.
    pub unpaid: Vec<Settlement>,
}

impl Findings {
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
