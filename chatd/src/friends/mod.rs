//! How users stand to each other: the port.
//!
//! The law, which every adapter obeys (`tests/tests/laws/friend_laws.rs`):
//! - Both sides see the same: one asks and the other is asked, or both are friends, whatever order and repeats.
//! - Two who ask each other at the same moment are friends once.
//! - A block is one-sided. It ends a friendship and requests both ways; while it stands, the blocked user's requests
//!   and one-to-one messages are refused ([`crate::broker::Log::append`] checks it in the same step).
//! - What others can fill is bounded by [`Limits`], checked in the step that would exceed them; who has more already
//!   keeps them. Requests that wait for one user's answer fill nothing up: the oldest of them gives way to a new one, on
//!   both sides, and may be made again. Own requests are counted apart, and those of others leave their room alone.

use async_trait::async_trait;
use chat_protocol::friend::{Asked, Standing};
use chat_protocol::{AppId, Code, Refusal, UserId};

use crate::counters::Limit;

/// What a user does about another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Asks to be friends; accepts when the other has asked.
    Request {
        /// A word to go with it.
        greeting: Option<String>,
        /// When, Unix milliseconds.
        time: u64,
    },
    /// Accepts the other's request.
    Accept,
    /// Declines the other's request.
    Reject,
    /// Ends the friendship, or takes the own request back.
    Remove,
    /// Blocks the other.
    Block,
    /// Lifts the block.
    Unblock,
}

/// How the two stand after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Seen by the acting user.
    pub standing: Standing,
    /// Whether the acting user blocks the other.
    pub blocked: bool,
    /// Whether anything changed.
    pub changed: bool,
}

/// How many users may have to do with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Own requests that wait for an answer, and as many of others, the oldest of which give way.
    pub requests: u64,
    /// Friends, and as many blocked users.
    pub friends: u64,
}

/// Which of the lists of a [`Circle`] are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Who has asked the user.
    Asked,
    /// All others: friends, own requests, blocked users.
    Others,
}

/// Users who have to do with one, or a page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circle {
    /// Friends in byte order.
    pub friends: Vec<UserId>,
    /// Whom the user has asked, in byte order.
    pub requested: Vec<UserId>,
    /// Who has asked the user, in byte order.
    pub asked: Vec<Asked>,
    /// Whom the user blocks, in byte order.
    pub blocked: Vec<UserId>,
    /// The last user of the page, when there are more after them.
    pub more: Option<UserId>,
}

/// What there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The acting user's own requests.
    MyRequests,
    /// Requests to the other user, of whom so many ask at this moment that none could be made room for.
    TheirRequests,
    /// The acting user's friends.
    MyFriends,
    /// The other user's friends.
    TheirFriends,
    /// Users the acting user blocks.
    MyBlocks,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Full::MyRequests => "you have too many requests waiting; take one back first (the setting limits.requests_per_user",
            Full::TheirRequests => "too many ask this user at this moment; ask again (the setting limits.requests_per_user",
            Full::MyFriends => "you have too many friends; remove one first (the setting limits.friends_per_user",
            Full::TheirFriends => "this user has too many friends (the setting limits.friends_per_user",
            Full::MyBlocks => "you block too many users; unblock one first (the setting limits.friends_per_user",
        })
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FriendError {
    /// The other has not asked.
    #[error("there is no request from this user")]
    NoRequest,
    /// The acting user blocks the other.
    #[error("you block this user; unblock first")]
    Blocking,
    /// The other blocks the acting user.
    #[error("this user does not take requests from you")]
    Blocked,
    /// There are as many as are allowed.
    #[error("{0}, {1})")]
    TooMany(Full, u64),
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl FriendError {
    /// The limit that was reached, if it is one.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            FriendError::TooMany(Full::MyRequests | Full::TheirRequests, _) => Some(Limit::RequestsPerUser),
            FriendError::TooMany(..) => Some(Limit::FriendsPerUser),
            _ => None,
        }
    }

    /// The code for the caller.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            FriendError::NoRequest => Code::NotFound,
            FriendError::Blocking | FriendError::Blocked | FriendError::TooMany(..) => Code::RefusedByRule,
            FriendError::Unreachable(_) => Code::StoreUnreachable,
            FriendError::Corrupt(_) => Code::ServerError,
        }
    }
}

impl From<FriendError> for Refusal {
    fn from(error: FriendError) -> Self {
        match error {
            FriendError::Unreachable(_) => {
                tracing::warn!(%error, "friends");
                Refusal::unreachable("friends")
            }
            FriendError::Corrupt(_) => {
                tracing::error!(%error, "friends");
                error.code().into()
            }
            rule => Refusal::new(rule.code(), rule.to_string()),
        }
    }
}

/// The port. See the law above.
#[async_trait]
pub trait Friends: Send + Sync {
    /// Does what `user` wants about `other`. Accepting when they are friends already, and every other repeat, changes
    /// nothing and is no error; accepting or rejecting without a request is [`FriendError::NoRequest`].
    async fn act(
        &self,
        app: AppId,
        user: &UserId,
        other: &UserId,
        action: &Action,
    ) -> Result<Changed, FriendError>;

    /// Part of what there is about one user: at most `limit` others, at least one, after `after` in byte order.
    async fn circle(
        &self,
        app: AppId,
        user: &UserId,
        part: Part,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Circle, FriendError>;
}
