//! The books of a run: what was sent, what should have arrived, what did.
//!
//! Invariant: expected = delivered + lost + disconnected, for the warm-up and for the measured part, exactly.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bitset::Bitset;
use crate::client::receiver::{Receiver, mix};
use crate::client::sender::{Answered, Sender};
use crate::client::task::Outcome;
use crate::flow::Flow;
use crate::plan::{Plan, Shape};
use crate::recorder::{Tape, histogram};

/// One part of the run: the warm-up or what is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Messages handed to a connection.
    pub sent: u64,
    /// Messages that got an answer.
    pub answered: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Messages answered with another code.
    pub refused: u64,
    /// Messages without an answer; their deliveries are allowed and not expected.
    pub unanswered: u64,
    /// Deliveries that accepted messages call for.
    pub expected: u64,
    /// Expected deliveries that came.
    pub delivered: u64,
    /// Expected deliveries that did not come although the connection was open.
    pub lost: u64,
    /// Expected deliveries that could not come because the server had closed the connection.
    pub disconnected: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries after a message with a higher number.
    pub reordered: u64,
    /// Deliveries later than the bound; they are delivered too.
    pub late: u64,
}

/// The books of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Messages due before the measured part.
    pub warmup: Line,
    /// Messages of the measured part.
    pub measured: Line,
    /// Deliveries of messages that were not accepted.
    pub unexpected: u64,
    /// Deliveries to a connection that must not get them.
    pub stray: u64,
    /// Deliveries whose text was not what was sent.
    pub corrupted: u64,
    /// Messages that had different numbers in different places.
    pub misnumbered: u64,
    /// Messages that are not of this run, and frames that are none.
    pub foreign: u64,
    /// How often a connection saw a conversation begin a new history.
    pub epoch_changes: u64,
    /// Refusals by code.
    pub refused_by_code: BTreeMap<u16, u64>,
    /// The first refusal in the server's words.
    pub first_refusal: Option<String>,
    /// Messages that were due and waited for the window.
    pub waited_for_window: u64,
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
}

/// The times of a run, in microseconds.
#[derive(Debug)]
pub struct Times {
    /// From the due time to the answer.
    pub ack: Histogram<u64>,
    /// From the due time to a delivery.
    pub e2e: Histogram<u64>,
    /// From the due time to a message's last delivery.
    pub fanout: Histogram<u64>,
}

/// Accepted messages of the warm-up and of the measured part.
type Accepted = [Bitset; 2];

/// Makes the books from the ledgers of all connections and of the senders.
pub fn close(flow: &Flow, outcomes: &[Outcome], unconnected: Vec<Sender>) -> (Ledger, Times) {
    let connected = outcomes.iter().filter_map(|outcome| outcome.sender.as_ref());
    let senders: Vec<&Sender> = connected.chain(unconnected.iter()).collect();
    let mut ledger = Ledger::default();
    let mut ack = histogram();
    for sender in &senders {
        ledger.add_sender(flow, sender, &mut ack);
    }
    let books = Books::new(flow, &senders);
    // Of who stopped reading nothing can be expected.
    for outcome in outcomes.iter().filter(|outcome| !flow.plan.is_slow(outcome.receiver.connection())) {
        ledger.add_receiver(&books, outcome);
    }
    ledger.closed_by_code = flow.journal().closed.clone();
    let tape = flow.tape();
    let fanout = match flow.plan.shape {
        Shape::World | Shape::Groups => books.fan_out(flow, &tape, &mut ledger.misnumbered),
        Shape::Pairs => tape.e2e.clone(),
    };
    (ledger, Times { ack, e2e: tape.e2e, fanout })
}

/// What all senders got accepted.
struct Books<'a> {
    plan: &'a Plan,
    senders: BTreeMap<u32, &'a Sender>,
    /// By [`Plan::set_of`] and [`Plan::place`].
    accepted: BTreeMap<u32, Accepted>,
}

