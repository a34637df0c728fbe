//! Result codes, their HTTP status and close codes, and the refusal that carries one with its reason.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What an answer says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Code {
    /// Done as asked.
    Success = 200,
    /// The connection has not logged in.
    NotLoggedIn = 1000,
    /// A parameter is missing or malformed; the message names it.
    BadParameter = 1001,
    /// The user id is empty, longer than 64 bytes, or holds control characters.
    BadUserId = 1002,
    /// The caller may not do this.
    NotAuthorised = 1003,
    /// The server failed; the detail is in its log.
    ServerError = 1004,
    /// What the request names does not exist.
    NotFound = 1005,
    /// A rule forbids it: not a member, blocked, already logged in.
    RefusedByRule = 1009,
    /// No such path or command.
    UnknownOperation = 1010,
    /// Too many requests; try again later.
    TooManyRequests = 1011,
    /// The message or the body is larger than the limit.
    TooLarge = 1012,
    /// A store is unreachable; safe to retry with the same message id.
    StoreUnreachable = 1013,
    /// The wallet does not hold enough.
    InsufficientBalance = 1014,
    /// The path exists but does not take this HTTP method.
    MethodNotAllowed = 1015,
}

impl Code {
    /// Every code, in ascending order.
    pub const ALL: [Code; 14] = [
        Code::Success,
        Code::NotLoggedIn,
        Code::BadParameter,
        Code::BadUserId,
        Code::NotAuthorised,
        Code::ServerError,
        Code::NotFound,
        Code::RefusedByRule,
        Code::UnknownOperation,
        Code::TooManyRequests,
        Code::TooLarge,
        Code::StoreUnreachable,
        Code::InsufficientBalance,
        Code::MethodNotAllowed,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Code> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// HTTP status of an answer with this code; 200 exactly for [`Code::Success`].
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Code::Success => 200,
            Code::NotLoggedIn => 401,
            Code::BadParameter | Code::BadUserId => 400,
            Code::NotAuthorised => 403,
            Code::ServerError => 500,
            Code::NotFound | Code::UnknownOperation => 404,
            Code::RefusedByRule => 409,
            Code::TooManyRequests => 429,
            Code::TooLarge => 413,
            Code::StoreUnreachable => 503,
            Code::InsufficientBalance => 402,
            Code::MethodNotAllowed => 405,
        }
    }

    /// The text that goes with the code when nothing more exact is known.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Code::Success => "Success",
            Code::NotLoggedIn => "not logged in",
            Code::BadParameter => "bad or missing parameter",
            Code::BadUserId => "bad userId",
            Code::NotAuthorised => "not authorised",
            Code::ServerError => "server error",
            Code::NotFound => "no such thing",
            Code::RefusedByRule => "refused by a rule",
            Code::UnknownOperation => "unknown path or cmd",
            Code::TooManyRequests => "too many requests",
            Code::TooLarge => "too large",
            Code::StoreUnreachable => "a store is unreachable; safe to retry with the same msgId",
            Code::InsufficientBalance => "insufficient balance",
            Code::MethodNotAllowed => "this path does not take that method",
        }
    }
}

/// A request that was not done: the code and the reason in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind of refusal.
    pub code: Code,
    /// The reason, for a person to read. Never holds internal detail.
    pub reason: String,
    /// For [`Code::TooManyRequests`]: how long to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The limit that it met, if it met one.
    pub limit: Option<Box<Reached>>,
}

/// A limit that something met, and what it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reached {
    /// The setting, within `[limits]`.
    #[serde(rename = "limit")]
    pub name: Cow<'static, str>,
    /// The number that it allows, in the unit of the setting; none where it allows kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<u64>,
    /// Of a rate: in how many milliseconds it allows so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_ms: Option<u64>,
}

impl Refusal {
    /// A refusal with its own reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), retry_after_ms: None, limit: None }
    }

    /// A [`Code::StoreUnreachable`] that names the store by what it holds.
    #[must_use]
    pub fn unreachable(store: &str) -> Self {
        let text = Code::StoreUnreachable.text().replacen("a store", &format!("a store ({store})"), 1);
        Self::new(Code::StoreUnreachable, text)
    }

    /// A [`Code::BadParameter`] that names the parameter.
    pub fn parameter(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(Code::BadParameter, format!("{name}: {problem}"))
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::new(code, code.text())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code.number())
    }
}

impl std::error::Error for Refusal {}

/// Close codes of a WebSocket. 4000–4499: reconnect and recover. 4500–4999: do not.
pub mod close {
    /// The node is going away.
    pub const GOING_AWAY: u16 = 1001;
    /// A frame was larger than the limit.
    pub const TOO_BIG: u16 = 1009;
    /// The node is full; try later.
    pub const TRY_LATER: u16 = 1013;
    /// Nothing was heard for the heartbeat timeout.
    pub const HEARTBEAT_TIMEOUT: u16 = 4000;
    /// The reader was too slow for its queue.
    pub const SLOW_CONSUMER: u16 = 4001;
    /// The node drains.
    pub const DRAIN: u16 = 4002;
    /// No log-in within the deadline.
    pub const LOGIN_TIMEOUT: u16 = 4003;
    /// Messages could not be fetched for this connection; `recover` brings the rest.
    pub const MISSED_MESSAGES: u16 = 4004;
    /// An operator ended the connection.
    pub const KICKED: u16 = 4500;
    /// The token expired or is invalid.
    pub const TOKEN_INVALID: u16 = 4501;

    /// Whether a client may come back after this code.
    #[must_use]
    pub const fn may_reconnect(code: u16) -> bool {
        !matches!(code, 4500..=4999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_200_exactly_for_success() {
        for code in Code::ALL {
            assert_eq!(code.http_status() == 200, code == Code::Success, "{code:?}");
            assert_eq!(Code::from_number(code.number()), Some(code));
        }
        assert_eq!(Code::from_number(1006), None);
    }

    #[test]
    fn an_unreachable_store_is_named() {
        let refusal = Refusal::unreachable("ledger");
        let reason = "a store (ledger) is unreachable; safe to retry with the same msgId";
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::StoreUnreachable, reason));
    }

    #[test]
    fn only_4500_to_4999_forbid_reconnecting() {
        assert!(close::may_reconnect(close::SLOW_CONSUMER));
        assert!(close::may_reconnect(1006));
        assert!(!close::may_reconnect(close::KICKED));
        assert!(!close::may_reconnect(4999));
        assert!(close::may_reconnect(5000));
    }
}
