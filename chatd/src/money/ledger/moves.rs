//! What a transfer does, told from its row alone.
//!
//! Invariant: a row is one of the moves that [`super::book`] posts, in kind, accounts, packet and id, or it is none.

use std::str::FromStr;

use chat_protocol::wallet::TransferKind;
use chat_protocol::{PacketId, UserId};

use super::book::{self, BANK};
use super::funding_id;
use super::records::TransferRecord;
use crate::money::Cents;
use crate::money::settlement::{Kind, Settlement};

/// A move of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Between the bank and a wallet.
    Cash,
    /// From a sender into a packet.
    Funding {
        /// The packet.
        packet: PacketId,
        /// Who gives.
        sender: UserId,
    },
    /// From a packet to a wallet.
    Payment {
        /// The packet.
        packet: PacketId,
        /// What for.
        kind: Kind,
        /// To whom.
        user: UserId,
    },
}

/// An account by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// Where deposits come from and withdrawals go.
    Bank,
    /// A user's.
    Wallet(UserId),
    /// A packet's.
    Escrow(PacketId),
}

impl FromStr for Account {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let none = |_| format!("{name:?} is no name of an account");
        if let Some(user) = book::owner(name) {
            return UserId::new(user).map(Account::Wallet).map_err(none);
        }
        if let Some(packet) = book::packet_of(name) {
            return PacketId::new(packet).map(Account::Escrow).map_err(none);
        }
        if name == BANK { Ok(Account::Bank) } else { Err(format!("{name:?} is no name of an account")) }
    }
}

/// Name of a packet's account.
#[must_use]
pub fn escrow(packet: &str) -> String {
    [book::ESCROW, packet].concat()
}

impl TransferRecord {
    /// What it does.
    ///
    /// # Errors
    /// A text that describes a transfer nobody posts.
    pub fn read(&self) -> Result<Move, String> {
        self.legal().ok_or_else(|| {
            let Self { id, debit, credit, amount, kind, packet } = self;
            let packet = packet.as_deref().map_or_else(String::new, |packet| format!(" for packet {packet}"));
            format!(
                "{amount} cents went from {debit} to {credit} as {kind} {id}{packet}, as nothing ever does"
            )
        })
    }

    fn legal(&self) -> Option<Move> {
        use Account::{Bank, Escrow, Wallet};
        let kind: TransferKind = self.kind.parse().ok()?;
        let (from, to): (Account, Account) = (self.debit.parse().ok()?, self.credit.parse().ok()?);
        if !self.amount.is_positive() {
            return None;
        }
        let found = match (kind, from, to) {
            (TransferKind::Deposit, Bank, Wallet(_)) | (TransferKind::Withdrawal, Wallet(_), Bank) => {
                return (self.packet.is_none() && !book::is_own_id(&self.id)).then_some(Move::Cash);
            }
            (TransferKind::Packet, Wallet(sender), Escrow(packet)) => Move::Funding { packet, sender },
            (TransferKind::Grab, Escrow(packet), Wallet(user)) => {
                Move::Payment { packet, kind: Kind::Grab, user }
            }
            (TransferKind::Refund, Escrow(packet), Wallet(user)) => {
                let is_rest = self.id.starts_with("rest:");
                Move::Payment { packet, kind: if is_rest { Kind::Rest } else { Kind::Refund }, user }
            }
            _ => return None,
        };
        let (packet, id) = found.names()?;
        (self.packet.as_deref() == Some(packet.as_str()) && self.id == id).then_some(found)
    }
}

impl Move {
    /// The packet, and the id it is posted under.
    fn names(&self) -> Option<(&PacketId, String)> {
        match self {
            Move::Cash => None,
            Move::Funding { packet, .. } => Some((packet, funding_id(packet))),
            Move::Payment { packet, kind, user } => {
                let (of, to) = (packet.clone(), user.clone());
                let settlement =
                    Settlement { app: 0, packet: of, kind: *kind, user: to, amount: Cents::ZERO, time_ms: 0 };
                Some((packet, settlement.transfer_id()))
            }
        }
    }

    /// The packet it belongs to.
    #[must_use]
    pub fn packet(&self) -> Option<&PacketId> {
        match self {
            Move::Cash => None,
            Move::Funding { packet, .. } | Move::Payment { packet, .. } => Some(packet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> TransferRecord {
        let parts: Vec<&str> = text.split(' ').collect();
        let [kind, id, debit, credit, amount, packet] = parts[..] else { panic!("{text}") };
        TransferRecord {
            id: id.to_owned(),
            debit: debit.to_owned(),
            credit: credit.to_owned(),
            amount: Cents::new(amount.parse().unwrap()),
            kind: kind.to_owned(),
            packet: Some(packet.to_owned()).filter(|packet| packet != "-"),
        }
    }

    #[test]
    fn what_the_book_posts_is_a_move() {
        for (text, packet) in [
            ("deposit t bank wallet:a 1 -", None),
            ("withdrawal t wallet:a bank 1 -", None),
            ("packet packet:p wallet:a escrow:p 1 p", Some("p")),
            ("grab grab:1:p:a escrow:p wallet:a 1 p", Some("p")),
            ("refund refund:p escrow:p wallet:a 1 p", Some("p")),
            ("refund rest:p escrow:p wallet:a 1 p", Some("p")),
        ] {
            let read = record(text).read().unwrap();
            assert_eq!(read.packet().map(PacketId::as_str), packet, "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "deposit t wallet:b wallet:a 1 -",
            "deposit t escrow:p wallet:a 1 -",
            "deposit t bank escrow:p 1 -",
            "deposit t bank wallet:a 1 p",
            "deposit t bank wallet:a 0 -",
            "deposit t bank wallet: 1 -",
            "deposit grab:1:p:a bank wallet:a 1 -",
            "withdrawal t bank wallet:a 1 -",
            "withdrawal packet:p wallet:a bank 1 -",
            "packet packet:p escrow:p wallet:a 1 p",
            "packet packet:p wallet:a escrow:q 1 p",
            "packet packet:q wallet:a escrow:p 1 p",
            "packet packet:p wallet:a escrow:p 1 -",
            "packet packet:p bank escrow:p 1 p",
            "grab grab:1:p:b escrow:p wallet:a 1 p",
            "grab grab:1:p:a escrow:p escrow:a 1 p",
            "grab grab:1:q:a escrow:p wallet:a 1 p",
            "grab x escrow:p wallet:a 1 p",
            "refund refund:q escrow:p wallet:a 1 p",
            "refund rest:q escrow:p wallet:a 1 p",
            "gift t bank wallet:a 1 -",
        ] {
            let refused = record(text).read().unwrap_err();
            assert!(refused.contains(record(text).id.as_str()), "{refused}");
        }
    }
}
