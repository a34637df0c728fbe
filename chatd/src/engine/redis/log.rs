//! Reads logs and inboxes.
//!
//! Invariant: what belongs together is read in one step, so a page never mixes two histories. The newest entry of a list
//! says how it stands.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, Value};

use super::bundle::Bundle;
use super::codec::{self, Malformed, Place};
use super::keys::Keys;
use super::link::{LinkError, Live, Script};
use crate::broker::{BrokerError, Page, Range, Retention};
use crate::model::{Conversation, Entry, Topic};

/// Places of messages kept per inbox: what a node may have missed of it during a cut.
const INBOX_PLACES: u64 = 1_000;
/// How long an inbox stays without a message: so long that a quiet one does not look like a lost one.
const INBOX_IDLE_MS: u64 = 28 * 24 * 60 * 60 * 1000;
/// The same while nobody listens: a node that serves its user has mostly lost the link for less.
const INBOX_UNHEARD_MS: u64 = 60 * 60 * 1000;
/// How far ahead of a message its pair is put into the lists of its users, at most; less when history is kept for less than
/// 16 times as long, because what is kept of the pair stays so much longer.
pub(super) const AHEAD_MS: u64 = 60_000;

/// A script that works on logs.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("log.lua"), include_str!($file))));
    };
}

script!(ENDS, "ends.lua");
script!(READ, "read.lua");
script!(TAIL, "tail.lua");
script!(PICK, "pick.lua");
script!(FORK, "fork.lua");
script!(DOUBT, "doubt.lua");
script!(LIFE, "life.lua");

/// How far a list goes, or how far of it is known.
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

    /// Where a list stands whose newest entry is this.
    pub(super) fn of(newest: Option<&[u8]>) -> Result<Self, LinkError> {
        let Some(newest) = newest else { return Ok(Self::start()) };
        let end = codec::end(newest).map_err(|error| LinkError::Corrupt(error.to_string()))?;
        Ok(Self { epoch: end.epoch.into(), number: end.number, time: end.time })
    }
}

/// Where a list ends, unless it is damaged.
pub(crate) type End = Result<Cursor, LinkError>;

/// Something published to a topic, and where it stood when it was; no payload where it is no longer kept.
pub(super) struct Kept {
    pub at: Cursor,
    pub payload: Option<Bytes>,
}

/// Access to logs and inboxes.
pub(crate) struct Logs {
    pub(crate) keys: Keys,
    pub(crate) appends: Bundle,
    pub(crate) others: Bundle,
    retention: Retention,
    /// What epochs end with that begin over the connections for appends, of each server.
    lives: Mutex<Vec<Life>>,
}

/// One life of Redis: a process, or a master. What may have lost its end in an earlier one gets a new epoch before
/// anything is appended, so what appends goes over a connection that is surely of the life it names.
#[derive(Clone)]
pub(crate) struct Life {
    live: Live,
    /// What epochs end with that begin in it.
    digits: Arc<str>,
}

impl Life {
    /// A name for an epoch that begins in it.
    pub(super) fn new_epoch(&self) -> String {
        format!("{}{}", chance(), self.digits)
    }

    /// What a command within a script, which went on, was refused with.
    pub(super) fn refused(&self, detail: String) -> LinkError {
        self.live.refused(detail)
    }
}

impl Logs {
    pub(super) fn new(keys: Keys, appends: Bundle, others: Bundle, retention: Retention) -> Self {
        Self { keys, appends, others, retention, lives: Mutex::default() }
    }

    /// Messages kept per log, and for how many milliseconds.
    pub(crate) fn kept(&self) -> (u64, u64) {
        (self.retention.max_messages.max(1), self.retention.max_age_ms)
    }

    /// Oldest time that is kept, Unix milliseconds.
    pub(crate) fn since(&self, now: u64) -> u64 {
        self.retention.since(now)
    }

    /// Adds to a call what `rules_from` reads.
    pub(super) fn add_rules(&self, call: &mut Cmd) {
        let (kept, age) = self.kept();
        let ahead = if age == 0 { AHEAD_MS } else { AHEAD_MS.min(age / 16) };
        call.arg(kept).arg(age).arg(INBOX_PLACES).arg(INBOX_IDLE_MS).arg(INBOX_UNHEARD_MS).arg(ahead);
    }

    /// The life of Redis that the connection for appends to the slot of a key is of.
    pub(super) async fn life(&self, key: &str) -> Result<Life, LinkError> {
        let live = self.appends.live(key).await?;
        let known = self.lives.lock().iter().find(|life| life.live.is(&live)).cloned();
        if let Some(life) = known {
            return Ok(life);
        }
        let digits: String = live.call(&LIFE, &LIFE.call(&[])).await?;
        let life = Life { live, digits: digits.into() };
        let servers = self.appends.servers();
        let mut lives = self.lives.lock();
        // Of connections that are gone nothing is needed.
        lives.retain(|life| servers.members.iter().any(|member| member.link.is_live(&life.live)));
        lives.push(life.clone());
        Ok(life)
    }

