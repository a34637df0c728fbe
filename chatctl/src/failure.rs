//! Why a command did not do what was asked: the cause, the next step, the exit code.
//!
//! Invariant: a failure after which the outcome is unknown names the message id that makes repeating safe, when
//! there is one.

use std::io;

use chat_client::Error;
use chat_protocol::Code;
use serde_json::{Value, json};

use crate::doubt::{Doubt, has_no_ledger};
use crate::exit::Exit;

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
    #[error("{error}{}", if *.in_doubt { "; the request may have been carried out" } else { "" })]
    Call {
        /// As the client tells it.
        error: Error,
        /// It changes something, and this or an earlier try of it may have been carried out.
        in_doubt: bool,
        /// What to add to the line so that a repeat is recognised: `--msg-id X`.
        repeat_with: Option<String>,
    },
    /// The server answered, and the answer means that it was not done.
    #[error("{0}")]
    Undone(String),
    /// The server answered, and a rule of this program forbids to go on.
    #[error("{0}")]
    Rule(String),
    /// The server answered, and what was named is not there.
    #[error("{0}")]
    Missing(String),
    /// Data could not be written.
    #[error("cannot write to standard output: {}", plain(&.0.to_string()))]
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call { error, in_doubt: false, repeat_with: None }
    }
}

impl Failure {
    /// A wrong command line.
    pub fn usage(cause: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { cause: cause.into(), next: Some(next.into()) }
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Call { error, .. } if has_no_ledger(error) => Exit::RuleBroken,
            // "Unreachable" would say that nothing was sent.
            Self::Call { error, in_doubt: true, .. } if Exit::of_error(error) == Exit::Unreachable => {
                Exit::Unknown
            }
            Self::Call { error, .. } => Exit::of_error(error),
            Self::Undone(_) | Self::Output(_) => Exit::Refused,
            Self::Rule(_) => Exit::RuleBroken,
            Self::Missing(_) => Exit::NotFound,
        }
    }

    /// All that is told of it, for a program: `error` with `message` and `exit`, and, where there are, the `code` of the
    /// server, the `next` step, and what to repeat it with.
    #[must_use]
    pub fn in_json(&self) -> Value {
        let mut error = json!({"message": self.to_string(), "exit": self.exit().code()});
        if let Self::Call { error: call, in_doubt, repeat_with } = self {
            if let Error::Refused { code, retry_after_ms, .. } = call {
                error["code"] = (*code).into();
                if let Some(ms) = retry_after_ms {
                    error["retryAfterMs"] = (*ms).into();
                }
            }
            error["mayBeDone"] = (*in_doubt).into();
            if let Some(words) = repeat_with.as_ref().filter(|_| *in_doubt) {
                error["repeatWith"] = words.as_str().into();
            }
        }
        if let Some(step) = self.next_step() {
            error["next"] = step.into();
        }
        json!({"error": error})
    }

    /// What the person who asked can do next.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        let (error, in_doubt, repeat_with) = match self {
            Self::Usage { next, .. } => return next.clone(),
            Self::Call { error, in_doubt, repeat_with } => (error, *in_doubt, repeat_with.as_deref()),
            Self::Output(_) => return Some("let standard output go where there is room for it".to_owned()),
            Self::Missing(_) => return after_refusal(Code::NotFound),
            Self::Undone(_) | Self::Rule(_) => return None,
        };
        if in_doubt {
            return Some(Doubt::next_step(repeat_with));
        }
        let step = match error {
            Error::Unreachable { cause, .. } if cause.starts_with("Too many open files") => {
                "this shell allows too few open files: raise the limit with `ulimit -n 64`"
            }
            Error::Unreachable { .. } => {
                "is chatd running? start it with `chatd`, or name another with --server"
            }
            Error::Timeout { .. } => "repeat it, or wait longer with --timeout",
            Error::Interrupted { .. } | Error::Closed { .. } => {
                "repeat it, or check --server: is a chatd listening there?"
            }
            Error::NotChatd { .. } => {
                "is a chatd of this version listening there? name another with --server"
            }
            Error::Refused { .. } if has_no_ledger(error) => {
                "start chatd with --ledger postgres://… or set CHATD_LEDGER, or name a node that has one with --server"
            }
            Error::Refused { reason, .. } if reason == chat_protocol::audit::NO_LOG => {
                "start chatd with --audit-log FILE or set CHATD_AUDIT_LOG, or name a node that keeps one with --server"
            }
            Error::Refused { .. } => return after_refusal(error.code()?),
            Error::Untrusted { .. } | Error::Redirected { .. } => return error.remedy(),
            Error::BadServer(_) => "check --server and --ca, or CHATCTL_SERVER and CHATCTL_CA",
        };
        Some(step.to_owned())
    }
}

