//! Presence of a node that runs alone: a set in memory.
//!
//! Invariant: the set of an app that nobody is in is removed. Who came and went is told while the lock is held under
//! which it was decided, into room that was reserved before.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::node::Node;
use chat_protocol::{AppId, UserId};
use parking_lot::Mutex;
use tokio::task::yield_now;

use super::broker::Embedded;
use crate::broker::Event;
use crate::model::Topic;
use crate::presence::{Announcer, Change, Outcome, Presence, PresenceError, Roster};

/// Changes applied, or users listed, under one lock.
const CHUNK: usize = 256;

/// Who is online on the only node there is.
pub struct EmbeddedPresence {
    engine: Arc<Embedded>,
    announcer: Announcer,
    online: Mutex<HashMap<AppId, BTreeSet<UserId>>>,
}

impl EmbeddedPresence {
    /// Announces over the bus of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Embedded>, announcer: Announcer) -> Self {
        Self { engine, announcer, online: Mutex::default() }
    }

    fn list_some(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Roster {
        let online = self.online.lock();
        let Some(users) = online.get(&app) else { return Roster::default() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = users.range::<UserId, _>((from, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        Roster { count: users.len() as u64, users: page, more: rest.next().is_some() }
    }

    async fn apply_some(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError> {
        let mut room = self
            .engine
            .reserve(changes.len())
            .await
            .map_err(|error| PresenceError::Unreachable(error.to_string()))?;
        let mut online = self.online.lock();
        let outcomes = changes.iter().map(|change| {
            let users = online.entry(change.app).or_default();
            let decisive =
                if change.here { users.insert(change.user.clone()) } else { users.remove(&change.user) };
            let room_size = users.len() as u64;
            if users.is_empty() {
                online.remove(&change.app);
            }
            if decisive
                && room_size <= self.announcer.limit
                && let Some(room) = room.next()
            {
                let notice = self.announcer.notice(&change.user, change.here);
                room.send((vec![Topic::World(change.app)], Event::Notice(notice)));
            }
            Outcome { decisive, room_size }
        });
        Ok(outcomes.collect())
    }
}

#[async_trait]
impl Presence for EmbeddedPresence {
    async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        for some in changes.chunks(CHUNK) {
            outcomes.extend(self.apply_some(some).await?);
        }
        Ok(outcomes)
    }

    async fn is_online(&self, app: AppId, user: &UserId) -> Result<bool, PresenceError> {
        Ok(self.online.lock().get(&app).is_some_and(|users| users.contains(user)))
    }

    async fn elsewhere(&self, _: AppId, _: &UserId) -> Result<u64, PresenceError> {
        Ok(0)
    }

    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Roster, PresenceError> {
        let mut listed = self.list_some(app, after, limit.min(CHUNK));
        while listed.more && listed.users.len() < limit {
            yield_now().await;
            let wanted = (limit - listed.users.len()).min(CHUNK);
            let Roster { count, users, more } = self.list_some(app, listed.users.last(), wanted);
            listed.users.extend(users);
            (listed.count, listed.more) = (count, more);
        }
        Ok(listed)
    }

    async fn live_nodes(&self) -> Result<u64, PresenceError> {
        Ok(1)
    }

    async fn tell(&self, _: &Node) -> Result<(), PresenceError> {
        Ok(())
    }

    /// Nobody but this one, which knows better itself.
    async fn nodes(&self) -> Result<Vec<Node>, PresenceError> {
        Ok(Vec::new())
    }

    async fn renew(&self) -> Result<bool, PresenceError> {
        Ok(false)
    }

    async fn resign(&self) -> Result<(), PresenceError> {
        self.online.lock().clear();
        Ok(())
    }
}