    /// Runs a script in the life of Redis that has its first key; `call` makes it for a name of an epoch.
    pub(super) async fn call_in_life<T: FromRedisValue>(
        &self,
        key: &str,
        script: &Script,
        call: impl Fn(&Life) -> Cmd,
    ) -> Result<(Life, T), LinkError> {
        for turn in 0.. {
            let life = self.life(key).await?;
            match life.live.call(script, &call(&life)).await {
                Err(error) if self.appends.is_elsewhere(&error, turn) => {}
                answer => return Ok((life, answer?)),
            }
            self.appends.learn().await;
        }
        unreachable!("the last turn returns")
    }

    /// Adds the keys of the inboxes of a pair to the names of a call; gives its last arguments: the channel of each
    /// topic, and behind that of an inbox the other user.
    pub(super) fn inboxes(&self, conversation: &Conversation, names: &mut Vec<String>) -> Vec<String> {
        let keys = &self.keys;
        let mut targets = Vec::with_capacity(4);
        for topic in &conversation.topics() {
            targets.push(keys.channel(topic));
            if let (Conversation::Pair(app, a, b), Topic::Inbox(_, user)) = (conversation, topic) {
                names.extend([keys.topic_log(topic), keys.pairs(*app, user), keys.reads(*app, user)]);
                targets.push((if user == a { b } else { a }).to_string());
            }
        }
        targets
    }

