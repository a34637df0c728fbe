//! Double entry: what may be posted and what it does to balances, the same for every adapter.
//!
//! Invariant: an adapter shows the book the accounts and transfers that postings touch, keeps everybody else from
//! them, and writes what the book says, all in one transaction.

use std::collections::{BTreeSet, HashMap};

use chat_protocol::wallet::TransferKind;
use chat_protocol::{AppId, PacketId, TransferId, UserId};

use super::{Cents, LedgerError, Posted, Terms, funding_id};
use crate::money::settlement::{Kind, Settlement};

/// Name of the account where deposits come from and withdrawals go; the only one that may be overdrawn.
pub const BANK: &str = "bank";
const WALLET: &str = "wallet:";
pub const ESCROW: &str = "escrow:";
/// How ids begin that are not for operators: [`funding_id`] and [`Settlement::transfer_id`].
const OWN_IDS: [&str; 4] = ["packet:", "grab:", "refund:", "rest:"];

/// Name of a user's account.
pub fn wallet(user: &UserId) -> String {
    format!("{WALLET}{user}")
}

/// Name of a packet's account.
pub fn escrow(packet: &PacketId) -> String {
    format!("{ESCROW}{packet}")
}

/// Whose wallet an account is; none when it is no wallet.
pub fn owner(account: &str) -> Option<&str> {
    account.strip_prefix(WALLET)
}

/// Whose escrow an account is; none when it is no escrow.
pub fn packet_of(account: &str) -> Option<&str> {
    account.strip_prefix(ESCROW)
}

/// Whether an id is like those that chatd makes up.
pub fn is_own_id(id: &str) -> bool {
    OWN_IDS.iter().any(|own| id.starts_with(own))
}

/// An account: its app and its name.
pub type Account = (AppId, String);

/// A transfer to be posted, or one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub app: AppId,
    pub id: String,
    /// Name of the account it takes from.
    pub debit: String,
    /// Name of the account it gives to.
    pub credit: String,
    /// At least one cent.
    pub amount: Cents,
    pub kind: TransferKind,
    pub packet: Option<String>,
}

impl Posting {
    pub fn fund(terms: &Terms) -> Result<Self, LedgerError> {
        Ok(Self {
            app: terms.app,
            id: funding_id(&terms.packet),
            debit: wallet(&terms.sender),
            credit: escrow(&terms.packet),
            amount: amount(terms.total)?,
            kind: TransferKind::Packet,
            packet: Some(terms.packet.to_string()),
        })
    }

    pub fn settle(settlement: &Settlement) -> Result<Self, LedgerError> {
        Ok(Self {
            app: settlement.app,
            id: settlement.transfer_id(),
            debit: escrow(&settlement.packet),
            credit: wallet(&settlement.user),
            amount: amount(settlement.amount)?,
            kind: match settlement.kind {
                Kind::Grab => TransferKind::Grab,
                Kind::Refund | Kind::Rest => TransferKind::Refund,
            },
            packet: Some(settlement.packet.to_string()),
        })
    }

    pub fn deposit(app: AppId, user: &UserId, amount: Cents, id: &TransferId) -> Result<Self, LedgerError> {
        let (id, kind, packet) = (id.to_string(), TransferKind::Deposit, None);
        Self { app, id, debit: BANK.to_owned(), credit: wallet(user), amount, kind, packet }.cash()
    }

    pub fn withdraw(app: AppId, user: &UserId, amount: Cents, id: &TransferId) -> Result<Self, LedgerError> {
        let (id, kind, packet) = (id.to_string(), TransferKind::Withdrawal, None);
        Self { app, id, debit: wallet(user), credit: BANK.to_owned(), amount, kind, packet }.cash()
    }

    /// Between the bank and a wallet, under an operator's id.
    fn cash(self) -> Result<Self, LedgerError> {
        if is_own_id(&self.id) {
            return Err(LedgerError::IdTaken);
        }
        Ok(Self { amount: amount(self.amount)?, ..self })
    }

    /// The account it takes from.
    pub fn from(&self) -> Account {
        (self.app, self.debit.clone())
    }

    /// The account it gives to.
    pub fn to(&self) -> Account {
        (self.app, self.credit.clone())
    }
}

fn amount(cents: Cents) -> Result<Cents, LedgerError> {
    Some(cents).filter(|cents| cents.is_positive()).ok_or(LedgerError::TooLarge)
}

/// Accounts and transfers that postings touch, and what becomes of them.
#[derive(Debug, Default)]
pub struct Book {
    balances: HashMap<Account, Cents>,
    posted: HashMap<(AppId, String), Posting>,
    new: Vec<Posting>,
    changed: BTreeSet<Account>,
}

