//! Who a user talks with one to one, by the time of the newest entry.
//!
//! Invariant: the time is that of the head of the pair's log, because the same step writes both.

use chat_protocol::{AppId, Target, UserId};
use redis::Value;

use super::link::LinkError;
use super::log::Logs;
use crate::model::{Conversation, Topic, new_epoch};

/// Pairs handled by one command: Redis serves others between two of them.
const CHUNK: usize = 250;

impl Logs {
    /// The user's pairs whose newest entry is not younger than `until`, Unix milliseconds: the latest `count` of them,
    /// of one time those with the greatest names first. Of one that has ended the log is gone.
    pub(crate) async fn latest_pairs(
        &self,
        app: AppId,
        user: &UserId,
        until: u64,
        count: usize,
    ) -> Result<Vec<Conversation>, LinkError> {
        let mut names = redis::cmd("ZREVRANGEBYSCORE");
        names.arg(self.keys.pairs(app, user)).arg(until).arg("-inf");
        names.arg("LIMIT").arg(0).arg(i64::try_from(count).unwrap_or(i64::MAX));
        let names: Vec<String> = self.others.run(&names).await?;
        Ok(names.iter().filter_map(|name| pair(app, user, name)).collect())
    }

    /// Notes the pairs that an earlier version of chatd noted without their times.
    pub(crate) async fn take_over_pairs(&self, app: AppId, user: &UserId) -> Result<(), LinkError> {
        let before = self.keys.peers(app, user);
        loop {
            let mut some = redis::cmd("SRANDMEMBER");
            some.arg(&before).arg(CHUNK);
            let some: Vec<String> = self.others.run(&some).await?;
            if some.is_empty() {
                return Ok(());
            }
            let (names, pairs): (Vec<_>, Vec<_>) =
                some.iter().filter_map(|name| Some((name, pair(app, user, name)?))).unzip();
            let ends = self.ends(&pairs).await?;
            // Something may be said meanwhile: a time never goes back.
            let mut noted = redis::cmd("ZADD");
            noted.arg(self.keys.pairs(app, user)).arg("GT");
            let mut is_empty = true;
            // Of those without an end nothing is left.
            for (name, end) in names.into_iter().zip(ends).filter(|(_, end)| end.number > 0) {
                noted.arg(end.time).arg(name);
                is_empty = false;
            }
            // One after the other: a Redis that is full refuses to note but not to forget.
            if !is_empty {
                self.others.run::<Value>(&noted).await?;
                self.end_pairs(app, user).await?;
            }
            let mut done = redis::cmd("SREM");
            done.arg(&before).arg(&some);
            self.others.run::<Value>(&done).await?;
        }
    }

    /// What is noted of a user ends with the history of what was said last; that is not later than now.
    async fn end_pairs(&self, app: AppId, user: &UserId) -> Result<(), LinkError> {
        let (_, age) = self.kept();
        if age == 0 {
            return Ok(());
        }
        let mut end = redis::cmd("PEXPIRE");
        end.arg(self.keys.pairs(app, user)).arg(age);
        self.others.run::<Value>(&end).await.map(drop)
    }

    /// Gives the logs behind an inbox that lost its end new epochs, unless another node gave the inbox one. The inbox
    /// comes last, by another call: until then, whoever finds the loss begins again.
    pub(super) async fn fork_pairs(&self, topic: &Topic, epoch: &str) -> Result<(), LinkError> {
        let Topic::Inbox(app, user) = topic else { return Ok(()) };
        self.take_over_pairs(*app, user).await?;
        let mut cursor = 0;
        loop {
            let mut some = redis::cmd("ZSCAN");
            some.arg(self.keys.pairs(*app, user)).arg(cursor).arg("COUNT").arg(CHUNK);
            let (next, some): (u64, Vec<String>) = self.others.run(&some).await?;
            // Each name is followed by its time. A small set is given as a whole.
            let names: Vec<_> = some.into_iter().step_by(2).collect();
            for names in names.chunks(CHUNK) {
                let pairs = names.iter().filter_map(|name| pair(*app, user, name));
                let mut heads = vec![self.keys.topic_head(topic)];
                heads.extend(pairs.map(|pair| self.keys.log_head(&pair)));
                let mut call = self.fork.call(&heads);
                call.arg(epoch).arg(&*new_epoch());
                self.others.call::<Value>(&self.fork, &call).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// Only chatd writes the names, and only valid ones.
fn pair(app: AppId, user: &UserId, name: &str) -> Option<Conversation> {
    Some(Conversation::of(app, user, &Target::User(UserId::new(name).ok()?)))
}
