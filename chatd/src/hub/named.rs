//! Users who wait for someone's attention, each once.
//!
//! Invariant: bounded by the users of this node and the requests being worked on; naming never waits.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Identity;
use crate::groups::Joined;

/// Told when the user was looked after.
pub type Waiter = oneshot::Sender<()>;

/// What is known about a named user.
#[derive(Debug, Default)]
pub struct Reason {
    /// Whom to tell.
    pub waiters: Vec<Waiter>,
    /// Groups he is said to have joined; he may be out again by now.
    pub joined: Vec<Joined>,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct Named {
    users: Mutex<HashMap<Identity, Reason>>,
    changed: Notify,
}

impl Named {
    /// Names a user.
    pub fn note(&self, identity: Identity) {
        self.users.lock().entry(identity).or_default();
        self.changed.notify_one();
    }

    /// Names a user who is said to have joined a group.
    pub fn note_joined(&self, identity: Identity, joined: Joined) {
        self.users.lock().entry(identity).or_default().joined.push(joined);
        self.changed.notify_one();
    }

    /// Names a user and waits until he was looked after, or it failed.
    pub async fn settle(&self, identity: Identity) {
        let (waiter, settled) = oneshot::channel();
        self.users.lock().entry(identity).or_default().waiters.push(waiter);
        self.changed.notify_one();
        let _ = settled.await;
    }

    /// Waits until someone is named and takes all names.
    pub async fn take(&self) -> HashMap<Identity, Reason> {
        loop {
            let users = std::mem::take(&mut *self.users.lock());
            if !users.is_empty() {
                return users;
            }
            self.changed.notified().await;
        }
    }
}
