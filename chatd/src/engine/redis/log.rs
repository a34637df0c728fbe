//! Reads logs and inboxes, and puts messages into them.
//!
//! Invariant: what belongs together is read in one transaction, so a page never mixes two histories. What stays of a
//! recalled entry, its stub, stands beside the stream; readers of a stream always read both.

use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};

use super::codec::{self, Malformed};
use super::keys::Keys;
use super::link::{Link, LinkError, Script};
use crate::broker::{BrokerError, Outgoing, Page, REPEAT_WINDOW_MS, Range, Receipt, Retention};
use crate::model::{Conversation, Effect, Entry, Topic, new_epoch};

/// Messages kept per inbox: what a node may have missed of it during a cut.
pub(super) const INBOX_MESSAGES: u64 = 1_000;
/// How long the stream of an inbox stays without a message.
pub(super) const INBOX_IDLE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// How far a stream goes, or how far of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Empty when there is nothing yet.
    pub epoch: Arc<str>,
    pub number: u64,
    pub time: u64,
}

impl Cursor {
    /// Before the first entry.
    pub(super) fn start() -> Self {
        Self { epoch: "".into(), number: 0, time: 0 }
    }
}

/// Number and payload of an entry in a stream.
pub(super) type Raw = (u64, Bytes);

pub(super) type HeadAnswer = (Option<String>, Option<u64>, Option<u64>);
type EntriesAnswer = Vec<(String, (Bytes, Bytes))>;
/// Recalled entries: payload and number.
type StubsAnswer = Vec<(Bytes, u64)>;

/// Access to the streams.
pub(crate) struct Logs {
    pub(crate) keys: Keys,
    pub(crate) appends: Link,
    pub(crate) others: Link,
    retention: Retention,
    append: Script,
    expire: Script,
    pub(super) fork: Script,
    doubt: Script,
    pub(super) recall: Script,
}

impl Logs {
    pub(super) fn new(keys: Keys, appends: Link, others: Link, retention: Retention) -> Self {
        let append = Script::new(concat!(include_str!("log.lua"), include_str!("append.lua")));
        let expire = Script::new(concat!(include_str!("log.lua"), include_str!("expire.lua")));
        let fork = Script::new(concat!(include_str!("log.lua"), include_str!("fork.lua")));
        let doubt = Script::new(concat!(include_str!("log.lua"), include_str!("doubt.lua")));
        let recall = Script::new(concat!(include_str!("log.lua"), include_str!("recall.lua")));
        Self { keys, appends, others, retention, append, expire, fork, doubt, recall }
    }

    /// Messages kept per log, and for how many milliseconds.
    pub(crate) fn kept(&self) -> (u64, u64) {
        (self.retention.max_messages.max(1), self.retention.max_age_ms)
    }

    /// Oldest time that is kept, Unix milliseconds.
    pub(crate) fn since(&self, now: u64) -> u64 {
        self.retention.since(now)
    }

    /// Logs and publishes a message.
    pub(super) async fn append(&self, message: &Outgoing, now: u64) -> Result<Receipt, BrokerError> {
        let call = self.append_call(message, now);
        let (offset, epoch, time, duplicate): (u64, String, u64, bool) =
            self.appends.call(&self.append, &call).await?;
        if offset == 0 {
            return Err(refusal(&epoch));
        }
        Ok(Receipt { offset, epoch: epoch.into(), time, duplicate })
    }

    fn append_call(&self, message: &Outgoing, now: u64) -> Cmd {
        let (conversation, keys, sender) = (&message.conversation, &self.keys, &message.sender);
        let app = conversation.app();
        let period = now / REPEAT_WINDOW_MS;
        let mut names = vec![
            keys.log(conversation),
            keys.log_head(conversation),
            keys.stubs(conversation),
            keys.sent(app, sender, period),
            keys.sent(app, sender, period.saturating_sub(1)),
            keys.sent(app, sender, period.saturating_add(1)),
            keys.reads(app, sender),
        ];
        let kind = match conversation {
            Conversation::World(_) => "world",
            Conversation::Group(_, group) => {
                names.extend([keys.group(app, group), keys.members(app, group), keys.groups_of(app, sender)]);
                "group"
            }
            Conversation::Pair(_, a, b) => {
                names.push(keys.blocked(app, if sender == a { b } else { a }));
                "pair"
            }
        };
        let targets = self.inboxes(conversation, &mut names);
        let fingerprint = message.fingerprint.map(|fingerprint| fingerprint.to_string());
        let msg_id = if fingerprint.is_some() { message.msg_id.as_str() } else { "" };
        let body = codec::body(&Effect::None, &message.skip, &message.msg_id, &message.members);
        let (kept, age) = self.kept();
        let mut call = self.append.call(&names);
        call.arg(msg_id).arg(now).arg(REPEAT_WINDOW_MS).arg(&*new_epoch()).arg(kept);
        call.arg(INBOX_MESSAGES).arg(age).arg(INBOX_IDLE_MS).arg(body).arg(sender.as_str());
        call.arg(conversation.named_by(sender).to_string()).arg(kind);
        call.arg(fingerprint.unwrap_or_default()).arg(targets);
        call
    }

