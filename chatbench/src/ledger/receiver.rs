//! The ledger of one connection: which messages came, how often, in what order.
//!
//! Invariant: a delivery costs no allocation and no lock of its own.

use std::collections::BTreeMap;

use chat_protocol::Target;
use chat_protocol::session::{Position, Recovered};
use serde::{Deserialize, Serialize};

use crate::clock::micros_between;
use crate::ledger::bitset::Bitset;
use crate::ledger::flow::Flow;
use crate::ledger::recorder::{BATCH, Entry, UNTIMED};
use crate::net::payload::{Reading, Stamp};
use crate::net::scan::{self, Delivery, Frame};

/// Longest time a connection gathers deliveries, so that a time series shows them when they came.
const LONGEST_HOLD_NS: u64 = 100_000_000;

/// Counts of the warm-up or of the measured part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Came again.
    pub duplicated: u64,
    /// Came after a message with a higher number of the same conversation.
    pub reordered: u64,
    /// Came later than the bound after the intended send.
    pub late: u64,
}

/// What one connection saw.
#[derive(Debug)]
pub struct Receiver {
    /// Marks of the messages that came, see [`crate::ledger::plan::Plan::mark`].
    pub seen: Bitset,
    /// Counts of the warm-up, then of the measured part.
    pub tallies: [Tally; 2],
    /// Messages this connection must not get: its own, or those of another pair.
    pub stray: u64,
    /// Messages of this run whose text was not what was sent.
    pub corrupted: u64,
    /// Messages from elsewhere, and frames that are none.
    pub foreign: u64,
    /// How often the conversation began a new history.
    pub epoch_changes: u64,
    /// Deliveries that recovery brought after a reconnect.
    pub recovered: u64,
    /// Recoveries the server called incomplete.
    pub gaps: u64,
    /// Sum of what each first delivery and its number mix to, see [`mix`].
    pub numbers: u64,
    /// Number of the last message in order.
    pub last_offset: u64,
    /// When the last measured message came, in nanoseconds of [`crate::clock`].
    pub last_delivery_ns: u64,
    connection: u32,
    /// Counts by sender, of those that count anything.
    pub by_sender: BTreeMap<u32, Tally>,
    epoch: Box<[u8]>,
    handed_over_ns: u64,
    batch: Vec<Entry>,
    pushes: u64,
    fresh: u64,
    recovery: Option<Box<Recovery>>,
    /// After how many milliseconds the server that lets it go wants it back.
    away_ms: u32,
}

/// A recovery under way.
#[derive(Debug)]
struct Recovery {
    /// Messages up to this number were missed.
    until: u64,
    /// When the client might reconnect.
    floor_ns: u64,
    /// When the last of them came; at first, when the log-in was answered.
    last_ns: u64,
}

