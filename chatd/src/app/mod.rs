//! The one composition root: which adapters, in which order, and how they stop.

mod base;
pub mod credentials;
mod edge;
mod engine;
mod files;
mod health;
mod money;
pub mod places;
mod ports;
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

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::base::Base;
use self::edge::{Parts, door, edge, grpc_edge};
use self::money::Treasury;
use self::ports::{Doors, Ports};
use self::reload::Reread;
use self::room::room_for_connections;
use self::rounds::{deadlines, end_terms, look_at, patience, relieve, sweep};
use crate::audit::Audit;
use crate::auth::Auth;
use crate::config::Config;
use crate::engine::sqlite::Close;
use crate::http::{self, Edge};
use crate::hub::Hub;
use crate::listener::places::Places;
use crate::listener::{Greeter, House, Speech};
use crate::marks::Marks;
use crate::membership::resync::Resync;
use crate::membership::subscriptions::Subscriptions;
use crate::ops::system::System;
use crate::presence::card::{self, Card};
use crate::presence::registry::Registry;
use crate::presence::{Presence, crowds};
use crate::tls::Keeper;
use crate::workers::Workers;

/// How long a stop waits for connections once all were asked to leave, and again for requests over HTTP.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits after that until it is told who has gone.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for each database, of which the largest may have 1,000 pages to move.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the settings name, read.
pub struct Known {
    /// Whoever may ask.
    pub auth: Auth,
    /// The certificate, on a node that speaks TLS.
    pub keeper: Option<Arc<Keeper>>,
    /// How the settings are read again.
    pub reread: Reread,
}

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
    doors: Doors,
    all_gone: CancellationToken,
    registry: tokio::task::JoinHandle<()>,
    treasury: Treasury,
    audit: Option<Arc<Audit>>,
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

/// What connections are let into, of which there may be so many.
fn house(
    config: &Config,
    base: &Base,
    edge: Edge,
    keeper: Option<Arc<Keeper>>,
    room: usize,
    tasks: TaskTracker,
) -> House {
    let (counters, proxies) = (&base.counters, edge.proxies.clone());
    House {
        entrance: http::entrance(edge),
        speech: Speech::Web,
        greeter: keeper.map(|keeper| Greeter::new(keeper, Speech::Web, counters.clone())),
        proxies,
        places: Places::new(room, counters.clone()),
        quotas: base.quotas.clone(),
        patience: patience(config),
        tasks,
    }
}

impl App {
    /// Opens the stores, binds the address and serves.
    ///
    /// # Errors
    /// For the operator: what could not be opened or bound.
    pub async fn start(config: &Config, known: Known) -> anyhow::Result<Self> {
        let files = Files::default();
        let started = Self::open(config, known, files.clone()).await;
        if started.is_err() {
            files.close().await;
        }
        started
    }

    async fn open(config: &Config, known: Known, files: Files) -> anyhow::Result<Self> {
        let Known { auth, keeper, reread } = known;
        let ports = Ports::bind(config)?;
        let (address, room) = (ports.address, room_for_connections());
        let base = Base::new(config, room, Arc::new(auth), files);
        let (hub, engine) = (base.hub.clone(), engine::open(config, &base).await?);
        let (kept, chat) = files::open(config, &base, &engine).await?;
        let treasury = Treasury::open(config, &base, &engine, &chat).await?;
        let (audit, resyncs) = (base.audit(config)?, base.resyncs.clone());
        let (broker, presence) = (engine.broker.clone(), engine.presence.clone());
        let registry = Arc::new(Registry::new(hub.clone(), presence.clone()));
        let follow = Subscriptions::new(hub.clone(), broker.clone(), resyncs.clone(), registry.noting());
        let (subscriptions, bans, groups) = (Arc::new(follow), engine.bans.clone(), engine.groups.clone());
        let resync = Arc::new(Resync::new(hub.clone(), subscriptions.clone(), groups, broker, bans, resyncs));
        let card = Card::new(base.node_id(), address.to_string(), hub.clone(), base.clock.clone());
        let parts = Parts {
            base: &base,
            engine: &engine,
            treasury: &treasury,
            chat: chat.clone(),
            files: kept.clone(),
            marks: Arc::new(Marks::new(hub.clone(), engine.broker.clone())),
            subscriptions: subscriptions.clone(),
            resync: resync.clone(),
            registry: registry.clone(),
            card: card.clone(),
            audit: audit.clone(),
            door: Arc::new(door(config, address)?),
            keeper: keeper.clone(),
            reread,
        };
        let (marks, edge) = (parts.marks.clone(), edge(config, parts)?);
        let (stop, all_gone, requests) = <(CancellationToken, CancellationToken, TaskTracker)>::default();
        let Edge { connections, workers, system, .. } = edge.clone();
        let grpc_edge = grpc_edge(&edge, chat, &hub, &subscriptions);
        let house = house(config, &base, edge, keeper.clone(), room, requests.clone());
        let (places, quotas) = (house.places.clone(), house.quotas.clone());
        let doors = ports.open(config, house, grpc_edge, keeper.as_ref(), &stop).await?;
        let mut background = vec![
            tokio::spawn(resync.run()),
            tokio::spawn(sweep(hub.clone(), subscriptions, quotas, deadlines(config))),
            tokio::spawn(end_terms(hub.clone(), base.auth, config.auth.expiry_warning)),
            tokio::spawn(marks.tell()),
            tokio::spawn(relieve(hub.clone(), places)),
            tokio::spawn(crowds::tell(hub.clone(), presence.clone())),
            tokio::spawn(card::tell(card, presence.clone())),
            tokio::spawn(kept.sweep()),
        ];
        background.extend(engine.watch.into_iter().chain(keeper.map(|keeper| tokio::spawn(look_at(keeper)))));
        Ok(Self {
            address,
            hub,
            system,
            presence,
            stop,
            requests,
            connections,
            workers,
            doors,
            registry: tokio::spawn(registry.run(all_gone.clone())),
            all_gone,
            treasury,
            audit,
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
        self.doors.told().await;
        self.stop.cancel();
        self.doors.closed().await;
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
        if let Some(audit) = &self.audit {
            audit.finish().await;
        }
        self.treasury.stop().await;
        if let Err(error) = self.presence.resign().await {
            tracing::warn!(%error, "the lease could not be given back; it expires by itself");
        }
        self.files.close().await;
    }
}
