//! How far a log goes, or was read.
//!
//! Invariant: positions of two histories are not compared: neither stands before the other.

use std::cmp::Ordering;
use std::sync::Arc;

use super::epoch;

/// A position in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which history the offset belongs to.
    pub epoch: Arc<str>,
    /// Offset of the last entry; 0 before the first.
    pub offset: u64,
}

impl Position {
    /// Whether an entry of the same history stands up to here; nothing of another history. What an epoch held when it
    /// forked was in the log before the next one was, so an earlier epoch lies behind as a whole, and a later one ahead.
    #[must_use]
    pub fn covers(&self, epoch: &str, offset: u64) -> Option<bool> {
        Some(match epoch::order(epoch, &self.epoch)? {
            Ordering::Less => true,
            Ordering::Equal => *self.epoch == *epoch && offset <= self.offset,
            Ordering::Greater => false,
        })
    }
}
