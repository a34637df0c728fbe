//! Files that messages carry: who may put them here, who may open them, and how they go.
//!
//! The law, which every adapter of [`Records`] obeys (`tests/tests/laws/file_laws.rs`):
//! - [`Records::add`] counts the bytes of a file for its owner and its app and compares them with what each may have, in
//!   one step: however many come at once, nobody has more.
//! - A file that was [ended](Records::end), or whose group was dismissed, is found by nobody from that moment on, whatever
//!   ends meanwhile; it is [due](Records::due) until it is [forgotten](Records::forget), and its bytes count until then.
//! - What is repeated changes nothing.
//!
//! Invariants: a file is for one conversation, of which the one who uploaded it was a member then. It is opened by whoever
//! is a member at that moment and has an address that was signed for them. Its name on the disk is its id, which chatd
//! makes up; what clients call it is a text. No more than a piece of a file is in memory, but of one picture at a time.

pub mod address;
mod attachment;
mod intake;
mod opening;
pub mod picture;
mod shelf;
mod spool;
mod sweeping;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::file::About;
use chat_protocol::{AppId, Code, Refusal, UserId};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use self::opening::{Opened, Part};
pub use self::shelf::{Files, Parts};
use crate::counters::Limit;

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 32;

/// The id of a file: 128 random bits as hexadecimal digits, so that it can stand in any path and nobody guesses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(Arc<str>);

impl FileId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The id that the text is, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == ID_DIGITS && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is remembered of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who uploaded it.
    pub owner: UserId,
    /// The conversation it is for, as [`address::place`] writes it.
    pub place: String,
    /// Of a group, which of those that ever had its id.
    pub incarnation: Option<String>,
    /// For the message that carries it.
    pub secret: String,
    /// What it is.
    pub about: About,
    /// Bytes of the smaller picture; 0 where there is none.
    pub thumbnail_bytes: u64,
}

impl Record {
    /// Bytes that count for its owner.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.about.bytes + self.thumbnail_bytes
    }
}

/// Bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of one user in an app.
    pub user: u64,
    /// Of the app.
    pub app: u64,
}

/// Why something could not be done with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// Too many others write at this moment; nothing was written.
    #[error("the store is busy: {0}")]
    Busy(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// There is no such file.
    #[error("no such file")]
    Gone,
    /// The files of the user, or of the app, would have too many bytes with it.
    #[error("the files of {} have {held} bytes (limits.{} = {most}), which leaves too few for this one", whose(*limit), limit.name())]
    Full {
        /// Of a user or of an app.
        limit: Limit,
        /// Bytes there are.
        held: u64,
        /// Bytes there may be.
        most: u64,
    },
}

fn whose(limit: Limit) -> &'static str {
    if limit == Limit::FileBytesPerUser { "this user" } else { "this app" }
}

impl FileError {
    /// The limit that was reached, if it is one.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self {
            FileError::Full { limit, .. } => Some(*limit),
            _ => None,
        }
    }
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unreachable(_) | FileError::Busy(_) => {
                tracing::warn!(%error, "files");
                // An upload has no msgId.
                Refusal::new(Code::StoreUnreachable, "a store (files) is unreachable; safe to retry")
            }
            FileError::Corrupt(_) => {
                tracing::error!(%error, "files");
                Code::ServerError.into()
            }
            FileError::Gone => Refusal::new(Code::NotFound, error.to_string()),
            FileError::Full { .. } => Refusal::new(Code::RefusedByRule, error.to_string()),
        }
    }
}

/// Name of the content of a file in its store.
fn name_of(app: AppId, id: &FileId) -> String {
    format!("{app}/{}", id.as_str())
}

/// Name of the smaller picture.
fn thumbnail_of(app: AppId, id: &FileId) -> String {
    format!("{app}/{}.thumbnail", id.as_str())
}

/// What there is of files, but for their content. See the law above.
#[async_trait]
pub trait Records: Send + Sync {
    /// Adds a file that ends at a moment, Unix milliseconds, unless it is kept before. 0 in `most` is any number.
    async fn add(
        &self,
        app: AppId,
        id: &FileId,
        record: &Record,
        ends_ms: u64,
        most: Usage,
    ) -> Result<(), FileError>;

    /// How much there is.
    async fn usage(&self, app: AppId, user: &UserId) -> Result<Usage, FileError>;

    /// A file that has not ended.
    async fn find(&self, app: AppId, id: &FileId) -> Result<Option<Record>, FileError>;

    /// A file that has not ended ends at another moment; at none without one. False when there is no such file.
    async fn keep(&self, app: AppId, id: &FileId, ends_ms: Option<u64>) -> Result<bool, FileError>;

    /// Ends a file.
    async fn end(&self, app: AppId, id: &FileId) -> Result<(), FileError>;

    /// Files to be removed, at most so many.
    async fn due(&self, limit: usize) -> Result<Vec<(AppId, FileId)>, FileError>;

    /// Nothing is left of a file.
    async fn forget(&self, app: AppId, id: &FileId) -> Result<(), FileError>;

    /// A secret of the engine, the same for all nodes and at every start.
    async fn secret(&self) -> Result<String, FileError>;
}

/// Bytes of a file, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, FileError>>;

/// Where the content of files lies. All nodes that share an engine share it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps all that the file holds under a name, whole or not at all.
    async fn put(&self, name: &str, content: std::fs::File) -> Result<(), FileError>;

    /// Reads a part of what lies under a name.
    async fn read(&self, name: &str, range: Range<u64>) -> Result<Pieces, FileError>;

    /// Removes what lies under a name, whole or not, if anything does.
    async fn remove(&self, name: &str) -> Result<(), FileError>;

    /// Whether it answers right now.
    async fn ready(&self) -> Result<(), FileError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_path() {
        let id = FileId::random();
        assert_eq!(FileId::parse(id.as_str()), Some(id));
        let dots = "..".repeat(16);
        for other in ["", "../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF", dots.as_str(), "url"] {
            assert_eq!(FileId::parse(other), None, "{other}");
        }
    }
}
