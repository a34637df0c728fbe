//! A packet held against the ledger: every share has one owner, every win one payment of just that amount, every payment
//! its win, and both stores tell of the same packet.
//!
//! Invariant: nothing is read here. The transfers were read before the record, and a payment is posted after its win: so
//! each of them must have its win in the record.

use std::collections::{HashMap, HashSet};

use chat_protocol::red_packet::Mode;
use chat_protocol::{AppId, PacketId, UserId};

use super::findings::Findings;
use crate::money::ledger::moves::{self, Move};
use crate::money::ledger::records::{PacketRow, TransferRecord};
use crate::money::packets::record::Record;
use crate::money::settlement::{Kind, Settlement};
use crate::money::{Cents, Terms, Total};

/// The rest of a packet may take so long to be on its way after its end, in milliseconds.
const OVERDUE_MS: u64 = 5 * 60 * 1000;
/// A packet that is younger may be still on its way into the packets, in milliseconds.
const YOUNG_MS: u64 = 30_000;

/// What the ledger has of a packet, at one moment.
pub struct Account<'a> {
    /// The packet.
    pub id: &'a PacketId,
    /// Its row.
    pub row: &'a PacketRow,
    /// What the row tells.
    pub terms: &'a Terms,
    /// What is in its escrow; none when there is no such account.
    pub balance: Option<Cents>,
    /// All transfers that touch the escrow.
    pub transfers: &'a [&'a TransferRecord],
}

/// What left an escrow as it should.
#[derive(Default)]
struct Payments<'a> {
    shares: Vec<(UserId, &'a TransferRecord)>,
    refunds: Vec<(UserId, &'a TransferRecord)>,
}

impl Payments<'_> {
    fn sum(of: &[(UserId, &TransferRecord)]) -> Cents {
        of.iter().map(|(_, transfer)| transfer.amount).sum()
    }
}

/// Looks at a packet; without a record the packets do not know it.
pub fn examine(
    app: AppId,
    account: &Account<'_>,
    record: Option<&Record>,
    now_ms: u64,
    findings: &mut Findings,
) {
    findings.sums.total.grow(account.terms.total);
    row(app, account, findings);
    let payments = escrow(account, findings);
    match record {
        None => unknown(account, &payments, now_ms, findings),
        Some(record) => {
            let sums = &mut findings.sums;
            sums.grabbed.grow(record.grabbed);
            sums.refunded.grow(record.refunded.unwrap_or_default());
            sums.open.grow(record.rest.iter().sum());
            alike(account, record, findings);
            shares(account, record, findings);
            winners(account.id, record, findings);
            overdue(account, record, now_ms, findings);
            paid_shares(account, record, &payments.shares, findings);
            refund(account, record, &payments.refunds, now_ms, findings);
        }
    }
}

/// The row is about the packet that its terms tell of.
fn row(app: AppId, account: &Account<'_>, findings: &mut Findings) {
    let Account { id, row, terms, .. } = account;
    let mut differs = |what: &str, kept: String, told: String| {
        if kept != told {
            let detail = format!("its {what} is {kept} in the ledger and {told} by its terms there");
            findings.violation(Some(id), "terms", detail);
        }
    };
    differs("app", app.to_string(), terms.app.to_string());
    differs("id", row.packet.clone(), terms.packet.to_string());
    differs("creation", row.created.to_string(), terms.created_ms.to_string());
    differs("end", row.expires.to_string(), terms.expires_ms.to_string());
}

