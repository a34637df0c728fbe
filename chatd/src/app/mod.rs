//! The one composition root: which adapters, in which order, and how they stop.

mod base;
pub mod credentials;
mod engine;
mod health;
mod money;
pub mod places;
pub mod program;
mod reload;
mod room;
mod rounds;
pub mod service;
pub mod signals;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::base::Base;
use self::engine::Engine;
use self::money::Treasury;
use self::reload::Reread;
use self::room::{max_connections, room_for_connections};
use self::rounds::{deadlines, end_terms, relieve, sweep};
use crate::auth::Auth;
use crate::chat::Chat;
use crate::config::{Config, Role};
use crate::engine::sqlite::Close;
use crate::http::door::Door;
use crate::http::{self, Edge};
use crate::hub::Hub;
use crate::hub::outbox;
use crate::listener::places::Places;
use crate::listener::{self, House, Patience};
use crate::membership::resync::Resync;
use crate::membership::subscriptions::Subscriptions;
use crate::metrics::{self, Metrics};
use crate::ops::conversation::ConversationOps;
use crate::ops::friend::FriendOps;
use crate::ops::group::GroupOps;
use crate::ops::message::MessageOps;
use crate::ops::red_packet::RedPacketOps;
use crate::ops::wallet::WalletOps;
use crate::ops::{
    Services, Table,
    system::{About, Again, Stores, System},
    user::User,
};
use crate::presence::Presence;
use crate::presence::crowds;
use crate::presence::registry::Registry;
use crate::session::{self, Sessions};
use crate::workers::Workers;

/// Bytes of an HTTP request body at most.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a stop waits for connections once all were asked to leave, and again for requests over HTTP.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits after that until it is told who has gone.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for each database, of which the largest may have 1,000 pages to move.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A node that serves.
pub struct App {
    /// Where it listens, with the real port.
    pub address: SocketAddr,
    hub: Arc<Hub>,
    system: Arc<System>,
    presence: Arc<dyn Presence>,
    stop: CancellationToken,
    /// Connections that still speak HTTP.
    requests: TaskTracker,
    /// Those that became WebSockets.
    connections: TaskTracker,
    workers: Arc<Workers>,
    accepting: tokio::task::JoinHandle<()>,
    all_gone: CancellationToken,
    registry: tokio::task::JoinHandle<()>,
    treasury: Treasury,
    background: Vec<tokio::task::JoinHandle<()>>,
    files: Files,
}

/// Databases to close at the end, in the order they were opened.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<Vec<Arc<dyn Close>>>>);

impl Files {
    fn add(&self, file: Arc<dyn Close>) {
        self.0.lock().push(file);
    }

    async fn close(&self) {
        let files = std::mem::take(&mut *self.0.lock());
        for file in files.iter().rev() {
            if tokio::time::timeout(CLOSE_TIMEOUT, file.close()).await.is_err() {
                tracing::warn!("a database could not be closed in time; it stays with its -wal file");
            }
        }
    }
}

impl App {
    /// Opens the stores, binds the address and serves those whom `auth` knows. `reread` gives later settings.
    ///
    /// # Errors
    /// For the operator: what could not be opened or bound.
    pub async fn start(config: &Config, auth: Auth, reread: Reread) -> anyhow::Result<Self> {
        let files = Files::default();
        let started = Self::open(config, Arc::new(auth), reread, files.clone()).await;
        if started.is_err() {
            files.close().await;
        }
        started
    }

