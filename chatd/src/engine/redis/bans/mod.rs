//! Bans over Redis: a text per banned user, which ends with the ban, and per app a sorted set of their names.
//!
//! Invariant: whoever has a ban is in the set; whose ban has ended leaves it when the set is listed.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};

use super::broker::RedisBroker;
use super::link::{LinkError, Script};
use super::log::Logs;
use crate::bans::{Ban, BanError, Bans, Page};

/// The port over Redis.
pub struct RedisBans {
    logs: Arc<Logs>,
    ban: Script,
    look: Script,
}

impl RedisBans {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Self {
        let (ban, look) = (Script::promising(include_str!("ban.lua")), Script::new(include_str!("look.lua")));
        Self { logs: broker.logs.clone(), ban, look }
    }
}

#[async_trait]
impl Bans for RedisBans {
    async fn ban(&self, app: AppId, user: &UserId, ban: &Ban) -> Result<(), BanError> {
        let keys = &self.logs.keys;
        let mut call = self.ban.call(&[keys.ban(app, user), keys.bans(app)]);
        let text = serde_json::to_string(ban).map_err(|error| BanError::Corrupt(error.to_string()))?;
        call.arg(text).arg(ban.until).arg(user.as_str());
        Ok(self.logs.others.call::<()>(&self.ban, &call).await?)
    }

    async fn unban(&self, app: AppId, user: &UserId) -> Result<bool, BanError> {
        let keys = &self.logs.keys;
        let mut both = redis::pipe();
        both.atomic().cmd("DEL").arg(keys.ban(app, user)).cmd("ZREM").arg(keys.bans(app)).arg(user.as_str());
        let (was, _): (bool, u64) = self.logs.others.run_all(&both).await?;
        Ok(was)
    }

    async fn find(&self, app: AppId, user: &UserId) -> Result<Option<Ban>, BanError> {
        let mut get = redis::cmd("GET");
        get.arg(self.logs.keys.ban(app, user));
        let found: Option<String> = self.logs.others.run(&get).await?;
        found.map(|text| read(&text)).transpose()
    }

    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Page, BanError> {
        let keys = &self.logs.keys;
        let mut names = redis::cmd("ZRANGEBYLEX");
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        names.arg(keys.bans(app)).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit);
        let names: Vec<String> = self.logs.others.run(&names).await?;
        // Only chatd writes names here, and only valid ones.
        let users: Vec<_> = names.iter().filter_map(|name| UserId::new(name).ok()).collect();
        if users.is_empty() {
            return Ok(Page::default());
        }
        let of_users = users.iter().map(|user| keys.ban(app, user));
        let mut call = self.look.call(&std::iter::once(keys.bans(app)).chain(of_users).collect::<Vec<_>>());
        users.iter().for_each(|user| _ = call.arg(user.as_str()));
        let texts: Vec<Option<String>> = self.logs.others.call(&self.look, &call).await?;
        let more = users.last().cloned().filter(|_| users.len() == limit);
        let mut bans = Vec::with_capacity(users.len());
        for (user, text) in users.into_iter().zip(texts) {
            if let Some(text) = text {
                bans.push((user, read(&text)?));
            }
        }
        Ok(Page { bans, more })
    }
}

fn read(text: &str) -> Result<Ban, BanError> {
    serde_json::from_str(text).map_err(|error| BanError::Corrupt(error.to_string()))
}

impl From<LinkError> for BanError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => BanError::Unreachable(detail),
            LinkError::Corrupt(detail) => BanError::Corrupt(detail),
        }
    }
}
