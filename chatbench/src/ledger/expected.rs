//! What all senders got accepted, and so what each connection should have got.
//!
//! Invariant: a message is expected only if it was answered 200.

use std::collections::BTreeMap;

use crate::clock::micros_between;
use crate::ledger::bitset::Bitset;
use crate::ledger::flow::Flow;
use crate::ledger::plan::{Plan, Shape};
use crate::ledger::receiver::{Receiver, mix};
use crate::ledger::recorder::Tape;
use crate::ledger::sender::{Answered, Sender, Sent};
use crate::ledger::times::Times;

/// Accepted messages of the warm-up and of the measured part.
pub type Accepted = [Bitset; 2];

/// What was accepted of each sender, beside the plan of the run.
pub struct Expected<'a> {
    plan: &'a Plan,
    senders: BTreeMap<u32, &'a Sender>,
    /// By [`Plan::set_of`] and [`Plan::place`].
    accepted: BTreeMap<u32, Accepted>,
    /// Messages of the measured part without an answer, in the same way.
    unanswered: BTreeMap<u32, Bitset>,
}

impl<'a> Expected<'a> {
    /// What these senders call for.
    pub fn new(flow: &'a Flow, senders: &'a [Sender]) -> Self {
        let mut accepted: BTreeMap<u32, Accepted> = BTreeMap::new();
        let mut unanswered: BTreeMap<u32, Bitset> = BTreeMap::new();
        for sender in senders {
            let set = flow.plan.set_of_sender(sender.number);
            for (sequence, message) in (0..).zip(&sender.messages) {
                let Some(place) = flow.plan.place(sender.number, sequence) else { continue };
                let measured = flow.measured(message.intended_ns);
                match message.answered {
                    Answered::Accepted => {
                        accepted.entry(set).or_default()[usize::from(measured)].insert(place);
                    }
                    Answered::Not if measured => {
                        unanswered.entry(set).or_default().insert(place);
                    }
                    Answered::Not | Answered::Refused => {}
                }
            }
        }
        let senders = senders.iter().map(|sender| (sender.number, sender)).collect();
        Self { plan: &flow.plan, senders, accepted, unanswered }
    }

    /// What a connection should have got.
    pub fn expected_at(&self, connection: u32) -> Accepted {
        let mut expected = self.accepted.get(&self.plan.set_of(connection)).cloned().unwrap_or_default();
        expected.iter_mut().for_each(|part| self.remove_own(connection, part));
        expected
    }

    /// What of the measured part might have come to a connection, had the server answered it.
    pub fn unanswered_at(&self, connection: u32) -> Bitset {
        let mut open = self.unanswered.get(&self.plan.set_of(connection)).cloned().unwrap_or_default();
        self.remove_own(connection, &mut open);
        open
    }

    /// Nobody gets a copy of their own message, but in a pair with themselves.
    fn remove_own(&self, connection: u32, places: &mut Bitset) {
        let own = self.plan.sender_at(connection).filter(|_| self.plan.shape != Shape::Pairs);
        let Some(own) = own.and_then(|own| self.senders.get(&own)) else { return };
        for (sequence, _) in (0..).zip(&own.messages) {
            if let Some(place) = self.plan.place(own.number, sequence) {
                places.remove(place);
            }
        }
    }

    /// A message.
    pub fn message(&self, sender: u32, sequence: u32) -> Option<&Sent> {
        self.senders.get(&sender)?.messages.get(sequence as usize)
    }

    /// The number of a message in its conversation; 0 when it has none.
    pub fn offset(&self, sender: u32, sequence: u32) -> u64 {
        self.message(sender, sequence).map_or(0, |message| message.offset)
    }

    /// How many messages of a sender were accepted.
    pub fn accepted_of(&self, sender: u32) -> u64 {
        let messages = self.senders.get(&sender).map_or(&[][..], |sender| &sender.messages);
        messages.iter().filter(|message| message.answered == Answered::Accepted).count() as u64
    }

    /// Whether a receiver of a pair saw other numbers than the answers named. Where one message has many receivers,
    /// [`Expected::fan_out`] compares them one by one.
    pub fn renumbered(&self, receiver: &Receiver, expected: &Accepted) -> bool {
        if self.plan.shape != Shape::Pairs {
            return false;
        }
        let nothing = Bitset::default();
        let accepted = expected.iter().flat_map(|part| part.without(&nothing));
        let seen = accepted.filter(|place| receiver.seen.contains(*place));
        let sum = seen.fold(0_u64, |sum, place| {
            let (sender, sequence) = self.plan.message_at(self.plan.set_of(receiver.connection()), place);
            sum.wrapping_add(mix(place, self.offset(sender, sequence)))
        });
        sum != receiver.numbers
    }

    /// Times of each message's first, middle and last delivery; counts messages whose number differs between answer
    /// and delivery. A delivery that did not come is one at `deadline_ns`.
    pub fn fan_out(&self, tape: &Tape, deadline_ns: u64, misnumbered: &mut u64, times: &mut Times) {
        for (index, seen) in (0..).zip(&tape.messages) {
            let (sender, sequence) = self.plan.message(index);
            let message = self.message(sender, sequence);
            let Some(message) = message.filter(|message| message.answered == Answered::Accepted) else {
                continue;
            };
            *misnumbered += u64::from(seen.offset > 0 && message.offset != seen.offset);
            if seen.last_us == 0 && seen.missing == 0 {
                continue;
            }
            let longest = micros_between(message.intended_ns, deadline_ns).max(1);
            let first = if seen.first_us > 0 { u64::from(seen.first_us) } else { longest };
            let last = if seen.missing > 0 { longest } else { u64::from(seen.last_us) };
            times.first.saturating_record(first);
            times.fanout.saturating_record(last);
            times.skew.saturating_record(last.saturating_sub(first).max(1));
            // Messages far behind the start have no classes and so no median.
            if !seen.spread.classes().is_empty() || seen.last_us == 0 {
                let median = seen.spread.median(seen.missing).map_or(longest, u64::from);
                times.median.saturating_record(median.clamp(first, last.max(first)));
            }
        }
    }
}
