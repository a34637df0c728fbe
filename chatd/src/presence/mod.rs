//! Who is online, on any node: the port, and what a change means to others.
//!
//! The law, which every adapter obeys (`tests/tests/laws/presence_laws.rs`):
//! - A user is online while at least one live node holds at least one connection of theirs.
//! - A node is live while it renews its lease. A node that stops renewing is dead within [`LEASE_MS`] and its
//!   users are offline, with no other node doing work for each of them.
//! - Nothing is sent for a user who neither comes nor goes.
//! - Of several nodes on which a user arrives at the same moment, exactly one is told `decisive`.
//! - What is decisive is announced to the world of the app by the step that decides it, so that everybody hears of one
//!   user's comings and goings in the order in which they came to be: the last word is how it is.
//! - A count may be old, and says how old; asked again and again, it comes to know of whoever came and went.

pub mod card;
pub mod crowds;
pub mod registry;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::node::Node;
use chat_protocol::session::{ENTER, EXIT, Movement};
use chat_protocol::{AppId, Code, Refusal, Target, UserId};

use crate::clock::Clock;
use crate::model::{Notice, Skip};

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

/// How comings and goings are announced.
#[derive(Clone)]
pub struct Announcer {
    /// Users online above which an app announces nobody.
    pub limit: u64,
    /// Tells when.
    pub clock: Arc<dyn Clock>,
}

impl Announcer {
    /// That the user came, or went. Their own connections are not told.
    #[must_use]
    pub fn notice(&self, user: &UserId, came: bool) -> Notice {
        let movement = Movement { target: Target::World, from: user.clone(), time: self.clock.now_ms() };
        // Cannot fail: the members have text keys and no failing serializer.
        let data = Bytes::from(serde_json::to_vec(&movement).unwrap_or_default());
        let cmd = if came { ENTER } else { EXIT };
        Notice { cmd: cmd.into(), data, skip: Skip::User(user.clone()) }
    }
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

/// How many users are online in an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Users, each once.
    pub users: u64,
    /// Whoever came or went before this, as far as the store knew, is counted as they were then or later.
    pub since: Instant,
}

/// Why presence could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl PresenceError {
    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            PresenceError::Unreachable(_) => Code::StoreUnreachable,
            PresenceError::Corrupt(_) => Code::ServerError,
        }
    }
}

impl From<PresenceError> for Refusal {
    fn from(error: PresenceError) -> Self {
        tracing::warn!(%error, "presence");
        match error {
            PresenceError::Unreachable(_) => Refusal::unreachable("presence"),
            PresenceError::Corrupt(_) => error.code().into(),
        }
    }
}

/// The port. See the law above.
#[async_trait]
pub trait Presence: Send + Sync {
    /// Applies changes of this node in order and announces those that are decisive; repeating one is harmless. One
    /// outcome per change.
    async fn apply(&self, changes: &[Change]) -> Result<Vec<Outcome>, PresenceError>;

    /// Whether the user is online on any live node.
    async fn is_online(&self, app: AppId, user: &UserId) -> Result<bool, PresenceError>;

    /// On how many other live nodes the user is online.
    async fn elsewhere(&self, app: AppId, user: &UserId) -> Result<u64, PresenceError>;

    /// Users online after `after` in byte order, at most `limit`.
    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Roster, PresenceError>;

    /// Some users online: the first in byte order, at most `most`. Nobody is counted for it.
    async fn some(&self, app: AppId, most: usize) -> Result<Vec<UserId>, PresenceError> {
        Ok(self.list(app, None, most).await?.users)
    }

    /// How many users are online, for those who ask all the time: it may be as old as 30 s and the time that counting
    /// takes, where to count is much work.
    async fn count(&self, app: AppId) -> Result<Count, PresenceError> {
        let since = Instant::now();
        Ok(Count { users: self.list(app, None, 0).await?.count, since })
    }

    /// How many nodes are live.
    async fn live_nodes(&self) -> Result<u64, PresenceError>;

    /// Tells the others what this node is and does; for as long as its lease, or a little longer.
    async fn tell(&self, node: &Node) -> Result<(), PresenceError>;

    /// What the live nodes told last, this one included; one that has told nothing yet is left out.
    async fn nodes(&self) -> Result<Vec<Node>, PresenceError>;

    /// Renews this node's lease, expires dead nodes, and announces who went offline with them. Called every
    /// [`RENEW_EVERY_MS`]. True: this node had been counted as dead, or the store lost its data, and every local user
    /// must be entered again.
    async fn renew(&self) -> Result<bool, PresenceError>;

    /// Gives the lease back: this node's users are offline at once.
    async fn resign(&self) -> Result<(), PresenceError>;
}
