//! Where in its log a user joined a group.

use std::sync::Arc;

use chat_protocol::GroupId;

/// A group of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Which group.
    pub group: GroupId,
    /// Offset of the entry that told of their joining; what stands after it is for them.
    pub since: u64,
    /// Which history the offset belongs to: as told, the epoch they joined in; as listed, any epoch of that history.
    pub epoch: Arc<str>,
}
