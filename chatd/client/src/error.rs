//! What can go wrong between a client and chatd.

use chat_protocol::Code;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a chatd.
    #[error("{0}")]
    BadServer(String),
    /// No connection: nothing was sent.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The address tried.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// The request went out and no answer came in time: it may have been carried out.
    #[error("no answer from {server} within {timeout_ms} ms; the request may have been carried out")]
    Timeout {
        /// The address asked.
        server: String,
        /// How long the client waited, in milliseconds.
        timeout_ms: u64,
    },
    /// The connection ended before the answer: the request may have been carried out.
    #[error("the connection to {server} ended before the answer: {cause}")]
    Interrupted {
        /// The address asked.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// The server refused.
    #[error("{reason} (code {code})")]
    Refused {
        /// See [`Code`].
        code: u16,
        /// The server's words.
        reason: String,
        /// How long to wait before the next try, in milliseconds, when the server said so.
        retry_after_ms: Option<u64>,
    },
    /// The WebSocket is closed.
    #[error("closed by the server: code {code}{}{reason}", if reason.is_empty() { "" } else { ", " })]
    Closed {
        /// Close code; 1006 when the connection broke without one.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// What came back is not an answer of chatd.
    #[error("{server} did not answer like chatd: {cause}")]
    NotChatd {
        /// The address asked.
        server: String,
        /// What was wrong with the answer.
        cause: String,
    },
}

impl Error {
    /// The refusal's code, when the server refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => Code::from_number(*code),
            _ => None,
        }
    }
}
