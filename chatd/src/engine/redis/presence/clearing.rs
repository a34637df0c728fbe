//! Clearing away what is left of an ended lease.
//!
//! Invariant: any part may be repeated; whoever is on another node is not told to be gone, and nobody is told twice.

use chat_protocol::{AppId, UserId};
use redis::Value;

use super::{Act, CHUNK, RedisPresence};
use crate::presence::PresenceError;

impl RedisPresence {
    /// Clears away an ended lease; whoever is on no other node leaves with it.
    pub(super) async fn bury(&self, lease: &str) -> Result<(), PresenceError> {
        let mut apps = redis::cmd("SMEMBERS");
        apps.arg(self.keys.lease_apps(lease));
        let apps: Vec<AppId> = self.link.run(&apps).await?;
        for app in apps {
            let sets = [vec![self.keys.here(app, lease)], self.live_sets(app, None).await?].concat();
            loop {
                let mut some = redis::cmd("ZRANGE");
                some.arg(&sets[0]).arg(0).arg(CHUNK - 1);
                let some: Vec<String> = self.link.run(&some).await?;
                if some.is_empty() {
                    break;
                }
                // Only chatd writes names here, and only valid ones.
                let users: Vec<_> = some.iter().filter_map(|name| UserId::new(name).ok()).collect();
                if users.is_empty() {
                    break;
                }
                let leave: Vec<_> = users.iter().map(|user| (Act::Leave, user)).collect();
                self.decide(app, &sets, &leave).await?;
            }
            let mut rest = redis::cmd("UNLINK");
            rest.arg(&sets[0]);
            self.link.run::<Value>(&rest).await?;
        }
        let mut done = redis::pipe();
        done.cmd("DEL").arg(self.keys.lease_apps(lease)).cmd("ZREM").arg(self.keys.graves()).arg(lease);
        self.link.run_all::<Value>(&done).await?;
        Ok(())
    }
}