impl<'a> Books<'a> {
    fn new(flow: &'a Flow, senders: &[&'a Sender]) -> Self {
        let mut accepted: BTreeMap<u32, Accepted> = BTreeMap::new();
        for sender in senders {
            for (sequence, message) in (0..).zip(&sender.messages) {
                let place = flow.plan.place(sender.number, sequence);
                if let (Some(place), Answered::Accepted) = (place, message.answered) {
                    let part = usize::from(flow.measured(message.intended_ns));
                    let set = flow.plan.set_of_sender(sender.number);
                    accepted.entry(set).or_default()[part].insert(place);
                }
            }
        }
        let senders = senders.iter().map(|sender| (sender.number, *sender)).collect();
        Self { plan: &flow.plan, senders, accepted }
    }

    /// What a connection should have got.
    fn expected_at(&self, connection: u32) -> Accepted {
        let own = self.plan.sender_at(connection).filter(|_| self.plan.shape != Shape::Pairs);
        let mut expected = self.accepted.get(&self.plan.set_of(connection)).cloned().unwrap_or_default();
        if let Some(own) = own.and_then(|own| self.senders.get(&own)) {
            for (sequence, _) in (0..).zip(&own.messages) {
                if let Some(place) = self.plan.place(own.number, sequence) {
                    expected.iter_mut().for_each(|part| part.remove(place));
                }
            }
        }
        expected
    }

    /// The number of the message behind a connection's mark.
    fn offset(&self, connection: u32, mark: u32) -> u64 {
        let (sender, sequence) = self.plan.message_at(self.plan.set_of(connection), mark);
        let message = self.senders.get(&sender).and_then(|sender| sender.messages.get(sequence as usize));
        message.map_or(0, |message| message.offset)
    }

    /// Whether a receiver of a pair saw other numbers than the answers named. Where one message has many receivers,
    /// [`Books::fan_out`] compares them one by one.
    fn renumbered(&self, receiver: &Receiver, expected: &Accepted) -> bool {
        if self.plan.shape != Shape::Pairs {
            return false;
        }
        let nothing = Bitset::default();
        let accepted = expected.iter().flat_map(|part| part.without(&nothing));
        let seen = accepted.filter(|place| receiver.seen.contains(*place));
        let sum = seen.fold(0_u64, |sum, place| {
            sum.wrapping_add(mix(place, self.offset(receiver.connection(), place)))
        });
        sum != receiver.numbers
    }

    /// Times to the last delivery; counts messages whose number differs between answer and delivery.
    fn fan_out(&self, flow: &Flow, tape: &Tape, misnumbered: &mut u64) -> Histogram<u64> {
        *misnumbered += tape.misnumbered;
        let mut times = histogram();
        for (index, seen) in (0..).zip(&tape.messages) {
            let (sender, sequence) = flow.plan.message(index);
            let message = self.senders.get(&sender).and_then(|sender| sender.messages.get(sequence as usize));
            let Some(message) = message.filter(|message| message.answered == Answered::Accepted) else {
                continue;
            };
            *misnumbered += u64::from(seen.offset > 0 && message.offset != seen.offset);
            if seen.last_us > 0 {
                times.saturating_record(u64::from(seen.last_us));
            }
        }
        times
    }
}

impl Ledger {
    /// Both parts together.
    pub fn total(&self, of: impl Fn(&Line) -> u64) -> u64 {
        of(&self.warmup) + of(&self.measured)
    }

    /// Everything that must not happen, with how often it did.
    pub fn breaches(&self) -> Vec<(&'static str, u64)> {
        let counts = [
            ("lost", self.total(|line| line.lost)),
            ("duplicated", self.total(|line| line.duplicated)),
            ("reordered", self.total(|line| line.reordered)),
            ("delivered to the wrong connection", self.stray),
            ("delivered with another text", self.corrupted),
            ("numbered differently in different places", self.misnumbered),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Connections the server closed.
    pub fn closed_by_server(&self) -> u64 {
        self.closed_by_code.values().sum()
    }

    fn line(&mut self, measured: bool) -> &mut Line {
        if measured { &mut self.measured } else { &mut self.warmup }
    }

    fn add_sender(&mut self, flow: &Flow, sender: &Sender, ack: &mut Histogram<u64>) {
        for message in &sender.messages {
            let measured = flow.measured(message.intended_ns);
            let line = self.line(measured);
            line.sent += 1;
            match message.answered {
                Answered::Not => line.unanswered += 1,
                Answered::Accepted => line.accepted += 1,
                Answered::Refused => line.refused += 1,
            }
            if message.answered != Answered::Not {
                line.answered += 1;
                if measured {
                    ack.saturating_record(u64::from(message.ack_us).max(1));
                }
            }
        }
        for (code, count) in &sender.refused {
            *self.refused_by_code.entry(*code).or_default() += count;
        }
        self.first_refusal = self.first_refusal.take().or_else(|| sender.first_refusal.clone());
        self.waited_for_window += sender.waited;
    }

    fn add_receiver(&mut self, books: &Books<'_>, outcome: &Outcome) {
        let receiver = &outcome.receiver;
        let expected = books.expected_at(receiver.connection());
        let mut delivered = 0;
        for (part, expected) in expected.iter().enumerate() {
            let came = expected.count_common(&receiver.seen);
            delivered += came;
            let (lost, disconnected) = missing(books, receiver, expected, outcome.absent);
            let tally = receiver.tallies[part];
            let line = self.line(part == 1);
            line.expected += expected.count();
            line.delivered += came;
            line.lost += lost;
            line.disconnected += disconnected;
            line.duplicated += tally.duplicated;
            line.reordered += tally.reordered;
            line.late += tally.late;
        }
        let unexpected = receiver.seen.count() - delivered;
        // The number of a message without an answer is not known here.
        self.misnumbered += u64::from(unexpected == 0 && books.renumbered(receiver, &expected));
        self.unexpected += unexpected;
        self.absent += u64::from(outcome.absent);
        self.recovered += receiver.recovered;
        self.gaps += receiver.gaps;
        self.stray += receiver.stray;
        self.corrupted += receiver.corrupted;
        self.foreign += receiver.foreign;
        self.epoch_changes += receiver.epoch_changes;
        self.last_delivery_ns = self.last_delivery_ns.max(receiver.last_delivery_ns);
    }
}

/// How many expected deliveries are lost, and how many the end of the connection explains.
fn missing(books: &Books<'_>, receiver: &Receiver, expected: &Bitset, closed: bool) -> (u64, u64) {
    let (mut lost, mut disconnected) = (0, 0);
    for mark in expected.without(&receiver.seen) {
        // A conversation comes in the order of its numbers: what is missing before the last one seen was lost before
        // the connection ended.
        let skipped = books.offset(receiver.connection(), mark) < receiver.last_offset;
        if closed && !skipped { disconnected += 1 } else { lost += 1 }
    }
    (lost, disconnected)
}
