//! How connections that speak TLS begin.
//!
//! Invariant: a failure has one of a few names, whatever a client sends.

use super::Counter;

/// Why a connection did not come to speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It took too long, or its place was needed.
    Late,
    /// The client went away.
    Left,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// What the client sends is no TLS.
    NoTls,
    /// Client and node have no version, cipher, key or protocol in common.
    Incompatible,
    /// The client refused, such as for a certificate it does not believe.
    Refused,
    /// Whatever else.
    Other,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Late,
        Self::Left,
        Self::PlainHttp,
        Self::NoTls,
        Self::Incompatible,
        Self::Refused,
        Self::Other,
    ];

    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Left => "left",
            Self::PlainHttp => "plain_http",
            Self::NoTls => "no_tls",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
            Self::Other => "other",
        }
    }
}

/// Handshakes of TLS.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Those that came to their end.
    pub done: Counter,
    failed: [Counter; Failure::ALL.len()],
}

impl Handshakes {
    /// The counter of those that failed so.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> &Counter {
        &self.failed[failure as usize]
    }
}
