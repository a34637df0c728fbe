//! The subscribed topics of a shard and how far each was delivered.
//!
//! Invariant: a cursor only moves by one, or to where the log was read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::codec::Position;
use super::log::Cursor;
use crate::model::Topic;

/// Subscribed topics, each with how far it was delivered.
#[derive(Default)]
pub(super) struct Table {
    pub(super) slots: HashMap<Bytes, Slot>,
    /// Topics to be read from their logs, as soon as possible.
    pub(super) stale: HashSet<Bytes>,
    /// Those who asked for topics that are open now. The shard's own task answers them, so that nothing of an
    /// earlier subscription is still on its way to the sink when they hear of it.
    pub(super) opened: Vec<oneshot::Sender<()>>,
    next_life: u64,
}

/// A topic that is asked for.
pub(super) struct Slot {
    pub(super) topic: Arc<Topic>,
    /// Tells a subscription from an earlier one of the same topic.
    pub(super) life: u64,
    pub(super) state: State,
}

/// How far a subscription is.
pub(super) enum State {
    /// Not yet confirmed; `seen` is the greatest number that came meanwhile.
    Opening { seen: u64, waiting: Vec<oneshot::Sender<()>> },
    /// Delivering; while `stale`, only from the log. `interrupted`: what is in no log may have been missed.
    Open { cursor: Cursor, stale: bool, interrupted: bool },
}

/// A stale topic and where its delivery stands.
pub(super) struct Behind {
    pub(super) channel: Bytes,
    pub(super) topic: Arc<Topic>,
    pub(super) life: u64,
    pub(super) cursor: Cursor,
}

impl Table {
    /// Enters a topic that is not yet subscribed; `answer` is used when it is.
    pub(super) fn begin(&mut self, channel: &Bytes, topic: &Topic, answer: oneshot::Sender<()>) {
        self.next_life += 1;
        let state = State::Opening { seen: 0, waiting: vec![answer] };
        let slot = Slot { topic: Arc::new(topic.clone()), life: self.next_life, state };
        self.slots.insert(channel.clone(), slot);
    }

    /// Decides whether a payload from the bus is next; moves the cursor when it is.
    pub(super) fn admit(&mut self, channel: &Bytes, position: Option<&Position<'_>>) -> Option<Arc<Topic>> {
        let slot = self.slots.get_mut(channel)?;
        match (&mut slot.state, position) {
            (State::Opening { .. }, None) => None,
            (State::Opening { seen, .. }, Some(position)) => {
                *seen = (*seen).max(position.number);
                None
            }
            (State::Open { .. }, None) => Some(slot.topic.clone()),
            (State::Open { stale: true, .. }, Some(_)) => None,
            (State::Open { cursor, .. }, Some(position)) => {
                let same = *cursor.epoch == *position.epoch;
                let first = cursor.epoch.is_empty();
                if position.number == cursor.number + 1 && (same || first) {
                    if first {
                        cursor.epoch = position.epoch.into();
                    }
                    (cursor.number, cursor.time) = (position.number, position.time);
                    if position.last {
                        // What follows under this name is another log.
                        *cursor = Cursor::start();
                    }
                    return Some(slot.topic.clone());
                }
                if !same || position.number > cursor.number {
                    self.mark_stale(channel);
                }
                None
            }
        }
    }

    /// Leaves an open topic to its log until that was read.
    pub(super) fn mark_stale(&mut self, channel: &Bytes) {
        if let Some(Slot { state: State::Open { stale, .. }, .. }) = self.slots.get_mut(channel) {
            *stale = true;
            self.stale.insert(channel.clone());
        }
    }

    /// The topics whose logs are to be read now.
    pub(super) fn take_stale(&mut self) -> Vec<Behind> {
        let stale = std::mem::take(&mut self.stale);
        let behind = |channel: Bytes| {
            let slot = self.slots.get(&channel)?;
            let State::Open { cursor, .. } = &slot.state else { return None };
            Some(Behind { topic: slot.topic.clone(), life: slot.life, cursor: cursor.clone(), channel })
        };
        stale.into_iter().filter_map(behind).collect()
    }

    /// State of delivery, while the subscription that fell behind is the present one.
    pub(super) fn state_of(&mut self, behind: &Behind) -> Option<&mut State> {
        let slot = self.slots.get_mut(&behind.channel).filter(|slot| slot.life == behind.life)?;
        Some(&mut slot.state)
    }

    /// Notes that the bus may have brought less than was published to an open topic, and leaves it to its log.
    pub(super) fn mark_interrupted(&mut self, channel: &Bytes) {
        if let Some(Slot { state: State::Open { interrupted, .. }, .. }) = self.slots.get_mut(channel) {
            *interrupted = true;
            self.mark_stale(channel);
        }
    }

    /// Removes a topic.
    pub(super) fn forget(&mut self, channel: &Bytes) {
        self.slots.remove(channel);
        self.stale.remove(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Bytes = Bytes::from_static(b"channel");

    fn open(epoch: &str, number: u64) -> Table {
        let mut table = Table::default();
        let topic = Topic::Group(1, chat_protocol::GroupId::new("g").unwrap());
        table.begin(&CHANNEL, &topic, oneshot::channel().0);
        let cursor = Cursor { epoch: epoch.into(), number, time: 0 };
        let slot = table.slots.get_mut(&CHANNEL).unwrap();
        slot.state = State::Open { cursor, stale: false, interrupted: false };
        table
    }

    fn at(number: u64, epoch: &str, last: bool) -> Position<'_> {
        Position { number, epoch, time: 0, last }
    }

    #[test]
    fn what_follows_the_last_entry_is_another_log() {
        let mut table = open("old", 4);
        assert!(table.admit(&CHANNEL, Some(&at(5, "old", true))).is_some());
        assert!(table.admit(&CHANNEL, Some(&at(1, "new", false))).is_some());
        assert!(table.admit(&CHANNEL, Some(&at(2, "new", false))).is_some());
        assert!(table.take_stale().is_empty());
    }

    #[test]
    fn a_hole_or_another_epoch_is_left_to_the_log() {
        for (number, epoch) in [(6, "old"), (5, "new"), (1, "new")] {
            let mut table = open("old", 4);
            assert!(table.admit(&CHANNEL, Some(&at(number, epoch, false))).is_none());
            assert_eq!(table.take_stale().len(), 1, "{number} of {epoch}");
        }
        let mut table = open("old", 4);
        assert!(table.admit(&CHANNEL, Some(&at(4, "old", false))).is_none(), "it was delivered");
        assert!(table.take_stale().is_empty());
    }

    #[test]
    fn an_interruption_is_kept_until_the_log_was_read() {
        let mut table = open("old", 4);
        table.mark_interrupted(&CHANNEL);
        let behind = table.take_stale().pop().unwrap();
        table.mark_stale(&CHANNEL);
        let state = table.state_of(&behind).unwrap();
        assert!(matches!(state, State::Open { interrupted: true, stale: true, .. }));
    }
}
