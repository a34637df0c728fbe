//! A user's conversations and how far he has read each: the port.
//!
//! The law, which every adapter obeys (`tests/tests/conversation_laws.rs`):
//! - The list holds the world, the user's groups, and every pair in which something was said.
//! - A read offset never moves back and never past the newest message, whatever comes at the same moment.
//! - Sending moves the sender's own read offset to his message if he had read everything before it.
//! - Unread is the newest offset less the read offset, both of one moment.

pub mod embedded;
pub mod redis;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};

use crate::broker::{BrokerError, Conversation};

/// A conversation of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which.
    pub conversation: Conversation,
    /// Offset of the newest message; 0 when nothing was said.
    pub last_offset: u64,
    /// Time of the newest message, Unix milliseconds; 0 when nothing was said.
    pub last_time: u64,
    /// Offset up to which the user has read.
    pub read_offset: u64,
}

/// The port. See the law above.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// The user's conversations, the latest first.
    async fn list(&self, app: AppId, user: &UserId) -> Result<Vec<State>, BrokerError>;

    /// Marks messages up to `offset` as read and gives the state after it. For a group, members only
    /// ([`BrokerError::NotMember`], [`BrokerError::NoSuchGroup`]).
    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError>;
}
