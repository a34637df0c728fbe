//! Bytes to frames and back.

pub mod queued;
pub mod websocket;
