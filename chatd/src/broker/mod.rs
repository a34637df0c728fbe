//! The log that keeps messages, and the bus by which they reach the nodes that serve their readers: two ports, and the
//! store that has both.
//!
//! The law, which every adapter obeys (`tests/tests/laws/broker_laws.rs` runs it against each):
//! - [`Log::append`] gives a message the next offset of its conversation (1, 2, 3 … without gaps), stores it
//!   and publishes it in one atomic step. When it returns, the message is in the log.
//! - The same message id from the same sender in the same app within 24 hours is not appended again. When the
//!   fingerprints agree, the first receipt comes back, marked as a duplicate; when they do not, the id was used for
//!   another message and this one is refused. So is what was sent to a former group of the id that a group has now.
//! - After [`Bus::subscribe`] returned, every later message of the topic reaches the [`Sink`] exactly once and
//!   in the order of offsets, or the sink is told that some were lost. A cut link or a restarted store is no
//!   excuse: what was missed is read from the log before anything newer is delivered.
//! - Messages of a pair reach the inbox topics of both users; world and group messages their own topic.
//! - A conversation keeps its epoch as long as it keeps its history. One that lost its end, as a restored copy or a
//!   replica that lagged does, gets a new one as soon as a node or a reader shows that it went further; the new name
//!   tells that the log goes on ([`crate::model::epoch`]). A reader is believed only against an epoch that was begun before the store
//!   was started the last time: while it runs, a store loses nothing, so whoever makes up a position costs the others
//!   one new epoch per start at most.
//! - A message to a group is appended only while its sender is a member, one to a user only while that user does not
//!   block its sender; both are checked in the step that appends.
//! - [`Log::recall`] takes the content of an entry away for good, and appends the entry that tells of it in the same
//!   step; the recalled entry keeps its place. Repeating it appends nothing.

mod fingerprint;
pub(crate) mod recall;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{Code, MsgId, Refusal, UserId};

use crate::model::{Conversation, Entry, Notice, Skip, Topic};

pub use self::fingerprint::Fingerprint;

/// A message on its way into the log.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The log it goes to.
    pub conversation: Conversation,
    /// Who sends it.
    pub sender: UserId,
    /// The sender's id for it.
    pub msg_id: MsgId,
    /// What a repeat of `msg_id` must agree with; `None` for an id chatd made up itself, which nobody can repeat.
    pub fingerprint: Option<Fingerprint>,
    /// JSON members of the push without the braces, from `"target"` to `"msgId"`, in one line.
    pub members: Bytes,
    /// Who gets no live copy.
    pub skip: Skip,
}

/// Where a message stands in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its number, from 1.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: Arc<str>,
    /// When it was logged, Unix milliseconds; never falls within a conversation.
    pub time: u64,
    /// Whether it had been appended before.
    pub duplicate: bool,
}

/// Which part of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The oldest entries with a greater offset.
    After(u64),
    /// The newest entries with a lesser offset.
    Before(u64),
}

/// Part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Which history the offsets belong to; empty when nothing was ever logged.
    pub epoch: Arc<str>,
    /// Offset of the newest entry; 0 when there is none.
    pub head: u64,
    /// The entries by ascending offset.
    pub entries: Vec<Entry>,
}

/// Something for the readers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message from a log.
    Message {
        /// The log.
        conversation: Conversation,
        /// The message.
        entry: Entry,
    },
    /// Something that is not kept.
    Notice(Notice),
}

/// Receives what a broker delivers. Called from the broker's own tasks or threads: it must not block.
pub trait Sink: Send + Sync {
    /// The next event of a topic.
    fn deliver(&self, topic: &Topic, event: &Event);
    /// Messages of the topic are gone for good; its readers must be told.
    fn lost(&self, topic: &Topic);
    /// Notices of the topic may have been missed while the bus was away; its messages were not.
    fn interrupted(&self, topic: &Topic);
}

/// Why the broker did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The store did not answer; whether it did as asked is unknown.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store answered something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// There is no such group.
    #[error("no such group")]
    NoSuchGroup,
    /// The sender is no member of the group.
    #[error("not a member of the group")]
    NotMember,
    /// The recipient blocks the sender.
    #[error("this user does not take messages from you")]
    Blocked,
    /// The id names another message of this sender.
    #[error("the msgId was used for another message")]
    Used,
    /// No such message to recall: never logged, or no longer kept.
    #[error("no such message")]
    NoSuchMessage,
    /// Someone else sent it.
    #[error("only its sender may recall a message")]
    NotSender,
    /// It was sent too long ago.
    #[error("a message can be recalled within 2 minutes only")]
    TooLate,
}

