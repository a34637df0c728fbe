//! What it means that a command has no usable answer.
//!
//! Invariant: what is wrong with the data, today and always, is never taken for a store that does not answer.

use redis::{ErrorKind, RedisError, ServerError};

/// Errors of Redis that are over some time: it is full, starting, a replica, or cannot write its files.
const PASSING: [&str; 8] =
    ["OOM", "LOADING", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "max number of clients"];

/// Why a command has no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// Not answered, or refused for now; whether it was done is unknown.
    #[error("{0}")]
    Unreachable(String),
    /// The data is not what chatd writes.
    #[error("{0}")]
    Corrupt(String),
}

impl LinkError {
    /// What a command within a script, which went on, was refused with.
    pub(super) fn refused(detail: String) -> Self {
        if passes(&detail) { LinkError::Unreachable(detail) } else { LinkError::Corrupt(detail) }
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        let detail = error.to_string();
        let malformed = matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse);
        // Of a pipeline each command that was refused says why.
        let refused = error.into_server_errors();
        let lasts = refused.is_some_and(|refused| refused.iter().all(|(_, refused)| is_of_data(refused)));
        if malformed || lasts { LinkError::Corrupt(detail) } else { LinkError::Unreachable(detail) }
    }
}

fn is_of_data(refused: &ServerError) -> bool {
    // Redis 6 puts what a command in a script met behind an ERR of the script's own.
    refused.code() == "WRONGTYPE" || (refused.code() == "ERR" && !passes(&refused.to_string()))
}

/// Whether what Redis said is over some time.
fn passes(said: &str) -> bool {
    PASSING.iter().any(|code| said.contains(code))
}
