//! What a store keeps of a packet, as it stands there: for the audit, which believes none of it.
//!
//! Invariant: a record is of one moment. What a store keeps twice, in whatever form, is compared by its adapter, which
//! tells what differs; the rest is given as it is.

use super::{PacketError, Winner};
use crate::money::{Cents, Terms};

/// Something in the store that contradicts something else there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The broken rule, as `redPacket/audit` names it.
    pub rule: &'static str,
    /// What was found.
    pub detail: String,
}

impl Flaw {
    /// Of this rule.
    #[must_use]
    pub fn new(rule: &'static str, detail: String) -> Self {
        Self { rule, detail }
    }
}

/// A packet as its store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub terms: Terms,
    /// Cents of each share that nobody has taken and that was not refunded.
    pub rest: Vec<Cents>,
    /// Who took the others, in the order they did.
    pub winners: Vec<Winner>,
    /// Cents taken, as the store has summed them up.
    pub grabbed: Cents,
    /// Cents of the refund; none before it is closed.
    pub refunded: Option<Cents>,
    /// What differs from what else is kept of it.
    pub flaws: Vec<Flaw>,
}

/// A part of the packets that a store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// In no promised order; one may come more than once.
    pub names: Vec<String>,
    /// Packets of which a part is kept by itself; those that are whole are among the names too.
    pub parts: Vec<String>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// What the sums that a store keeps must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sums<'a> {
    /// Shares that are left.
    pub left: u64,
    /// The greatest share taken; 0 before there is one.
    pub best: Cents,
    /// Who took it, the first of them.
    pub luckiest: Option<&'a str>,
}

impl<'a> Sums<'a> {
    /// Of these winners of a packet of so many shares.
    pub(crate) fn of(winners: &'a [Winner], count: u32) -> Self {
        let best = winners.iter().map(|winner| winner.amount).max().unwrap_or_default();
        let luckiest = winners.iter().find(|winner| winner.amount == best);
        let left = u64::from(count).saturating_sub(winners.len() as u64);
        Self { left, best, luckiest: luckiest.map(|winner| winner.user.as_str()) }
    }

    /// What differs from them.
    pub(crate) fn flaws(&self, left: u64, best: Cents, luckiest: Option<&str>) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if left != self.left {
            let detail = format!("{left} shares are left by its count, {} by its winners", self.left);
            flaws.push(Flaw::new("share", detail));
        }
        if (best, luckiest) != (self.best, self.luckiest) {
            let named = |whom: Option<&str>| whom.unwrap_or("nobody").to_owned();
            let detail = format!(
                "the greatest share is kept as {best} cents of {}, and is {} cents of {}",
                named(luckiest),
                self.best,
                named(self.luckiest)
            );
            flaws.push(Flaw::new("winner", detail));
        }
        flaws
    }
}

/// Something that is kept beside the terms and is not what they say.
pub(crate) fn differs(what: &str, kept: impl std::fmt::Display, terms: impl std::fmt::Display) -> Flaw {
    Flaw::new("terms", format!("its {what} is kept as {kept}, and is {terms} by its terms"))
}

/// A packet of which something cannot be read.
pub(crate) fn unreadable(what: &str, detail: impl std::fmt::Display) -> PacketError {
    PacketError::Corrupt(format!("{what} cannot be read: {detail}"))
}
