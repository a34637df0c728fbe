//! The wallets against the packets: what was put in, given, won and given back.
//!
//! Invariant: a balance is the sum of its transfers, and every share and every refund is exactly one transfer.

use std::collections::{HashMap, HashSet};

use chat_protocol::PacketId;
use chat_protocol::red_packet::State;
use chat_protocol::wallet::{Transfer, TransferKind};

use super::{Case, Findings, Place};
use crate::scenario::redpacket::bank::Wallet;

/// What a packet does to a wallet: signed cents by packet and kind.
type Moves<'a> = HashMap<(&'a PacketId, TransferKind), i64>;

/// Compares all wallets.
pub fn compare(case: &Case<'_>, findings: &mut Findings) {
    let mut moves: HashMap<&str, Moves<'_>> = HashMap::new();
    for (packet, detail) in case.packets.iter().zip(&case.books.details) {
        let given = moves.entry(packet.from.as_str()).or_default();
        given.insert((&packet.id, TransferKind::Packet), -signed(packet.total));
        let rest = packet.total.saturating_sub(detail.grabbed);
        // Between the expiry and the next look of the server's sweeper the rest is still called open.
        if detail.state == State::Expired && detail.open == 0 && rest > 0 {
            given.insert((&packet.id, TransferKind::Refund), signed(rest));
        }
        for winner in &detail.winners {
            let won = moves.entry(winner.user_id.as_str()).or_default();
            won.insert((&packet.id, TransferKind::Grab), signed(winner.amount));
        }
    }
    for wallet in &case.books.wallets {
        compare_one(case, wallet, moves.remove(wallet.user.as_str()).unwrap_or_default(), findings);
    }
}

fn compare_one<'a>(case: &'a Case<'_>, wallet: &'a Wallet, mut expected: Moves<'a>, findings: &mut Findings) {
    let place = Place { rule: "wallet", packet: None, user: Some(&wallet.user) };
    let balance = expected.values().sum::<i64>() + signed(wallet.deposited);
    findings.same(&place, "balance", balance, signed(wallet.balance));
    let sum = wallet.transfers.iter().map(|transfer| transfer.amount).sum();
    findings.same(&place, "sum of the transfers", signed(wallet.balance), sum);
    let mut ids = HashSet::new();
    let mut deposited = 0;
    for transfer in &wallet.transfers {
        if !ids.insert((transfer.number, transfer.transfer_id.as_str())) {
            findings.add(place.broken("every transfer once", format!("{} again", transfer.transfer_id)));
        }
        match (transfer.kind, &transfer.packet_id) {
            (TransferKind::Deposit, _) => deposited += transfer.amount,
            (kind, Some(id)) => match expected.remove(&(id, kind)) {
                Some(amount) if amount == transfer.amount => {}
                Some(amount) => {
                    findings.add(of(case, &place, id).broken(words(kind, amount), told(transfer)))
                }
                None => findings.add(of(case, &place, id).broken("no further transfer", told(transfer))),
            },
            (_, None) => findings.add(place.broken("the packet of every transfer", told(transfer))),
        }
    }
    findings.same(&place, "deposits", signed(wallet.deposited), deposited);
    for ((id, kind), amount) in expected {
        findings.add(of(case, &place, id).broken(words(kind, amount), "no transfer"));
    }
}

/// The same place, with the packet.
fn of<'a>(case: &'a Case<'_>, place: &Place<'a>, id: &PacketId) -> Place<'a> {
    Place { rule: "settlement", packet: case.packets.iter().find(|packet| packet.id == *id), ..*place }
}

fn words(kind: TransferKind, amount: i64) -> String {
    format!("a transfer {} of {amount}", kind.as_str())
}

fn told(transfer: &Transfer) -> String {
    format!("{} ({})", words(transfer.kind, transfer.amount), transfer.transfer_id)
}

/// Cents of any wallet fit: deposits are bounded far below.
fn signed(cents: u64) -> i64 {
    i64::try_from(cents).unwrap_or(i64::MAX)
}