impl Book {
    /// An account with its balance.
    pub fn show_account(&mut self, account: Account, balance: Cents) {
        self.balances.insert(account, balance);
    }

    /// A transfer that was posted earlier.
    pub fn show_posted(&mut self, posting: Posting) {
        self.posted.insert((posting.app, posting.id.clone()), posting);
    }

    /// What the account holds; nothing when there is none.
    pub fn balance(&self, account: &Account) -> Cents {
        self.balances.get(account).copied().unwrap_or_default()
    }

    /// Whether the account was shown, or has got something.
    pub fn knows(&self, account: &Account) -> bool {
        self.balances.contains_key(account)
    }

    /// Posts a transfer if it may be. An error changes nothing.
    pub fn post(&mut self, posting: &Posting) -> Result<Posted, LedgerError> {
        let key = (posting.app, posting.id.clone());
        if let Some(earlier) = self.posted.get(&key) {
            return if earlier == posting { Ok(Posted::Before) } else { Err(LedgerError::IdTaken) };
        }
        let (from, to) = (posting.from(), posting.to());
        if posting.debit.starts_with(ESCROW) && !self.knows(&from) {
            return Err(LedgerError::NoSuchPacket);
        }
        let left = self.balance(&from).checked_sub(posting.amount).ok_or(LedgerError::TooLarge)?;
        if left < Cents::ZERO && posting.debit != BANK {
            return Err(LedgerError::Insufficient);
        }
        let held = self.balance(&to).checked_add(posting.amount).ok_or(LedgerError::TooLarge)?;
        self.balances.insert(from.clone(), left);
        self.balances.insert(to.clone(), held);
        self.changed.extend([from, to]);
        self.posted.insert(key, posting.clone());
        self.new.push(posting.clone());
        Ok(Posted::Now)
    }

    /// What was posted now, in order.
    pub fn new_postings(&self) -> &[Posting] {
        &self.new
    }

    /// Accounts that changed, and what they hold now.
    pub fn changes(&self) -> impl Iterator<Item = (&Account, Cents)> {
        self.changed.iter().map(|account| (account, self.balance(account)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(id: &str, debit: &str, credit: &str, cents: i64) -> Posting {
        let amount = Cents::new(cents);
        let [id, debit, credit] = [id, debit, credit].map(str::to_owned);
        Posting { app: 1, id, debit, credit, amount, kind: TransferKind::Grab, packet: None }
    }

    #[test]
    fn only_the_bank_may_be_overdrawn() {
        let mut book = Book::default();
        assert_eq!(book.post(&posting("1", BANK, "wallet:a", 5)), Ok(Posted::Now));
        assert_eq!(book.post(&posting("2", "wallet:a", "escrow:p", 6)), Err(LedgerError::Insufficient));
        assert_eq!(book.post(&posting("3", "wallet:b", "escrow:p", 1)), Err(LedgerError::Insufficient));
        assert_eq!(book.post(&posting("4", "escrow:p", "wallet:a", 1)), Err(LedgerError::NoSuchPacket));
        assert_eq!(book.post(&posting("5", "wallet:a", "escrow:p", 5)), Ok(Posted::Now));
        assert_eq!(book.post(&posting("6", "escrow:p", "wallet:b", 2)), Ok(Posted::Now));
        let changes: Vec<_> =
            book.changes().map(|((_, name), balance)| (name.as_str(), balance.get())).collect();
        assert_eq!(changes, [("bank", -5), ("escrow:p", 3), ("wallet:a", 0), ("wallet:b", 2)]);
        let new: Vec<_> = book.new_postings().iter().map(|posting| posting.id.as_str()).collect();
        assert_eq!(new, ["1", "5", "6"]);
    }

    #[test]
    fn what_would_overflow_changes_nothing() {
        let mut book = Book::default();
        book.show_account((1, "wallet:a".to_owned()), Cents::MAX);
        assert_eq!(book.post(&posting("1", BANK, "wallet:a", 1)), Err(LedgerError::TooLarge));
        book.show_account((1, BANK.to_owned()), Cents::new(i64::MIN));
        assert_eq!(book.post(&posting("2", BANK, "wallet:b", 1)), Err(LedgerError::TooLarge));
        assert_eq!(book.changes().count(), 0);
    }

    #[test]
    fn amounts_are_at_least_one_cent() {
        for (cents, is_amount) in [(-1, false), (0, false), (1, true), (i64::MAX, true)] {
            assert_eq!(amount(Cents::new(cents)).is_ok(), is_amount, "{cents}");
        }
    }
}
