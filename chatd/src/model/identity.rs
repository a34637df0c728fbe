//! Who speaks.
//!
//! Invariant: a user's name means somebody in one app only.

use chat_protocol::{AppId, UserId};

/// Who speaks on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which world.
    pub app: AppId,
    /// Who.
    pub user: UserId,
}
