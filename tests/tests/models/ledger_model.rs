//! Random deposits, withdrawals, packets, settlements, repeats and restarts against a simple model of the ledger.
//!
//! Invariant: every answer is the model's, and so is every balance, packet and transfer at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_protocol::TransferId;
use chat_tests::broker::{APP, user};
use chat_tests::ledger::{Vault, all_transfers, cashed, escrows, grab, holds, packet, refund, terms};
use chat_tests::money::cents;
use chatd::money::Cents;
use chatd::money::ledger::{Cashed, Funded, Ledger, LedgerError, Posted};
use chatd::money::settlement::Settlement;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const USERS: [&str; 4] = ["a", "b:1", "帝", "'"];
const PACKETS: [&str; 3] = ["p", "p:1", "1:p"];
/// A moment that is later than all others.
const NEVER_MS: u64 = u64::MAX;

#[derive(Debug, Clone)]
enum Action {
    /// To whom, cents, under which id.
    Deposit(usize, u64, u8),
    /// From whom, cents, under which id.
    Withdraw(usize, u64, u8),
    /// Which packet, by whom, cents.
    Fund(usize, usize, u64),
    Settle(Vec<Settlement>),
    Announce(usize),
    /// At most so many.
    TakeDue(u32),
    Postpone(usize),
    /// An earlier action, counted back from the latest.
    Again(usize),
    Reopen,
}

