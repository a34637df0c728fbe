//! Changes of who belongs to a group, by names.

use chatd::groups::Change;

use crate::broker::user;

/// They join.
#[must_use]
pub fn join(name: &str) -> Change {
    Change::Join(user(name))
}

/// They leave.
#[must_use]
pub fn leave(name: &str) -> Change {
    Change::Leave(user(name))
}

/// One removes the other.
#[must_use]
pub fn kick(by: &str, member: &str) -> Change {
    Change::Kick { by: user(by), member: user(member) }
}

/// They end the group.
#[must_use]
pub fn dismiss(by: &str) -> Change {
    Change::Dismiss(user(by))
}
