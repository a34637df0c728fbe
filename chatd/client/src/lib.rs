//! The client of chatd: HTTP operations, WebSocket connections and sessions that reconnect, used by chatctl, chatbench and the tests.
//!
//! Invariant: an [`Error`] always tells whether the request may have been carried out.

#[cfg(feature = "clap")]
pub mod argument;
pub mod connection;
#[cfg(feature = "contexts")]
pub mod context;
pub mod error;
pub mod escape;
pub mod http;
mod incoming;
pub mod live;
pub mod server;
pub mod session;
pub mod stream;
pub mod trust;

pub use connection::Connection;
pub use error::Error;
pub use http::Http;
pub use live::Live;
pub use server::Server;
pub use session::Session;
pub use stream::Stream;
pub use trust::Trust;
