//! What a node is made of whatever its engine is.
//!
//! Invariant: nothing here opens a store.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::Files;
use super::room::max_connections;
use super::waiting::Waiting;
use crate::audit::{Audit, Place};
use crate::auth::Auth;
use crate::broker::Log;
use crate::chat::{Chat, Courier};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::counters::Counters;
use crate::files;
use crate::grpc::Senders;
use crate::hub::Hub;
use crate::hub::outbox::Limits;
use crate::journal::Journal;
use crate::membership::resync_queue::ResyncQueue;
use crate::membership::router::Router;
use crate::quota::Quotas;
use crate::transport::queued;

/// What is the same for every engine.
pub(super) struct Base {
    pub(super) node: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Arc<Counters>,
    pub(super) hub: Arc<Hub>,
    /// What happened of late; none where it is not kept.
    pub(super) journal: Option<Arc<Journal>>,
    /// What the broker delivers to.
    pub(super) router: Arc<Router>,
    pub(super) max_connections: usize,
    pub(super) files: Files,
    pub(super) waiting: Waiting,
    pub(super) auth: Arc<Auth>,
    /// News of what readers missed.
    pub(super) resyncs: Arc<ResyncQueue>,
    /// How much anybody may ask.
    pub(super) quotas: Arc<Quotas>,
}

impl Base {
    /// For these settings, in a process that has room for so many connections.
    pub(super) fn new(config: &Config, room: usize, auth: Arc<Auth>, files: Files) -> Self {
        let max_connections = max_connections(config.limits.max_connections, room);
        let (node, counters) = (rand::random(), Arc::new(Counters::default()));
        let journal = Journal::new(config.serve.journal_bytes).map(Arc::new);
        let hub = open_hub(config, node, &counters, journal.clone());
        let resyncs = Arc::new(ResyncQueue::default());
        Self {
            node,
            clock: Arc::new(SystemClock),
            router: Arc::new(Router::new(hub.clone(), resyncs.clone())),
            quotas: quotas(config, max_connections, &counters),
            waiting: Waiting::at_most(config.serve.store_wait.get()),
            counters,
            hub,
            journal,
            resyncs,
            max_connections,
            files,
            auth,
        }
    }

    /// Sends through this log, with these files, or through the nodes that store for this one.
    ///
    /// # Errors
    /// For the operator: what is wrong with the settings about them.
    pub(super) fn chat(
        &self,
        config: &Config,
        log: Arc<dyn Log>,
        carried: Arc<files::Files>,
    ) -> anyhow::Result<Arc<Chat>> {
        let refused = |error: String| anyhow!(error);
        let courier = match config.senders().map_err(refused)? {
            Some(senders) => {
                let senders = Senders::new(&senders, self.counters.clone()).map_err(refused)?;
                Some(Arc::new(senders) as Arc<dyn Courier>)
            }
            None => None,
        };
        let chat = Chat::new(log, self.counters.clone()).noting(self.journal.clone());
        Ok(Arc::new(chat.carrying(carried).through(courier)))
    }

    /// The log of what operators do, if there is to be one.
    ///
    /// # Errors
    /// For the operator: what cannot be opened.
    pub(super) fn audit(&self, config: &Config) -> anyhow::Result<Option<Arc<Audit>>> {
        let Some(file) = config.audit_log() else {
            tracing::info!("what operators do is not recorded; --audit-log FILE does it");
            return Ok(None);
        };
        let refused = format!("cannot open the audit log {}", file.display());
        let place = Place { file, max_bytes: config.audit.max_bytes, old_files: config.audit.old_files };
        let (clock, counters) = (self.clock.clone(), self.counters.clone());
        let audit = Audit::open(place, self.node_id(), self.auth.clone(), clock, counters);
        audit.context(refused).map(Some)
    }

    /// The name of the node.
    pub(super) fn node_id(&self) -> String {
        format!("{:016x}", self.node)
    }
}

/// The hub, and how much may wait in it.
fn open_hub(config: &Config, node: u64, counters: &Arc<Counters>, journal: Option<Arc<Journal>>) -> Arc<Hub> {
    queued::limit_to(config.limits.queued_bytes);
    let limits = Limits { frames: config.limits.outbox_frames, bytes: config.limits.outbox_bytes };
    let hub = Hub::new(node, limits, counters.clone());
    Arc::new(hub.speaking(config.serve.push_language).noting(journal))
}

/// How much anybody may ask, with what is derived in place of what was not given.
fn quotas(config: &Config, max_connections: usize, counters: &Arc<Counters>) -> Arc<Quotas> {
    let limits = config::Limits { max_connections, ..config.limits.clone() };
    Quotas::new(&limits, counters.clone())
}
