//! Exit codes, so that a script can tell what happened without reading words.
//!
//! Invariant: every code of the protocol has exactly one exit code, whatever the command.

use chat_client::Error;
use chat_protocol::Code;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done as asked.
    Done = 0,
    /// The server refused or failed, or the answer could not be used.
    Refused = 1,
    /// The command line or the environment is wrong; nothing was sent.
    Usage = 2,
    /// Part of a batch failed.
    Partly = 3,
    /// The server does not accept who is asking.
    NotAuthenticated = 4,
    /// No such thing, or the user is offline.
    NotFound = 5,
    /// A rule forbids it, be it only that a wallet never goes below nothing.
    RuleBroken = 6,
    /// No server, or a store behind it, can be reached; nothing was done.
    Unreachable = 7,
    /// No answer: it may have been done.
    Unknown = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a refusal with this code ends with. A code this build does not know is a refusal like any other.
    #[must_use]
    pub fn of_code(code: Option<Code>) -> Self {
        match code {
            Some(Code::Success) => Exit::Done,
            Some(Code::NotLoggedIn | Code::NotAuthorised) => Exit::NotAuthenticated,
            Some(Code::NotFound) => Exit::NotFound,
            Some(Code::RefusedByRule | Code::InsufficientBalance) => Exit::RuleBroken,
            Some(Code::StoreUnreachable) => Exit::Unreachable,
            _ => Exit::Refused,
        }
    }

    /// What a failed call ends with.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        match error {
            Error::BadServer(_) => Exit::Usage,
            Error::Unreachable { .. } | Error::Untrusted { .. } => Exit::Unreachable,
            Error::Timeout { .. } | Error::Interrupted { .. } | Error::Closed { .. } => Exit::Unknown,
            Error::Refused { .. } => Exit::of_code(error.code()),
            Error::NotChatd { .. } | Error::Redirected { .. } => Exit::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> u8 {
        Exit::of_error(&Error::Refused { code, reason: String::new(), retry_after_ms: None }).code()
    }

    #[test]
    fn every_code_has_its_exit() {
        let exits: Vec<_> = Code::ALL.map(|code| (code.number(), refused(code.number()))).into();
        let expected = [
            (200, 0),
            (1000, 4),
            (1001, 1),
            (1002, 1),
            (1003, 4),
            (1004, 1),
            (1005, 5),
            (1009, 6),
            (1010, 1),
            (1011, 1),
            (1012, 1),
            (1013, 7),
            (1014, 6),
            (1015, 1),
        ];
        assert_eq!(exits, expected);
        assert_eq!(refused(4242), 1);
    }

    #[test]
    fn a_lost_answer_is_told_from_a_lost_server() {
        let (server, cause) = ("s".to_owned(), "c".to_owned());
        let exit = |error| Exit::of_error(&error).code();
        assert_eq!(exit(Error::Unreachable { server: server.clone(), cause: cause.clone() }), 7);
        assert_eq!(exit(Error::Timeout { server: server.clone(), timeout_ms: 1 }), 8);
        assert_eq!(exit(Error::Interrupted { server: server.clone(), cause: cause.clone() }), 8);
        assert_eq!(exit(Error::NotChatd { server, cause }), 1);
        assert_eq!(exit(Error::BadServer(String::new())), 2);
    }
}
