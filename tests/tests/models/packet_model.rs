//! Random creations, grabs, closes, receipts and crashes against a simple model of red packets.
//!
//! Invariant: after every step total = grabbed + refunded + open, nobody has won twice, and every winner and every
//! refund has exactly one settlement in the queue, unless it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::red_packet::State;
use chat_tests::broker::{APP, user};
use chat_tests::engine::{Engine, Node, join, kick};
use chat_tests::money::{CREATED_MS, EXPIRES_MS, amounts, packet_id, receive, refund_of, share_of, terms};
use chat_tests::redis_server::RedisServer;
use chat_tests::wait::{SOON, until};
use chatd::money::ledger::Paid;
use chatd::money::packets::{Closed, Grab, PacketError, Winner};
use chatd::money::settlement::{Delivery, Kind, Queue, Settlement};
use chatd::money::{Cents, Terms};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const PACKETS: usize = 3;
const USERS: usize = 5;
/// Only one receiver lives at a time; what the one before had comes soon.
const IDLE: Duration = Duration::from_millis(100);

/// Packets and users are numbered. Packet 0 is for everyone, 1 for a group, 2 for user 0.
#[derive(Debug, Clone)]
enum Action {
    Open(usize, Vec<u64>),
    Grab(usize, usize),
    Close(usize),
    Join(usize),
    Kick(usize),
    Advance(u64),
    Receive(usize),
    Done(usize),
    Bury(usize),
    Replay,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let (packet, user) = (0..PACKETS, 0..USERS);
    prop_oneof![
        4 => (packet.clone(), prop::collection::vec(1..100_u64, 1..6)).prop_map(|(p, s)| Action::Open(p, s)),
        12 => (packet.clone(), user.clone()).prop_map(|(packet, user)| Action::Grab(packet, user)),
        1 => packet.prop_map(Action::Close),
        1 => user.clone().prop_map(Action::Join),
        1 => user.prop_map(Action::Kick),
        1 => (1..400_u64).prop_map(Action::Advance),
        3 => (1..6_usize).prop_map(Action::Receive),
        3 => (1..6_usize).prop_map(Action::Done),
        1 => (0..6_usize).prop_map(Action::Bury),
        1 => Just(Action::Replay),
        1 => Just(Action::Crash),
    ]
}

/// A packet, by the model.
struct Packet {
    terms: Terms,
    shares: Vec<Cents>,
    winners: Vec<Winner>,
    refunded: Option<Cents>,
    /// Closed before it was known.
    lost: bool,
}

impl Packet {
    fn grabbed(&self) -> Cents {
        self.winners.iter().map(|winner| winner.amount).sum()
    }
}

struct World {
    engine: Engine,
    with_kills: bool,
    /// None only while it is replaced.
    node: Option<Node>,
    receiver: Option<Arc<dyn Queue>>,
    now: u64,
    packets: BTreeMap<usize, Packet>,
    members: BTreeSet<usize>,
    /// By its text: whether it is done, waits, or is dead.
    settlements: BTreeMap<String, Fate>,
    in_hand: Vec<Delivery>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waits,
    Dead,
    Done,
}

fn name(user: usize) -> String {
    format!("用户 \"{user}\"")
}

fn target(packet: usize) -> String {
    ["".to_owned(), "group:g".to_owned(), format!("user:{}", name(0))][packet].clone()
}

impl World {
    async fn new(engine: Engine, with_kills: bool) -> Self {
        let node = engine.node().await;
        node.create("g", &["s"]).await;
        let receiver = Some(engine.receiver(&node, IDLE).await);
        let (packets, members, settlements) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (node, now, in_hand) = (Some(node), CREATED_MS, Vec::new());
        Self { engine, with_kills, node, receiver, now, packets, members, settlements, in_hand }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("a node")
    }

