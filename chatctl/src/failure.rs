//! Why a command did not do what was asked: the cause, the next step, the exit code.
//!
//! Invariant: a failure after which the outcome is unknown names the message id that makes repeating safe, when
//! there is one.

use std::io;

use chat_client::Error;
use chat_protocol::Code;

use crate::exit::Exit;
use crate::operator::plain;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the environment is wrong.
    #[error("{cause}")]
    Usage {
        /// What is wrong.
        cause: String,
        /// What to do about it.
        next: Option<String>,
    },
    /// A call failed.
    #[error("{error}")]
    Call {
        /// As the client tells it.
        error: Error,
        /// What to add to the line so that a repeat is recognised: `--msg-id X`.
        repeat_with: Option<String>,
    },
    /// The server answered, and the answer means that it was not done.
    #[error("{0}")]
    Undone(String),
    /// Data could not be written.
    #[error("cannot write to standard output: {}", plain(&.0.to_string()))]
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call { error, repeat_with: None }
    }
}

impl Failure {
    /// A wrong command line.
    pub fn usage(cause: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { cause: cause.into(), next: Some(next.into()) }
    }

    /// The same failure of a message that is recognised when the line is repeated with `words`.
    #[must_use]
    pub fn repeatable_with(self, words: String) -> Self {
        match self {
            Self::Call { error, .. } => Self::Call { error, repeat_with: Some(words) },
            other => other,
        }
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Call { error, .. } => Exit::of_error(error),
            Self::Undone(_) | Self::Output(_) => Exit::Refused,
        }
    }

    /// What the person who asked can do next.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        let (error, repeat_with) = match self {
            Self::Usage { next, .. } => return next.clone(),
            Self::Call { error, repeat_with } => (error, repeat_with.as_deref()),
            Self::Undone(_) | Self::Output(_) => return None,
        };
        match error {
            Error::Unreachable { .. } => {
                Some("is chatd running? start it with `chatd`, or name another with --server".to_owned())
            }
            Error::Timeout { .. } => Some(again(repeat_with, "or wait longer with --timeout")),
            Error::Interrupted { .. } | Error::Closed { .. } => {
                Some(again(repeat_with, "or check --server: is a chatd listening there?"))
            }
            Error::NotChatd { .. } => {
                Some("is a chatd of this version listening there? name another with --server".to_owned())
            }
            Error::Refused { .. } => after_refusal(error.code()?, repeat_with),
            Error::BadServer(_) => None,
        }
    }
}

fn again(repeat_with: Option<&str>, otherwise: &str) -> String {
    match repeat_with {
        Some(words) => format!("repeat it with {words}: what did arrive is not sent twice"),
        None => format!("repeat it, {otherwise}"),
    }
}

fn after_refusal(code: Code, repeat_with: Option<&str>) -> Option<String> {
    let step = match code {
        Code::NotLoggedIn | Code::NotAuthorised => {
            "the server is closed to unnamed callers; ask who runs it for access"
        }
        Code::ServerError => "the reason is in the server's log",
        Code::UnknownOperation => "the server may be older than this chatctl: see `chatctl state`",
        Code::TooManyRequests => "wait a little, or let --retries do it",
        Code::StoreUnreachable => return Some(again(repeat_with, "when the store behind chatd is back")),
        _ => return None,
    };
    Some(step.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_names_the_id_to_repeat_with() {
        let lost = || Failure::from(Error::Timeout { server: "http://x".to_owned(), timeout_ms: 5 });
        let named = lost().repeatable_with("--msg-id m-1".to_owned());
        assert!(named.next_step().unwrap().contains("--msg-id m-1"));
        assert!(lost().next_step().unwrap().contains("--timeout"));
        assert_eq!(named.exit(), Exit::Unknown);
    }

    #[test]
    fn a_wrong_line_keeps_its_own_advice() {
        let failure = Failure::usage("no app", "give --app");
        assert_eq!((failure.exit(), failure.next_step().as_deref()), (Exit::Usage, Some("give --app")));
        assert_eq!(failure.to_string(), "no app");
    }
}
