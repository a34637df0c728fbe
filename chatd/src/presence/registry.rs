//! The registry of users on this node: keeps the store, which tells the room who came and went, in step with the hub.
//!
//! Invariant: the hub is the truth. Every user noted in the registry is compared with it until the store agrees, so
//! that comings and goings may be noted in any order, twice, or while the store is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Change, Presence, PresenceError, RENEW_EVERY_MS};
use crate::hub::Hub;
use crate::model::Identity;

/// Changes applied in one call at most.
const BATCH: usize = 256;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_millis(200);

type Waiter = oneshot::Sender<Result<(), String>>;

/// Users the store holds for this node, and whether that is certain: a change that was not answered may have been
/// made or not, and a store that forgot this node holds nobody. Who is in doubt is told to the store again.
type Entered = HashMap<Identity, bool>;

/// Users with connections here, and what is still to be told of them.
pub struct Registry {
    hub: Arc<Hub>,
    presence: Arc<dyn Presence>,
    /// Users to compare, with those who wait for it. Bounded by the users of this node.
    noted: Mutex<HashMap<Identity, Vec<Waiter>>>,
    changed: Notify,
    /// The store may have forgotten this node's users.
    forgotten: AtomicBool,
    /// Live nodes, this one included, when the lease was last renewed; 0 when that is not known.
    nodes: AtomicU64,
}

impl Registry {
    /// A registry of nobody. [`Registry::run`] does the work.
    pub fn new(hub: Arc<Hub>, presence: Arc<dyn Presence>) -> Self {
        let (noted, changed, forgotten, nodes) = Default::default();
        Self { hub, presence, noted, changed, forgotten, nodes }
    }

    /// Notes a user who may have come or gone, without waiting.
    pub fn note(&self, identity: &Identity) {
        self.noted.lock().entry(identity.clone()).or_default();
        self.changed.notify_one();
    }

    /// What notes users that way.
    #[must_use]
    pub fn noting(self: &Arc<Self>) -> Box<dyn Fn(&Identity) + Send + Sync> {
        let registry = self.clone();
        Box::new(move |identity| registry.note(identity))
    }