    fn receiver(&self) -> &Arc<dyn Queue> {
        self.receiver.as_ref().expect("a receiver")
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Open(packet, shares) => self.open(*packet, shares).await,
            Action::Grab(packet, user) => self.grab(*packet, *user).await,
            Action::Close(packet) => self.close(*packet).await,
            Action::Join(user) => {
                self.node().change("g", join(&name(*user))).await;
                self.members.insert(*user);
            }
            Action::Kick(user) => {
                self.node().change("g", kick("s", &name(*user))).await;
                self.members.remove(user);
            }
            Action::Advance(by) => {
                self.now += by;
                self.engine.clock.set(self.now);
            }
            Action::Receive(max) => self.receive(*max).await,
            Action::Done(count) => self.done(*count).await,
            Action::Bury(which) => self.bury(*which).await,
            Action::Replay => self.replay().await,
            Action::Crash => self.crash().await,
        }
        self.check().await;
    }

    async fn open(&mut self, packet: usize, shares: &[u64]) {
        let terms = terms(&packet.to_string(), &target(packet), shares);
        assert_eq!(self.node().packets.open(&terms, &amounts(shares)).await, Ok(()));
        self.packets.entry(packet).or_insert_with(|| Packet {
            terms,
            shares: amounts(shares),
            winners: Vec::new(),
            refunded: None,
            lost: false,
        });
    }

    fn queue(&mut self, settlement: &Settlement) {
        let text = serde_json::to_string(settlement).expect("JSON");
        assert_eq!(self.settlements.insert(text, Fate::Waits), None, "settled twice");
    }

    async fn grab(&mut self, number: usize, who: usize) {
        let (packets, id, user_id) = (&self.node().packets, packet_id(&number.to_string()), user(&name(who)));
        let mut outcome = packets.grab(APP, &id, &user_id).await;
        if outcome == Err(PacketError::Doubtful) {
            // The store was started anew, and has forgotten nothing.
            let packet = &self.packets[&number];
            let paid = packet.winners.iter().map(|won| Paid {
                kind: Kind::Grab,
                user: won.user.clone(),
                amount: won.amount,
                time_ms: won.time_ms + 1,
            });
            assert_eq!(packets.restore(&packet.terms, &paid.collect::<Vec<_>>()).await, Ok(false));
            outcome = packets.grab(APP, &id, &user_id).await;
        }
        let Some(packet) = self.packets.get_mut(&number).filter(|packet| !packet.lost) else {
            return assert_eq!(outcome, Err(PacketError::NoSuchPacket));
        };
        if let Some(winner) = packet.winners.iter().find(|winner| winner.user == user(&name(who))) {
            return assert_eq!(outcome, Ok(Grab::Already { amount: winner.amount }));
        }
        if (number == 1 && !self.members.contains(&who)) || (number == 2 && who != 0) {
            return assert_eq!(outcome, Err(PacketError::NotForYou));
        }
        let Some(amount) = packet.shares.get(packet.winners.len()).copied() else {
            return assert_eq!(outcome, Ok(Grab::Empty));
        };
        if packet.refunded.is_some() || self.now >= EXPIRES_MS {
            return assert_eq!(outcome, Ok(Grab::Expired));
        }
        let taken = u32::try_from(packet.winners.len()).expect("few") + 1;
        let last = taken == packet.terms.count;
        assert_eq!(outcome, Ok(Grab::Won { amount, number: taken, last }));
        packet.winners.push(Winner { number: taken, user: user(&name(who)), amount, time_ms: self.now });
        self.queue(&share_of(&number.to_string(), &name(who), amount.unsigned(), self.now));
    }

    async fn close(&mut self, number: usize) {
        let unknown = terms(&number.to_string(), &target(number), &[1]);
        let terms = self.packets.get(&number).map_or(unknown.clone(), |packet| packet.terms.clone());
        let closed = self.node().packets.close(&terms).await.expect("closed");
        let Some(packet) = self.packets.get_mut(&number) else {
            assert_eq!(closed, Closed { now: true, refunded: Cents::ZERO, known: false });
            let (winners, refunded) = (Vec::new(), Some(Cents::ZERO));
            let lost = Packet { terms: unknown, shares: vec![Cents::ONE], winners, refunded, lost: true };
            self.packets.insert(number, lost);
            return;
        };
        let rest = packet.terms.total.less(packet.grabbed());
        let refunded = packet.refunded.unwrap_or(rest);
        assert_eq!(closed, Closed { now: packet.refunded.is_none(), refunded, known: !packet.lost });
        if packet.refunded.replace(refunded).is_none() && rest.is_positive() {
            self.queue(&refund_of(&number.to_string(), rest.unsigned(), self.now));
        }
    }

    fn fate(&mut self, delivery: &Delivery) -> &mut Fate {
        let text = String::from_utf8(delivery.body.to_vec()).expect("UTF-8");
        let fate = self.settlements.get_mut(&text);
        fate.unwrap_or_else(|| panic!("nobody won {text}"))
    }

    async fn receive(&mut self, max: usize) {
        for delivery in self.receiver().receive(max).await.expect("received") {
            assert_eq!(*self.fate(&delivery), Fate::Waits, "{delivery:?}");
            let again = self.in_hand.iter().any(|had| had.body == delivery.body);
            assert!(!again, "received twice: {delivery:?}");
            self.in_hand.push(delivery);
        }
    }

    async fn done(&mut self, count: usize) {
        let count = count.min(self.in_hand.len());
        let done: Vec<_> = self.in_hand.drain(..count).collect();
        let tags: Vec<_> = done.iter().map(|delivery| delivery.tag.clone()).collect();
        self.receiver().done(&tags).await.expect("done");
        for delivery in done {
            *self.fate(&delivery) = Fate::Done;
        }
    }

    async fn bury(&mut self, which: usize) {
        if which < self.in_hand.len() {
            let delivery = self.in_hand.remove(which);
            self.receiver().bury(&delivery, "the model says so").await.expect("buried");
            *self.fate(&delivery) = Fate::Dead;
        }
    }

    async fn replay(&mut self) {
        let dead: Vec<_> = self.settlements.values_mut().filter(|fate| **fate == Fate::Dead).collect();
        let count = dead.len() as u64;
        dead.into_iter().for_each(|fate| *fate = Fate::Waits);
        assert_eq!(self.receiver().replay(APP, None).await, Ok(count));
    }

    /// The node and its receiver end; over Redis the server is killed too, where it may be.
    async fn crash(&mut self) {
        self.receiver = None;
        self.in_hand.clear();
        if let Some(server) = self.engine.redis_server().filter(|_| self.with_kills) {
            server.restart().await;
        }
        let node = self.node.take().expect("a node");
        let node = self.engine.reopen(node).await;
        self.receiver = Some(self.engine.receiver(&node, IDLE).await);
        self.node = Some(node);
    }

    async fn check(&self) {
        let node = self.node();
        for (number, packet) in &self.packets {
            let id = packet_id(&number.to_string());
            let stands = node.packets.snapshot(APP, &id).await;
            if packet.lost {
                assert_eq!(stands, Err(PacketError::NoSuchPacket));
                continue;
            }
            let stands = stands.expect("it stands");
            assert_eq!(stands.terms, packet.terms);
            let parts = [stands.grabbed, stands.refunded, stands.open];
            assert_eq!(parts.iter().sum::<Cents>(), packet.terms.total);
            let refunded = packet.refunded.unwrap_or_default();
            assert_eq!((stands.grabbed, stands.refunded), (packet.grabbed(), refunded));
            assert_eq!(stands.grabbed_count as usize, packet.winners.len());
            let state = match packet {
                _ if packet.winners.len() == packet.shares.len() => State::Empty,
                _ if packet.refunded.is_some() || self.now >= EXPIRES_MS => State::Expired,
                _ => State::Open,
            };
            assert_eq!(stands.state, state);
            assert_eq!(node.packets.winners(APP, &id, 0, 100).await.as_ref(), Ok(&packet.winners));
        }
        let count = |wanted| self.settlements.values().filter(|fate| **fate == wanted).count() as u64;
        let depth = self.receiver().depth().await.expect("its depth");
        assert_eq!((depth.waiting, depth.dead), (count(Fate::Waits), count(Fate::Dead)));
    }

    /// Everything that is not done is received in the end, once.
    async fn settle(mut self) {
        self.replay().await;
        self.crash().await;
        let open: BTreeSet<String> = self
            .settlements
            .iter()
            .filter(|(_, fate)| **fate != Fate::Done)
            .map(|(text, _)| text.clone())
            .collect();
        let rest = receive(self.receiver(), open.len()).await;
        let found = rest.iter().map(|found| String::from_utf8_lossy(&found.body).into_owned());
        assert_eq!(found.collect::<BTreeSet<_>>(), open);
        assert_eq!(rest.len(), open.len(), "each once");
        self.receiver()
            .done(&rest.into_iter().map(|found| found.tag).collect::<Vec<_>>())
            .await
            .expect("done");
        until("nothing is left", SOON, async || self.receiver().depth().await == Ok(Default::default()))
            .await;
    }
}

fn agrees_with_the_model(cases: u32, start: impl AsyncFn() -> (Engine, bool)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(action(), 1..60), |actions| {
        runtime.block_on(async {
            let (engine, with_kills) = start().await;
            let mut world = World::new(engine, with_kills).await;
            for action in &actions {
                world.act(action).await;
            }
            world.settle().await;
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn packets_in_a_file_agree_with_the_model() {
    agrees_with_the_model(20, async || (Engine::embedded(), false));
}

#[test]
fn packets_over_redis_agree_with_the_model() {
    agrees_with_the_model(20, async || (Engine::redis().await, false));
}

#[test]
fn packets_over_a_redis_that_is_killed_agree_with_the_model() {
    agrees_with_the_model(6, async || (Engine::on_redis(RedisServer::start_with_aof().await), true));
}
