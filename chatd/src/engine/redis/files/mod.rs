//! What there is of files over Redis: a text per file, and per app the bytes by owner and a sorted set of the moments at
//! which files end; per group a set of its files.
//!
//! Invariant: a file that has an end that has come is found by nobody. The script that dismisses a group puts its set of
//! files aside and among the ends, in the same step.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, GroupId, UserId};
use redis::Value;

use super::broker::RedisBroker;
use super::keys::{Keys, OVER};
use super::link::{LinkError, Script};
use super::log::Logs;
use crate::clock::Clock;
use crate::counters::Limit;
use crate::files::{FileError, FileId, Record, Records, Usage};

/// Files of a dismissed group that end in one step.
const SLICE: usize = 500;

/// The port over Redis.
pub struct RedisFiles {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    add: Script,
    keep: Script,
    over: Script,
    forget: Script,
}

impl RedisFiles {
    /// Over the connections of the broker; files end by the clock of the node.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Self {
        Self {
            logs: broker.logs.clone(),
            clock: broker.clock.clone(),
            add: Script::new(include_str!("add.lua")),
            keep: Script::new(include_str!("keep.lua")),
            over: Script::new(include_str!("over.lua")),
            forget: Script::new(include_str!("forget.lua")),
        }
    }

    /// What is due of an app; what a dismissed group had becomes so first.
    async fn due_of(&self, app: AppId, limit: usize) -> Result<Vec<FileId>, LinkError> {
        let ends = self.logs.keys.file_ends(app);
        let mut due = redis::cmd("ZRANGEBYSCORE");
        due.arg(&ends).arg("-inf").arg(self.clock.now_ms()).arg("LIMIT").arg(0).arg(limit);
        let mut names: Vec<String> = self.logs.others.run(&due).await?;
        let over: Vec<_> = names.iter().filter(|name| name.starts_with(OVER)).cloned().collect();
        for name in &over {
            let mut call = self.over.call(&[self.logs.keys.files_over(app, name), ends.clone()]);
            self.logs.others.call::<Value>(&self.over, call.arg(name).arg(SLICE)).await?;
        }
        if !over.is_empty() {
            names = self.logs.others.run(&due).await?;
        }
        Ok(names.iter().filter_map(|name| FileId::parse(name)).collect())
    }
}

fn read(text: &str) -> Result<Record, FileError> {
    serde_json::from_str(text).map_err(|error| FileError::Corrupt(format!("a file: {error}")))
}

/// The set of the files of the group that a file is of; of what is no group, a set that is always empty.
fn of_group(keys: &Keys, app: AppId, record: &Record) -> String {
    let group = record.place.strip_prefix("group\n").and_then(|group| GroupId::new(group).ok());
    group.map_or_else(|| keys.files_over(app, OVER), |group| keys.files_of(app, &group))
}

impl From<LinkError> for FileError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => FileError::Unreachable(detail),
            LinkError::Corrupt(detail) => FileError::Corrupt(detail),
        }
    }
}

#[async_trait]
impl Records for RedisFiles {
    async fn add(
        &self,
        app: AppId,
        id: &FileId,
        record: &Record,
        ends_ms: u64,
        most: Usage,
    ) -> Result<(), FileError> {
        let (keys, link) = (&self.logs.keys, &self.logs.others);
        let mut known = redis::cmd("SADD");
        link.run::<u64>(known.arg(keys.file_apps()).arg(app)).await?;
        let names = [
            keys.file(app, id.as_str()),
            keys.file_bytes(app),
            keys.file_ends(app),
            of_group(keys, app, record),
        ];
        let text = serde_json::to_string(record).map_err(|error| FileError::Corrupt(error.to_string()))?;
        let mut call = self.add.call(&names);
        call.arg(text).arg(id.as_str()).arg(record.owner.as_str()).arg(record.kept_bytes()).arg(ends_ms);
        call.arg(most.user).arg(most.app).arg(u8::from(record.incarnation.is_some()));
        let (outcome, held): (String, u64) = link.call(&self.add, &call).await?;
        match outcome.as_str() {
            "added" => Ok(()),
            "user" => Err(FileError::Full { limit: Limit::FileBytesPerUser, held, most: most.user }),
            _ => Err(FileError::Full { limit: Limit::FileBytesPerApp, held, most: most.app }),
        }
    }