/// The escrow was funded once, by these terms; it pays winners and sender only, and holds what is left.
fn escrow<'a>(account: &Account<'a>, findings: &mut Findings) -> Payments<'a> {
    let Account { id, terms, balance, transfers, .. } = account;
    let (mut payments, mut fundings) = (Payments::default(), 0);
    let mut moved = Total::default();
    for transfer in *transfers {
        let comes = transfer.credit == moves::escrow(id.as_str());
        moved = if comes { moved.plus(transfer.amount) } else { moved.minus(transfer.amount) };
        match transfer.read() {
            Ok(Move::Funding { sender, .. }) => {
                fundings += 1;
                if (&sender, transfer.amount) != (&terms.sender, terms.total) {
                    let detail = format!(
                        "{} cents came from {sender}, and by its terms {} from {}",
                        transfer.amount, terms.total, terms.sender
                    );
                    findings.violation(Some(id), "terms", detail);
                }
            }
            Ok(Move::Payment { kind: Kind::Grab, user, .. }) => payments.shares.push((user, transfer)),
            Ok(Move::Payment { user, .. }) => payments.refunds.push((user, transfer)),
            Ok(Move::Cash) => {}
            Err(why) => findings.violation(Some(id), "transfer", why),
        }
    }
    if fundings != 1 {
        findings.violation(Some(id), "escrow", format!("it was funded {fundings} times"));
    }
    match balance {
        None => findings.violation(Some(id), "escrow", "its escrow is not there".to_owned()),
        Some(balance) if moved != *balance => {
            let detail = format!("its escrow holds {balance} cents, and {moved} by its transfers");
            findings.violation(Some(id), "escrow", detail);
        }
        Some(_) => {}
    }
    payments
}

/// Not in the packets: being created right now, forgotten and refunded, or lost. The ledger alone tells of it.
fn unknown(account: &Account<'_>, payments: &Payments<'_>, now_ms: u64, findings: &mut Findings) {
    let Account { id, row, terms, balance, .. } = account;
    let (grabbed, refunded) = (Payments::sum(&payments.shares), Payments::sum(&payments.refunds));
    let sums = &mut findings.sums;
    sums.grabbed.grow(grabbed);
    sums.refunded.grow(refunded);
    sums.open.grow(terms.total.less(grabbed.saturating_add(refunded)));
    for (user, transfer) in &payments.refunds {
        if *user != terms.sender {
            let detail = format!("{user} got {} cents back that were {}'s", transfer.amount, terms.sender);
            findings.violation(Some(id), "refund", detail);
        }
    }
    let is_young = now_ms.saturating_sub(terms.created_ms) < YOUNG_MS;
    if balance.is_some_and(Cents::is_positive) && (row.announced || !is_young) {
        let held = balance.unwrap_or_default();
        let detail = format!("the packets do not know it; its escrow holds {held} cents of {}", terms.sender);
        findings.violation(Some(id), "lost", detail);
    }
}

/// Both stores tell of the same packet, and the packets do not contradict themselves.
fn alike(account: &Account<'_>, record: &Record, findings: &mut Findings) {
    let Account { id, terms, .. } = account;
    if record.terms != **terms {
        let detail = format!("the packets have {:?}, the ledger {terms:?}", record.terms);
        findings.violation(Some(id), "terms", detail);
    }
    for flaw in &record.flaws {
        findings.violation(Some(id), flaw.rule, flaw.detail.clone());
    }
}

/// Every share has an owner or is left, and together they are what was put in.
fn shares(account: &Account<'_>, record: &Record, findings: &mut Findings) {
    let Account { id, terms, .. } = account;
    let won: Vec<Cents> = record.winners.iter().map(|winner| winner.amount).collect();
    let (taken, left): (Cents, Cents) = (won.iter().sum(), record.rest.iter().sum());
    let refunded = record.refunded.unwrap_or_default();
    if [taken, left, refunded].into_iter().collect::<Total>() != terms.total {
        let detail = format!(
            "{} cents were put in, but {taken} taken + {refunded} refunded + {left} left",
            terms.total
        );
        findings.violation(Some(id), "total", detail);
    }
    let (winners, rest) = (won.len(), record.rest.len());
    let is_whole = match record.refunded {
        None => winners + rest == terms.count as usize,
        Some(_) => rest == 0 && winners <= terms.count as usize,
    };
    if !is_whole {
        let detail = format!("of {} shares {winners} are taken and {rest} left", terms.count);
        findings.violation(Some(id), "share", detail);
    }
    let (each, left_over) = terms.total.divided(terms.count);
    let more = if left_over.is_positive() { each.saturating_add(Cents::ONE) } else { each };
    let is_equal = |share: &Cents| [each, more].contains(share);
    let is_fair = |share: &Cents| share.is_positive() && (terms.mode != Mode::Equal || is_equal(share));
    for share in won.iter().chain(&record.rest).filter(|share| !is_fair(share)) {
        findings.violation(Some(id), "share", format!("a share is {share} cents of {}", terms.total));
    }
}