    async fn open(config: &Config, auth: Arc<Auth>, reread: Reread, files: Files) -> anyhow::Result<Self> {
        let addresses = config.listen_addresses().map_err(|error| anyhow!(error))?;
        let taken = || format!("cannot listen on {}; is another chatd running there?", config.serve.listen);
        let bound = listener::bind(&addresses).with_context(taken)?;
        let address = bound.address()?;
        let room = room_for_connections();
        let max_connections = max_connections(config.limits.max_connections, room);
        let base = Base::new(config, max_connections, auth, files);
        let (hub, engine) = (base.hub.clone(), engine::open(config, &base).await?);
        let chat = Arc::new(Chat::new(engine.broker.clone(), base.counters.clone()));
        let treasury = Treasury::open(config, &base, &engine, &chat).await?;
        let (broker, presence, groups) =
            (engine.broker.clone(), engine.presence.clone(), engine.groups.clone());
        let registry = Arc::new(Registry::new(hub.clone(), presence.clone()));
        let resyncs = base.resyncs.clone();
        let follow = Subscriptions::new(hub.clone(), broker.clone(), resyncs.clone(), registry.noting());
        let subscriptions = Arc::new(follow);
        let resync = Arc::new(Resync::new(hub.clone(), subscriptions.clone(), groups, broker, resyncs));
        let parts = Parts {
            base: &base,
            engine: &engine,
            treasury: &treasury,
            chat,
            subscriptions: subscriptions.clone(),
            resync: resync.clone(),
            registry: registry.clone(),
            door: Arc::new(door(config, address)?),
            reread,
        };
        let edge = edge(config, parts)?;
        let patience = patience(config);
        let places = Places::new(room, base.counters.clone());
        let (stop, all_gone, requests) = <(CancellationToken, CancellationToken, TaskTracker)>::default();
        let (connections, workers) = (edge.connections.clone(), edge.workers.clone());
        let (system, entrance) = (edge.system.clone(), http::entrance(edge));
        let (quotas, tasks) = (base.quotas, requests.clone());
        let house = House { entrance, places: places.clone(), quotas: quotas.clone(), patience, tasks };
        let listener = bound.listen().with_context(taken)?;
        let accepting = tokio::spawn(listener::serve(listener, house, stop.clone()));
        let registry = tokio::spawn(registry.run(all_gone.clone()));
        let mut background = vec![
            tokio::spawn(resync.run()),
            tokio::spawn(sweep(hub.clone(), subscriptions, quotas, deadlines(config))),
            tokio::spawn(end_terms(hub.clone(), base.auth, config.auth.expiry_warning)),
            tokio::spawn(relieve(hub.clone(), places)),
            tokio::spawn(crowds::tell(hub.clone(), presence.clone())),
        ];
        background.extend(engine.watch);
        Ok(Self {
            address,
            hub,
            system,
            presence,
            stop,
            requests,
            connections,
            workers,
            accepting,
            all_gone,
            registry,
            treasury,
            background,
            files: base.files,
        })
    }

    /// Its connections, and whether they are leaving: it is to be stopped once they are.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    /// Lets the connections leave, of which it takes no more once [`crate::hub::Drain::begin`] was called, and waits for
    /// them, but not for ever. Requests over HTTP are answered meanwhile, also those that ask how far it is.
    pub async fn leave(&self) {
        self.connections.close();
        self.hub.close_all().await;
        if tokio::time::timeout(STOP_TIMEOUT, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "connections did not end in time");
        }
    }

    /// Ends what is left, after [`App::leave`], and waits for it, but not for ever.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = self.accepting.await;
        self.requests.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.requests.wait()).await.is_err() {
            tracing::warn!(connections = self.requests.len(), "connections of HTTP did not end in time");
        }
        self.workers.stop();
        self.all_gone.cancel();
        let told = tokio::time::timeout(REGISTRY_TIMEOUT, &mut self.registry).await;
        if told.is_err() {
            tracing::warn!("not everyone who has gone could be announced");
        }
        self.registry.abort();
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
        self.treasury.stop().await;
        if let Err(error) = self.presence.resign().await {
            tracing::warn!(%error, "the lease could not be given back; it expires by itself");
        }
        self.files.close().await;
    }
}

/// What the edge is put together from.
struct Parts<'a> {
    base: &'a Base,
    engine: &'a Engine,
    treasury: &'a Treasury,
    chat: Arc<Chat>,
    subscriptions: Arc<Subscriptions>,
    resync: Arc<Resync>,
    registry: Arc<Registry>,
    door: Arc<Door>,
    reread: Reread,
}

/// How long connections may be quiet.
fn patience(config: &Config) -> Patience {
    let limits = &config.limits;
    Patience { idle: limits.keep_alive.get(), stalled: limits.stall_timeout.get() }
}