    /// Reads part of a log.
    pub(super) async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
        now: u64,
    ) -> Result<Page, BrokerError> {
        let (offset, which) = match range {
            Range::After(offset) => (offset, "after"),
            Range::Before(offset) => (offset, "before"),
        };
        let (head, raws) = self.part(conversation, (offset, limit, which), now).await?;
        let mut entries = Vec::with_capacity(raws.len());
        for payload in &raws {
            // Entries from before a fork count to the history that goes on from them.
            entries.push(Entry { epoch: head.epoch.clone(), ..codec::logged(payload)? });
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
        let (head, raws) = self.part(conversation, (offset, 1, "at"), now).await?;
        Ok((head, raws.into_iter().find(|payload| !codec::is_blank(payload))))
    }

    async fn part(
        &self,
        conversation: &Conversation,
        (offset, limit, which): (u64, usize, &str),
        now: u64,
    ) -> Result<(Cursor, Vec<Bytes>), LinkError> {
        let mut call = READ.call(&[self.keys.log(conversation)]);
        call.arg(self.since(now)).arg(countable(offset)).arg(limit).arg(which);
        let mut raws: Vec<Bytes> = self.others.call(&READ, &call).await?;
        if raws.is_empty() {
            return Ok((Cursor::start(), raws));
        }
        Ok((Cursor::of(Some(&raws.remove(0)))?, raws))
    }

    /// Where logs end, in their order; each that is damaged is logged.
    pub(crate) async fn ends(&self, conversations: &[Conversation]) -> Result<Vec<End>, LinkError> {
        self.ends_of(conversations.iter().map(|conversation| self.keys.log(conversation))).await
    }

    /// Where the lists of the topics end, in the order of the topics.
    pub(super) async fn heads(&self, topics: &[&Topic]) -> Result<Vec<End>, LinkError> {
        self.ends_of(topics.iter().map(|topic| self.keys.topic_log(topic))).await
    }

    async fn ends_of(&self, lists: impl Iterator<Item = String>) -> Result<Vec<End>, LinkError> {
        let lists: Vec<String> = lists.collect();
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let newest = self.newest(&lists).await?;
        let end = |(newest, list): (Option<Bytes>, String)| {
            Cursor::of(newest.as_deref()).inspect_err(|error| {
                tracing::error!(key = list, %error, "damaged; remove it, and what is said goes on as another history");
            })
        };
        Ok(newest.into_iter().zip(lists).map(end).collect())
    }

    /// The newest entries of lists, asked for by their slots.
    async fn newest(&self, lists: &[String]) -> Result<Vec<Option<Bytes>>, LinkError> {
        let mut newest = vec![None; lists.len()];
        for (some, places) in self.others.by_slot(lists) {
            let found: Vec<Option<Bytes>> = self.others.call(&ENDS, &ENDS.call(&some)).await?;
            places.into_iter().zip(found).for_each(|(place, found)| newest[place] = found);
        }
        Ok(newest)
    }

    /// At most `limit` of what was published to a topic, beginning with number `from`.
    pub(super) async fn tail(&self, topic: &Topic, from: u64, limit: usize) -> Result<Vec<Kept>, LinkError> {
        let mut call = TAIL.call(&[self.keys.topic_log(topic)]);
        call.arg(from).arg(limit);
        let raws: Vec<Bytes> = self.others.call(&TAIL, &call).await?;
        let Topic::Inbox(app, user) = topic else {
            let read = |payload: Bytes| {
                let position = codec::position(&payload).ok().flatten();
                let position =
                    position.ok_or_else(|| LinkError::Corrupt("an entry without a position".to_owned()))?;
                let at =
                    Cursor { epoch: position.epoch.into(), number: position.number, time: position.time };
                Ok(Kept { at, payload: Some(payload).filter(|payload| !codec::is_blank(payload)) })
            };
            return raws.into_iter().map(read).collect();
        };
        let places = raws.iter().map(|raw| codec::place(raw)).collect::<Result<Vec<_>, _>>();
        let places = places.map_err(|error| LinkError::Corrupt(error.to_string()))?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let pairs = places.iter().map(|place| self.keys.log(&place.conversation(*app, user)));
        let mut call = PICK.call(&pairs.collect::<Vec<_>>());
        call.arg(places.iter().map(|place| place.offset).collect::<Vec<_>>());
        let entries: Vec<Option<Bytes>> = self.others.call(&PICK, &call).await?;
        let kept = |(place, entry): (Place<'_>, Option<Bytes>)| {
            let entry = entry.filter(|entry| !codec::is_blank(entry));
            let at = Cursor { epoch: place.epoch.into(), number: place.number, time: place.time };
            Kept { at, payload: entry.map(|entry| place.told(&entry)) }
        };
        Ok(places.into_iter().zip(entries).map(kept).collect())
    }

    /// Gives a topic whose list lost its end a new epoch, unless another node did; answers where it stands.
    pub(super) async fn fork(&self, topic: &Topic, epoch: &str) -> Result<Cursor, LinkError> {
        self.fork_pairs(topic, epoch).await?;
        let newest: Option<Bytes> = self.fork_call(&[self.keys.topic_log(topic)], epoch).await?;
        Cursor::of(newest.as_deref())
    }

    pub(super) async fn fork_call(&self, names: &[String], epoch: &str) -> Result<Option<Bytes>, LinkError> {
        let mut call = FORK.call(names);
        call.arg(epoch).arg(chance());
        self.others.call(&FORK, &call).await
    }

    /// Whether a list that has another epoch than `reached` goes on from there: what stood there still does.
    pub(super) async fn goes_on(&self, topic: &Topic, reached: &Cursor) -> Result<bool, LinkError> {
        let mut call = TAIL.call(&[self.keys.topic_log(topic)]);
        call.arg(reached.number).arg(1);
        let found: Vec<Bytes> = self.others.call(&TAIL, &call).await?;
        let Some(found) = found.first() else { return Ok(false) };
        let stood = codec::stood(found).is_ok_and(|(number, epoch, time)| {
            (number, epoch, time) == (reached.number, &*reached.epoch, reached.time)
        });
        // Or it was the newest when its epoch changed.
        Ok(stood || Cursor::of(Some(found)).is_ok_and(|end| end == *reached))
    }

    /// See [`crate::broker::Log::doubt`].
    pub(super) async fn doubt(
        &self,
        conversation: &Conversation,
        epoch: &str,
        offset: u64,
    ) -> Result<(), LinkError> {
        let mut call = DOUBT.call(&[self.keys.log(conversation)]);
        call.arg(epoch).arg(countable(offset)).arg(chance());
        if self.appends.call(&DOUBT, &call).await? {
            tracing::error!(?conversation, offset, "a log lost its end, a reader shows; it gets a new epoch");
        }
        Ok(())
    }

    /// See [`crate::broker::Log::stood`].
    pub(super) async fn stood(
        &self,
        conversation: &Conversation,
        epoch: &str,
        offset: u64,
    ) -> Result<bool, LinkError> {
        let (_, found) = self.part(conversation, (offset, 1, "at"), 0).await?;
        let stood = found.first().and_then(|found| codec::stood(found).ok());
        Ok(stood.is_some_and(|(number, stood, _)| (number, stood) == (offset, epoch)))
    }

    /// Publishes a payload that is not kept.
    pub(super) async fn publish(&self, channel: &[u8], payload: &[u8]) -> Result<(), LinkError> {
        let mut command = redis::cmd(if self.others.has_slots() { "SPUBLISH" } else { "PUBLISH" });
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

/// Ten hexadecimal digits: with those of a life of Redis, the name of an epoch.
fn chance() -> String {
    format!("{:010x}", rand::random::<u64>() >> 24)
}

/// An offset as a script can count with it: no log goes further.
fn countable(offset: u64) -> u64 {
    offset.min(1 << 53)
}
