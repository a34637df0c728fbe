//! Red packets under test: how they are made, what becomes of their settlements, and queues to be put to the law.
//!
//! Invariant: a test names laws, never an adapter; what differs between adapters is decided here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::red_packet::Mode;
use chat_protocol::{AppId, MsgId, PacketId};
use chatd::clock::SystemClock;
use chatd::engine::redis::keys::Keys;
use chatd::engine::redis::queue::RedisQueue;
use chatd::engine::sqlite::broker::Place;
use chatd::engine::sqlite::money_file::MoneyFile;
use chatd::engine::sqlite::queue::EmbeddedQueue;
use chatd::money::packets::{Closed, PacketError};
use chatd::money::settlement::{Delivery, Kind, Queue, Settlement};
use chatd::money::{Cents, Terms};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::broker::{APP, user};
use crate::redis_server::RedisServer;
use crate::wait::SOON;

/// After how long a silent receiver is taken for dead.
pub const IDLE: Duration = Duration::from_secs(2);
/// When the packets are created: where a hand clock begins.
pub const CREATED_MS: u64 = 1_800_000_000_000;
/// From when on nobody takes from them.
pub const EXPIRES_MS: u64 = CREATED_MS + 1000;

/// An amount.
///
/// # Panics
/// When there cannot be so many.
#[must_use]
pub fn cents(amount: u64) -> Cents {
    Cents::try_from(amount).expect("an amount")
}

/// Amounts, one for each share.
///
/// # Panics
/// When there cannot be so many.
#[must_use]
pub fn amounts(shares: &[u64]) -> Vec<Cents> {
    shares.iter().copied().map(cents).collect()
}

/// What an end of a packet is answered.
///
/// # Errors
/// None.
///
/// # Panics
/// When there cannot be so many cents.
pub fn closed(now: bool, refunded: u64, known: bool) -> Result<Closed, PacketError> {
    Ok(Closed { now, refunded: cents(refunded), known })
}

/// A packet by name.
///
/// # Panics
/// When the name is not valid.
#[must_use]
pub fn packet_id(name: &str) -> PacketId {
    PacketId::new(name).expect("a valid name")
}

/// A packet of user `s` that expires at [`EXPIRES_MS`].
///
/// # Panics
/// When a name is not valid.
#[must_use]
pub fn terms(packet: &str, target: &str, shares: &[u64]) -> Terms {
    Terms {
        app: APP,
        packet: packet_id(packet),
        sender: user("s"),
        target: target.parse().expect("a target"),
        incarnation: None,
        total: cents(shares.iter().sum()),
        count: u32::try_from(shares.len()).expect("not too many"),
        mode: Mode::Lucky,
        greeting: "恭喜 \"发\" 财\\".to_owned(),
        msg_id: MsgId::new(packet).expect("a valid id"),
        created_ms: CREATED_MS,
        expires_ms: EXPIRES_MS,
    }
}

/// What a grab queues.
#[must_use]
pub fn share_of(packet: &str, winner: &str, amount: u64, time_ms: u64) -> Settlement {
    let (packet, user, amount) = (packet_id(packet), user(winner), cents(amount));
    Settlement { app: APP, packet, kind: Kind::Grab, user, amount, time_ms }
}

/// What closing a packet of user `s` queues.
#[must_use]
pub fn refund_of(packet: &str, amount: u64, time_ms: u64) -> Settlement {
    Settlement { kind: Kind::Refund, ..share_of(packet, "s", amount, time_ms) }
}

/// A receiver that never says it is done, to see what is in a queue.
pub struct Witness {
    queue: Arc<dyn Queue>,
    seen: Vec<Delivery>,
}

