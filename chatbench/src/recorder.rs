//! Times of deliveries, gathered by a few recorders that many connections share.
//!
//! Invariant: a connection takes a recorder's lock once in [`BATCH`] deliveries, never for each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

/// Deliveries a connection gathers before it hands them over.
pub const BATCH: usize = 32;

/// Latency of a delivery whose time does not count.
pub const UNTIMED: u32 = u32::MAX;

const MAX_US: u64 = 60_000_000;

/// An empty histogram: 1 µs to 60 s, three digits. Larger values count as 60 s.
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that fit.
    Histogram::new_with_bounds(1, MAX_US, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

/// One delivery.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Index of the message among all.
    pub index: u32,
    /// Microseconds since the intended send, or [`UNTIMED`].
    pub latency_us: u32,
    /// Number of the message in its conversation, as delivered.
    pub offset: u64,
}

/// What many connections saw of one message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The longest time to one of them, in microseconds; 0 when nothing was timed.
    pub last_us: u32,
    /// The number it had in its conversation; 0 when not seen.
    pub offset: u64,
}

/// What one recorder holds.
#[derive(Debug)]
pub struct Tape {
    /// Times from the intended send to the delivery.
    pub e2e: Histogram<u64>,
    /// By message index; stays empty where each message has one receiver.
    pub messages: Vec<Seen>,
    /// Deliveries that gave a message another number than an earlier delivery did.
    pub misnumbered: u64,
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
        let tape = Tape { e2e: histogram(), messages: Vec::new(), misnumbered: 0, per_message };
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

    /// Adds this recorder's tape to `sum`.
    pub fn merge_into(&self, sum: &mut Tape) {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        // Both have the same bounds.
        let _ = sum.e2e.add(&tape.e2e);
        sum.misnumbered += tape.misnumbered;
        for (index, seen) in tape.messages.iter().enumerate().filter(|(_, seen)| seen.offset > 0) {
            sum.see(index, *seen);
        }
    }
}

impl Tape {
    /// An empty sum for [`Recorder::merge_into`].
    pub fn empty() -> Self {
        Self { e2e: histogram(), messages: Vec::new(), misnumbered: 0, per_message: true }
    }

    fn record(&mut self, entry: Entry) {
        let timed = entry.latency_us != UNTIMED;
        if timed {
            self.e2e.saturating_record(u64::from(entry.latency_us).max(1));
        }
        if self.per_message {
            let last_us = if timed { entry.latency_us.max(1) } else { 0 };
            self.see(entry.index as usize, Seen { last_us, offset: entry.offset });
        }
    }

    fn see(&mut self, index: usize, seen: Seen) {
        if index >= self.messages.len() {
            self.messages.resize(index + 1, Seen::default());
        }
        let known = &mut self.messages[index];
        known.last_us = known.last_us.max(seen.last_us);
        if known.offset == 0 {
            known.offset = seen.offset;
        } else if seen.offset != known.offset {
            self.misnumbered += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_last_delivery_and_notices_two_numbers() {
        let recorders = [Recorder::new(true), Recorder::new(true)];
        let entry = |index, latency_us, offset| Entry { index, latency_us, offset };
        recorders[0].record(&[entry(0, 10, 1), entry(1, UNTIMED, 2), entry(0, 30, 1)]);
        recorders[1].record(&[entry(0, 20, 1), entry(1, 40, 3)]);
        let mut sum = Tape::empty();
        for recorder in &recorders {
            recorder.merge_into(&mut sum);
        }
        assert_eq!(sum.e2e.len(), 4);
        assert_eq!(sum.messages[0].last_us, 30);
        assert_eq!(sum.messages[1].last_us, 40);
        assert_eq!(sum.misnumbered, 1);
    }
}
