//! Bytes of the wire: the lean socket, the frames it carries, and the text inside them.

pub mod frames;
pub mod handshake;
pub mod payload;
pub mod request;
pub mod scan;
pub mod socket;
