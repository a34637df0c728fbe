//! What the HTTP edge leads to: the services behind the operations, and the sessions of connections.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Base;
use super::engine::Engine;
use super::money::Treasury;
use super::reload::{self, Reread};
use crate::audit::Audit;
use crate::chat::Chat;
use crate::config::Config;
use crate::explain::{self, Explainer};
use crate::files::Files;
use crate::grpc;
use crate::http::Edge;
use crate::http::door::Door;
use crate::hub::Hub;
use crate::marks::Marks;
use crate::marks::standing::Standing;
use crate::membership::resync::Resync;
use crate::membership::subscriptions::Subscriptions;
use crate::metrics::{self, Metrics};
use crate::ops::access::Access;
use crate::ops::audit::AuditOps;
use crate::ops::conversation::ConversationOps;
use crate::ops::desk::Desk;
use crate::ops::explain::ExplainOps;
use crate::ops::friend::FriendOps;
use crate::ops::group::GroupOps;
use crate::ops::message::MessageOps;
use crate::ops::node::NodeOps;
use crate::ops::red_packet::RedPacketOps;
use crate::ops::system::{About, Stores, System};
use crate::ops::user::User;
use crate::ops::wallet::WalletOps;
use crate::ops::{Services, Table};
use crate::presence::card::Card;
use crate::presence::registry::Registry;
use crate::session::{self, Sessions};
use crate::tls::Keeper;
use crate::workers::Workers;
use crate::worlds::Gate;

/// Bytes of an HTTP request body at most.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the edge is put together from.
pub(super) struct Parts<'a> {
    pub(super) base: &'a Base,
    pub(super) engine: &'a Engine,
    pub(super) treasury: &'a Treasury,
    pub(super) chat: Arc<Chat>,
    pub(super) files: Arc<Files>,
    pub(super) marks: Arc<Marks>,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) resync: Arc<Resync>,
    pub(super) registry: Arc<Registry>,
    pub(super) card: Card,
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) door: Arc<Door>,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) reread: Reread,
}

/// Who is let in over HTTP, at this address.
pub(super) fn door(config: &Config, address: SocketAddr) -> anyhow::Result<Door> {
    let refuse = |error: String| anyhow!(error);
    let (origins, hosts) =
        (config.allowed_origins().map_err(refuse)?, config.allowed_hosts().map_err(refuse)?);
    Ok(Door::new(origins, hosts, address.ip().is_loopback(), config.limits.keep_alive.get()))
}

/// What the HTTP edge leads to: operations and connections.
pub(super) fn edge(config: &Config, parts: Parts<'_>) -> anyhow::Result<Edge> {
    let services = services(config, &parts);
    let Parts { base, engine, treasury, chat, files, marks, subscriptions, registry, door, keeper, .. } =
        parts;
    let gate = Arc::new(Gate::new(engine.worlds.clone(), base.quotas.clone()));
    let (role, operations) = (config.serve.role, Arc::new(Table::new(&services)));
    let sessions = Sessions {
        hub: base.hub.clone(),
        subscriptions,
        registry,
        chat,
        marks,
        standing: Arc::new(standing(base, engine)),
        auth: base.auth.clone(),
        gate: gate.clone(),
        quotas: base.quotas.clone(),
        operations: operations.clone(),
        groups: engine.groups.clone(),
        broker: engine.broker.clone(),
        bans: engine.bans.clone(),
        conversations: engine.conversations.clone(),
        recoveries: Arc::new(Semaphore::new(session::recoveries(
            config.limits.outbox_bytes,
            config.limits.queued_bytes,
        ))),
        counters: base.counters.clone(),
        max_frame_bytes: config.limits.max_frame_bytes,
    };
    let max_connections = if role.takes_websockets() { base.max_connections } else { 0 };
    let desk = Desk {
        role,
        operations,
        auth: base.auth.clone(),
        quotas: base.quotas.clone(),
        bans: engine.bans.clone(),
        gate,
    };
    Ok(Edge {
        desk: Arc::new(desk),
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
            keeper,
        })),
        workers: Workers::start(&Arc::new(sessions)).context("threads for the connections")?,
        connections: TaskTracker::new(),
        max_connections,
        counters: base.counters.clone(),
        door,
        proxies: Arc::new(config.proxies().map_err(|error| anyhow!(error))?),
        files,
        quotas: base.quotas.clone(),
        max_body_bytes: MAX_BODY_BYTES,
    })
}