    /// Notes a user and waits until the store agrees with the hub about them.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn settle(&self, identity: &Identity) -> Result<(), PresenceError> {
        let (waiter, settled) = oneshot::channel();
        self.noted.lock().entry(identity.clone()).or_default().push(waiter);
        self.changed.notify_one();
        match settled.await {
            Ok(outcome) => outcome.map_err(PresenceError::Unreachable),
            Err(_) => Err(PresenceError::Unreachable("the node is stopping".to_owned())),
        }
    }

    /// How many other nodes there were a few seconds ago; none when that is not known.
    #[must_use]
    pub fn other_nodes(&self) -> Option<u64> {
        self.nodes.load(Ordering::Relaxed).checked_sub(1)
    }

    /// On how many other nodes the user is, each with at least one connection.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn elsewhere(&self, identity: &Identity) -> Result<u64, PresenceError> {
        self.presence.elsewhere(identity.app, &identity.user).await
    }

    /// Keeps the store in step and the lease alive until `all_gone`, and then once more.
    pub async fn run(self: Arc<Self>, all_gone: CancellationToken) {
        // Beside each other: a store that refuses changes, or takes long for many, must not cost the lease.
        tokio::select! {
            () = self.keep_step(all_gone) => {}
            () = self.keep_lease() => {}
        }
    }

    async fn keep_step(&self, all_gone: CancellationToken) {
        let mut entered = Entered::new();
        loop {
            tokio::select! {
                () = self.changed.notified() => self.compare(&mut entered).await,
                () = all_gone.cancelled() => return self.compare(&mut entered).await,
            }
        }
    }

    async fn keep_lease(&self) {
        let mut renewal = tokio::time::interval(Duration::from_millis(RENEW_EVERY_MS));
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            renewal.tick().await;
            match self.presence.renew().await {
                Ok(false) => {}
                Ok(true) => {
                    self.forgotten.store(true, Ordering::Relaxed);
                    self.changed.notify_one();
                }
                Err(error) => tracing::warn!(%error, "the node's lease could not be renewed"),
            }
            let nodes = self.presence.live_nodes().await.unwrap_or(0);
            self.nodes.store(nodes, Ordering::Relaxed);
        }
    }

    async fn compare(&self, entered: &mut Entered) {
        if self.forgotten.swap(false, Ordering::Relaxed) {
            for (identity, certain) in entered.iter_mut() {
                *certain = false;
                self.note(identity);
            }
        }
        let mut noted: Vec<_> = std::mem::take(&mut *self.noted.lock()).into_iter().collect();
        while !noted.is_empty() {
            let batch: Vec<_> = noted.drain(..noted.len().min(BATCH)).collect();
            let changes: Vec<_> =
                batch.iter().filter_map(|(identity, _)| self.change(identity, entered)).collect();
            let applied =
                if changes.is_empty() { Ok(Vec::new()) } else { self.presence.apply(&changes).await };
            match applied {
                Ok(_) => {
                    remember(changes, entered);
                    for waiter in batch.into_iter().flat_map(|(_, waiters)| waiters) {
                        let _ = waiter.send(Ok(()));
                    }
                }
                Err(error) => {
                    let users = changes.into_iter().map(|Change { app, user, .. }| Identity { app, user });
                    entered.extend(users.map(|identity| (identity, false)));
                    self.failed(batch, &error);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn change(&self, identity: &Identity, entered: &Entered) -> Option<Change> {
        let here = self.hub.is_here(identity);
        let change = Change { app: identity.app, user: identity.user.clone(), here };
        let known = match entered.get(identity) {
            Some(certain) => here && *certain,
            None => !here,
        };
        (!known).then_some(change)
    }

    /// Whoever waits is told; the users stay noted, because the hub may still differ from the store.
    fn failed(&self, batch: Vec<(Identity, Vec<Waiter>)>, error: &PresenceError) {
        tracing::warn!(%error, users = batch.len(), "presence could not be stored; trying again");
        for (identity, waiters) in batch {
            for waiter in waiters {
                let _ = waiter.send(Err(error.to_string()));
            }
            self.note(&identity);
        }
    }
}

fn remember(changes: Vec<Change>, entered: &mut Entered) {
    for Change { app, user, here } in changes {
        let identity = Identity { app, user };
        if here {
            entered.insert(identity, true);
        } else {
            entered.remove(&identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::hub::bell::Rope;
    use std::sync::atomic::Ordering::Relaxed;

    use async_trait::async_trait;
    use chat_protocol::UserId;
    use chat_protocol::node::Node;

    use super::*;
    use crate::broker::Retention;
    use crate::clock::SystemClock;
    use crate::counters::Counters;
    use crate::engine::sqlite::broker::{Embedded, Place, Sync};
    use crate::engine::sqlite::presence::EmbeddedPresence;
    use crate::hub::outbox::Limits;
    use crate::membership::router::Router;
    use crate::model::Topic;
    use crate::presence::{Announcer, Outcome, Roster};

    /// A store whose answers get lost while it does as told.
    struct Mute {
        store: EmbeddedPresence,
        mute: AtomicBool,
        /// Whether changes are not answered at all. Renewals are, and told.
        stuck: AtomicBool,
        renewed: Notify,
    }

    #[async_trait]
    impl Presence for Mute {
        async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError> {
            if self.stuck.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            let outcomes = self.store.apply(changes).await;
            let lost = PresenceError::Unreachable("no answer".to_owned());
            if self.mute.swap(false, Relaxed) { Err(lost) } else { outcomes }
        }

        async fn is_online(&self, app: u32, user: &UserId) -> Result<bool, PresenceError> {
            self.store.is_online(app, user).await
        }

        async fn list(
            &self,
            app: u32,
            after: Option<&UserId>,
            limit: usize,
        ) -> Result<Roster, PresenceError> {
            self.store.list(app, after, limit).await
        }

        async fn some(&self, app: u32, most: usize) -> Result<Vec<UserId>, PresenceError> {
            self.store.some(app, most).await
        }

        async fn elsewhere(&self, app: u32, user: &UserId) -> Result<u64, PresenceError> {
            self.store.elsewhere(app, user).await
        }

        async fn live_nodes(&self) -> Result<u64, PresenceError> {
            self.store.live_nodes().await
        }

        async fn tell(&self, node: &Node) -> Result<(), PresenceError> {
            self.store.tell(node).await
        }

        async fn nodes(&self) -> Result<Vec<Node>, PresenceError> {
            self.store.nodes().await
        }

        async fn renew(&self) -> Result<bool, PresenceError> {
            self.renewed.notify_one();
            self.store.renew().await
        }

        async fn resign(&self) -> Result<(), PresenceError> {
            self.store.resign().await
        }
    }

    fn site() -> (Arc<Hub>, Arc<Mute>, Arc<Registry>) {
        let limits = Limits { frames: 10, bytes: 1000 };
        let hub = Arc::new(Hub::new(1, limits, Arc::new(Counters::default())));
        let clock = Arc::new(SystemClock);
        let retention = Retention { max_messages: 10, max_age_ms: 0 };
        let router = Arc::new(Router::new(hub.clone(), Arc::default()));
        let log = Embedded::open(&Place::Memory, Sync::Normal, retention, clock.clone(), router).unwrap();
        let store = EmbeddedPresence::new(log, Announcer { limit: 10, clock });
        let (mute, stuck, renewed) = Default::default();
        let store = Arc::new(Mute { store, mute, stuck, renewed });
        let registry = Arc::new(Registry::new(hub.clone(), store.clone()));
        (hub, store, registry)
    }

    #[tokio::test]
    async fn the_lease_is_renewed_while_the_store_answers_no_change() {
        let (hub, store, registry) = site();
        store.stuck.store(true, Relaxed);
        let running = tokio::spawn(registry.clone().run(CancellationToken::new()));
        store.renewed.notified().await;
        // Somebody who is said to have come, so that there is a change.
        let identity = Identity { app: 1, user: UserId::new("a").unwrap() };
        let inbox = Topic::Inbox(1, identity.user.clone());
        let connection = hub.open(Rope::default());
        hub.enter(&connection, &identity, &inbox);
        registry.note(&identity);
        for _ in 0..2 {
            let renewed = tokio::time::timeout(Duration::from_secs(60), store.renewed.notified()).await;
            renewed.expect("renewed");
        }
        assert!(registry.noted.lock().is_empty(), "the change is being made");
        running.abort();
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_nobody_in_or_out_of_the_registry() {
        let (hub, store, registry) = site();
        let running = tokio::spawn(registry.clone().run(CancellationToken::new()));
        let (connection, user) = (hub.open(Rope::default()), UserId::new("a").unwrap());
        let identity = Identity { app: 1, user: user.clone() };
        let inbox = [Topic::Inbox(1, user.clone())];

        // They come, which is not answered, and so they are refused and leave.
        hub.enter(&connection, &identity, &inbox[0]);
        store.mute.store(true, Relaxed);
        assert!(registry.settle(&identity).await.is_err());
        assert!(store.is_online(1, &user).await.unwrap());
        hub.leave(&connection, &identity, &inbox);
        registry.settle(&identity).await.unwrap();
        assert!(!store.is_online(1, &user).await.unwrap());

        // They come, leave, which is not answered, and are back before the next try.
        hub.enter(&connection, &identity, &inbox[0]);
        registry.settle(&identity).await.unwrap();
        hub.leave(&connection, &identity, &inbox);
        store.mute.store(true, Relaxed);
        assert!(registry.settle(&identity).await.is_err());
        hub.enter(&connection, &identity, &inbox[0]);
        registry.settle(&identity).await.unwrap();
        assert!(store.is_online(1, &user).await.unwrap());
        running.abort();
    }
}
