//! How far a run is, for whoever looks on.
//!
//! Invariant: telling it costs nothing when nobody looks.

use std::fmt::Debug;
use std::time::Duration;

/// Somebody who is told.
pub trait Progress: Debug + Send + Sync {
    /// Whether somebody looks.
    fn is_seen(&self) -> bool;

    /// A part of the run begins that ends at `total`.
    fn part(&self, name: &'static str, total: u64);

    /// How far the part is.
    fn at(&self, position: u64, message: String);

    /// The run is over.
    fn clear(&self);
}

impl dyn Progress + '_ {
    /// How many of the part are through.
    pub fn count(&self, position: u64) {
        if self.is_seen() {
            self.at(position, String::new());
        }
    }

    /// A part measured in time.
    pub fn time(&self, elapsed: Duration, message: impl FnOnce() -> String) {
        if self.is_seen() {
            self.at(elapsed.as_secs(), message());
        }
    }
}

/// Nobody.
impl Progress for () {
    fn is_seen(&self) -> bool {
        false
    }

    fn part(&self, _: &'static str, _: u64) {}

    fn at(&self, _: u64, _: String) {}

    fn clear(&self) {}
}