fn settlement() -> impl Strategy<Value = Settlement> {
    let numbers = (0..PACKETS.len(), 0..USERS.len(), 0..12_u64, prop::bool::weighted(0.1));
    numbers.prop_map(|(packet, user, amount, is_refund)| {
        let (packet, user) = (PACKETS[packet], USERS[user]);
        if is_refund { refund(packet, user, amount) } else { grab(packet, user, amount) }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let (users, packets) = (0..USERS.len(), 0..PACKETS.len());
    prop_oneof![
        3 => (users.clone(), 0..40_u64, 0..6_u8).prop_map(|(user, amount, id)| Action::Deposit(user, amount, id)),
        1 => (users.clone(), 0..40_u64, 0..6_u8).prop_map(|(user, amount, id)| Action::Withdraw(user, amount, id)),
        3 => (packets.clone(), users, 0..30_u64).prop_map(|(packet, user, total)| Action::Fund(packet, user, total)),
        6 => prop::collection::vec(settlement(), 0..8).prop_map(Action::Settle),
        1 => packets.clone().prop_map(Action::Announce),
        1 => (0..4_u32).prop_map(Action::TakeDue),
        1 => packets.prop_map(Action::Postpone),
        3 => (0..5_usize).prop_map(Action::Again),
        1 => Just(Action::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Held {
    sender: usize,
    total: u64,
    left: u64,
    announced: bool,
    /// Nobody is to look at it any more.
    done: bool,
}

/// What the ledger should know.
#[derive(Debug, Default)]
struct Model {
    wallets: [u64; USERS.len()],
    /// By id: to or from whom, and how much; negative when it was withdrawn.
    cash: BTreeMap<u8, (usize, i64)>,
    packets: BTreeMap<usize, Held>,
    settled: BTreeMap<String, Settlement>,
    /// Cents of each wallet's transfers, the oldest first.
    moves: [Vec<i64>; USERS.len()],
}

fn index(names: &[&str], name: &str) -> usize {
    names.iter().position(|known| *known == name).expect("a known name")
}

impl Model {
    fn moved(&mut self, user: usize, cents: i64) {
        self.wallets[user] = self.wallets[user].checked_add_signed(cents).expect("no overdraft");
        self.moves[user].push(cents);
    }

    fn cash(&mut self, user: usize, cents: i64, id: u8) -> Result<Cashed, LedgerError> {
        if cents == 0 {
            return Err(LedgerError::TooLarge);
        }
        match self.cash.get(&id) {
            Some(earlier) if *earlier == (user, cents) => cashed(Posted::Before, self.wallets[user]),
            Some(_) => Err(LedgerError::IdTaken),
            None if self.wallets[user].checked_add_signed(cents).is_none() => Err(LedgerError::Insufficient),
            None => {
                self.cash.insert(id, (user, cents));
                self.moved(user, cents);
                cashed(Posted::Now, self.wallets[user])
            }
        }
    }

    fn fund(&mut self, id: usize, sender: usize, total: u64) -> Result<Funded, LedgerError> {
        if let Some(held) = self.packets.get(&id) {
            return Ok(Funded::Before(terms(PACKETS[id], USERS[held.sender], held.total)));
        }
        if total == 0 {
            return Err(LedgerError::TooLarge);
        }
        if self.wallets[sender] < total {
            return Err(LedgerError::Insufficient);
        }
        self.moved(sender, -total.cast_signed());
        self.packets.insert(id, Held { sender, total, left: total, ..Held::default() });
        Ok(Funded::Now)
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<Posted, LedgerError> {
        if settlement.amount == Cents::ZERO {
            return Err(LedgerError::TooLarge);
        }
        if let Some(earlier) = self.settled.get(&settlement.transfer_id()) {
            return if earlier == settlement { Ok(Posted::Before) } else { Err(LedgerError::IdTaken) };
        }
        let held = self.packets.get_mut(&index(&PACKETS, settlement.packet.as_str()));
        let held = held.ok_or(LedgerError::NoSuchPacket)?;
        held.left = held.left.checked_sub(settlement.amount.unsigned()).ok_or(LedgerError::Insufficient)?;
        self.settled.insert(settlement.transfer_id(), settlement.clone());
        self.moved(index(&USERS, settlement.user.as_str()), settlement.amount.get());
        Ok(Posted::Now)
    }
}

async fn act(ledger: &dyn Ledger, model: &mut Model, action: &Action) {
    match action {
        Action::Deposit(to, amount, id) => {
            let name = TransferId::new(&id.to_string()).expect("a valid id");
            let found = ledger.deposit(APP, &user(USERS[*to]), cents(*amount), &name).await;
            assert_eq!(found, model.cash(*to, amount.cast_signed(), *id));
        }
        Action::Withdraw(from, amount, id) => {
            let name = TransferId::new(&id.to_string()).expect("a valid id");
            let found = ledger.withdraw(APP, &user(USERS[*from]), cents(*amount), &name).await;
            assert_eq!(found, model.cash(*from, -amount.cast_signed(), *id));
        }
        Action::Fund(id, sender, total) => {
            let found = ledger.fund(&terms(PACKETS[*id], USERS[*sender], *total)).await;
            assert_eq!(found, model.fund(*id, *sender, *total));
        }
        Action::Settle(settlements) => {
            let wanted = settlements.iter().map(|settlement| model.settle(settlement)).collect();
            assert_eq!(ledger.settle(settlements).await, Ok(wanted));
        }
        Action::Announce(id) => {
            let held = model.packets.get_mut(id).ok_or(LedgerError::NoSuchPacket);
            let wanted = held.map(|held| held.announced = true);
            assert_eq!(ledger.announced(APP, &packet(PACKETS[*id])).await, wanted);
        }
        Action::TakeDue(limit) => {
            // Of one moment far in the future: every packet that is not done with, whoever had it before.
            let found = ledger.take_due(NEVER_MS, NEVER_MS, *limit).await.expect("taken");
            let open = model.packets.iter().filter(|(_, held)| !held.done);
            let open: BTreeSet<&str> = open.map(|(id, _)| PACKETS[*id]).collect();
            assert!(found.iter().all(|(app, id)| *app == APP && open.contains(id.as_str())), "{found:?}");
            assert_eq!(found.len(), open.len().min(*limit as usize));
        }
        Action::Postpone(id) => {
            assert_eq!(ledger.postpone(APP, &packet(PACKETS[*id]), NEVER_MS).await, Ok(()));
            // Not while it holds money.
            model.packets.get_mut(id).into_iter().for_each(|held| held.done |= held.left == 0);
        }
        Action::Again(_) | Action::Reopen => {}
    }
}

async fn compare(ledger: &dyn Ledger, model: &Model) {
    holds(ledger).await;
    for (name, (held, moves)) in USERS.iter().zip(model.wallets.iter().zip(&model.moves)) {
        assert_eq!(ledger.balance(APP, &user(name)).await, Ok(cents(*held)), "{name}");
        let found = all_transfers(ledger, name, 3).await;
        assert!(found.iter().rev().map(|transfer| transfer.amount).eq(moves.iter().copied()), "{name}");
    }
    for (id, held) in &model.packets {
        let id = PACKETS[*id];
        let found = ledger.escrow(APP, &packet(id)).await.expect("a packet");
        assert_eq!((found.balance, found.announced), (cents(held.left), held.announced), "{id}");
        let paid: u64 = ledger
            .paid(APP, &packet(id))
            .await
            .expect("listed")
            .iter()
            .map(|paid| paid.amount.unsigned())
            .sum();
        assert_eq!(paid + held.left, held.total, "{id}");
    }
    assert_eq!(escrows(ledger, APP).await.len(), model.packets.len());
}

async fn run(vault: Vault, actions: Vec<Action>) {
    let (mut ledger, mut model): (Arc<dyn Ledger>, _) = (vault.ledger().await, Model::default());
    for (number, action) in actions.iter().enumerate() {
        match action {
            Action::Again(back) => {
                let earlier = number.checked_sub(back + 1).map(|earlier| &actions[earlier]);
                act(&*ledger, &mut model, earlier.unwrap_or(action)).await;
            }
            Action::Reopen => ledger = vault.ledger().await,
            action => act(&*ledger, &mut model, action).await,
        }
    }
    compare(&*ledger, &model).await;
}

fn check(cases: u32, vault: impl AsyncFn() -> Vault) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let all = prop::collection::vec(action(), 1..60);
    let test = |actions| {
        runtime.block_on(async { run(vault().await, actions).await });
        Ok(())
    };
    runner.run(&all, test).expect("the model and the ledger agree");
}

#[test]
fn the_embedded_ledger_does_what_the_model_does() {
    check(100, async || Vault::embedded());
}

#[test]
fn the_ledger_in_postgresql_does_what_the_model_does() {
    check(12, Vault::postgres);
}
