//! One load client: its task, how it comes back, and the sender that has no connection.

mod comeback;
pub mod poster;
pub mod task;
