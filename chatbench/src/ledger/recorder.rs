//! Times of deliveries, gathered by a few recorders that many connections share.
//!
//! Invariant: a busy connection takes a recorder's lock once in [`BATCH`] deliveries, never for each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::ledger::packed;
use crate::ledger::spread::Spread;
use chatbench_result::hdr::{self, histogram};

/// Deliveries a connection gathers before it hands them over.
pub const BATCH: usize = 32;

/// Latency of a delivery whose time does not count.
pub const UNTIMED: u32 = u32::MAX;

/// Messages, from the first, whose deliveries are kept apart for their median.
const WITH_MEDIAN: usize = 200_000;

/// One delivery.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Index of the message among all.
    pub index: u32,
    /// Microseconds since the intended send, or [`UNTIMED`].
    pub latency_us: u32,
    /// Microseconds from the intended send to the send.
    pub lag_us: u32,
    /// Number of the message in its conversation, as delivered.
    pub offset: u64,
}

/// What many connections saw of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The shortest time to one of them, in microseconds; 0 when nothing was timed.
    pub first_us: u32,
    /// The longest.
    pub last_us: u32,
    /// The number it had in its conversation; 0 when not seen.
    pub offset: u64,
    /// Deliveries that should have come and did not.
    pub missing: u64,
    /// The times between; empty for messages behind the first [`WITH_MEDIAN`].
    pub spread: Spread,
}

/// What one recorder holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tape {
    /// Times from the intended send to the delivery.
    #[serde(with = "hdr")]
    pub e2e: Histogram<u64>,
    /// Times from the send to the delivery.
    #[serde(with = "hdr")]
    pub service: Histogram<u64>,
    /// By message index; stays empty where each message has one receiver.
    #[serde(with = "packed")]
    pub messages: Vec<Seen>,
    /// Deliveries that gave a message another number than an earlier delivery did.
    pub misnumbered: u64,
    /// As `e2e`, since it was last taken.
    #[serde(skip, default = "histogram")]
    recent: Histogram<u64>,
    #[serde(skip)]
    per_message: bool,
}

/// A recorder shared by some of the connections.
#[derive(Debug)]
pub struct Recorder {
    tape: Mutex<Tape>,
    pushes: AtomicU64,
    deliveries: AtomicU64,
}

impl Recorder {
    /// An empty recorder; `per_message` when messages have more than one receiver.
    pub fn new(per_message: bool) -> Self {
        let tape = Tape { per_message, ..Tape::empty() };
        Self { tape: Mutex::new(tape), pushes: AtomicU64::new(0), deliveries: AtomicU64::new(0) }
    }

    /// Takes a batch.
    pub fn record(&self, entries: &[Entry]) {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            tape.record(*entry);
        }
    }

    /// Adds to the live counts: pushes of any kind, deliveries seen for the first time.
    pub fn count(&self, pushes: u64, deliveries: u64) {
        self.pushes.fetch_add(pushes, Ordering::Relaxed);
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
    }

    /// Pushes so far.
    pub fn pushes(&self) -> u64 {
        self.pushes.load(Ordering::Relaxed)
    }

    /// First deliveries so far.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Moves the times since the last call into `sum`.
    pub fn take_recent(&self, sum: &mut Histogram<u64>) {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if !tape.recent.is_empty() {
            // Both have the same bounds.
            let _ = sum.add(&tape.recent);
            tape.recent.reset();
        }
    }

    /// Adds this recorder's tape to `sum`.
    pub fn merge_into(&self, sum: &mut Tape) {
        sum.merge(&self.tape.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tape {
    /// An empty sum for [`Recorder::merge_into`].
    pub fn empty() -> Self {
        Self {
            e2e: histogram(),
            service: histogram(),
            messages: Vec::new(),
            misnumbered: 0,
            recent: histogram(),
            per_message: true,
        }
    }

    fn record(&mut self, entry: Entry) {
        let timed = entry.latency_us != UNTIMED;
        if timed {
            let response = u64::from(entry.latency_us).max(1);
            self.e2e.saturating_record(response);
            self.recent.saturating_record(response);
            self.service.saturating_record(response.saturating_sub(u64::from(entry.lag_us)).max(1));
        }
        if self.per_message {
            let index = entry.index as usize;
            let known = self.at(index);
            if timed {
                let us = entry.latency_us.max(1);
                known.first_us = if known.first_us == 0 { us } else { known.first_us.min(us) };
                known.last_us = known.last_us.max(us);
                if index < WITH_MEDIAN {
                    known.spread.add(us);
                }
            }
            self.number(index, entry.offset);
        }
    }

    fn at(&mut self, index: usize) -> &mut Seen {
        if index >= self.messages.len() {
            self.messages.resize(index + 1, Seen::default());
        }
        &mut self.messages[index]
    }

    fn number(&mut self, index: usize, offset: u64) {
        let known = self.at(index);
        if known.offset == 0 {
            known.offset = offset;
        } else if offset != known.offset && offset != 0 {
            self.misnumbered += 1;
        }
    }

    /// Adds another tape.
    pub fn merge(&mut self, other: &Tape) {
        // All have the same bounds.
        let _ = self.e2e.add(&other.e2e);
        let _ = self.service.add(&other.service);
        self.misnumbered += other.misnumbered;
        let seen = other.messages.iter().enumerate();
        for (index, seen) in seen.filter(|(_, seen)| seen.offset > 0 || seen.missing > 0) {
            self.see(index, seen);
        }
    }

    /// Adds what others saw of a message.
    fn see(&mut self, index: usize, seen: &Seen) {
        let known = self.at(index);
        if seen.first_us > 0 {
            known.first_us =
                if known.first_us == 0 { seen.first_us } else { known.first_us.min(seen.first_us) };
        }
        known.last_us = known.last_us.max(seen.last_us);
        known.missing += seen.missing;
        for (class, count) in seen.spread.classes() {
            known.spread.add_class(*class, *count);
        }
        self.number(index, seen.offset);
    }

    /// Notes that a delivery of a message did not come.
    pub fn miss(&mut self, index: u32) {
        self.at(index as usize).missing += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_first_median_and_last_and_notices_two_numbers() {
        let recorders = [Recorder::new(true), Recorder::new(true)];
        let entry = |index, latency_us, offset| Entry { index, latency_us, lag_us: 5, offset };
        recorders[0].record(&[entry(0, 10, 1), entry(1, UNTIMED, 2), entry(0, 30, 1)]);
        recorders[1].record(&[entry(0, 20, 1), entry(1, 40, 3)]);
        let mut sum = Tape::empty();
        for recorder in &recorders {
            recorder.merge_into(&mut sum);
        }
        assert_eq!((sum.e2e.len(), sum.service.min(), sum.service.max()), (4, 5, 35));
        let first = &sum.messages[0];
        assert_eq!((first.first_us, first.spread.median(0), first.last_us), (10, Some(20), 30));
        assert_eq!((sum.messages[1].first_us, sum.messages[1].last_us), (40, 40));
        assert_eq!(sum.misnumbered, 1);
        let mut recent = histogram();
        recorders[0].take_recent(&mut recent);
        recorders[0].take_recent(&mut recent);
        assert_eq!(recent.len(), 2, "taken once");
    }
}
