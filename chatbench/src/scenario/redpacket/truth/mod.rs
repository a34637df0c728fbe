//! Whether the clients, the packets, the wallets and the audit say the same, to the cent.
//!
//! Invariant: whatever two of them contradict each other in is a discrepancy, named with what both sides say.

#![deny(clippy::float_arithmetic)]

mod claims;
mod packets;
mod wallets;

use chat_protocol::UserId;
use chat_protocol::red_packet::AuditResponse;
use chatbench_result::model::Discrepancy;

use crate::scenario::redpacket::bank::{Books, Packet};
use crate::scenario::redpacket::record::Record;

/// Discrepancies that are kept; all are counted.
const KEPT: usize = 20;

/// What the reconciliation found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// All of them.
    pub count: u64,
    /// The first ones.
    pub kept: Vec<Discrepancy>,
}

/// What is compared.
pub struct Case<'a> {
    /// The packets as they were created.
    pub packets: &'a [Packet],
    /// The clients.
    pub users: &'a [UserId],
    /// What each of them saw.
    pub records: &'a [Record],
    /// What the server says.
    pub books: &'a Books,
    /// Whether nothing else happens in the app.
    pub is_alone: bool,
}

impl Findings {
    /// Adds one.
    fn add(&mut self, discrepancy: Discrepancy) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push(discrepancy);
        }
    }

    /// Adds one unless both sides agree.
    fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        place: &Place<'_>,
        what: &str,
        expected: T,
        found: T,
    ) {
        if expected != found {
            self.add(place.broken(format!("{what} {expected}"), format!("{what} {found}")));
        }
    }
}

/// Where something is compared.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    rule: &'static str,
    packet: Option<&'a Packet>,
    user: Option<&'a UserId>,
}

impl Place<'_> {
    fn broken(&self, expected: impl Into<String>, found: impl Into<String>) -> Discrepancy {
        Discrepancy {
            rule: self.rule.to_owned(),
            packet: self.packet.map(|packet| packet.id.to_string()),
            user: self.user.map(ToString::to_string),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Compares everything with everything.
pub fn reconcile(case: &Case<'_>) -> Findings {
    let mut findings = Findings::default();
    let claims = claims::of(case, &mut findings);
    packets::compare(case, &claims, &mut findings);
    wallets::compare(case, &mut findings);
    audit(case, &mut findings);
    findings
}

fn audit(case: &Case<'_>, findings: &mut Findings) {
    let place = Place { rule: "audit", packet: None, user: None };
    let found: &AuditResponse = &case.books.audit;
    if !found.holds || found.violation_count > 0 || !found.violations.is_empty() {
        let named: Vec<_> =
            found.violations.iter().take(3).map(|v| format!("{}: {}", v.rule, v.detail)).collect();
        findings
            .add(place.broken("no broken rule", format!("{} ({})", found.violation_count, named.join("; "))));
    }
    findings.same(&place, "sum of the ledger", 0, found.ledger_sum);
    findings.same(&place, "unsettled", 0, found.unsettled);
    if !case.is_alone {
        return;
    }
    let details = &case.books.details;
    findings.same(&place, "packets", case.packets.len() as u64, found.packets);
    findings.same(&place, "total", case.packets.iter().map(|packet| packet.total).sum(), found.total);
    findings.same(&place, "grabbed", details.iter().map(|detail| detail.grabbed).sum(), found.grabbed);
    findings.same(&place, "refunded", details.iter().map(|detail| detail.refunded).sum(), found.refunded);
    findings.same(&place, "open", details.iter().map(|detail| detail.open).sum(), found.open);
}