/// What knows how far others have read.
fn standing(base: &Base, engine: &Engine) -> Standing {
    let Engine { conversations, groups, presence, .. } = engine;
    Standing::new(base.hub.clone(), conversations.clone(), groups.clone(), presence.clone())
}

/// What the gRPC edge leads to: what the HTTP edge does.
pub(super) fn grpc_edge(
    edge: &Edge,
    chat: Arc<Chat>,
    hub: &Arc<Hub>,
    subscriptions: &Arc<Subscriptions>,
) -> grpc::Edge {
    grpc::Edge {
        desk: edge.desk.clone(),
        chat,
        system: edge.system.clone(),
        hub: hub.clone(),
        subscriptions: subscriptions.clone(),
        proxies: edge.proxies.clone(),
        counters: edge.counters.clone(),
        max_body_bytes: edge.max_body_bytes,
    }
}

/// What knows what happened.
fn sources(parts: &Parts<'_>) -> explain::Sources {
    let Parts { base, engine, .. } = parts;
    explain::Sources {
        hub: base.hub.clone(),
        log: engine.broker.clone(),
        presence: engine.presence.clone(),
        groups: engine.groups.clone(),
        friends: engine.friends.clone(),
        conversations: engine.conversations.clone(),
        bans: engine.bans.clone(),
    }
}

fn services(config: &Config, parts: &Parts<'_>) -> Services {
    let Parts { base, engine, treasury, chat, files, resync, card, audit, door, keeper, reread, .. } = parts;
    let (auth, quotas) = (base.auth.clone(), base.quotas.clone());
    let again = reload::again(
        reread.clone(),
        reload::Held {
            auth,
            quotas,
            door: door.clone(),
            audit: audit.clone(),
            keeper: keeper.clone(),
            files: files.clone(),
        },
    );
    let (broker, groups) = (engine.broker.clone(), engine.groups.clone());
    let (presence, clock) = (engine.presence.clone(), base.clock.clone());
    let (role, drain) = (config.serve.role, config.serve.drain.get());
    let about = About { node_id: base.node_id(), engine: engine.name, role, drain };
    let system = System::new(
        about,
        base.hub.clone(),
        Stores {
            broker: broker.clone(),
            chat: chat.clone(),
            presence: engine.presence.clone(),
            ledger: treasury.ledger.clone().map(|ledger| ledger as _),
            files: files.clone(),
        },
        base.counters.clone(),
        again,
        base.quotas.clone(),
    );
    let explainer = Explainer::new(base.node_id(), sources(parts));
    Services {
        user: Arc::new(User::new(chat.clone(), engine.presence.clone())),
        group: Arc::new(GroupOps::new(
            groups.clone(),
            broker.clone(),
            chat.clone(),
            resync.clone(),
            treasury.money.clone(),
            base.quotas.clone(),
            files.clone(),
        )),
        file: files.clone(),
        message: Arc::new(MessageOps::new(broker.clone(), groups, files.clone(), clock.clone())),
        conversation: Arc::new(ConversationOps::new(
            engine.conversations.clone(),
            parts.marks.clone(),
            base.hub.language(),
        )),
        friend: Arc::new(FriendOps::new(
            engine.friends.clone(),
            broker,
            base.clock.clone(),
            base.quotas.clone(),
        )),
        red_packet: Arc::new(RedPacketOps::new(treasury.money.clone())),
        wallet: Arc::new(WalletOps::new(treasury.money.clone())),
        system: Arc::new(system),
        node: Arc::new(NodeOps::new(card.clone(), base.hub.clone(), presence.clone(), clock.clone())),
        audit: Arc::new(AuditOps::new(base.node_id(), audit.clone())),
        explain: Arc::new(ExplainOps::new(explainer, treasury.money.clone())),
        access: Arc::new(Access::new(engine.bans.clone(), engine.broker.clone(), presence, clock)),
    }
}
