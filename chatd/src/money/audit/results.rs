//! How audits ended, for the metrics.
//!
//! Invariant: only an audit that went through all of an app counts; it counts on the node that answered its last page.

use chat_protocol::cursor::AuditPlace;
use parking_lot::Mutex;

use crate::counters::Counter;

/// The last audit that came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Last {
    /// Broken rules.
    pub found: u64,
    /// When it ended, Unix milliseconds.
    pub ended_ms: u64,
    /// From its first page to its end, milliseconds.
    pub took_ms: u64,
}

/// How many audits ended how, and the last of them.
#[derive(Default)]
pub struct Results {
    held: Counter,
    broken: Counter,
    failed: Counter,
    last: Mutex<Option<Last>>,
}

impl Results {
    pub(super) fn ended(&self, place: &AuditPlace, now_ms: u64) {
        let outcome = if place.found == 0 { &self.held } else { &self.broken };
        outcome.add(1);
        let took_ms = now_ms.saturating_sub(place.begun_ms);
        *self.last.lock() = Some(Last { found: place.found, ended_ms: now_ms, took_ms });
    }

    pub(super) fn failed(&self) {
        self.failed.add(1);
    }

    /// By outcome: audits that held, that found a broken rule, and pages that failed.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [("held", self.held.get()), ("broken", self.broken.get()), ("failed", self.failed.get())]
    }

    /// None before the first.
    #[must_use]
    pub fn last(&self) -> Option<Last> {
        *self.last.lock()
    }
}