    /// Adds the keys of the inboxes of a pair to the names of a call; gives its last arguments: the channel of each
    /// topic, and behind that of an inbox the other user.
    pub(super) fn inboxes(&self, conversation: &Conversation, names: &mut Vec<String>) -> Vec<String> {
        let keys = &self.keys;
        let mut targets = Vec::with_capacity(4);
        for topic in &conversation.topics() {
            targets.push(keys.channel(topic));
            if let (Conversation::Pair(app, a, b), Topic::Inbox(_, user)) = (conversation, topic) {
                names.extend([keys.topic_log(topic), keys.topic_head(topic), keys.topic_stubs(topic)]);
                names.extend([keys.pairs(*app, user), keys.reads(*app, user)]);
                targets.push((if user == a { b } else { a }).to_string());
            }
        }
        targets
    }

    /// Takes out what is too old, so that nobody reads it.
    async fn expire(&self, conversation: &Conversation, now: u64) -> Result<(), LinkError> {
        let (_, age) = self.kept();
        if age == 0 {
            return Ok(());
        }
        let mut call = self.expire.call(&[self.keys.log(conversation), self.keys.stubs(conversation)]);
        call.arg(now.saturating_sub(age));
        self.others.call::<Value>(&self.expire, &call).await.map(drop)
    }

