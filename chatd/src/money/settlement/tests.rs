//! Worker and relay between a queue and a ledger that fail at any step, before or after having done it.

mod packets;
mod queue;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::backoff::Backoff;
use chat_protocol::{AppId, PacketId, UserId};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use self::packets::FakePackets;
use self::queue::FakeQueue;
use super::relay::Relay;
use super::retry::Pauses;
use super::worker::{Counts, Worker};
use super::{Kind, Settlement};
use crate::clock::SystemClock;
use crate::money::ledger::{Escrow, Escrows, Funded, LedgerError, Paid, Posted};
use crate::money::{Cents, Terms};

/// What becomes of the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
    /// The program ends after the call.
    Ends,
}

/// What all calls share: their fates, one after the other; then all work.
#[derive(Default)]
struct Weather {
    fates: Mutex<VecDeque<Fate>>,
    program: Mutex<CancellationToken>,
}

impl Weather {
    fn pass<T>(&self, act: impl FnOnce() -> T) -> Result<T, String> {
        let fate = self.fates.lock().pop_front().unwrap_or(Fate::Works);
        if fate == Fate::FailsBefore {
            return Err("before".to_owned());
        }
        let value = act();
        if fate == Fate::Ends {
            self.program.lock().cancel();
        }
        if fate == Fate::Works { Ok(value) } else { Err("after".to_owned()) }
    }
}

/// Knows one escrow; refuses what it does not hold.
struct FakeLedger {
    weather: Arc<Weather>,
    escrow: Mutex<Cents>,
    applied: Mutex<BTreeMap<String, Settlement>>,
}

impl FakeLedger {
    fn post(&self, settlement: &Settlement) -> Result<Posted, LedgerError> {
        if settlement.packet.as_str() != "p" {
            return Err(LedgerError::NoSuchPacket);
        }
        let (mut escrow, mut applied) = (self.escrow.lock(), self.applied.lock());
        match applied.get(&settlement.transfer_id()) {
            Some(before) if before == settlement => return Ok(Posted::Before),
            Some(_) => return Err(LedgerError::IdTaken),
            None => {}
        }
        let left = escrow.checked_sub(settlement.amount).filter(|left| *left >= Cents::ZERO);
        *escrow = left.ok_or(LedgerError::Insufficient)?;
        applied.insert(settlement.transfer_id(), settlement.clone());
        Ok(Posted::Now)
    }
}

#[async_trait]
impl Escrows for FakeLedger {
    /// No wallet holds anything.
    async fn fund_within(&self, _: &Terms, _: u64) -> Result<Funded, LedgerError> {
        Err(LedgerError::Insufficient)
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Posted, LedgerError>>, LedgerError> {
        let post = || settlements.iter().map(|settlement| self.post(settlement)).collect();
        self.weather.pass(post).map_err(LedgerError::Unreachable)
    }

    /// The terms of its packet are gone.
    async fn escrow(&self, _: AppId, _: &PacketId) -> Result<Escrow, LedgerError> {
        Err(LedgerError::NoSuchPacket)
    }

    async fn paid(&self, _: AppId, packet: &PacketId) -> Result<Vec<Paid>, LedgerError> {
        let applied = self.applied.lock();
        let paid =
            applied.values().filter(|settlement| settlement.packet == *packet).map(|settlement| Paid {
                kind: settlement.kind,
                user: settlement.user.clone(),
                amount: settlement.amount,
                time_ms: settlement.time_ms,
            });
        Ok(paid.collect())
    }

    /// What fails here fails as a whole.
    async fn ready(&self) -> Result<(), LedgerError> {
        Err(LedgerError::Unreachable("it failed just now".to_owned()))
    }
}

const QUICK: Pauses = Pauses(Backoff::half(Duration::from_micros(1), Duration::from_micros(20)));

fn share(user: u64, cents: i64) -> Settlement {
    let amount = Cents::new(cents);
    let user = UserId::new(&format!("u{user}")).unwrap();
    let packet = PacketId::new("p").unwrap();
    Settlement { app: 1, packet, kind: Kind::Grab, user, amount, time_ms: 0 }
}

fn body(settlement: &Settlement) -> Bytes {
    settlement.to_json()
}

/// The road from `bodies` in an outbox to a ledger, by way of a second queue, until all is applied or dead; the
/// program is started again whenever fate ended it.
fn travel(fates: Vec<Fate>, bodies: &[Bytes], escrow: i64) -> (Arc<FakeQueue>, Arc<FakeLedger>, Counts) {
    let weather = Arc::new(Weather { fates: Mutex::new(fates.into()), ..Weather::default() });
    let (near, far) = (FakeQueue::new(&weather, bodies), FakeQueue::new(&weather, &[]));
    let ledger = Arc::new(FakeLedger {
        weather: weather.clone(),
        escrow: Mutex::new(Cents::new(escrow)),
        applied: Mutex::default(),
    });
    let mut total = Counts::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        while !(near.is_empty() && far.is_empty()) {
            let stop = CancellationToken::new();
            *weather.program.lock() = stop.clone();
            let mut relay = Relay::new(near.clone(), far.clone());
            relay.pauses = QUICK;
            let packets = Arc::new(FakePackets(weather.clone()));
            let mut worker = Worker::new(far.clone(), packets, ledger.clone(), Arc::new(SystemClock));
            worker.pauses = QUICK;
            let finished = async {
                while !(near.is_empty() && far.is_empty()) {
                    tokio::task::yield_now().await;
                }
                stop.cancel();
            };
            let work = async { tokio::join!(relay.run(stop.clone()), worker.run(stop.clone())) };
            let ended = async { tokio::join!(work, stop.run_until_cancelled(finished)) };
            tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the road comes to an end");
            near.give_back();
            far.give_back();
            let counts = worker.counts();
            total.settled += counts.settled;
            total.repeated += counts.repeated;
            total.buried += counts.buried;
            total.lag_max_ms = total.lag_max_ms.max(counts.lag_max_ms);
        }
    });
    (far, ledger, total)
}

