//! The ledger of one sender: what it sent, when it was due, what the server said.
//!
//! Invariant: never more unanswered messages than the window; a message that waits for the window keeps the time it
//! was due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::clock::{micros_between, nanos, now_ns};
use crate::ledger::flow::Flow;
use crate::ledger::plan::timetable::Timetable;
use crate::net::control::Control;
use crate::net::payload::Stamp;

/// Shortest pause of a sender without a schedule after a message that was given up: a dead server gets no more of them
/// than that, however fast it refuses.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a sent message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// No answer yet.
    Not,
    /// In the log (200).
    Accepted,
    /// Another code.
    Refused,
}

/// One sent message.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When it was due.
    pub intended_ns: u64,
    /// Its number in the conversation, from the answer.
    pub offset: u64,
    /// Microseconds from the due time to the connection.
    pub lag_us: u32,
    /// Microseconds from the due time to the answer.
    pub ack_us: u32,
    /// What the server said.
    pub answered: Answered,
}

/// What one sender did.
#[derive(Debug)]
pub struct Sender {
    /// Which sender, from 0.
    pub number: u32,
    /// Its messages, by sequence.
    pub messages: Vec<Sent>,
    /// Refusals by code.
    pub refused: BTreeMap<u16, u64>,
    /// The first refusal in the server's words.
    pub first_refusal: Option<String>,
    /// Messages that had to wait for the window.
    pub waited: u64,
    in_flight: u32,
    thinks_until_ns: u64,
    last_waiting: Option<usize>,
}

