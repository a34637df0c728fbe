//! Who a user talks with one to one, about by the time of the newest entry.
//!
//! Invariant: the time noted of a pair is not before its newest entry, and at most [`AHEAD_MS`](super::log) after it. So a
//! list is changed once in a while and not with each message; who reads it takes the times of the logs themselves.

use chat_protocol::{AppId, Target, UserId};

use super::link::LinkError;
use super::log::{Cursor, Logs};
use crate::model::{Conversation, Topic};

/// Pairs handled by one command: Redis serves others between two of them.
const CHUNK: usize = 250;

impl Logs {
    /// The user's pairs that are noted with a time not after `until`, Unix milliseconds: the latest `count` of them, of one
    /// time those with the greatest names first, and the least time of these. Of one that has ended the log is gone.
    pub(crate) async fn latest_pairs(
        &self,
        app: AppId,
        user: &UserId,
        until: u64,
        count: usize,
    ) -> Result<(Vec<Conversation>, u64), LinkError> {
        let mut names = redis::cmd("ZREVRANGEBYSCORE");
        names.arg(self.keys.pairs(app, user)).arg(until).arg("-inf").arg("WITHSCORES");
        names.arg("LIMIT").arg(0).arg(i64::try_from(count).unwrap_or(i64::MAX));
        // A score comes as a number or as the text of one.
        let names: Vec<(String, f64)> = self.others.run(&names).await?;
        let least = names.last().map_or(0, |(_, time)| *time as u64);
        Ok((names.iter().filter_map(|(name, _)| pair(app, user, name)).collect(), least))
    }

    /// Notes pairs that an earlier version of chatd noted without their times. Of those without an end nothing is left.
    pub(super) async fn note_pairs<'a>(
        &self,
        app: AppId,
        user: &UserId,
        pairs: impl Iterator<Item = (&'a str, Cursor)>,
    ) -> Result<(), LinkError> {
        let (key, mut pipeline) = (self.keys.pairs(app, user), redis::pipe());
        for (name, end) in pairs.filter(|(_, end)| end.number > 0) {
            pipeline.cmd("ZADD").arg(&key).arg("GT").arg(end.time).arg(name);
        }
        let (_, age) = self.kept();
        if age > 0 {
            pipeline.cmd("PEXPIRE").arg(&key).arg(age);
        }
        self.others.run_all::<Vec<i64>>(&pipeline).await.map(drop)
    }

    /// Gives the logs behind an inbox that lost its end new epochs, unless another node gave the inbox one. The inbox
    /// comes last, by another call: until then, whoever finds the loss begins again.
    pub(super) async fn fork_pairs(&self, topic: &Topic, epoch: &str) -> Result<(), LinkError> {
        let Topic::Inbox(app, user) = topic else { return Ok(()) };
        let mut cursor = 0;
        loop {
            let mut some = redis::cmd("ZSCAN");
            some.arg(self.keys.pairs(*app, user)).arg(cursor).arg("COUNT").arg(CHUNK);
            let (next, some): (u64, Vec<String>) = self.others.run(&some).await?;
            // Each name is followed by its time. A small set is given as a whole.
            let names: Vec<_> = some.into_iter().step_by(2).collect();
            for names in names.chunks(CHUNK) {
                let pairs = names.iter().filter_map(|name| pair(*app, user, name));
                let mut lists = vec![self.keys.topic_log(topic)];
                lists.extend(pairs.map(|pair| self.keys.log(&pair)));
                self.fork_call(&lists, epoch).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// Only chatd writes the names, and only valid ones.
pub(super) fn pair(app: AppId, user: &UserId, name: &str) -> Option<Conversation> {
    Some(Conversation::of(app, user, &Target::User(UserId::new(name).ok()?)))
}
