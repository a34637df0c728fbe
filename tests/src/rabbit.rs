//! Settlement queues on a RabbitMQ under test.
//!
//! Invariant: a test has queues of its own, by a key prefix of its own, on whatever node it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{AppId, PacketId};
use chatd::engine::rabbitmq::RabbitQueue;
use chatd::engine::redis::keys::Keys;
use chatd::money::Cents;
use chatd::money::settlement::{
    Backlog, Deliveries, Delivery, Depth, Kind, Publish, Queue, QueueError, Settlement,
};
use tokio::time::{Instant, timeout};

use crate::broker::user;
use crate::money::Bench;
use crate::rabbitmq_server::RabbitServer;
use crate::wait::{SOON, pace, until};

/// Longest wait for something that should happen after RabbitMQ was started again, generous because machines are shared.
pub const RECOVERY: Duration = Duration::from_secs(150);

/// A prefix nobody else has.
///
/// # Panics
/// Never.
#[must_use]
pub fn own_keys() -> Keys {
    Keys::new(&format!("t{:016x}", rand::random::<u64>())).expect("a prefix")
}

/// A node of chatd on this RabbitMQ.
///
/// # Panics
/// When it cannot be reached.
pub async fn open(url: &str, keys: &Keys) -> Arc<RabbitQueue> {
    Arc::new(RabbitQueue::open(url, keys).await.expect("a queue"))
}

/// A node of chatd with queues of its own on the shared RabbitMQ, and the names of these queues.
pub async fn fresh() -> (Arc<RabbitQueue>, Keys) {
    let keys = own_keys();
    (open(&RabbitServer::shared().await.url(), &keys).await, keys)
}

/// The share of a user of an app.
///
/// # Panics
/// When a name is not valid.
#[must_use]
pub fn share(app: AppId, winner: &str) -> Bytes {
    let packet = PacketId::new("p").expect("a valid name");
    let share =
        Settlement { app, packet, kind: Kind::Grab, user: user(winner), amount: Cents::ONE, time_ms: 1 };
    share.to_json()
}

/// The shares of so many users.
#[must_use]
pub fn shares(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| share(1, &format!("u{number}"))).collect()
}

/// Receives so many, with nothing done.
///
/// # Panics
/// When they do not come soon.
pub async fn receive(queue: &RabbitQueue, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    let all = async {
        while received.len() < count {
            received.extend(queue.receive(count - received.len()).await.expect("received"));
        }
    };
    let in_time = timeout(SOON, all).await.is_ok();
    assert!(in_time, "received {} of {count}", received.len());
    received
}

/// Receives and does everything until each of `bodies` came at least once, whatever fails meanwhile. How often each
/// came.
///
/// # Panics
/// When they do not all come in time, or something else comes.
pub async fn drain(queue: &RabbitQueue, bodies: &[Bytes]) -> BTreeMap<Bytes, usize> {
    let expected: BTreeSet<&Bytes> = bodies.iter().collect();
    let mut seen = BTreeMap::new();
    let deadline = Instant::now() + RECOVERY;
    while seen.len() < expected.len() {
        assert!(Instant::now() < deadline, "{} of {}", seen.len(), expected.len());
        let Ok(batch) = queue.receive(200).await else { continue };
        let tags: Vec<_> = batch.iter().map(|delivery| delivery.tag.clone()).collect();
        let _ = queue.done(&tags).await;
        for delivery in batch {
            assert!(expected.contains(&delivery.body), "{delivery:?} was not put in");
            *seen.entry(delivery.body).or_default() += 1;
        }
    }
    seen
}

/// Publishes until it works.
///
/// # Panics
/// When it does not work in time.
pub async fn publish(queue: &RabbitQueue, bodies: &[Bytes]) {
    let deadline = Instant::now() + RECOVERY;
    while let Err(error) = queue.publish(bodies).await {
        assert!(Instant::now() < deadline, "{error}");
        pace(Duration::from_millis(20)).await;
    }
}

/// Waits until the queue holds so much.
///
/// # Panics
/// When it does not.
pub async fn until_depth(queue: &RabbitQueue, waiting: u64, dead: u64) {
    let depth = Ok::<_, QueueError>(Depth { waiting, dead });
    until(&format!("{depth:?}"), SOON, async || queue.depth().await == depth).await;
}

/// Queues of their own on the shared RabbitMQ, to be put to the law.
pub struct RabbitBench {
    keys: Keys,
    publisher: Arc<RabbitQueue>,
}

impl RabbitBench {
    /// Empty queues.
    pub async fn start() -> Self {
        let (publisher, keys) = fresh().await;
        Self { keys, publisher }
    }
}

#[async_trait]
impl Bench for RabbitBench {
    async fn receiver(&self) -> Arc<dyn Queue> {
        open(&RabbitServer::shared().await.url(), &self.keys).await
    }

    async fn put(&self, _: AppId, bodies: &[Bytes]) {
        self.publisher.publish(bodies).await.expect("published");
    }
}
