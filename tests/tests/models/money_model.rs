//! Random packets, grabs, repeats, rounds, crashes and restarts against a simple model of money.
//!
//! Invariant: after every step each packet's total is grabbed, refunded or open, what anybody was answered stays true,
//! and the audit holds; at the end all is settled and every wallet holds what the answers say.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use chat_protocol::red_packet::{GrabResponse, Mode, Outcome};
use chat_protocol::{Code, MsgId, PacketId, Refusal, Target};
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node, dismiss, group_id, members};
use chat_tests::ledger::{Vault, balance, endow, escrows};
use chat_tests::money::{CREATED_MS, cents};
use chat_tests::works::{self, Works};
use chatd::model::Conversation;
use chatd::model::Identity;
use chatd::money::ledger::Escrow;
use chatd::money::packets::PacketError;
use chatd::money::red_packet::{Offer, Offered};
use chatd::money::settlement::worker::Worker;
use chatd::money::sweeper::{AGAIN_MS, LATE_MS};
use chatd::money::{Cents, Terms};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const USERS: [&str; 4] = ["a", "b:1", "帝", "'"];
/// The first two are the members of the group.
const TARGETS: [&str; 3] = ["", "group:g", "user:b:1"];
const RICH: u64 = 200;
const EXPIRY_MS: u64 = 15_000;
/// After how long a receiver that was dropped is taken for dead.
const IDLE: Duration = Duration::from_millis(200);

/// After how many pauses the caller gives up.
type Patience = Option<usize>;

#[derive(Debug, Clone)]
enum Action {
    /// By whom, to what, how many cents in how many shares, under which id.
    Create(usize, usize, u64, u32, u8, Patience),
    /// From which of the funded packets, who.
    Grab(usize, usize, Patience),
    Advance(u64),
    Settle(Patience),
    Keep(Patience),
    /// The group is dismissed, perhaps without a word to its packets, and founded anew by the same people.
    Refound(bool),
    Reopen,
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![2 => Just(None), 1 => (0..8_usize).prop_map(Some)]
}

fn action() -> impl Strategy<Value = Action> {
    let users = 0..USERS.len();
    let offers = (users.clone(), 0..TARGETS.len(), 0..60_u64, 1..5_u32, 0..3_u8, patience());
    prop_oneof![
        3 => offers.prop_map(|(sender, target, more, count, id, patience)| {
            Action::Create(sender, target, more + u64::from(count), count, id, patience)
        }),
        8 => (0..12_usize, users, patience()).prop_map(|(packet, user, patience)| Action::Grab(packet, user, patience)),
        2 => (0..8000_u64).prop_map(Action::Advance),
        2 => patience().prop_map(Action::Settle),
        2 => patience().prop_map(Action::Keep),
        1 => any::<bool>().prop_map(Action::Refound),
        1 => Just(Action::Reopen),
    ]
}

