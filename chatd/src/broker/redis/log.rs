//! Reads logs and inboxes, and puts messages into them.
//!
//! Invariant: what belongs together is read in one transaction, so a page never mixes two histories.

use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, Value};

use super::codec;
use super::link::{Link, LinkError, Script};
use crate::broker::{
    BrokerError, Conversation, Entry, Outgoing, Page, REPEAT_WINDOW_MS, Range, Receipt, Topic,
};
use crate::keys::Keys;

/// Messages kept per inbox: what a node may have missed of it during a cut.
const INBOX_MESSAGES: u64 = 1_000;
/// How long the stream of an inbox stays without a message.
const INBOX_IDLE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// How far a stream goes, or how far of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Empty when there is nothing yet.
    pub epoch: Arc<str>,
    pub number: u64,
    pub time: u64,
}

/// Number and payload of an entry in a stream.
pub(super) type Raw = (u64, Bytes);

type HeadAnswer = (Option<String>, Option<u64>, Option<u64>);
type EntriesAnswer = Vec<(String, (Bytes, Bytes))>;

/// Access to the streams.
pub(super) struct Logs {
    pub keys: Keys,
    pub appends: Link,
    pub others: Link,
    append: Script,
    fork: Script,
    kept: u64,
}

impl Logs {
    pub(super) fn new(keys: Keys, appends: Link, others: Link, max_messages: u64) -> Self {
        let (append, fork) = (include_str!("append.lua"), include_str!("fork.lua"));
        let kept = max_messages.max(1);
        Self { keys, appends, others, append: Script::new(append), fork: Script::new(fork), kept }
    }

    /// Logs and publishes a message.
    pub(super) async fn append(&self, message: &Outgoing, now: u64) -> Result<Receipt, LinkError> {
        let call = self.append_call(message, now);
        let (offset, epoch, time, duplicate): (u64, String, u64, bool) =
            self.appends.call(&self.append, &call).await?;
        Ok(Receipt { offset, epoch: epoch.into(), time, duplicate })
    }

    fn append_call(&self, message: &Outgoing, now: u64) -> Cmd {
        let (conversation, keys) = (&message.conversation, &self.keys);
        let app = conversation.app();
        let period = now / REPEAT_WINDOW_MS;
        let mut names = vec![
            keys.log(conversation),
            keys.log_head(conversation),
            keys.sent(app, &message.sender, period),
            keys.sent(app, &message.sender, period.saturating_sub(1)),
            keys.sent(app, &message.sender, period.saturating_add(1)),
        ];
        let topics = conversation.topics();
        let mut targets = Vec::with_capacity(4);
        for topic in &topics {
            targets.push(keys.channel(topic));
            if let (Conversation::Pair(_, a, b), Topic::Inbox(_, user)) = (conversation, topic) {
                names.extend([keys.topic_log(topic), keys.topic_head(topic)]);
                targets.push((if user == a { b } else { a }).to_string());
            }
        }
        let msg_id = if message.repeatable { message.msg_id.as_str() } else { "" };
        let mut call = self.append.call(&names);
        call.arg(msg_id).arg(now).arg(REPEAT_WINDOW_MS).arg(fresh_epoch()).arg(self.kept);
        call.arg(INBOX_MESSAGES).arg(INBOX_IDLE_MS).arg(codec::body(message)).arg(targets);
        call
    }

    /// Reads part of a log.
    pub(super) async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().add_command(head_command(&self.keys.log_head(conversation)));
        let log = self.keys.log(conversation);
        match range {
            Range::After(offset) => {
                pipeline.cmd("XRANGE").arg(log).arg(offset.saturating_add(1)).arg("+");
            }
            Range::Before(offset) => {
                pipeline.cmd("XREVRANGE").arg(log).arg(offset.saturating_sub(1)).arg("-");
            }
        }
        // A count of zero is answered with nothing at all, which is no list.
        pipeline.arg("COUNT").arg(limit.max(1));
        let (head, raws): (HeadAnswer, EntriesAnswer) = self.others.run_all(&pipeline).await?;
        let head = cursor(head);
        let mut entries = Vec::with_capacity(raws.len());
        for (_, payload) in raw_entries(raws)?.into_iter().take(limit) {
            let (entry, _) = codec::entry(&payload).map_err(|e| BrokerError::Corrupt(e.to_string()))?;
            // Entries from before a fork count to the history that goes on from them.
            entries.push(Entry { epoch: head.epoch.clone(), ..entry });
        }
        if matches!(range, Range::Before(_)) {
            entries.reverse();
        }
        Ok(Page { epoch: head.epoch, head: head.number, entries })
    }

    /// Where the streams of the topics end, in the order of the topics.
    pub(super) async fn heads(&self, topics: &[&Topic]) -> Result<Vec<Cursor>, LinkError> {
        let mut pipeline = redis::pipe();
        for topic in topics {
            pipeline.add_command(head_command(&self.keys.topic_head(topic)));
        }
        let heads: Vec<HeadAnswer> = self.others.run_all(&pipeline).await?;
        Ok(heads.into_iter().map(cursor).collect())
    }

    /// At most `limit` entries of a topic's stream, beginning with number `from`.
    pub(super) async fn tail(&self, topic: &Topic, from: u64, limit: usize) -> Result<Vec<Raw>, LinkError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(self.keys.topic_log(topic)).arg(from).arg("+").arg("COUNT").arg(limit);
        raw_entries(self.others.run(&command).await?)
    }

    /// Gives a topic whose stream lost its end a new epoch, unless another node did; answers where it stands.
    pub(super) async fn fork(&self, topic: &Topic, epoch: &str) -> Result<Cursor, LinkError> {
        let mut call = self.fork.call(&[self.keys.topic_head(topic)]);
        call.arg(epoch).arg(fresh_epoch());
        self.others.call(&self.fork, &call).await.map(cursor)
    }

    /// Publishes a payload that is not kept.
    pub(super) async fn publish(&self, channel: &[u8], payload: &[u8]) -> Result<(), LinkError> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(payload);
        self.others.run::<Value>(&command).await.map(drop)
    }
}

impl From<LinkError> for BrokerError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(detail) => BrokerError::Unreachable(detail),
            LinkError::Corrupt(detail) => BrokerError::Corrupt(detail),
        }
    }
}

fn fresh_epoch() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn head_command(key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg("epoch").arg("number").arg("time");
    command
}

fn cursor((epoch, number, time): HeadAnswer) -> Cursor {
    Cursor {
        epoch: epoch.unwrap_or_default().into(),
        number: number.unwrap_or_default(),
        time: time.unwrap_or_default(),
    }
}

fn raw_entries(entries: EntriesAnswer) -> Result<Vec<Raw>, LinkError> {
    let number = |id: &str| id.split_once('-').and_then(|(number, _)| number.parse().ok());
    let raw = |(id, (_, payload)): (String, (Bytes, Bytes))| {
        let number = number(&id).ok_or_else(|| LinkError::Corrupt(format!("stream id {id}")))?;
        Ok((number, payload))
    };
    entries.into_iter().map(raw).collect()
}