impl Witness {
    /// Of a queue nobody else receives from.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self { queue, seen: Vec::new() }
    }

    /// Everything that was put in so far, as it is written, in byte order.
    ///
    /// # Panics
    /// When it does not come soon.
    pub async fn bodies(&mut self) -> Vec<String> {
        let waiting = self.queue.depth().await.expect("its depth").waiting;
        let deadline = Instant::now() + SOON;
        while (self.seen.len() as u64) < waiting {
            assert!(Instant::now() < deadline, "{} of {waiting}", self.seen.len());
            self.seen.extend(self.queue.receive(1000).await.expect("received"));
        }
        assert_eq!(self.seen.len() as u64, waiting, "nothing is received twice");
        let text = |delivery: &Delivery| String::from_utf8_lossy(&delivery.body).into_owned();
        let mut bodies: Vec<_> = self.seen.iter().map(text).collect();
        bodies.sort_unstable();
        bodies
    }

    /// Everything that was put in so far, which must be settlements.
    ///
    /// # Panics
    /// When something is none.
    pub async fn settlements(&mut self) -> Vec<Settlement> {
        let read = |body: &String| serde_json::from_str(body).expect("a settlement");
        self.bodies().await.iter().map(read).collect()
    }
}

/// Settlements as they are written, in byte order.
///
/// # Panics
/// Never.
#[must_use]
pub fn written(settlements: &[Settlement]) -> Vec<String> {
    let text = |settlement| serde_json::to_string(settlement).expect("JSON");
    let mut written: Vec<_> = settlements.iter().map(text).collect();
    written.sort_unstable();
    written
}

/// A queue to be put to the law.
#[async_trait]
pub trait Bench: Send + Sync {
    /// One more receiver. To drop it is to kill it.
    async fn receiver(&self) -> Arc<dyn Queue>;

    /// Puts bodies into the queue of an app.
    async fn put(&self, app: AppId, bodies: &[Bytes]);
}

/// Everything that is in a queue for a receiver, with nothing done.
///
/// # Panics
/// When so much does not come soon.
pub async fn receive(queue: &Arc<dyn Queue>, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    let all = async {
        while received.len() < count {
            received.extend(queue.receive(1000).await.expect("received"));
        }
    };
    let in_time = timeout(SOON, all).await.is_ok();
    assert!(in_time, "received {} of {count}", received.len());
    received
}

/// The queue of a money file.
pub struct EmbeddedBench {
    file: Arc<MoneyFile>,
    directory: TempDir,
}

impl EmbeddedBench {
    /// In a directory of its own.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = Place::Directory(directory.path().to_owned());
        Self { file: MoneyFile::open(&place, Arc::new(SystemClock)).expect("a file"), directory }
    }
}

#[async_trait]
impl Bench for EmbeddedBench {
    async fn receiver(&self) -> Arc<dyn Queue> {
        Arc::new(EmbeddedQueue::new(self.file.clone()))
    }

    async fn put(&self, app: AppId, bodies: &[Bytes]) {
        let mut file =
            rusqlite::Connection::open(self.directory.path().join("money.sqlite3")).expect("the file");
        let put = file.transaction().expect("a transaction");
        for body in bodies {
            let row = (app, &body[..]);
            put.execute("INSERT INTO outbox(app, body) VALUES (?1, ?2)", row).expect("put");
        }
        put.commit().expect("committed");
    }
}

/// The outboxes of a Redis.
pub struct RedisBench {
    server: RedisServer,
}

impl RedisBench {
    /// On a Redis of its own.
    pub async fn start() -> Self {
        Self { server: RedisServer::start().await }
    }
}

#[async_trait]
impl Bench for RedisBench {
    async fn receiver(&self) -> Arc<dyn Queue> {
        RedisQueue::connect(&self.server.url(), Keys::default(), IDLE).await.expect("a queue")
    }

    async fn put(&self, app: AppId, bodies: &[Bytes]) {
        let client = redis::Client::open(self.server.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
        let (keys, mut pipeline) = (Keys::default(), redis::pipe());
        pipeline.atomic().sadd(keys.outboxes(), app).ignore();
        for body in bodies {
            pipeline.xadd(keys.outbox(app), "*", &[("body", &body[..])]).ignore();
        }
        pipeline.exec_async(&mut connection).await.expect("put");
    }
}