/// What becomes of a future within so many pauses; then its caller is gone.
async fn within<F: Future>(patience: Patience, future: F) -> Option<F::Output> {
    let Some(mut left) = patience else { return Some(future.await) };
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn works(engine: &Engine, vault: &Vault, node: Node) -> Works {
    Works::new(engine, vault, node, EXPIRY_MS, IDLE).await
}

/// What clients know of a packet.
#[derive(Debug, Default)]
struct Known {
    /// Its creation was answered.
    created: bool,
    answered: BTreeMap<String, u64>,
    /// Who asked and was not answered.
    asked: BTreeSet<String>,
}

struct Model {
    engine: Engine,
    vault: Vault,
    now_ms: u64,
    known: BTreeMap<PacketId, Known>,
    /// Which of the groups `g` there is now.
    incarnation: Option<String>,
}

impl Model {
    fn is_for(&self, terms: &Terms, who: &str) -> bool {
        match &terms.target {
            Target::World => true,
            Target::Group(_) => !self.is_orphan(terms) && USERS[..2].contains(&who),
            Target::User(only) => only.as_str() == who,
        }
    }

    /// Whether it was offered to a former group.
    fn is_orphan(&self, terms: &Terms) -> bool {
        matches!(terms.target, Target::Group(_)) && terms.incarnation != self.incarnation
    }

    async fn found(&mut self, node: &Node) {
        node.create("g", &USERS[..2]).await;
        let membership = node.groups.membership(APP, &group_id("g"), &user(USERS[0])).await;
        self.incarnation = Some(membership.expect("a group").incarnation.to_string());
    }

    fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.engine.clock.set(self.now_ms);
        self.vault.clock.set(self.now_ms);
    }

    fn created(&mut self, offer: &Offer, before: Option<&Escrow>, answer: Option<Result<Offered, Refusal>>) {
        let is_same = before.is_some_and(|before| {
            let Terms { target, total, count, .. } = &before.terms;
            (target, *total, *count) == (&offer.target, offer.total, offer.count)
                && !self.is_orphan(&before.terms)
        });
        match answer {
            None => {}
            Some(Ok(Offered { terms, duplicate, .. })) => {
                assert_eq!((terms.total, terms.count), (offer.total, offer.count));
                assert!(before.is_none() || is_same);
                let known = self.known.entry(terms.packet).or_default();
                assert!(duplicate || !known.created, "it was created before");
                known.created = true;
            }
            Some(Err(refusal)) => {
                let created = before.is_some_and(|before| self.known[&before.terms.packet].created);
                assert!(!is_same || !created, "{refusal:?} to a repetition");
                let expected = [Code::RefusedByRule, Code::NotFound, Code::InsufficientBalance];
                assert!(expected.contains(&refusal.code), "{refusal:?}");
            }
        }
    }

    fn grabbed(&mut self, escrow: &Escrow, who: &str, answer: Option<Result<GrabResponse, Refusal>>) {
        let terms = &escrow.terms;
        let is_for = self.is_for(terms, who);
        let known = self.known.get_mut(&terms.packet).expect("a known packet");
        let had = known.answered.get(who).copied();
        match answer {
            None => _ = known.asked.insert(who.to_owned()),
            Some(Ok(GrabResponse { outcome: Outcome::Won, amount })) => {
                assert!(had.is_none() && amount > 0 && is_for && self.now_ms < terms.expires_ms);
                known.answered.insert(who.to_owned(), amount);
            }
            Some(Ok(GrabResponse { outcome: Outcome::Already, amount })) => {
                assert!(had.is_some() || known.asked.contains(who), "{who} never asked");
                assert_eq!(*known.answered.entry(who.to_owned()).or_insert(amount), amount);
            }
            Some(Ok(GrabResponse { outcome: Outcome::Expired, .. })) => {
                assert!(had.is_none() && (self.now_ms >= terms.expires_ms || !known.created));
            }
            Some(Ok(GrabResponse { outcome: Outcome::Empty, .. })) => assert_eq!(had, None),
            Some(Err(refusal)) => match refusal.code {
                Code::RefusedByRule => assert!(!is_for),
                Code::NotFound => assert!(!known.created),
                _ => panic!("{refusal:?}"),
            },
        }
    }

    async fn act(&mut self, works: Works, action: &Action) -> Works {
        match action {
            Action::Create(sender, target, total, count, id, patience) => {
                let offer = Offer {
                    sender: Identity { app: APP, user: user(USERS[*sender]) },
                    target: TARGETS[*target].parse().expect("a target"),
                    total: cents(*total),
                    count: *count,
                    mode: Mode::Lucky,
                    greeting: String::new(),
                    msg_id: MsgId::new(&id.to_string()).expect("an id"),
                };
                let funded = self.funded(&works).await;
                let is_it = |found: &&Escrow| {
                    (&found.terms.sender, &found.terms.msg_id) == (&offer.sender.user, &offer.msg_id)
                };
                let before = funded.iter().find(is_it);
                let answer = within(*patience, works.red_packets.create(offer.clone())).await;
                self.created(&offer, before, answer);
            }
            Action::Grab(packet, who, patience) => {
                let funded = self.funded(&works).await;
                if let Some(escrow) = funded.get(packet % funded.len().max(1)) {
                    let who = USERS[*who];
                    let id = &escrow.terms.packet;
                    let answer = within(*patience, works.red_packets.grab(APP, id, &user(who))).await;
                    self.grabbed(escrow, who, answer);
                }
            }
            Action::Advance(ms) => self.advance(*ms),
            Action::Settle(patience) => {
                let run = async |worker: &Worker| _ = within(*patience, worker.run(Default::default())).await;
                works.settle(&self.engine, run).await;
            }
            Action::Keep(patience) => {
                if let Some(kept) = within(*patience, works.sweeper.round()).await {
                    kept.expect("a round");
                }
            }
            Action::Refound(told) => {
                works.node.change("g", dismiss(USERS[0])).await;
                if *told {
                    works.red_packets.dismissed(APP, &group_id("g")).await;
                }
                self.found(&works.node).await;
            }
            Action::Reopen => {
                let node = works.node.clone();
                drop(works);
                let node = self.engine.reopen(node).await;
                return self::works(&self.engine, &self.vault, node).await;
            }
        }
        works
    }

    /// Every packet there is money for.
    async fn funded(&mut self, works: &Works) -> Vec<Escrow> {
        let funded = escrows(&*works.ledger, APP).await;
        for escrow in &funded {
            self.known.entry(escrow.terms.packet.clone()).or_default();
        }
        funded
    }

    /// Who won, and what is refunded.
    async fn look(&self, works: &Works, escrow: &Escrow) -> (BTreeMap<String, u64>, u64) {
        let (packet, known) = (&escrow.terms.packet, &self.known[&escrow.terms.packet]);
        let snapshot = match works.node.packets.snapshot(APP, packet).await {
            Ok(snapshot) => snapshot,
            Err(PacketError::NoSuchPacket) if !known.created => {
                return (BTreeMap::new(), escrow.terms.total.unsigned());
            }
            Err(error) => panic!("{packet}: {error}"),
        };
        let parts = [snapshot.grabbed, snapshot.refunded, snapshot.open];
        assert_eq!(parts.iter().sum::<Cents>(), escrow.terms.total);
        let winners = works.node.packets.winners(APP, packet, 0, snapshot.grabbed_count);
        let won: BTreeMap<_, _> = match snapshot.grabbed_count {
            0 => BTreeMap::new(),
            _ => winners
                .await
                .expect("listed")
                .into_iter()
                .map(|of| (of.user.to_string(), of.amount.unsigned()))
                .collect(),
        };
        assert_eq!(won.len(), snapshot.grabbed_count as usize, "nobody wins twice");
        assert_eq!(won.values().sum::<u64>(), snapshot.grabbed.unsigned());
        for (who, amount) in &known.answered {
            assert_eq!(won.get(who), Some(amount), "{who} was told so of {packet}");
        }
        for who in won.keys() {
            assert!(known.answered.contains_key(who) || known.asked.contains(who), "{who} of {packet}");
        }
        (won, snapshot.refunded.unsigned())
    }

    async fn check(&mut self, works: &Works) {
        for escrow in self.funded(works).await {
            self.look(works, &escrow).await;
        }
        let audit = works::audit(&works.auditor, APP, None).await;
        assert!(audit.holds, "{audit:#?}");
        assert_eq!(audit.grabbed + audit.refunded + audit.open, audit.total);
    }

    /// Everything expires and is settled; then every wallet holds what the answers say.
    async fn end(mut self, works: Works) {
        self.advance(2 * EXPIRY_MS);
        // A packet that was not there in time is looked at once more when it is late.
        for _ in 0..2 {
            while works.sweeper.round().await.expect("a round") > 0 {
                works.settle_all(&self.engine).await;
                self.advance(AGAIN_MS);
            }
            works.settle_all(&self.engine).await;
            self.advance(LATE_MS);
        }
        self.check(&works).await;
        let audit = works::audit(&works.auditor, APP, None).await;
        assert_eq!((audit.open, audit.unsettled, audit.queued, audit.dead_letters), (0, 0, 0, 0));
        let mut wallets = BTreeMap::from(USERS.map(|name| (name.to_owned(), RICH)));
        for escrow in self.funded(&works).await {
            let (won, refunded) = self.look(&works, &escrow).await;
            let Terms { sender, target, total, packet, .. } = &escrow.terms;
            assert!(escrow.balance == Cents::ZERO, "{escrow:?}");
            let sender_holds = wallets.get_mut(sender.as_str()).expect("one of the users");
            *sender_holds = *sender_holds + refunded - total.unsigned();
            won.into_iter()
                .for_each(|(who, amount)| *wallets.get_mut(&who).expect("one of the users") += amount);
            let log = works.node.log(&Conversation::of(APP, sender, target)).await;
            let offers = log.entries.iter().filter(|entry| members(entry)["packetId"] == packet.as_str());
            let (offers, created) =
                (offers.count(), self.known[packet].created && !self.is_orphan(&escrow.terms));
            assert!(offers == 1 || (offers == 0 && !created), "{packet} is offered {offers} times");
        }
        for (name, holds) in wallets {
            assert_eq!(balance(&*works.ledger, &name).await, holds, "{name}");
        }
    }
}

async fn run(engine: Engine, vault: Vault, actions: Vec<Action>) {
    let mut model = Model { engine, vault, now_ms: CREATED_MS, known: BTreeMap::new(), incarnation: None };
    model.advance(0);
    let node = model.engine.node().await;
    model.found(&node).await;
    let mut works = works(&model.engine, &model.vault, node).await;
    for name in USERS {
        endow(&*works.ledger, name, RICH).await;
    }
    for action in &actions {
        works = model.act(works, action).await;
        model.check(&works).await;
    }
    model.end(works).await;
}

fn check(cases: u32, length: usize, stores: impl AsyncFn() -> (Engine, Vault)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let all = prop::collection::vec(action(), 1..length);
    let test = |actions| {
        runtime.block_on(async {
            let (engine, vault) = stores().await;
            run(engine, vault, actions).await;
        });
        Ok(())
    };
    runner.run(&all, test).expect("the model and the money agree");
}

#[test]
fn money_alone_does_what_the_model_does() {
    check(40, 50, async || (Engine::embedded(), Vault::embedded()));
}

#[test]
fn money_over_redis_and_postgresql_does_what_the_model_does() {
    check(4, 40, async || (Engine::redis().await, Vault::postgres().await));
}