/// A message and its number as one value: two sums of these are equal when all numbers are, and hardly ever else.
pub fn mix(mark: u32, offset: u64) -> u64 {
    let value = (u64::from(mark) ^ offset.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ (value >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

impl Receiver {
    /// The empty ledger of a connection.
    pub fn new(connection: u32) -> Self {
        Self {
            seen: Bitset::default(),
            tallies: [Tally::default(); 2],
            stray: 0,
            corrupted: 0,
            foreign: 0,
            epoch_changes: 0,
            recovered: 0,
            gaps: 0,
            numbers: 0,
            last_offset: 0,
            last_delivery_ns: 0,
            connection,
            by_sender: BTreeMap::new(),
            epoch: Box::default(),
            handed_over_ns: 0,
            batch: Vec::new(),
            pushes: 0,
            fresh: 0,
            recovery: None,
            away_ms: 0,
        }
    }

    /// Where the connection stands in the conversation it follows.
    pub fn position(&self, target: &Target) -> Position {
        let epoch = String::from_utf8_lossy(&self.epoch).into_owned();
        Position { target: target.clone(), epoch, offset: self.last_offset }
    }

    /// The client is back in since `now_ns`; `recovered` is what the server says it can give back.
    pub fn begin_recovery(&mut self, flow: &Flow, recovered: Option<Recovered>, floor_ns: u64, now_ns: u64) {
        self.end_recovery(flow);
        // Who asked and got no word about it knows of no message that will come.
        self.gaps += u64::from(!recovered.as_ref().is_some_and(|recovered| recovered.complete));
        let until = recovered.as_ref().map_or(0, |recovered| recovered.offset);
        if let Some(recovered) = &recovered {
            self.enter_epoch(recovered.epoch.as_bytes());
        }
        self.recovery = Some(Box::new(Recovery { until, floor_ns, last_ns: now_ns }));
        if until <= self.last_offset {
            self.end_recovery(flow);
        }
    }

    /// Notes how long the recovery took, if one is under way.
    pub fn end_recovery(&mut self, flow: &Flow) {
        if let Some(recovery) = self.recovery.take() {
            let us = micros_between(recovery.floor_ns, recovery.last_ns).max(1);
            flow.journal().recovery.saturating_record(us);
        }
    }

    fn enter_epoch(&mut self, epoch: &[u8]) {
        if *epoch != *self.epoch {
            self.epoch_changes += u64::from(!self.epoch.is_empty());
            self.epoch = epoch.into();
            self.last_offset = 0;
        }
    }

    /// Whether recovery brought this message. The first message behind the missed ones ends the recovery.
    fn recovers(&mut self, flow: &Flow, offset: u64, now_ns: u64) -> bool {
        let Some(recovery) = &mut self.recovery else { return false };
        let missed = offset <= recovery.until;
        if missed {
            recovery.last_ns = now_ns;
        }
        if offset >= recovery.until {
            self.end_recovery(flow);
        }
        missed
    }

    /// For how many milliseconds the client is to stay away, as the server said that let it go; asked once.
    pub fn take_away_ms(&mut self) -> u64 {
        std::mem::take(&mut self.away_ms).into()
    }

    /// Which connection this is the ledger of.
    pub fn connection(&self) -> u32 {
        self.connection
    }

    /// Takes a frame that came at `now_ns`; gives it back when it is an answer.
    pub fn take<'f>(&mut self, flow: &Flow, text: &'f [u8], now_ns: u64) -> Option<scan::Answer<'f>> {
        let scanned = scan::scan(text, flow.plan.payload.bytes());
        if let Some(Frame::Delivery(delivery)) = &scanned
            && let Reading::Ours(stamp) = flow.plan.payload.read(&delivery.text)
        {
            self.deliver(flow, delivery, stamp, now_ns);
            self.pushes += 1;
            return None;
        }
        // The scan trusts the length of a text; where the text then reads badly, the parser has the last word.
        let frame = match scanned {
            Some(frame @ (Frame::Other | Frame::Answer(_))) => frame,
            _ => scan::parse(text),
        };
        match frame {
            Frame::Answer(answer) => return Some(answer),
            // News of a group: who joined or left.
            Frame::Delivery(delivery) if delivery.text.is_empty() => {
                self.recovers(flow, delivery.offset, now_ns);
            }
            Frame::Delivery(delivery) => match flow.plan.payload.read(&delivery.text) {
                Reading::Ours(stamp) => self.deliver(flow, &delivery, stamp, now_ns),
                Reading::Corrupt => self.corrupted += 1,
                Reading::Foreign => self.foreign += 1,
            },
            Frame::Parting(ms) => self.away_ms = u32::try_from(ms).unwrap_or(u32::MAX),
            Frame::Other => {}
            Frame::Unreadable => self.foreign += 1,
        }
        self.pushes += 1;
        None
    }

    fn deliver(&mut self, flow: &Flow, delivery: &Delivery<'_>, stamp: Stamp, now_ns: u64) {
        let Some(index) = flow.plan.index(stamp.sender, stamp.sequence) else {
            self.corrupted += 1;
            return;
        };
        let recovered = self.recovers(flow, delivery.offset, now_ns);
        let Some(mark) = flow.plan.mark(self.connection, stamp.sender, stamp.sequence) else {
            // Recovery reads the log, and there a sender's own messages are.
            let own = flow.plan.sender_at(self.connection) == Some(stamp.sender);
            self.stray += u64::from(!(recovered && own));
            return;
        };
        let measured = flow.measured(stamp.intended_ns);
        if !self.seen.insert(mark) {
            self.tallies[usize::from(measured)].duplicated += 1;
            self.by_sender.entry(stamp.sender).or_default().duplicated += 1;
            return;
        }
        self.fresh += 1;
        self.recovered += u64::from(recovered);
        self.numbers = self.numbers.wrapping_add(mix(mark, delivery.offset));
        self.enter_epoch(&delivery.epoch);
        if delivery.offset <= self.last_offset {
            self.tallies[usize::from(measured)].reordered += 1;
            self.by_sender.entry(stamp.sender).or_default().reordered += 1;
        } else {
            self.last_offset = delivery.offset;
        }
        let us = micros_between(stamp.intended_ns, now_ns);
        // How late a recovered message is, is for how long its receiver was away.
        if us > flow.late_us && !recovered {
            self.tallies[usize::from(measured)].late += 1;
            self.by_sender.entry(stamp.sender).or_default().late += 1;
        }
        let latency_us =
            if measured && !recovered { u32::try_from(us).unwrap_or(UNTIMED - 1) } else { UNTIMED };
        if measured {
            self.last_delivery_ns = now_ns;
        }
        self.batch.push(Entry { index, latency_us, lag_us: stamp.lag_us, offset: delivery.offset });
        if self.batch.len() >= BATCH || now_ns.saturating_sub(self.handed_over_ns) >= LONGEST_HOLD_NS {
            self.handed_over_ns = now_ns;
            self.hand_over(flow);
        }
    }

    /// Adds to the live counts what came since the last call.
    pub fn publish(&mut self, flow: &Flow) {
        if self.pushes > 0 {
            // Nothing is expected of a slow reader, so nothing it got may stand for what is.
            let fresh = if flow.plan.is_slow(self.connection) { 0 } else { self.fresh };
            flow.recorder(self.connection).count(self.pushes, fresh);
            (self.pushes, self.fresh) = (0, 0);
        }
    }

    /// Hands over what is gathered. To be called at the end.
    pub fn hand_over(&mut self, flow: &Flow) {
        flow.recorder(self.connection).record(&self.batch);
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::plan::timetable::tests::every_millisecond;
    use crate::ledger::plan::{Shape, tests::plan};

    fn flow() -> Flow {
        let flow = Flow::new(plan(Shape::World, 2, 1), 1_000_000, 8, every_millisecond());
        flow.measure_ns.store(1000, std::sync::atomic::Ordering::Relaxed);
        flow
    }

    fn frame(flow: &Flow, sequence: u32, intended_ns: u64, offset: u64) -> String {
        let mut text = String::new();
        flow.plan.payload.write(&Stamp { sender: 0, sequence, intended_ns, lag_us: 0 }, &mut text);
        format!(
            r#"{{"seq":"m","cmd":"msg","response":{{"code":200,"codeMsg":"Ok","data":{{"msg":"{text}","offset":{offset},"epoch":"e"}}}}}}"#
        )
    }

    #[test]
    fn each_delivery_is_counted_for_what_it_is() {
        let flow = flow();
        let mut receiver = Receiver::new(0);
        for (sequence, offset) in [(0, 1), (1, 3), (2, 2), (2, 2), (3, 4)] {
            let frame = frame(&flow, sequence, 1000, offset);
            assert_eq!(receiver.take(&flow, frame.as_bytes(), 3000), None);
        }
        assert_eq!(receiver.tallies[1], Tally { duplicated: 1, reordered: 1, late: 0 });
        assert_eq!(receiver.tallies[0], Tally::default());
        assert_eq!((receiver.seen.count(), receiver.last_offset), (4, 4));
        receiver.hand_over(&flow);
        receiver.publish(&flow);
        assert_eq!((flow.tape().e2e.len(), flow.deliveries(), flow.pushes()), (4, 4, 5));
    }

    #[test]
    fn who_is_let_go_knows_for_how_long_to_stay_away() {
        let (flow, mut receiver) = (flow(), Receiver::new(0));
        let parting = r#"{"seq":"","cmd":"system/drain","response":{"code":200,"codeMsg":"Ok","data":{"reconnectInMs":420}}}"#;
        assert_eq!(receiver.take(&flow, parting.as_bytes(), 1), None);
        assert_eq!([receiver.take_away_ms(), receiver.take_away_ms(), receiver.foreign], [420, 0, 0]);
    }

    #[test]
    fn warm_up_late_stray_and_corrupted_are_apart() {
        let flow = flow();
        let mut receiver = Receiver::new(0);
        receiver.take(&flow, frame(&flow, 0, 999, 1).as_bytes(), 2_000_000_000);
        assert_eq!(receiver.tallies[0].late, 1);
        let spoiled = frame(&flow, 1, 1000, 2).replace("cb1 run 0 1", "cb1 run 0 x");
        receiver.take(&flow, spoiled.as_bytes(), 2000);
        receiver.take(&flow, b"not json", 2000);
        assert_eq!((receiver.corrupted, receiver.foreign), (1, 1));
        let mut sender = Receiver::new(2);
        sender.take(&flow, frame(&flow, 0, 1000, 1).as_bytes(), 2000);
        assert_eq!((sender.stray, sender.seen.count()), (1, 0));
        receiver.hand_over(&flow);
        assert_eq!(flow.tape().e2e.len(), 0, "the warm-up is not timed");
    }
}