fn after_refusal(code: Code) -> Option<String> {
    let step = match code {
        Code::Success => return None,
        Code::NotLoggedIn => {
            "the server asks for a key or a token: give --token-file, or set CHATCTL_TOKEN; who runs it makes keys \
             with `chatd api-key`"
        }
        Code::NotAuthorised => {
            "the reason says what is missing: another key, scope or --as, or a setting of the server"
        }
        Code::BadParameter | Code::BadUserId => "`chatctl COMMAND --help` says what it takes",
        Code::ServerError => "the reason is in the server's log",
        Code::NotFound => "check the name, and whether --app is the right one",
        Code::RefusedByRule => "repeating it will not help: change what the rule names",
        Code::UnknownOperation | Code::MethodNotAllowed => {
            "the server is of another version than this chatctl: see `chatctl state`"
        }
        Code::TooManyRequests => "wait a little, or let --retries do it",
        Code::TooLarge => "send less at a time",
        Code::StoreUnreachable => "repeat it when the store behind chatd is back: its log says what ails it",
        Code::InsufficientBalance => "`chatctl wallet deposit USER AMOUNT --transfer-id ID` adds money",
    };
    Some(step.to_owned())
}

/// The system's words without its number for them, which says nothing to a person.
#[must_use]
pub fn plain(cause: &str) -> &str {
    match cause.rfind(" (os error ") {
        Some(at) if cause.ends_with(')') => &cause[..at],
        _ => cause,
    }
}

/// The same error without the system's numbers.
#[must_use]
pub fn plain_error(error: Error) -> Error {
    match error {
        Error::Unreachable { server, cause } => {
            Error::Unreachable { server, cause: plain(&cause).to_owned() }
        }
        Error::Interrupted { server, cause } => {
            Error::Interrupted { server, cause: plain(&cause).to_owned() }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(error: Error, in_doubt: bool) -> Failure {
        Failure::Call { error, in_doubt, repeat_with: Some("--msg-id m-1".to_owned()) }
    }

    #[test]
    fn only_what_changes_something_may_have_been_carried_out() {
        let lost = || Error::Timeout { server: "http://x".to_owned(), timeout_ms: 5 };
        let (write, read) = (call(lost(), true), Failure::from(lost()));
        assert_eq!([write.exit(), read.exit()], [Exit::Unknown; 2]);
        assert!(write.to_string().ends_with("may have been carried out"), "{write}");
        assert!(write.next_step().unwrap().contains("--msg-id m-1"));
        assert!(!read.to_string().contains("carried out"), "{read}");
        assert!(read.next_step().unwrap().contains("--timeout"));
    }

    #[test]
    fn a_program_is_told_as_much_as_a_person() {
        let told = call(Error::Timeout { server: "http://x".to_owned(), timeout_ms: 5 }, true).in_json();
        assert_eq!((&told["error"]["exit"], &told["error"]["mayBeDone"]), (&json!(8), &json!(true)));
        assert_eq!(told["error"]["repeatWith"], "--msg-id m-1");
        let told =
            call(Error::Refused { code: 1011, reason: "r".to_owned(), retry_after_ms: Some(7) }, false);
        let told = told.in_json();
        assert_eq!((&told["error"]["code"], &told["error"]["retryAfterMs"]), (&json!(1011), &json!(7)));
        assert!(told["error"]["next"].is_string() && told["error"].get("repeatWith").is_none(), "{told}");
    }

    #[test]
    fn unreachable_means_that_nothing_was_sent() {
        let gone = || Error::Unreachable { server: "http://x".to_owned(), cause: "c".to_owned() };
        let store = || Error::Refused { code: 1013, reason: "r".to_owned(), retry_after_ms: None };
        assert_eq!([call(gone(), false).exit(), call(store(), false).exit()], [Exit::Unreachable; 2]);
        assert_eq!([call(gone(), true).exit(), call(store(), true).exit()], [Exit::Unknown; 2]);
    }

    #[test]
    fn a_node_without_a_ledger_is_told_which_setting_it_lacks() {
        let reason = chat_protocol::wallet::NO_LEDGER.to_owned();
        let failure = Failure::from(Error::Refused { code: 1013, reason, retry_after_ms: None });
        assert_eq!(failure.exit(), Exit::RuleBroken);
        let step = failure.next_step().unwrap();
        assert!(step.contains("--ledger") && step.contains("CHATD_LEDGER"), "{step}");
    }

    #[test]
    fn a_node_without_an_audit_log_is_no_wrong_name() {
        let reason = chat_protocol::audit::NO_LOG.to_owned();
        let failure = Failure::from(Error::Refused { code: 1005, reason, retry_after_ms: None });
        assert_eq!(failure.exit(), Exit::NotFound);
        let step = failure.next_step().unwrap();
        assert!(step.contains("--audit-log") && !step.contains("check the name"), "{step}");
    }

    #[test]
    fn every_refusal_has_a_next_step() {
        for code in Code::ALL {
            let reason = String::new();
            let failure = Failure::from(Error::Refused { code: code.number(), reason, retry_after_ms: None });
            assert_eq!(failure.next_step().is_some(), code != Code::Success, "{code:?}");
        }
    }

    #[test]
    fn a_wrong_line_keeps_its_own_advice() {
        let failure = Failure::usage("no app", "give --app");
        assert_eq!((failure.exit(), failure.next_step().as_deref()), (Exit::Usage, Some("give --app")));
        assert_eq!(failure.to_string(), "no app");
    }

    #[test]
    fn numbers_of_the_system_are_left_out() {
        assert_eq!(plain("Connection refused (os error 111)"), "Connection refused");
        assert_eq!(plain("no (os error) here"), "no (os error) here");
    }
}
