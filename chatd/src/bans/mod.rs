//! Who may not come in: the port, and how those who are in are sent away.
//!
//! The law, which every adapter obeys (`tests/tests/users/bans.rs`):
//! - A ban counts on every node from the moment [`Bans::ban`] has returned, over restarts, and until its time: then it is
//!   as if it had never been, and nobody has to take it away.
//! - A user has one ban at most; a later one replaces it.
//!
//! Invariant: a log-in looks for a ban once its connection is in the inbox room of its user, and whoever bans sends away
//! who is in that room after the ban is stored: of the two, one always finds the other.

use async_trait::async_trait;
use chat_protocol::code::close;
use chat_protocol::{AppId, Code, Refusal, UserId};
use serde::{Deserialize, Serialize};

use crate::clock::utc;
use crate::hub::outbox::{Close, MAX_REASON_BYTES};
use crate::model::{Notice, Skip};

/// Notice to the inbox of a user whose connections end. Nodes keep it to themselves.
pub const SENT_AWAY: &str = "system/kick";

/// Why a user may not come in, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// When it ends, Unix milliseconds.
    pub until: u64,
    /// When it began, Unix milliseconds.
    pub since: u64,
    /// In the operator's words; may be empty.
    pub reason: String,
}

/// Bans of an app, or a page of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// By user, in byte order.
    pub bans: Vec<(UserId, Ban)>,
    /// Whether there may be more after the last user looked at, and who that was.
    pub more: Option<UserId>,
}

/// Why bans could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl From<BanError> for Refusal {
    fn from(error: BanError) -> Self {
        tracing::warn!(%error, "bans");
        match error {
            BanError::Unreachable(_) => Refusal::unreachable("bans"),
            BanError::Corrupt(_) => Code::ServerError.into(),
        }
    }
}

/// The port. See the law above.
#[async_trait]
pub trait Bans: Send + Sync {
    /// Bans a user, or changes the ban there is.
    async fn ban(&self, app: AppId, user: &UserId, ban: &Ban) -> Result<(), BanError>;

    /// Ends a ban before its time. Whether there was one.
    async fn unban(&self, app: AppId, user: &UserId) -> Result<bool, BanError>;

    /// The ban of a user that is in force now.
    async fn find(&self, app: AppId, user: &UserId) -> Result<Option<Ban>, BanError>;

    /// Bans in force of users after `after` in byte order, at most `limit`; a page may hold fewer, and more follow.
    async fn list(&self, app: AppId, after: Option<&UserId>, limit: usize) -> Result<Page, BanError>;
}

impl Ban {
    /// What the banned user is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(Code::NotAuthorised, self.words())
    }

    /// How a connection of the banned user ends.
    #[must_use]
    pub fn close(&self) -> Close {
        Close::new(close::KICKED, cut(self.words()))
    }

    fn words(&self) -> String {
        let until = utc(self.until);
        match self.reason.as_str() {
            "" => format!("you are banned until {until}"),
            reason => format!("you are banned until {until}: {reason}"),
        }
    }
}

/// What tells every node that holds connections of a user to end them with this reason, which may be empty.
#[must_use]
pub fn sending_away(reason: &str) -> Notice {
    let words = match reason {
        "" => "an operator ended the connection",
        reason => reason,
    };
    // Cannot fail: it is a text.
    let data = serde_json::to_vec(words).unwrap_or_default();
    Notice { cmd: SENT_AWAY.into(), data: data.into(), skip: Skip::Nobody }
}

/// How the connections end that such a notice is about.
#[must_use]
pub fn sent_away(notice: &Notice) -> Close {
    let words: String = serde_json::from_slice(&notice.data).unwrap_or_default();
    Close::new(close::KICKED, cut(words))
}

/// As much of a text as a close frame holds, in whole characters.
fn cut(mut words: String) -> String {
    while words.len() > MAX_REASON_BYTES {
        words.pop();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_close_frame_in_whole_characters() {
        let ban = Ban { until: 0, since: 0, reason: "帝".repeat(100) };
        let close = ban.close();
        assert!(close.reason.len() <= MAX_REASON_BYTES && close.reason.ends_with('帝'), "{close:?}");
        assert!(ban.refusal().reason.ends_with(&ban.reason), "the answer has all of it");
        assert_eq!(sent_away(&sending_away("spam")).reason, "spam");
        assert!(!sent_away(&sending_away("")).reason.is_empty());
    }
}