#[test]
fn what_can_never_be_applied_becomes_a_dead_letter_and_hinders_nothing() {
    let foreign = Settlement { packet: PacketId::new("other").unwrap(), ..share(1, 1) };
    let bodies = [
        Bytes::from_static(b"{"),
        body(&share(1, 60)),
        Bytes::new(),
        body(&foreign),
        body(&share(1, 61)),
        body(&share(2, 50)),
        body(&share(3, 40)),
        body(&share(3, 40)),
    ];
    let (far, ledger, counts) = travel(Vec::new(), &bodies, 100);
    let mut reasons: Vec<String> = far.held.lock().dead.iter().map(|(reason, _)| reason.clone()).collect();
    reasons.sort_unstable();
    let expected = [
        "grab:1:p:u1: the transferId was used for another transfer",
        "grab:1:p:u2: insufficient balance",
        "grab:5:other:u1: no such red packet",
        "no settlement: EOF while parsing a value",
        "no settlement: EOF while parsing an object",
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(expected), "{reason}");
    }
    assert_eq!(*ledger.escrow.lock(), Cents::ZERO);
    assert_eq!((counts.settled, counts.repeated, counts.buried), (2, 1, 5));
    assert!(counts.lag_max_ms > 1_000_000_000_000, "since 1970: {}", counts.lag_max_ms);
}

#[tokio::test]
async fn a_worker_that_can_reach_nothing_ends_at_once_when_told() {
    let weather =
        Arc::new(Weather { fates: Mutex::new([Fate::FailsBefore; 9].into()), ..Weather::default() });
    let queue = FakeQueue::new(&weather, &[body(&share(1, 1))]);
    let packets = Arc::new(FakePackets(weather.clone()));
    let ledger = FakeLedger { weather, escrow: Mutex::new(Cents::ONE), applied: Mutex::default() };
    let hour = Duration::from_secs(3600);
    let mut worker = Worker::new(queue.clone(), packets, Arc::new(ledger), Arc::new(SystemClock));
    worker.pauses = Pauses(Backoff::half(hour, hour));
    let worker = Arc::new(worker);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (worker, stop) = (worker.clone(), stop.clone());
        async move { worker.run(stop).await }
    });
    while queue.weather.fates.lock().len() == 9 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it ends").unwrap();
    assert!(!queue.is_empty());
    assert_eq!(worker.counts(), Counts::default());
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Works),
        2 => Just(Fate::FailsBefore),
        2 => Just(Fate::FailsAfter),
        1 => Just(Fate::Ends),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_fails_each_settlement_is_applied_once_or_buried(
        fates in proptest::collection::vec(fate(), 0..60),
        sent in proptest::collection::vec((0u64..12, proptest::bool::weighted(0.1)), 0..40),
    ) {
        let poison = Bytes::from_static(b"poison");
        let one = |&(user, bad): &(u64, bool)| if bad { poison.clone() } else { body(&share(user, i64::try_from(user).unwrap() + 1)) };
        let bodies: Vec<Bytes> = sent.iter().map(one).collect();
        let users: HashSet<u64> = sent.iter().filter(|(_, bad)| !bad).map(|(user, _)| *user).collect();
        let total = users.iter().map(|user| i64::try_from(*user).unwrap() + 1).sum();

        let (far, ledger, counts) = travel(fates, &bodies, total);

        prop_assert_eq!(*ledger.escrow.lock(), Cents::ZERO, "every share left the escrow, none twice");
        prop_assert_eq!(ledger.applied.lock().len(), users.len());
        let held = far.held.lock();
        prop_assert!(held.dead.iter().all(|(_, body)| *body == poison));
        // A relay that does not know whether it published does so again.
        prop_assert!(held.dead.len() >= sent.iter().filter(|(_, bad)| *bad).count());
        prop_assert!(counts.settled <= users.len() as u64);
    }
}