impl BrokerError {
    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            BrokerError::Unreachable(_) => Code::StoreUnreachable,
            BrokerError::Corrupt(_) => Code::ServerError,
            BrokerError::NoSuchGroup | BrokerError::NoSuchMessage => Code::NotFound,
            BrokerError::NotSender => Code::NotAuthorised,
            BrokerError::NotMember | BrokerError::Blocked | BrokerError::Used | BrokerError::TooLate => {
                Code::RefusedByRule
            }
        }
    }
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Unreachable(_) => {
                tracing::warn!(%error, "broker");
                Refusal::unreachable("messages")
            }
            BrokerError::Corrupt(_) => {
                tracing::error!(%error, "broker");
                error.code().into()
            }
            rule => Refusal::new(rule.code(), rule.to_string()),
        }
    }
}

/// How much of each conversation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At least so many of the newest messages stay.
    pub max_messages: u64,
    /// Messages older than so many milliseconds are not read any more, and go when the next one is appended at the
    /// latest; 0 keeps them.
    pub max_age_ms: u64,
}

impl Retention {
    /// Oldest time that is kept, Unix milliseconds.
    #[must_use]
    pub fn since(&self, now_ms: u64) -> u64 {
        if self.max_age_ms == 0 { 0 } else { now_ms.saturating_sub(self.max_age_ms) }
    }
}

/// How long a message id is remembered, in milliseconds.
pub const REPEAT_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// An id for a message whose sender gave it none.
#[must_use]
pub fn new_msg_id() -> MsgId {
    let id = uuid::Uuid::now_v7().simple().to_string();
    MsgId::new(&id).expect("a UUID has 32 hexadecimal digits")
}

/// The log: every message of a conversation, in one order, for as long as [`Retention`] says.
#[async_trait]
pub trait Log: Send + Sync {
    /// Logs a message and gives it to the bus in one step.
    async fn append(&self, message: Outgoing) -> Result<Receipt, BrokerError>;

    /// Logs messages in their order, each as [`Log::append`] does: what becomes of one changes nothing for the others,
    /// but that behind one for which the store did not answer, others may not be tried. As many outcomes as messages.
    async fn append_all(&self, messages: Vec<Outgoing>) -> Vec<Result<Receipt, BrokerError>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for message in messages {
            outcomes.push(match outcomes.last() {
                Some(Err(BrokerError::Unreachable(reason))) => Err(BrokerError::Unreachable(reason.clone())),
                _ => self.append(message).await,
            });
        }
        outcomes
    }

    /// Reads at most `limit` entries of a log, none older than [`Retention::max_age_ms`].
    async fn read(
        &self,
        conversation: &Conversation,
        range: Range,
        limit: usize,
    ) -> Result<Page, BrokerError>;

    /// Hears that a reader has seen `offset` of the history `epoch`. If the log ends before that and may have lost its
    /// end, it gets a new epoch; see the law.
    async fn doubt(&self, conversation: &Conversation, epoch: &str, offset: u64) -> Result<(), BrokerError>;

    /// Whether the entry that stands at `offset` was written in `epoch`, although the log has another one by now: who saw it
    /// has what came before it.
    async fn stood(&self, conversation: &Conversation, epoch: &str, offset: u64)
    -> Result<bool, BrokerError>;

    /// Takes a message's content away: its members become those of a message of type `recalled` with the same
    /// `target`, `from` and `msgId`. With `by`, only the message's own sender within
    /// [`chat_protocol::message::RECALL_WINDOW_MS`]; without, an operator. In the same step an entry of type `recall` is
    /// appended, with `recalls` and the `target` and `from` of the message, whether or not its sender may still send.
    async fn recall(
        &self,
        conversation: &Conversation,
        offset: u64,
        by: Option<&UserId>,
    ) -> Result<chat_protocol::message::Recalled, BrokerError>;
}

/// The bus: brings what is new of a topic to the [`Sink`] of every node that subscribed to it.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Publishes a notice to whoever is subscribed at this moment.
    async fn notify(&self, topic: &Topic, notice: Notice) -> Result<(), BrokerError>;

    /// Returns once every later message of the topic will reach the sink.
    async fn subscribe(&self, topic: &Topic) -> Result<(), BrokerError>;

    /// Ends a subscription. Does not wait; a later `subscribe` of the same topic takes effect after it.
    fn unsubscribe(&self, topic: &Topic);
}

/// A store that has both, which publishes what it logs in the step that logs it.
#[async_trait]
pub trait Broker: Log + Bus {
    /// Whether messages can be appended and are being received right now.
    async fn ready(&self) -> Result<(), BrokerError>;
}
