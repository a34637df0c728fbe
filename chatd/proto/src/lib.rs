//! The gRPC contract of chatd (`chat.proto` beside this), and the code made from it.
//!
//! Invariant: the members of a message have the names that they have in chatd's JSON, so that a request is parameters of
//! an operation, and an answer of one is a message, without anything in between.

#![expect(clippy::allow_attributes_without_reason, reason = "made from chat.proto, by others' rules")]

tonic::include_proto!("chat.v1");

/// The contract as reflection tells it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chat.bin"));

/// Trailing metadata: chatd's own code of what was not done.
pub const CODE: &str = "chat-code";
/// Trailing metadata: after how many milliseconds to try again.
pub const RETRY_AFTER_MS: &str = "chat-retry-after-ms";
/// Trailing metadata: the limit that was met, a setting in `[limits]`.
pub const LIMIT: &str = "chat-limit";
/// Trailing metadata: the number that the limit allows, in the unit of the setting.
pub const BOUND: &str = "chat-bound";
/// Trailing metadata: of a rate, in how many milliseconds it allows so many.
pub const PER_MS: &str = "chat-per-ms";
