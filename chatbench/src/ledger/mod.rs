//! The books of a run: what was sent, what should have arrived, what did.
//!
//! Invariant: expected = delivered + lost + disconnected, for the warm-up and for the measured part, exactly.

pub mod bitset;
mod expected;
pub mod flow;
pub mod journal;
pub mod packed;
mod paths;
pub mod plan;
pub mod receiver;
mod recorder;
pub mod sender;
mod spread;
pub mod standing;
pub mod times;
#[cfg(test)]
mod truth;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};

use crate::clock::micros_between;
use crate::ledger::flow::Flow;
use crate::ledger::plan::Shape;
use crate::ledger::receiver::Receiver;
use crate::ledger::recorder::Tape;
use crate::ledger::sender::{Answered, Sender};
use chatbench_result::model::{Books, Line};
use expected::Expected;
use times::{Censored, Times};

/// What an expected delivery is that never came.
pub const LOST: &str = "lost";

/// The books of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// As they stand in the result.
    pub books: Books,
    /// Connections the server closed, by close code; slow readers apart.
    pub closed_by_code: BTreeMap<u16, u64>,
    /// Clients that were not connected when the run ended.
    pub absent: u64,
    /// Deliveries that recovery brought after a reconnect; they are delivered too.
    pub recovered: u64,
    /// Recoveries the server called incomplete.
    pub gaps: u64,
    /// When the last measured delivery came, in nanoseconds of [`crate::clock`].
    pub last_delivery_ns: u64,
    /// When the last message of the measured part was answered, in the same way.
    pub last_answer_ns: u64,
}

/// What the receivers of a run, or of a part of it, saw.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receipts {
    /// Their side of the books.
    pub ledger: Ledger,
    /// Times and marks of the messages.
    pub tape: Tape,
    /// Deliveries that never came, and are in the times of the tape as if they came at the deadline.
    pub censored: u64,
}

/// What a client leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What it received.
    pub receiver: Receiver,
    /// What it sent.
    pub sender: Option<Sender>,
    /// Whether it was not connected when the run ended, by the server's doing or by a cut.
    pub absent: bool,
}

/// Makes the receivers' side of the books. `senders` are all senders of the run.
pub fn receipts(flow: &Flow, senders: &[Sender], outcomes: &[Outcome]) -> Receipts {
    let expected = Expected::new(flow, senders);
    let mut receipts = Receipts { ledger: Ledger::default(), tape: flow.tape(), censored: 0 };
    // Of who stopped reading nothing can be expected.
    for outcome in outcomes.iter().filter(|outcome| !flow.plan.is_slow(outcome.receiver.connection())) {
        receipts.add(flow, &expected, outcome);
    }
    receipts.ledger.closed_by_code = flow.journal().closed.clone();
    receipts
}

/// Closes the books with what all senders did and all receivers saw.
pub fn close(flow: &Flow, senders: &[Sender], receipts: Receipts) -> (Ledger, Times) {
    let Receipts { mut ledger, tape, censored } = receipts;
    let mut times = Times::new(&tape);
    times.censored = Censored { ack: 0, e2e: censored };
    for sender in senders {
        ledger.add_sender(flow, sender, &mut times);
    }
    match flow.plan.shape {
        Shape::World | Shape::Groups => {
            ledger.books.misnumbered += tape.misnumbered;
            let expected = Expected::new(flow, senders);
            expected.fan_out(
                &tape,
                flow.deadline_ns.load(Relaxed),
                &mut ledger.books.misnumbered,
                &mut times,
            );
        }
        Shape::Pairs => times.fan_out_of_pairs(),
    }
    (ledger, times)
}

