//! Users who wait for someone's attention, each once.
//!
//! Invariant: bounded by the users of this node; naming never waits.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Identity;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Named {
    users: Mutex<HashSet<Identity>>,
    changed: Notify,
}

impl Named {
    /// Names a user.
    pub fn note(&self, identity: Identity) {
        self.users.lock().insert(identity);
        self.changed.notify_one();
    }

    /// Waits until someone is named and takes all names.
    pub async fn take(&self) -> HashSet<Identity> {
        loop {
            let users = std::mem::take(&mut *self.users.lock());
            if !users.is_empty() {
                return users;
            }
            self.changed.notified().await;
        }
    }
}
