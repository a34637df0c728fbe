//! What one client saw, grab by grab.
//!
//! Invariant: every grab that was sent is in the record, answered or not.

use std::collections::BTreeMap;

use chat_protocol::red_packet::GrabResponse;

/// One grab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Number of the packet.
    pub packet: u32,
    /// When it was to be sent.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When the answer came, or the wait for it ended.
    pub ended_ns: u64,
    /// What the server said; none when no answer came or a refusal: it may have been carried out.
    pub said: Option<GrabResponse>,
}

/// What one client saw.
#[derive(Debug, Default)]
pub struct Record {
    /// Its grabs, in the order their ends were seen.
    pub attempts: Vec<Attempt>,
    /// Refusals by code.
    pub refused: BTreeMap<u16, u64>,
    /// The first refusal, or the first answer that was none, in words.
    pub first_trouble: Option<String>,
    /// Connections cut on purpose.
    pub cuts: u64,
    /// Times it came back.
    pub reconnects: u64,
    /// Connections the server closed or lost, by close code.
    pub closed: BTreeMap<u16, u64>,
    /// Grabs it gave up: the server did not answer them, however often they were repeated.
    pub given_up: u64,
}

impl Record {
    /// Notes trouble once.
    pub fn note(&mut self, words: impl FnOnce() -> String) {
        if self.first_trouble.is_none() {
            self.first_trouble = Some(words());
        }
    }
}