/// Who is let in over HTTP, at this address.
fn door(config: &Config, address: SocketAddr) -> anyhow::Result<Door> {
    let refuse = |error: String| anyhow!(error);
    let (origins, hosts) =
        (config.allowed_origins().map_err(refuse)?, config.allowed_hosts().map_err(refuse)?);
    Ok(Door::new(origins, hosts, address.ip().is_loopback(), config.limits.keep_alive.get()))
}

/// What the HTTP edge leads to: operations and connections.
fn edge(config: &Config, parts: Parts<'_>) -> anyhow::Result<Edge> {
    let Parts { base, engine, treasury, chat, subscriptions, resync, registry, door, reread } = parts;
    let again = reload::again(reread, base.auth.clone(), base.quotas.clone(), door.clone());
    let services = services(base, config.serve.drain.get(), engine, &chat, treasury, resync, again);
    let operations = Arc::new(match config.serve.role {
        Role::All => Table::new(&services),
        Role::Settler => Table::of_settler(&services),
    });
    let sessions = Sessions {
        hub: base.hub.clone(),
        subscriptions,
        registry,
        chat,
        auth: base.auth.clone(),
        quotas: base.quotas.clone(),
        operations: operations.clone(),
        groups: engine.groups.clone(),
        broker: engine.broker.clone(),
        conversations: engine.conversations.clone(),
        recoveries: Arc::new(Semaphore::new(session::recoveries(
            config.limits.outbox_bytes,
            config.limits.queued_bytes,
        ))),
        counters: base.counters.clone(),
        max_frame_bytes: config.limits.max_frame_bytes,
    };
    let max_connections = match config.serve.role {
        Role::All => base.max_connections,
        Role::Settler => 0,
    };
    Ok(Edge {
        operations,
        system: services.system,
        metrics: Arc::new(Metrics::new(metrics::Sources {
            engine: engine.name,
            max_connections,
            hub: base.hub.clone(),
            counters: base.counters.clone(),
            auth: base.auth.clone(),
            redis: engine.links,
            worker: treasury.worker.clone(),
            audits: treasury.audits.clone(),
            watch: treasury.watch.clone(),
        })),
        workers: Workers::start(&Arc::new(sessions)).context("threads for the connections")?,
        connections: TaskTracker::new(),
        max_connections,
        counters: base.counters.clone(),
        door,
        auth: base.auth.clone(),
        quotas: base.quotas.clone(),
        max_body_bytes: MAX_BODY_BYTES,
    })
}

fn services(
    base: &Base,
    drain: Duration,
    engine: &Engine,
    chat: &Arc<Chat>,
    treasury: &Treasury,
    resync: Arc<Resync>,
    again: Again,
) -> Services {
    let (broker, groups) = (engine.broker.clone(), engine.groups.clone());
    let about = About {
        node_id: format!("{:016x}", base.node),
        engine: engine.name,
        drain,
    };
    let system = System::new(
        about,
        base.hub.clone(),
        Stores {
            broker: broker.clone(),
            presence: engine.presence.clone(),
            ledger: treasury.ledger.clone().map(|ledger| ledger as _),
        },
        base.counters.clone(),
        again,
        base.quotas.clone(),
    );
    Services {
        user: Arc::new(User::new(chat.clone(), engine.presence.clone())),
        group: Arc::new(GroupOps::new(
            groups.clone(),
            broker.clone(),
            chat.clone(),
            resync,
            treasury.money.clone(),
            base.quotas.clone(),
        )),
        message: Arc::new(MessageOps::new(broker.clone(), groups)),
        conversation: Arc::new(ConversationOps::new(engine.conversations.clone(), base.hub.language())),
        friend: Arc::new(FriendOps::new(
            engine.friends.clone(),
            broker,
            base.clock.clone(),
            base.quotas.clone(),
        )),
        red_packet: Arc::new(RedPacketOps::new(treasury.money.clone())),
        wallet: Arc::new(WalletOps::new(treasury.money.clone())),
        system: Arc::new(system),
    }
}
