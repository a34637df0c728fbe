//! One load client: its task, how it comes back, and the sender that has no connection.

mod comeback;
pub mod http_sender;
pub mod task;
