//! What a node tells the others of itself, as often as it renews its lease.
//!
//! Invariant: one small text a node, beside its lease; nothing waits for it, and a node without one is live all the same.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::node::Node;

use super::{Presence, RENEW_EVERY_MS};
use crate::clock::Clock;
use crate::hub::Hub;

/// What there is to tell of this node.
#[derive(Clone)]
pub struct Card {
    fixed: Node,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
}

impl Card {
    /// Of the node with this name that listens there, from now on.
    #[must_use]
    pub fn new(node_id: String, address: String, hub: Arc<Hub>, clock: Arc<dyn Clock>) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let fixed = Node {
            node_id,
            host: host.trim().to_owned(),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: clock.now_ms(),
            connections: 0,
            users: 0,
            draining: false,
            last_heard: 0,
        };
        Self { fixed, hub, clock }
    }

    /// The node's name.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.fixed.node_id
    }

    /// The node as it is now.
    #[must_use]
    pub fn now(&self) -> Node {
        Node {
            connections: self.hub.connections() as u64,
            users: self.hub.users() as u64,
            draining: self.hub.drain().has_begun(),
            last_heard: self.clock.now_ms(),
            ..self.fixed.clone()
        }
    }
}

/// Tells the others until the task is ended; at once when the node begins to drain.
pub async fn tell(card: Card, presence: Arc<dyn Presence>) {
    let mut tick = tokio::time::interval(Duration::from_millis(RENEW_EVERY_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let has_begun = card.hub.drain().has_begun();
        tokio::select! {
            _ = tick.tick() => {}
            () = card.hub.drain().begun(), if !has_begun => {}
        }
        if let Err(error) = presence.tell(&card.now()).await {
            tracing::debug!(%error, "what this node does could not be told");
        }
    }
}