/// Nobody wins twice, and the winners have what is taken.
fn winners(id: &PacketId, record: &Record, findings: &mut Findings) {
    let won: Cents = record.winners.iter().map(|winner| winner.amount).sum();
    if won != record.grabbed {
        let (kept, count) = (record.grabbed, record.winners.len());
        let detail = format!("{kept} cents are kept as taken, but {count} winners have {won}");
        findings.violation(Some(id), "winner", detail);
    }
    let mut seen = HashMap::new();
    for (winner, number) in record.winners.iter().zip(1..) {
        if winner.number != number {
            let detail = format!("winner {number} is numbered {}", winner.number);
            findings.violation(Some(id), "winner", detail);
        }
        if let Some(first) = seen.insert(&winner.user, number) {
            let detail = format!("{} won twice, as number {first} and {number}", winner.user);
            findings.violation(Some(id), "winner", detail);
        }
    }
}

/// What nobody took of a packet whose time is over has gone, or is not long due.
fn overdue(account: &Account<'_>, record: &Record, now_ms: u64, findings: &mut Findings) {
    let (terms, left) = (account.terms, record.rest.iter().sum::<Cents>());
    if left.is_positive() && now_ms > terms.expires_ms.saturating_add(OVERDUE_MS) {
        let detail = format!("its time is over, and {left} cents have not gone back to {}", terms.sender);
        findings.violation(Some(account.id), "refund", detail);
    }
}

/// Every payment of a share has its winner; who has none is not paid yet.
fn paid_shares(
    account: &Account<'_>,
    record: &Record,
    paid: &[(UserId, &TransferRecord)],
    findings: &mut Findings,
) {
    let won: HashMap<&UserId, Cents> =
        record.winners.iter().map(|winner| (&winner.user, winner.amount)).collect();
    for (user, transfer) in paid {
        let (cents, won) = (transfer.amount, won.get(user));
        if won != Some(&cents) {
            let won = won.map_or("nothing".to_owned(), |won| format!("{won} cents"));
            let detail = format!("{user} won {won} and was paid {cents} cents");
            findings.violation(Some(account.id), "settlement", detail);
        }
    }
    let paid: HashSet<&UserId> = paid.iter().map(|(user, _)| user).collect();
    let unpaid = record.winners.iter().filter(|winner| !paid.contains(&winner.user));
    findings.unpaid.extend(unpaid.map(|winner| Settlement {
        app: account.terms.app,
        packet: account.id.clone(),
        kind: Kind::Grab,
        user: winner.user.clone(),
        amount: winner.amount,
        time_ms: winner.time_ms,
    }));
}

/// What went back is what was left, once, to the sender.
fn refund(
    account: &Account<'_>,
    record: &Record,
    paid: &[(UserId, &TransferRecord)],
    now_ms: u64,
    findings: &mut Findings,
) {
    let (id, terms) = (account.id, account.terms);
    let due = record.refunded.unwrap_or_default();
    for (user, transfer) in paid {
        if *user != terms.sender || transfer.amount != due {
            let detail = format!(
                "{due} cents are {}'s to get back; {user} was paid {}",
                terms.sender, transfer.amount
            );
            findings.violation(Some(id), "refund", detail);
        }
    }
    if paid.len() > 1 {
        findings.violation(Some(id), "refund", format!("it went back {} times", paid.len()));
    }
    if paid.is_empty() && due.is_positive() {
        findings.unpaid.push(Settlement {
            app: terms.app,
            packet: id.clone(),
            kind: Kind::Refund,
            user: terms.sender.clone(),
            amount: due,
            // When it was closed is not kept; it was not before its time, or it is as young as can be.
            time_ms: terms.expires_ms.min(now_ms),
        });
    }
}
