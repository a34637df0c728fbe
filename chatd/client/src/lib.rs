//! The client of chatd: HTTP operations, WebSocket connections and sessions that reconnect, used by chatctl, chatbench and the tests.
//!
//! Invariant: an [`Error`] always tells whether the request may have been carried out.

pub mod connection;
pub mod error;
pub mod http;
mod incoming;
pub mod live;
pub mod server;
pub mod session;

pub use connection::Connection;
pub use error::Error;
pub use http::Http;
pub use live::Live;
pub use server::Server;
pub use session::Session;
