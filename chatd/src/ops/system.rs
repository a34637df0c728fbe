//! Operations on the system: state, reload, drain.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::system::{
    Drain, DrainRequest, DrainResponse, Reload, ReloadRequest, ReloadResponse, State, StateRequest,
    StateResponse,
};
use chat_protocol::{Code, Refusal};
use futures_util::FutureExt;
use tokio::time::timeout;

use super::Table;
use crate::broker::Broker;
use crate::chat::Chat;
use crate::config::Role;
use crate::counters::Counters;
use crate::files::Files;
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
    /// The nodes that store them, where others do.
    pub chat: Arc<Chat>,
    /// Who is online.
    pub presence: Arc<dyn Presence>,
    /// The money; none without a ledger.
    pub ledger: Option<Arc<dyn Escrows>>,
    /// The files.
    pub files: Arc<Files>,
}

/// Reads again what may change while the node runs: all of it, or nothing.
pub type Again = Arc<dyn Fn() -> Result<ReloadResponse, Refusal> + Send + Sync>;

/// What the node is.
pub struct About {
    /// Its name.
    pub node_id: String,
    /// What it stands on.
    pub engine: &'static str,
    /// What it does.
    pub role: Role,
    /// Time over which they leave when it stops, unless another is asked for.
    pub drain: Duration,
}

/// What the operations need.
pub struct System {
    about: About,
    started: Instant,
    hub: Arc<Hub>,
    stores: Stores,
    counters: Arc<Counters>,
    again: Again,
    quotas: Arc<Quotas>,
}

impl System {
    /// Operations of this node.
    #[must_use]
    pub fn new(
        about: About,
        hub: Arc<Hub>,
        stores: Stores,
        counters: Arc<Counters>,
        again: Again,
        quotas: Arc<Quotas>,
    ) -> Self {
        Self { about, started: Instant::now(), hub, stores, counters, again, quotas }
    }

    /// Whether the node can serve.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ready(&self) -> Result<(), Refusal> {
        self.stays()?;
        let unready = self.unready().await;
        if unready.is_empty() { Ok(()) } else { Err(Refusal::unreachable(&unready.join(", "))) }
    }

    /// Whether the node takes connections: it does until it is going to stop.
    ///
    /// # Errors
    /// [`Code::StoreUnreachable`] when it does not.
    pub fn stays(&self) -> Result<(), Refusal> {
        match self.hub.drain().has_begun() {
            false => Ok(()),
            true => Err(Refusal::new(
                Code::StoreUnreachable,
                "this node is going to stop and takes no more connections; try another or later",
            )),
        }
    }

    /// The stores that cannot be written right now, of those without which the node is not ready.
    async fn unready(&self) -> Vec<String> {
        let messages = unready("messages", self.stores.broker.ready());
        let ledger = async { unready("ledger", self.stores.ledger.as_ref()?.ready()).await };
        let senders = unready("senders", self.stores.chat.ready());
        let (messages, senders, ledger) = tokio::join!(messages, senders, ledger);
        messages.into_iter().chain(senders).chain(ledger).collect()
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

    async fn drain(&self, request: DrainRequest) -> Result<DrainResponse, Refusal> {
        check_node(&self.about.node_id, request.node.as_deref())?;
        let drain = self.hub.drain();
        let over = match request.seconds {
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
            None => (!drain.has_begun()).then_some(self.about.drain),
        };
        if let Some(over) = over
            && drain.begin(over)
        {
            tracing::info!(connections = self.hub.connections(), ?over, "draining");
        }
        Ok(DrainResponse {
            node_id: self.about.node_id.clone(),
            connections: self.hub.connections() as u64,
            left_ms: u64::try_from(drain.left().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn state(&self, _: StateRequest) -> Result<StateResponse, Refusal> {
        let counters = &self.counters;
        let (mut unready, files) = tokio::join!(self.unready(), unready("files", self.stores.files.ready()));
        // Who sends no file misses nothing: the node stays where its users find it.
        let is_ready = unready.is_empty() && self.stays().is_ok();
        unready.extend(files);
        Ok(StateResponse {
            node_id: self.about.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: self.about.engine.to_owned(),
            role: self.about.role.to_string(),
            ready: is_ready,
            unready,
            draining: self.stays().is_err(),
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

/// Whether this node is the one that is meant.
///
/// # Errors
/// [`Code::NotFound`] when it is another.
pub(super) fn check_node(own: &str, meant: Option<&str>) -> Result<(), Refusal> {
    match meant {
        Some(meant) if meant != own => {
            let reason = format!("node: this is {own}; ask the one that is meant (/system/nodes lists them)");
            Err(Refusal::new(Code::NotFound, reason))
        }
        _ => Ok(()),
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
    table.bind::<Drain, _>(system, |system, _, request| system.drain(request).boxed());
    table.bind::<Reload, _>(system, |system, _, request| system.reload(request).boxed());
    table.bind::<State, _>(system, |system, _, request| system.state(request).boxed());
}
