//! What is known of leases: the own one, and those that have not ended.
//!
//! Invariant: that somebody is away is known only while leases are renewed.

use std::collections::HashSet;
use std::sync::Arc;

use chat_protocol::AppId;

use crate::presence::PresenceError;

/// The lease this node holds.
pub(super) struct Held {
    pub(super) lease: Arc<str>,
    /// Apps whose clearing is provided for should this node die.
    pub(super) apps: HashSet<AppId>,
}

/// The leases that have not ended.
pub(super) struct Live {
    pub(super) leases: Vec<String>,
    /// Whether nodes renew theirs, as far as this one can tell from its own.
    pub(super) renewed: bool,
}

impl Live {
    /// An answer that holds only while a node that lives has a lease.
    pub(crate) fn known<T>(&self, answer: T) -> Result<T, PresenceError> {
        if self.renewed {
            return Ok(answer);
        }
        Err(PresenceError::Unreachable("leases are not renewed; who is online is not known".to_owned()))
    }
}

/// Answer of `renew.lua`.
pub(super) enum Renewal {
    Held { had_ended: bool, graves: Vec<String> },
    Unknown,
}
