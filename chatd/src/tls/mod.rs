//! TLS that the node speaks itself: its certificate, read again when it changes, the records of each connection, and what
//! it asks of the servers of its stores and of other nodes.
//!
//! Invariant: rustls with ring is all that encrypts; without a certificate in the settings a connection costs what it did
//! before, a pointer excepted.

mod failure;
mod files;
mod keeper;
mod line;
mod outgoing;
mod records;

pub use self::failure::failure;
pub use self::keeper::{Candidate, Keeper, Paths};
pub use self::line::Line;
pub use self::outgoing::{Sealed, seal, seal_http2};
pub use self::records::Tls;

/// For drivers that speak TLS and bring no cryptography of their own, before the first of them connects; repeats do
/// nothing.
pub fn provide() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
