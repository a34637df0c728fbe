//! Everything of one node that works on money, with nothing that works by itself.
//!
//! Invariant: what is told here to look, settle or audit is what chatd puts together of the same parts.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::red_packet::AuditResponse;
use chat_protocol::{AppId, PacketId, Refusal};
use chatd::chat::Chat;
use chatd::money::audit::{Ask, Auditor};
use chatd::money::claims::Claims;
use chatd::money::ledger::Ledger;
use chatd::money::red_packet::{Policy, Ports, RedPackets};
use chatd::money::settlement::Queue;
use chatd::money::settlement::giving_up::discard;
use chatd::money::settlement::worker::Worker;
use chatd::money::split::Method;
use chatd::money::sweeper::Sweeper;
use tokio::time::Instant;

use crate::engine::{Engine, Node};
use crate::ledger::Vault;
use crate::wait::{SOON, pace};

/// Parts of a node that work when a test tells them to.
pub struct Works {
    /// The node.
    pub node: Node,
    /// Its ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Its red packets.
    pub red_packets: Arc<RedPackets>,
    /// What they owe.
    pub claims: Arc<Claims>,
    /// Looks after them when it is told to.
    pub sweeper: Sweeper,
    /// The proof.
    pub auditor: Auditor,
    /// Of settlements; nobody receives from it.
    pub queue: Arc<dyn Queue>,
    idle: Duration,
}

impl Works {
    /// Packets expire after `expiry_ms`; a receiver that was silent for `idle` is taken for dead.
    pub async fn new(engine: &Engine, vault: &Vault, node: Node, expiry_ms: u64, idle: Duration) -> Self {
        let (ledger, queue) = (vault.ledger().await, engine.receiver(&node, idle).await);
        let packets = node.packets.clone();
        let ports = Ports {
            packets: packets.clone(),
            escrows: ledger.clone(),
            agenda: ledger.clone(),
            archive: ledger.clone(),
            chat: Arc::new(Chat::new(node.broker.clone(), Arc::default())),
            log: node.broker.clone(),
            bus: node.broker.clone(),
            groups: node.groups.clone(),
        };
        let policy = Policy { method: Method::LineCutting, expiry_ms };
        let red_packets = Arc::new(RedPackets::new(ports, policy));
        let claims = Arc::new(Claims::new(packets.clone(), ledger.clone()));
        let sweeper = Sweeper::new(
            packets.clone(),
            ledger.clone(),
            ledger.clone(),
            red_packets.clone(),
            claims.clone(),
        );
        let auditor = Auditor::new(packets, ledger.clone(), vec![queue.clone()]);
        Self { node, ledger, red_packets, claims, sweeper, auditor, queue, idle }
    }

    /// An operator gives a dead letter up; how many letters were.
    ///
    /// # Errors
    /// Of the queue and the ledger.
    pub async fn discard(&self, app: AppId, id: &str, reason: &str) -> Result<u64, Refusal> {
        discard(std::slice::from_ref(&self.queue), &*self.ledger, app, id, reason).await
    }

    /// A worker of its own works until nothing is queued, or `killed` comes.
    ///
    /// # Panics
    /// When a settlement stays in the queue.
    pub async fn settle(&self, engine: &Engine, killed: impl AsyncFnOnce(&Worker)) {
        let worker = Worker::new(
            engine.receiver(&self.node, self.idle).await,
            self.node.packets.clone(),
            self.ledger.clone(),
            engine.clock.clone(),
        );
        let done = async {
            let deadline = Instant::now() + SOON;
            while self.queue.depth().await.expect("its depth").waiting > 0 {
                assert!(Instant::now() < deadline, "a settlement stays in the queue");
                pace(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = killed(&worker) => {}
            () = done => {}
        }
    }

    /// As [`Works::settle`], and nobody is killed.
    pub async fn settle_all(&self, engine: &Engine) {
        self.settle(engine, async |worker| worker.run(Default::default()).await).await;
    }
}

/// What an auditor says of one packet, or of all of an app, in as many pages as it takes.
///
/// # Panics
/// When a store does not answer.
pub async fn audit(auditor: &Auditor, app: AppId, packet: Option<&PacketId>) -> AuditResponse {
    let Some(packet) = packet else { return audit_since(auditor, app, 0, None).await };
    auditor.packet(app, packet).await.expect("an audit")
}

/// What an auditor says of an app since then, in pages of at most `limit`.
///
/// # Panics
/// When a store does not answer.
pub async fn audit_since(auditor: &Auditor, app: AppId, since_ms: u64, limit: Option<u32>) -> AuditResponse {
    let mut ask = Ask { since_ms, cursor: None, limit };
    let mut found = auditor.page(app, &ask).await.expect("an audit");
    while let Some(cursor) = found.cursor.take() {
        ask.cursor = Some(cursor);
        found.add(auditor.page(app, &ask).await.expect("a page"));
    }
    found
}
