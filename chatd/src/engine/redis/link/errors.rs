//! What it means that a command has no usable answer.
//!
//! Invariant: what is wrong with the data, today and always, is never taken for a store that does not answer.

use redis::{ErrorKind, RedisError, ServerError};

/// Errors of Redis that are over some time: it is full, starting, a replica, or cannot write its files.
const PASSING: [&str; 8] =
    ["OOM", "LOADING", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "max number of clients"];

/// How errors of a cluster begin of which nothing was done.
const ELSEWHERE: [&str; 5] = ["Moved: ", "Ask: ", "TryAgain", "ClusterDown", "CLUSTERDOWN"];

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
    /// Whether another server of the cluster has, or will soon have, what was asked for.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let LinkError::Unreachable(detail) = self else { return false };
        ELSEWHERE.iter().any(|code| detail.starts_with(code))
    }

    /// Whether the user may not do what was asked for.
    pub(crate) fn is_forbidden(&self) -> bool {
        let (LinkError::Unreachable(detail) | LinkError::Corrupt(detail)) = self;
        ["NOPERM", "NoPerm"].iter().any(|code| detail.contains(code))
    }

    /// What a command within a script, which went on, was refused with.
    pub(crate) fn refused(detail: String) -> Self {
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

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// As it is made of what Redis says.
    fn said(text: &str) -> LinkError {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("an answer");
        value.extract_error().map(|_: Value| ()).expect_err("a refusal").into()
    }

    #[test]
    fn a_refusal_is_known_by_what_redis_says() {
        for text in [
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
        ] {
            assert!(said(text).is_elsewhere(), "{text}: {}", said(text));
        }
        let forbidden = said("NOPERM this user has no permissions to run the 'info' command");
        assert!(forbidden.is_forbidden() && !forbidden.is_elsewhere(), "{forbidden}");
        for text in ["ERR MOVED is a word", "OOM command not allowed", "BUSY Redis is busy"] {
            assert!(!said(text).is_elsewhere() && !said(text).is_forbidden(), "{text}");
        }
    }
}
