//! Apps over Redis: a set of those that were admitted.
//!
//! Invariant: a script compares the size of the set and adds to it in one step; what an app keeps is in another slot and
//! looked at before: that only ever admits more.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::AppId;

use super::broker::RedisBroker;
use super::link::{LinkError, Script};
use super::log::Logs;
use crate::model::Conversation;
use crate::worlds::{WorldError, Worlds};

/// The port over Redis.
pub struct RedisWorlds {
    logs: Arc<Logs>,
    admit: Script,
}

impl RedisWorlds {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Self {
        Self { logs: broker.logs.clone(), admit: Script::new(include_str!("admit.lua")) }
    }
}

#[async_trait]
impl Worlds for RedisWorlds {
    async fn admit(&self, app: AppId, most: u64) -> Result<bool, WorldError> {
        let (keys, link) = (&self.logs.keys, &self.logs.others);
        let mut known = redis::cmd("SISMEMBER");
        if link.run(known.arg(keys.admitted()).arg(app)).await? {
            return Ok(true);
        }
        let mut kept = redis::cmd("EXISTS");
        kept.arg(keys.log(&Conversation::World(app))).arg(keys.outbox(app)).arg(keys.bans(app));
        let kept: u64 = link.run(&kept).await?;
        let mut call = self.admit.call(&[keys.admitted()]);
        call.arg(app).arg(most).arg(u8::from(kept > 0));
        Ok(link.call(&self.admit, &call).await?)
    }
}

impl From<LinkError> for WorldError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => WorldError::Unreachable(detail),
            LinkError::Corrupt(detail) => WorldError::Corrupt(detail),
        }
    }
}
