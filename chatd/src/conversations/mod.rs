//! A user's conversations and how far they have read each: the port.
//!
//! The law, which every adapter obeys (`tests/tests/laws/conversation_laws.rs`):
//! - The list holds the world, the user's groups, and every pair in which something was said: the latest first, those
//!   of one time in an order of the adapter's own that does not change.
//! - A page begins behind a [`Place`], whether or not there still is a conversation.
//! - A read offset never moves back and never past the newest entry, whatever comes at the same moment. Where history
//!   has a greatest age, an adapter may forget how far was read together with all that was read, and a pair in which
//!   nothing was said for so long.
//! - Sending moves the sender's own read offset to the message if they had read everything before it.
//! - Unread are the messages of others behind the read offset that the history still has and nobody took back: comings
//!   and goings, recalls and one's own count nothing. Counted are [`MAX_UNREAD`] at most, among the first [`MAX_LOOK`]
//!   entries behind the read offset; what lies further is told as `more`. All of a state is of one moment.
//! - How far several users have read is told as each of them is told, and of one moment with the epoch.
//! - The newest entry of a group is given to its members only, and that of any conversation while its history has it.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};

use crate::broker::BrokerError;
use crate::model::{Conversation, Entry};

/// Unread messages counted at most.
pub const MAX_UNREAD: u64 = 99;
/// Entries looked at to count them.
pub const MAX_LOOK: usize = 500;

/// A conversation and where its log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which.
    pub conversation: Conversation,
    /// The history its offsets belong to; empty when nothing was said.
    pub epoch: Arc<str>,
    /// Offset of the newest entry; 0 when nothing was said.
    pub last_offset: u64,
    /// Time of the newest entry, Unix milliseconds; 0 when nothing was said.
    pub last_time: u64,
}

/// A conversation of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which, and where it ends.
    pub head: Head,
    /// Offset up to which the user has read.
    pub read_offset: u64,
    /// What they have not.
    pub unread: Unread,
    /// The newest entry, if the history still has it.
    pub last: Option<Entry>,
}

/// Messages that a user has not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many were counted.
    pub count: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// Where a page of a list begins: behind this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Time of its newest entry.
    pub last_time: u64,
    /// Which.
    pub conversation: Conversation,
}

/// The port. See the law above.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Where the user's conversations end: the latest ones behind `after`, at most `limit`.
    async fn heads(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Head>, BrokerError>;

    /// The same conversations with what the user has read of each.
    async fn list(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<State>, BrokerError>;

    /// Marks messages up to `offset` as read and gives the state after it. For a group, members only
    /// ([`BrokerError::NotMember`], [`BrokerError::NoSuchGroup`]).
    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError>;

    /// How far these users have read, in their order, 0 for who has read nothing; and the epoch that belongs to, empty
    /// when nothing was said. Each costs a look, so they should be few.
    async fn read_by(
        &self,
        conversation: &Conversation,
        users: &[UserId],
    ) -> Result<(Arc<str>, Vec<u64>), BrokerError>;
}

impl Head {
    pub(crate) fn none(conversation: Conversation) -> Self {
        Self { conversation, epoch: "".into(), last_offset: 0, last_time: 0 }
    }
}
