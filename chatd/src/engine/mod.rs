//! The engines: every adapter, with its links, scripts, keys and tables.
//!
//! Invariant: adapters that share a transaction, a script or a connection share a room. Nobody but the composition
//! root names what lies here; the ports that it fulfils know nothing of it.

pub mod objects;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
pub mod sqlite;