    /// Reads part of a log.
    pub(super) async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
        now: u64,
    ) -> Result<Page, BrokerError> {
        self.expire(conversation, now).await?;
        let (log, stubs) = (self.keys.log(conversation), self.keys.stubs(conversation));
        let mut pipeline = redis::pipe();
        pipeline.atomic().add_command(head_command(&self.keys.log_head(conversation)));
        // A count of zero is answered with nothing at all, which is no list.
        let count = limit.max(1);
        match range {
            Range::After(offset) => add_ascending(&mut pipeline, log, stubs, offset.saturating_add(1), count),
            Range::Before(offset) => {
                let to = offset.saturating_sub(1);
                pipeline.cmd("XREVRANGE").arg(log).arg(to).arg("-").arg("COUNT").arg(count);
                pipeline.cmd("ZREVRANGEBYSCORE").arg(stubs).arg(to).arg("-inf").arg("WITHSCORES");
                pipeline.arg("LIMIT").arg(0).arg(count);
            }
        }
        let (head, entries, recalled): (HeadAnswer, EntriesAnswer, StubsAnswer) =
            self.others.run_all(&pipeline).await?;
        let head = cursor(head);
        let mut raws = merged(entries, recalled)?;
        if matches!(range, Range::Before(_)) {
            raws.reverse();
        }
        raws.truncate(limit);
        let mut entries = Vec::with_capacity(raws.len());
        for (_, payload) in raws {
            // Entries from before a fork count to the history that goes on from them.
            entries.push(Entry { epoch: head.epoch.clone(), ..codec::logged(&payload)? });
        }
        if matches!(range, Range::Before(_)) {
            entries.reverse();
        }
        Ok(Page { epoch: head.epoch, head: head.number, entries })
    }

    /// The payload at an offset, if it is kept, and where the log ends.
    pub(super) async fn at(
        &self,
        conversation: &Conversation,
        offset: u64,
        now: u64,
    ) -> Result<(Cursor, Option<Bytes>), LinkError> {
        self.expire(conversation, now).await?;
        let (log, stubs) = (self.keys.log(conversation), self.keys.stubs(conversation));
        let mut pipeline = redis::pipe();
        pipeline.atomic().add_command(head_command(&self.keys.log_head(conversation)));
        pipeline.cmd("XRANGE").arg(log).arg(offset).arg(offset);
        pipeline.cmd("ZRANGEBYSCORE").arg(stubs).arg(offset).arg(offset).arg("WITHSCORES");
        let (head, entries, recalled): (HeadAnswer, EntriesAnswer, StubsAnswer) =
            self.others.run_all(&pipeline).await?;
        let found = merged(entries, recalled)?.into_iter().find(|(number, _)| *number == offset);
        Ok((cursor(head), found.map(|(_, payload)| payload)))
    }

    /// Where logs end, in their order.
    pub(crate) async fn ends(&self, conversations: &[Conversation]) -> Result<Vec<Cursor>, LinkError> {
        let mut pipeline = redis::pipe();
        for conversation in conversations {
            pipeline.add_command(head_command(&self.keys.log_head(conversation)));
        }
        let heads: Vec<HeadAnswer> = self.others.run_all(&pipeline).await?;
        Ok(heads.into_iter().map(cursor).collect())
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
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let (log, stubs) = (self.keys.topic_log(topic), self.keys.topic_stubs(topic));
        add_ascending(&mut pipeline, log, stubs, from, limit);
        let (entries, recalled): (EntriesAnswer, StubsAnswer) = self.others.run_all(&pipeline).await?;
        let mut raws = merged(entries, recalled)?;
        raws.truncate(limit);
        Ok(raws)
    }

    /// Gives a topic whose stream lost its end a new epoch, unless another node did; answers where it stands.
    pub(super) async fn fork(&self, topic: &Topic, epoch: &str) -> Result<Cursor, LinkError> {
        self.fork_pairs(topic, epoch).await?;
        let mut call = self.fork.call(&[self.keys.topic_head(topic)]);
        call.arg(epoch).arg(&*new_epoch());
        self.others.call(&self.fork, &call).await.map(cursor)
    }

    /// Whether a stream that has another epoch than `reached` goes on from there: it lost what came later.
    pub(super) async fn goes_on(&self, topic: &Topic, reached: &Cursor) -> Result<bool, LinkError> {
        let mut past = redis::cmd("HGET");
        past.arg(self.keys.topic_head(topic)).arg("past");
        let past: Option<String> = self.others.run(&past).await?;
        let past = past.as_deref().and_then(|past| past.split_once('\n'));
        Ok(past.is_some_and(|(epoch, number)| {
            *epoch == *reached.epoch && number.parse::<u64>().is_ok_and(|number| reached.number <= number)
        }))
    }

    /// See [`crate::broker::Log::doubt`].
    pub(super) async fn doubt(
        &self,
        conversation: &Conversation,
        epoch: &str,
        offset: u64,
    ) -> Result<(), LinkError> {
        let mut call = self.doubt.call(&[self.keys.log_head(conversation)]);
        call.arg(epoch).arg(offset).arg(&*new_epoch());
        if self.appends.call(&self.doubt, &call).await? {
            tracing::error!(?conversation, offset, "a log lost its end, a reader shows; it gets a new epoch");
        }
        Ok(())
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

impl From<Malformed> for BrokerError {
    fn from(error: Malformed) -> Self {
        BrokerError::Corrupt(error.to_string())
    }
}

/// What a script answers instead of an offset.
pub(crate) fn refusal(why: &str) -> BrokerError {
    match why {
        "no such group" => BrokerError::NoSuchGroup,
        "not a member" => BrokerError::NotMember,
        "blocked" => BrokerError::Blocked,
        "used" => BrokerError::Used,
        _ => BrokerError::Corrupt(format!("an answer {why:?}")),
    }
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

fn add_ascending(pipeline: &mut Pipeline, log: String, stubs: String, from: u64, count: usize) {
    pipeline.cmd("XRANGE").arg(log).arg(from).arg("+").arg("COUNT").arg(count);
    pipeline.cmd("ZRANGEBYSCORE").arg(stubs).arg(from).arg("+inf").arg("WITHSCORES");
    pipeline.arg("LIMIT").arg(0).arg(count);
}

/// Entries and what stays of recalled ones, by ascending number.
fn merged(entries: EntriesAnswer, recalled: StubsAnswer) -> Result<Vec<Raw>, LinkError> {
    let number = |id: &str| id.split_once('-').and_then(|(number, _)| number.parse().ok());
    let raw = |(id, (_, payload)): (String, (Bytes, Bytes))| {
        let number = number(&id).ok_or_else(|| LinkError::Corrupt(format!("stream id {id}")))?;
        Ok((number, payload))
    };
    let mut raws = entries.into_iter().map(raw).collect::<Result<Vec<_>, LinkError>>()?;
    raws.extend(recalled.into_iter().map(|(payload, number)| (number, payload)));
    raws.sort_unstable_by_key(|(number, _)| *number);
    Ok(raws)
}
