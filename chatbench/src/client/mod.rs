//! One load client: its connection, what it receives, what it sends.

pub mod comeback;
pub mod control;
pub mod http_sender;
pub mod receiver;
pub mod sender;
pub mod task;
