//! Operations on the system: state, reload.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::system::{Reload, ReloadRequest, ReloadResponse, State, StateRequest, StateResponse};
use chat_protocol::{Code, Refusal};
use futures_util::FutureExt;
use tokio::time::timeout;

use super::Table;
use crate::broker::Broker;
use crate::counters::Counters;
use crate::hub::Hub;
use crate::money::ledger::Escrows;
use crate::presence::Presence;
use crate::quota::Quotas;

/// How long a store may take to say that it can be written.
const PATIENCE: Duration = Duration::from_secs(3);

/// The stores whose state is told.
pub struct Stores {
    /// The messages.
    pub broker: Arc<dyn Broker>,
    /// Who is online.
    pub presence: Arc<dyn Presence>,
    /// The money; none without a ledger.
    pub ledger: Option<Arc<dyn Escrows>>,
}

/// Reads again what may change while the node runs: all of it, or nothing.
pub type Again = Arc<dyn Fn() -> Result<ReloadResponse, Refusal> + Send + Sync>;

/// What the operations need.
pub struct System {
    node_id: String,
    engine: &'static str,
    started: Instant,
    hub: Arc<Hub>,
    stores: Stores,
    counters: Arc<Counters>,
    again: Again,
    quotas: Arc<Quotas>,
}

impl System {
    /// Operations of the node with this name.
    #[must_use]
    pub fn new(
        node_id: String,
        engine: &'static str,
        hub: Arc<Hub>,
        stores: Stores,
        counters: Arc<Counters>,
        again: Again,
        quotas: Arc<Quotas>,
    ) -> Self {
        let started = Instant::now();
        Self { node_id, engine, started, hub, stores, counters, again, quotas }
    }

    /// Whether the node can serve.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ready(&self) -> Result<(), Refusal> {
        let unready = self.unready().await;
        if unready.is_empty() { Ok(()) } else { Err(Refusal::unreachable(&unready.join(", "))) }
    }

    /// The stores that cannot be written right now.
    async fn unready(&self) -> Vec<String> {
        let messages = unready("messages", self.stores.broker.ready());
        let ledger = async { unready("ledger", self.stores.ledger.as_ref()?.ready()).await };
        let (messages, ledger) = tokio::join!(messages, ledger);
        messages.into_iter().chain(ledger).collect()
    }

    /// Reads again what may change while the node runs.
    ///
    /// # Errors
    /// [`Code::RefusedByRule`] with a reason for the operator; then everything stays as it was.
    pub async fn read_again(&self) -> Result<ReloadResponse, Refusal> {
        let again = self.again.clone();
        // It reads files.
        let reloaded = tokio::task::spawn_blocking(move || again()).await;
        let read = reloaded.map_err(|error| {
            tracing::error!(%error, "reading the settings again");
            Refusal::from(Code::ServerError)
        })??;
        let ReloadResponse { keys, token_keys, limits, restart } = &read;
        tracing::info!(?keys, token_keys, ?limits, ?restart, "the settings were read again");
        Ok(read)
    }

    async fn reload(&self, _: ReloadRequest) -> Result<ReloadResponse, Refusal> {
        self.read_again().await
    }

    async fn state(&self, _: StateRequest) -> Result<StateResponse, Refusal> {
        let (counters, unready) = (&self.counters, self.unready().await);
        Ok(StateResponse {
            node_id: self.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: self.engine.to_owned(),
            ready: unready.is_empty(),
            unready,
            pid: std::process::id(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            // The state is asked for when something is wrong; a store that does not answer must not hide the rest.
            nodes: self.stores.presence.live_nodes().await.unwrap_or(0),
            connections: self.hub.connections() as u64,
            sessions: self.hub.sessions() as u64,
            max_connections: self.quotas.settings().max_connections as u64,
            connections_total: counters.connections.get(),
            messages_total: counters.messages.get(),
            deliveries_total: counters.deliveries.get(),
            slow_closes_total: counters.slow_closes.get(),
            gap_fills_total: counters.gap_fills.get(),
            limits: self.quotas.states(),
        })
    }
}

/// The store, unless it says in time that it can be written.
async fn unready<E: Display>(store: &str, ready: impl Future<Output = Result<(), E>>) -> Option<String> {
    match timeout(PATIENCE, ready).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => tracing::warn!(store, %error, "not ready"),
        Err(_) => tracing::warn!(store, "not ready: no answer in time"),
    }
    Some(store.to_owned())
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, system: &Arc<System>) {
    table.bind::<Reload, _>(system, |system, _, request| system.reload(request).boxed());
    table.bind::<State, _>(system, |system, _, request| system.state(request).boxed());
}
