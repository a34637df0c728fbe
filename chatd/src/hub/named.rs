//! Users who wait for someone's attention, each once.
//!
//! Invariant: bounded by the users of this node and the requests being worked on; naming never waits.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::Identity;

/// Told when the user was looked after.
pub type Waiter = oneshot::Sender<()>;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Named {
    users: Mutex<HashMap<Identity, Vec<Waiter>>>,
    changed: Notify,
}

impl Named {
    /// Names a user.
    pub fn note(&self, identity: Identity) {
        self.users.lock().entry(identity).or_default();
        self.changed.notify_one();
    }

    /// Names a user and waits until he was looked after, or it failed.
    pub async fn settle(&self, identity: Identity) {
        let (waiter, settled) = oneshot::channel();
        self.users.lock().entry(identity).or_default().push(waiter);
        self.changed.notify_one();
        let _ = settled.await;
    }

    /// Waits until someone is named and takes all names.
    pub async fn take(&self) -> HashMap<Identity, Vec<Waiter>> {
        loop {
            let users = std::mem::take(&mut *self.users.lock());
            if !users.is_empty() {
                return users;
            }
            self.changed.notified().await;
        }
    }
}