    async fn usage(&self, app: AppId, user: &UserId) -> Result<Usage, FileError> {
        let mut held = redis::cmd("HMGET");
        held.arg(self.logs.keys.file_bytes(app)).arg(format!("user:{user}")).arg("all");
        let (user, app): (Option<u64>, Option<u64>) = self.logs.others.run(&held).await?;
        Ok(Usage { user: user.unwrap_or_default(), app: app.unwrap_or_default() })
    }

    async fn find(&self, app: AppId, id: &FileId) -> Result<Option<Record>, FileError> {
        let (keys, mut both) = (&self.logs.keys, redis::pipe());
        both.atomic().cmd("GET").arg(keys.file(app, id.as_str()));
        both.cmd("ZSCORE").arg(keys.file_ends(app)).arg(id.as_str());
        let (text, ends): (Option<String>, Option<f64>) = self.logs.others.run_all(&both).await?;
        let is_over = ends.is_some_and(|ends| ends <= self.clock.now_ms() as f64);
        text.filter(|_| !is_over).map(|text| read(&text)).transpose()
    }

    async fn keep(&self, app: AppId, id: &FileId, ends_ms: Option<u64>) -> Result<bool, FileError> {
        let keys = &self.logs.keys;
        let mut call = self.keep.call(&[keys.file(app, id.as_str()), keys.file_ends(app)]);
        call.arg(id.as_str()).arg(self.clock.now_ms());
        call.arg(ends_ms.map_or_else(String::new, |ends_ms| ends_ms.to_string()));
        Ok(self.logs.others.call(&self.keep, &call).await?)
    }

    async fn end(&self, app: AppId, id: &FileId) -> Result<(), FileError> {
        let mut end = redis::cmd("ZADD");
        end.arg(self.logs.keys.file_ends(app)).arg(0).arg(id.as_str());
        Ok(self.logs.others.run::<u64>(&end).await.map(drop)?)
    }

    async fn due(&self, limit: usize) -> Result<Vec<(AppId, FileId)>, FileError> {
        let mut apps = redis::cmd("SMEMBERS");
        let apps: Vec<AppId> = self.logs.others.run(apps.arg(self.logs.keys.file_apps())).await?;
        let mut due = Vec::new();
        for app in apps {
            let found = self.due_of(app, limit.saturating_sub(due.len())).await?;
            due.extend(found.into_iter().map(|id| (app, id)));
            if due.len() >= limit {
                break;
            }
        }
        Ok(due)
    }

    async fn forget(&self, app: AppId, id: &FileId) -> Result<(), FileError> {
        let (keys, link) = (&self.logs.keys, &self.logs.others);
        let mut get = redis::cmd("GET");
        let text: Option<String> = link.run(get.arg(keys.file(app, id.as_str()))).await?;
        let record = text.map(|text| read(&text)).transpose()?;
        let of_group =
            record.as_ref().map_or_else(|| keys.files_over(app, OVER), |of| of_group(keys, app, of));
        let names = [keys.file(app, id.as_str()), keys.file_bytes(app), keys.file_ends(app), of_group];
        let mut call = self.forget.call(&names);
        call.arg(id.as_str()).arg(record.as_ref().map_or("", |record| record.owner.as_str()));
        call.arg(record.as_ref().map_or(0, Record::kept_bytes));
        Ok(link.call::<Value>(&self.forget, &call).await.map(drop)?)
    }

    async fn secret(&self) -> Result<String, FileError> {
        let (key, link) = (self.logs.keys.file_secret(), &self.logs.others);
        let made = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let mut set = redis::cmd("SET");
        link.run::<Value>(set.arg(&key).arg(made).arg("NX")).await?;
        let mut get = redis::cmd("GET");
        Ok(link.run(get.arg(&key)).await?)
    }
}
