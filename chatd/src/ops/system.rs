//! Operations on the system: state.

use std::sync::Arc;
use std::time::Instant;

use chat_protocol::Refusal;
use chat_protocol::system::{State, StateRequest, StateResponse};

use super::{Table, on};
use crate::broker::Broker;
use crate::counters::Counters;
use crate::hub::Hub;
use crate::presence::Presence;

/// What the operations need.
pub struct System {
    node_id: String,
    engine: &'static str,
    max_connections: usize,
    started: Instant,
    hub: Arc<Hub>,
    broker: Arc<dyn Broker>,
    presence: Arc<dyn Presence>,
    counters: Arc<Counters>,
}

impl System {
    /// Operations of the node with this name.
    #[must_use]
    pub fn new(
        node_id: String,
        engine: &'static str,
        max_connections: usize,
        hub: Arc<Hub>,
        broker: Arc<dyn Broker>,
        presence: Arc<dyn Presence>,
        counters: Arc<Counters>,
    ) -> Self {
        let started = Instant::now();
        Self { node_id, engine, max_connections, started, hub, broker, presence, counters }
    }

    /// Whether the node can serve.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ready(&self) -> Result<(), Refusal> {
        Ok(self.broker.ready().await?)
    }

    async fn state(&self) -> StateResponse {
        let counters = &self.counters;
        StateResponse {
            node_id: self.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: self.engine.to_owned(),
            ready: self.broker.ready().await.is_ok(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            // The state is asked for when something is wrong; a store that does not answer must not hide the rest.
            nodes: self.presence.live_nodes().await.unwrap_or(0),
            connections: self.hub.connections() as u64,
            sessions: self.hub.sessions() as u64,
            max_connections: self.max_connections as u64,
            connections_total: counters.connections.get(),
            messages_total: counters.messages.get(),
            deliveries_total: counters.deliveries.get(),
            slow_closes_total: counters.slow_closes.get(),
            gap_fills_total: counters.gap_fills.get(),
        }
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, system: &Arc<System>) {
    table.bind::<State, _>(on(system, |system, _: StateRequest| async move { Ok(system.state().await) }));
}
