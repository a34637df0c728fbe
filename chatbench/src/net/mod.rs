//! The way to the servers: the one lean socket, the frames it carries, the text inside them, and how a client gets in.
//!
//! Invariant: nothing here knows what a run counts; every scenario, red packets included, takes the same way.

pub mod calls;
pub mod control;
pub mod door;
pub mod frames;
pub mod handshake;
pub mod payload;
pub mod request;
pub mod scan;
pub mod socket;
pub mod sources;
