//! Bytes to frames and back.

pub mod ending;
pub mod frames;
pub mod queued;
pub mod reader;
pub mod writer;
