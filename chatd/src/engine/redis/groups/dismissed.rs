//! Groups that were dismissed, noted in Redis for the nodes that have a ledger: what nobody took of the red packets of
//! these groups goes back at once.
//!
//! Invariant: it is noted before the group is dismissed, for later, and after it, for now: whatever ends between the two,
//! somebody looks when the group is gone. A note too much costs a look.

use chat_protocol::{AppId, GroupId};
use redis::Value;

use crate::engine::redis::link::{LinkError, Script};
use crate::engine::redis::log::Logs;
use crate::groups::Dismissed;

/// When it is looked at whose dismissal was never seen to end, in milliseconds.
const AT_LAST_MS: u64 = 20_000;
/// The oldest notes beyond so many are lost; those packets go back at their end.
const MOST: isize = 100_000;

/// Notes of dismissed groups, due for whoever looks after their packets.
pub(super) struct Notes {
    forget: Script,
}

/// One of them.
struct Note<'a> {
    app: AppId,
    group: &'a GroupId,
    /// As ZADD takes it.
    unless: Option<&'a str>,
    /// When it is due, from now on.
    after_ms: u64,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self { forget: Script::new(include_str!("looked_after.lua")) }
    }

    /// The group is about to be dismissed. A note that is there stays as it is.
    pub(super) async fn expect(&self, logs: &Logs, app: AppId, group: &GroupId) -> Result<(), LinkError> {
        self.add(logs, &Note { app, group, unless: Some("NX"), after_ms: AT_LAST_MS }).await
    }

    /// The group was dismissed.
    pub(super) async fn put(&self, logs: &Logs, app: AppId, group: &GroupId) -> Result<(), LinkError> {
        self.add(logs, &Note { app, group, unless: None, after_ms: 0 }).await
    }

    async fn add(&self, logs: &Logs, note: &Note<'_>) -> Result<(), LinkError> {
        let Note { app, group, unless, after_ms } = note;
        let due_ms = now_ms(logs).await? + after_ms;
        let (key, mut pipeline) = (logs.keys.dismissed(), redis::pipe());
        pipeline.cmd("ZADD").arg(&key).arg(*unless).arg(due_ms).arg(format!("{app}:{group}"));
        pipeline.cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(-1 - MOST);
        logs.others.run_all::<Value>(&pipeline).await.map(drop)
    }

    /// Those that are due.
    pub(super) async fn due(&self, logs: &Logs, limit: usize) -> Result<Vec<Dismissed>, LinkError> {
        let mut read = redis::cmd("ZRANGEBYSCORE");
        read.arg(logs.keys.dismissed()).arg("-inf").arg(now_ms(logs).await?).arg("WITHSCORES");
        read.arg("LIMIT").arg(0).arg(limit);
        let found: Vec<(String, String)> = logs.others.run(&read).await?;
        let read = |(name, noted): (String, String)| {
            let (app, group) = name.split_once(':')?;
            Some(Dismissed { app: app.parse().ok()?, group: GroupId::new(group).ok()?, noted })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    pub(super) async fn forget(&self, logs: &Logs, looked: &[Dismissed]) -> Result<(), LinkError> {
        let mut call = self.forget.call(&[logs.keys.dismissed()]);
        for Dismissed { app, group, noted } in looked {
            call.arg(format!("{app}:{group}")).arg(noted);
        }
        logs.others.call::<Value>(&self.forget, &call).await.map(drop)
    }
}

/// By the clock of Redis, which all nodes share.
async fn now_ms(logs: &Logs) -> Result<u64, LinkError> {
    let (seconds, micros): (u64, u64) = logs.others.run(&redis::cmd("TIME")).await?;
    Ok(seconds * 1000 + micros / 1000)
}
