//! What a failed handshake is told as.

use std::io;

use rustls::Error;

use crate::counters::handshakes::Failure;

/// Why a handshake ended with this error.
#[must_use]
pub fn failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::AlertReceived(_)) => Failure::Refused,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Failure::Incompatible,
        Some(
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. },
        ) => Failure::NoTls,
        Some(_) => Failure::Other,
        None => Failure::Left,
    }
}
