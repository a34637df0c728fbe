//! An entry of a log: the message, for whom it is not, and what it does to its group.
//!
//! Invariant: what is read from a log says the same as what was delivered from it.

use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{MsgId, UserId};

use super::Position;

/// A message in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: Arc<str>,
    /// When it was logged, Unix milliseconds.
    pub time: u64,
    /// The sender's id for it.
    pub msg_id: MsgId,
    /// JSON members of the push without the braces, from `"target"` to `"msgId"`, in one line.
    pub members: Bytes,
    /// Who gets no copy.
    pub skip: Skip,
    /// What it does to the group besides being read.
    pub effect: Effect,
}

impl Entry {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    /// Whether its members are what a push can be made of. What a store gives back may have been damaged there.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let pushed = [b"{".as_slice(), &self.members, br#","":0}"#].concat();
        let text = std::str::from_utf8(&pushed).unwrap_or_default();
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }
}

/// One WebSocket connection, unique over all nodes and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Random number of the node's process.
    pub node: u64,
    /// Counter within the process.
    pub number: u64,
}

/// Who gets no copy of a live delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// Everyone gets one.
    Nobody,
    /// All connections of a user.
    User(UserId),
    /// The connection that sent it, which has the answer instead.
    Connection(ConnectionId),
}

/// What an entry of a group's log does to the group. Who joins gets what stands after the entry,
/// who leaves gets the entry and nothing after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: an ordinary message.
    #[default]
    None,
    /// The user is a member now.
    Joined(UserId),
    /// The user is no member any more.
    Left(UserId),
    /// The group is no more.
    Dismissed,
}

/// Not the text of a [`Skip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a text that says who gets no copy")]
pub struct BadSkip;

/// One line: `-`, `u<user>` or `c<node>:<number>`.
impl Display for Skip {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Skip::Nobody => f.write_str("-"),
            Skip::User(user) => write!(f, "u{user}"),
            Skip::Connection(ConnectionId { node, number }) => write!(f, "c{node}:{number}"),
        }
    }
}

impl FromStr for Skip {
    type Err = BadSkip;

    fn from_str(text: &str) -> Result<Self, BadSkip> {
        if text == "-" {
            return Ok(Skip::Nobody);
        }
        if let Some(user) = text.strip_prefix('u') {
            return UserId::new(user).map(Skip::User).map_err(|_| BadSkip);
        }
        let (node, number) = text.strip_prefix('c').and_then(|id| id.split_once(':')).ok_or(BadSkip)?;
        let parse = |digits: &str| digits.parse().map_err(|_| BadSkip);
        Ok(Skip::Connection(ConnectionId { node: parse(node)?, number: parse(number)? }))
    }
}
