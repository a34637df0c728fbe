//! Who is online, on any node: the port, and what a change means to others.
//!
//! The law, which every adapter obeys (`tests/tests/presence_laws.rs`):
//! - A user is online while at least one live node holds at least one connection of his.
//! - A node is live while it renews its lease. A node that stops renewing is dead within [`LEASE_MS`] and its
//!   users are offline, with no other node doing work for each of them.
//! - Nothing is sent for a user who neither comes nor goes.
//! - Of several nodes on which a user arrives at the same moment, exactly one is told `first`.

pub mod embedded;
pub mod redis;
pub mod roll;

use async_trait::async_trait;
use chat_protocol::{AppId, Code, Refusal, UserId};

/// How long a node counts as live after its last renewal, in milliseconds.
pub const LEASE_MS: u64 = 9_000;
/// How often a node renews, in milliseconds.
pub const RENEW_EVERY_MS: u64 = 3_000;

/// A user's presence on this node changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which world.
    pub app: AppId,
    /// Who.
    pub user: UserId,
    /// Whether this node now holds a connection of the user.
    pub here: bool,
}

/// What a [`Change`] means over all live nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The user came online (or went offline) with this change, seen over all live nodes.
    pub decisive: bool,
    /// Users online in the app after the change. A user on several nodes may count once for each.
    pub room_size: u64,
}

/// Part of the list of users online.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Users online in the app.
    pub count: u64,
    /// Names in byte order.
    pub users: Vec<UserId>,
    /// Whether there are users after the last one listed.
    pub more: bool,
}

/// Why presence could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
}

impl PresenceError {
    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::StoreUnreachable
    }
}

impl From<PresenceError> for Refusal {
    fn from(error: PresenceError) -> Self {
        tracing::warn!(%error, "presence");
        error.code().into()
    }
}

/// What a renewal of the lease found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewal {
    /// This node had been counted as dead (or the store lost its data): every local user must be entered again.
    pub was_dead: bool,
    /// Users who went offline because this call found their node dead, and was the first to find it.
    pub vanished: Vec<Vanished>,
}

/// A user who went offline with a dead node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vanished {
    /// Which world.
    pub app: AppId,
    /// Who.
    pub user: UserId,
    /// Users still online in the app.
    pub room_size: u64,
}

/// The port. See the law above.
#[async_trait]
pub trait Presence: Send + Sync {
    /// Applies changes of this node in order; repeating one is harmless. One outcome per change.
    async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError>;

    /// Whether the user is online on any live node.
    async fn is_online(&self, app: AppId, user: &UserId) -> Result<bool, PresenceError>;

    /// Users online after `after` in byte order, at most `limit`.
    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Roster, PresenceError>;

    /// How many nodes are live.
    async fn live_nodes(&self) -> Result<u64, PresenceError>;

    /// Renews this node's lease and buries dead nodes. Called every [`RENEW_EVERY_MS`].
    async fn renew(&self) -> Result<Renewal, PresenceError>;

    /// Gives the lease back: this node's users are offline at once.
    async fn resign(&self) -> Result<(), PresenceError>;
}
