//! The id of a message that this program sends.
//!
//! Invariant: two runs never make up the same id.

use chat_protocol::MsgId;

use crate::failure::Failure;

/// The caller's id, or a new one.
///
/// # Errors
/// Never in practice: a UUID is a message id.
pub fn given_or_new(given: Option<MsgId>) -> Result<MsgId, Failure> {
    match given {
        Some(id) => Ok(id),
        None => MsgId::new(&uuid::Uuid::now_v7().to_string())
            .map_err(|error| Failure::Undone(format!("cannot make a message id: {error}"))),
    }
}
