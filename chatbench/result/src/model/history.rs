//! What came of reading the history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Pages that were read, and what was wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    /// Clients that read.
    pub readers: u32,
    /// Messages accepted, before and during the reading.
    pub written: u64,
    /// Whole ways from the newest message to the first.
    pub walks_backward: u64,
    /// Whole ways from the first message to the newest.
    pub walks_forward: u64,
    /// Pages read.
    pub pages: u64,
    /// Messages read.
    pub messages: u64,
    /// Numbers left out.
    pub holes: u64,
    /// Numbers or messages that came again.
    pub repeats: u64,
    /// Messages whose text was not what was sent.
    pub corrupted: u64,
    /// Messages that are not of this run.
    pub foreign: u64,
    /// Requests that failed, by cause.
    pub failed: BTreeMap<String, u64>,
}

impl Pages {
    /// Adds what another reader, or the writer, brought in; readers and written messages are counted elsewhere.
    pub fn add(&mut self, part: Pages) {
        self.walks_backward += part.walks_backward;
        self.walks_forward += part.walks_forward;
        self.pages += part.pages;
        self.messages += part.messages;
        self.holes += part.holes;
        self.repeats += part.repeats;
        self.corrupted += part.corrupted;
        self.foreign += part.foreign;
        for (cause, count) in part.failed {
            *self.failed.entry(cause).or_default() += count;
        }
    }
}