impl Ledger {
    /// Everything that must not happen, with how often it did.
    pub fn breaches(&self) -> Vec<(&'static str, u64)> {
        let counts = [
            (LOST, self.books.total(|line| line.lost)),
            ("duplicated", self.books.total(|line| line.duplicated)),
            ("reordered", self.books.total(|line| line.reordered)),
            ("delivered to the wrong connection", self.books.stray),
            ("delivered with another text", self.books.corrupted),
            ("numbered differently in different places", self.books.misnumbered),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Connections the server closed.
    pub fn closed_by_server(&self) -> u64 {
        self.closed_by_code.values().sum()
    }

    /// Adds the books of another part of the run.
    pub fn merge(&mut self, other: Ledger) {
        self.books.merge(other.books);
        self.absent += other.absent;
        self.recovered += other.recovered;
        self.gaps += other.gaps;
        self.last_delivery_ns = self.last_delivery_ns.max(other.last_delivery_ns);
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
        for (code, count) in other.closed_by_code {
            *self.closed_by_code.entry(code).or_default() += count;
        }
    }

    fn line(&mut self, measured: bool) -> &mut Line {
        if measured { &mut self.books.measured } else { &mut self.books.warmup }
    }

    fn add_sender(&mut self, flow: &Flow, sender: &Sender, times: &mut Times) {
        let deadline_ns = flow.deadline_ns.load(Relaxed);
        for message in &sender.messages {
            let measured = flow.measured(message.intended_ns);
            let line = self.line(measured);
            line.sent += 1;
            match message.answered {
                Answered::Not => line.unanswered += 1,
                Answered::Accepted => line.accepted += 1,
                Answered::Refused => line.refused += 1,
            }
            line.answered += u64::from(message.answered != Answered::Not);
            if !measured {
                continue;
            }
            times.lag.saturating_record(u64::from(message.lag_us).max(1));
            if message.answered == Answered::Not {
                // It took at least until now.
                times.ack.saturating_record(micros_between(message.intended_ns, deadline_ns).max(1));
                times.censored.ack += 1;
            } else {
                times.ack.saturating_record(u64::from(message.ack_us).max(1));
                let answered_ns = message.intended_ns + u64::from(message.ack_us) * 1000;
                self.last_answer_ns = self.last_answer_ns.max(answered_ns);
            }
        }
        for (code, count) in &sender.refused {
            *self.books.refused_by_code.entry(*code).or_default() += count;
        }
        self.books.first_refusal = self.books.first_refusal.take().or_else(|| sender.first_refusal.clone());
        self.books.waited_for_window += sender.waited;
    }
}

impl Receipts {
    /// Adds what the receivers of another part of the run saw.
    pub fn merge(&mut self, other: Receipts) {
        self.ledger.merge(other.ledger);
        self.censored += other.censored;
        self.tape.merge(&other.tape);
    }

    fn add(&mut self, flow: &Flow, all: &Expected<'_>, outcome: &Outcome) {
        let receiver = &outcome.receiver;
        let connection = receiver.connection();
        let expected = all.expected_at(connection);
        let mut lost_by_sender = BTreeMap::new();
        let mut delivered = 0;
        for (part, expected) in expected.iter().enumerate() {
            let came = expected.count_common(&receiver.seen);
            delivered += came;
            let (mut lost, mut disconnected) = (0, 0);
            for place in expected.without(&receiver.seen) {
                let (sender, sequence) = flow.plan.message_at(flow.plan.set_of(connection), place);
                // A conversation comes in the order of its numbers: what is missing before the last one seen was
                // lost before the connection ended.
                let skipped = all.offset(sender, sequence) < receiver.last_offset;
                if outcome.absent && !skipped {
                    disconnected += 1;
                } else {
                    lost += 1;
                    *lost_by_sender.entry(sender).or_default() += 1;
                }
                if part == 1 {
                    self.censor(flow, all, sender, sequence);
                }
            }
            let tally = receiver.tallies[part];
            let line = self.ledger.line(part == 1);
            line.expected += expected.count();
            line.delivered += came;
            line.lost += lost;
            line.disconnected += disconnected;
            line.duplicated += tally.duplicated;
            line.reordered += tally.reordered;
            line.late += tally.late;
        }
        for place in all.unanswered_at(connection).without(&receiver.seen) {
            let (sender, sequence) = flow.plan.message_at(flow.plan.set_of(connection), place);
            self.censor(flow, all, sender, sequence);
        }
        let ledger = &mut self.ledger;
        paths::add(
            &mut ledger.books.paths,
            &flow.plan,
            connection,
            lost_by_sender,
            &receiver.by_sender,
            |sender| all.accepted_of(sender),
        );
        let unexpected = receiver.seen.count() - delivered;
        // The number of a message without an answer is not known here.
        ledger.books.misnumbered += u64::from(unexpected == 0 && all.renumbered(receiver, &expected));
        ledger.books.unexpected += unexpected;
        ledger.absent += u64::from(outcome.absent);
        ledger.recovered += receiver.recovered;
        ledger.gaps += receiver.gaps;
        ledger.books.stray += receiver.stray;
        ledger.books.corrupted += receiver.corrupted;
        ledger.books.foreign += receiver.foreign;
        ledger.books.epoch_changes += receiver.epoch_changes;
        ledger.last_delivery_ns = ledger.last_delivery_ns.max(receiver.last_delivery_ns);
    }

    /// A delivery that did not come took at least until the deadline.
    fn censor(&mut self, flow: &Flow, all: &Expected<'_>, sender: u32, sequence: u32) {
        let Some(message) = all.message(sender, sequence) else { return };
        let us = micros_between(message.intended_ns, flow.deadline_ns.load(Relaxed)).max(1);
        self.tape.e2e.saturating_record(us);
        self.tape.service.saturating_record(us.saturating_sub(u64::from(message.lag_us)).max(1));
        self.censored += 1;
        if let (true, Some(index)) = (flow.plan.shape != Shape::Pairs, flow.plan.index(sender, sequence)) {
            self.tape.miss(index);
        }
    }
}
