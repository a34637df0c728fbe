//! Bytes to frames and back.

pub mod ending;
pub mod queued;
pub mod websocket;