impl Sender {
    /// A sender before its first message.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            messages: Vec::new(),
            refused: BTreeMap::new(),
            first_refusal: None,
            waited: 0,
            in_flight: 0,
            thinks_until_ns: 0,
            last_waiting: None,
        }
    }

    /// The message to send now, if one is due and the window has room. It counts as sent.
    pub fn next_due(&mut self, flow: &Flow, control: &Arc<Control>) -> Option<Stamp> {
        let next = self.messages.len();
        if next >= control.released() as usize {
            return None;
        }
        if self.in_flight >= flow.window {
            // Without a schedule, waiting for the answer is the plan.
            if self.last_waiting != Some(next) && flow.timetable.total().is_some() {
                self.waited += 1;
                self.last_waiting = Some(next);
            }
            return None;
        }
        let sequence = u32::try_from(next).ok()?;
        let now = now_ns();
        if now < self.thinks_until_ns {
            control.wake_at(self.thinks_until_ns);
            return None;
        }
        let intended_ns = flow.due_ns(self.number, sequence).unwrap_or(now);
        let lag_us = u32::try_from(micros_between(intended_ns, now)).unwrap_or(u32::MAX);
        self.messages.push(Sent { intended_ns, lag_us, offset: 0, ack_us: 0, answered: Answered::Not });
        self.in_flight += 1;
        flow.sent.fetch_add(1, Relaxed);
        Some(Stamp { sender: self.number, sequence, intended_ns, lag_us })
    }

    /// Notes an answer. `offset` is the message's number when the code is 200.
    pub fn answer(&mut self, flow: &Flow, sequence: u32, code: u16, reason: &str, offset: u64) {
        let Some(message) = self.messages.get_mut(sequence as usize) else { return };
        if message.answered != Answered::Not {
            return;
        }
        self.in_flight -= 1;
        message.ack_us = u32::try_from(micros_between(message.intended_ns, now_ns())).unwrap_or(u32::MAX);
        message.answered = Answered::Refused;
        if code == 200 {
            message.answered = Answered::Accepted;
            message.offset = offset;
            // First what is expected: who sees the message as accepted must not find too little expected of it.
            flow.expected.fetch_add(flow.reach(self.number), Relaxed);
            flow.accepted.fetch_add(1, Relaxed);
        } else {
            *self.refused.entry(code).or_default() += 1;
            self.first_refusal.get_or_insert_with(|| reason.to_owned());
        }
        flow.answered.fetch_add(1, Relaxed);
        if let Timetable::Closed { think } = flow.timetable
            && !think.is_zero()
        {
            self.thinks_until_ns = now_ns() + nanos(think);
        }
    }

    /// The messages without an answer. After a new log-in they may be sent again: their ids keep them from being
    /// taken twice.
    pub fn unanswered(&self) -> impl Iterator<Item = Stamp> + '_ {
        let numbered = (0..).zip(&self.messages);
        let waiting = numbered.filter(|(_, message)| message.answered == Answered::Not);
        waiting.map(|(sequence, message)| Stamp {
            sender: self.number,
            sequence,
            intended_ns: message.intended_ns,
            lag_us: message.lag_us,
        })
    }

    /// Notes that a message will never get an answer; it stays unanswered and leaves the window. Without a schedule the
    /// next one follows after a pause.
    pub fn give_up(&mut self, flow: &Flow, reason: &str) {
        self.in_flight -= 1;
        self.first_refusal.get_or_insert_with(|| reason.to_owned());
        if let Timetable::Closed { think } = flow.timetable {
            self.thinks_until_ns = now_ns() + nanos(think.max(PAUSE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::plan::timetable::tests::every_millisecond;
    use crate::ledger::plan::{Shape, tests::plan};

    #[test]
    fn the_window_holds_messages_back_and_their_due_time_stays() {
        let flow = Flow::new(plan(Shape::World, 1, 1), 1_000_000, 2, every_millisecond());
        flow.start_ns.store(5_000_000, Relaxed);
        let control = Arc::new(Control::default());
        let mut sender = Sender::new(0);
        assert!(sender.next_due(&flow, &control).is_none(), "nothing is due");
        control.release(4);
        assert_eq!(sender.next_due(&flow, &control).unwrap().intended_ns, 5_000_000);
        assert_eq!(sender.next_due(&flow, &control).unwrap().intended_ns, 6_000_000);
        assert!(sender.next_due(&flow, &control).is_none(), "the window is full");
        assert!(sender.next_due(&flow, &control).is_none());
        assert_eq!(sender.waited, 1, "one message waits, however often it asks");
        sender.answer(&flow, 0, 200, "Success", 17);
        sender.answer(&flow, 0, 200, "Success", 17);
        assert_eq!(sender.next_due(&flow, &control).unwrap().intended_ns, 7_000_000);
        sender.answer(&flow, 1, 1011, "too many requests", 0);
        control.end_sending();
        assert!(sender.next_due(&flow, &control).is_none(), "sending is over");
        assert_eq!(sender.messages[0].offset, 17);
        assert_eq!(sender.refused, BTreeMap::from([(1011, 1)]));
        assert_eq!((flow.sent.load(Relaxed), flow.answered.load(Relaxed)), (3, 2));
    }

    /// Gives the sender's first message up, and says when that was and what came after it.
    fn given_up(timetable: Timetable) -> (u64, Sender, Option<Stamp>) {
        let flow = Flow::new(plan(Shape::World, 1, 1), 1_000_000, 1, timetable);
        flow.start_ns.store(5_000_000, Relaxed);
        let control = Arc::new(Control::default());
        control.release(1_000);
        let mut sender = Sender::new(0);
        sender.next_due(&flow, &control).expect("the first message");
        let before = now_ns();
        sender.give_up(&flow, "nobody is there");
        let next = sender.next_due(&flow, &control);
        (before, sender, next)
    }

    #[tokio::test]
    async fn who_gives_up_pauses_unless_there_is_a_schedule() {
        let (before, sender, _) = given_up(Timetable::Closed { think: Duration::ZERO });
        assert!(sender.thinks_until_ns >= before + nanos(PAUSE));
        let hour = Duration::from_secs(3_600);
        let (before, sender, next) = given_up(Timetable::Closed { think: hour });
        assert!(sender.thinks_until_ns >= before + nanos(hour) && next.is_none());
        assert_eq!(sender.unanswered().count(), 1);
        let (_, sender, next) = given_up(every_millisecond());
        assert_eq!((sender.thinks_until_ns, next.map(|stamp| stamp.sequence)), (0, Some(1)));
    }
}
