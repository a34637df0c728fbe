//! Presence of a node that runs alone: a set in memory.
//!
//! Invariant: the set of an app that nobody is in is removed.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};
use parking_lot::Mutex;

use super::{Change, Outcome, Presence, PresenceError, Renewal, Roster};

/// See the file's head.
#[derive(Debug, Default)]
pub struct EmbeddedPresence {
    online: Mutex<HashMap<AppId, BTreeSet<UserId>>>,
}

#[async_trait]
impl Presence for EmbeddedPresence {
    async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError> {
        let mut online = self.online.lock();
        let outcomes = changes.iter().map(|change| {
            let users = online.entry(change.app).or_default();
            let decisive =
                if change.here { users.insert(change.user.clone()) } else { users.remove(&change.user) };
            let room_size = users.len() as u64;
            if users.is_empty() {
                online.remove(&change.app);
            }
            Outcome { decisive, room_size }
        });
        Ok(outcomes.collect())
    }

    async fn is_online(&self, app: AppId, user: &UserId) -> Result<bool, PresenceError> {
        Ok(self.online.lock().get(&app).is_some_and(|users| users.contains(user)))
    }

    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Roster, PresenceError> {
        let online = self.online.lock();
        let Some(users) = online.get(&app) else { return Ok(Roster::default()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = users.range::<UserId, _>((from, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        Ok(Roster { count: users.len() as u64, users: page, more: rest.next().is_some() })
    }

    async fn live_nodes(&self) -> Result<u64, PresenceError> {
        Ok(1)
    }

    async fn renew(&self) -> Result<Renewal, PresenceError> {
        Ok(Renewal::default())
    }

    async fn resign(&self) -> Result<(), PresenceError> {
        self.online.lock().clear();
        Ok(())
    }
}
