//! Users whose connections wait for a resync, each once.
//!
//! Invariant: bounded by the users of this node; queueing never waits.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::model::Identity;

/// Longest wait for a user to be looked after; they are later all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Users whose connections may be in other rooms than those of their groups.
#[derive(Debug, Default)]
pub struct ResyncQueue {
    /// By user, whether something about them may not have been heard.
    users: Mutex<HashMap<Identity, bool>>,
    added: Notify,
    looked_after: Notify,
}

impl ResyncQueue {
    /// Queues a user; `unheard`: something about them may not have been heard.
    pub fn note(&self, identity: Identity, unheard: bool) {
        *self.users.lock().entry(identity).or_default() |= unheard;
        self.added.notify_one();
    }

    /// Waits until someone is queued and takes all of them, each with whether something may not have been heard.
    pub async fn take(&self) -> HashMap<Identity, bool> {
        loop {
            let users = std::mem::take(&mut *self.users.lock());
            if !users.is_empty() {
                return users;
            }
            self.added.notified().await;
        }
    }

    /// Those who were taken have been looked after.
    pub fn done(&self) {
        self.looked_after.notify_waiters();
    }

    /// Waits until something is so that may become so when users are looked after; not for ever.
    pub async fn settle(&self, is_so: impl Fn() -> bool) {
        let settled = async {
            loop {
                let looked_after = self.looked_after.notified();
                if is_so() {
                    return;
                }
                looked_after.await;
            }
        };
        let _ = timeout(PATIENCE, settled).await;
    }
}
