//! One encoded frame for everybody in a room.
//!
//! Invariant: a frame is encoded once; each outbox gets a handle of it, and none is waited for.

use std::sync::Arc;
use std::time::Duration;

use super::outbox::{Delivery, Pushed};
use super::rooms::{self, Rooms};
use super::{Connection, Hub, frame};
use crate::clock::{Clock, SystemClock};
use crate::model::{ConnectionId, Conversation, Entry, Notice, Skip, Topic};

impl Hub {
    /// Pushes a logged message to the readers of a topic.
    pub(crate) fn push(&self, topic: &Topic, conversation: &Conversation, entry: &Entry) {
        let lag_ms = SystemClock.now_ms().saturating_sub(entry.time);
        self.counters.delivery_lag.record(Duration::from_millis(lag_ms));
        let delivery = Delivery { frame: self.frame(entry), message: Some((conversation, entry)) };
        self.fan_out(topic, &delivery, &entry.skip);
        self.tell_observers(topic, conversation, &delivery);
        self.wake(conversation, entry.offset);
    }

    /// Pushes a notice to the readers of a topic; a mark to those who look. One about who comes or goes in a crowd may
    /// wait for others.
    pub(crate) fn notify(&self, topic: &Topic, notice: &Notice) {
        if !self.mark(topic, notice) && !self.thin(topic, notice) {
            self.fan_out(topic, &Delivery { frame: frame::notice(notice), message: None }, &notice.skip);
        }
    }

    /// Tells the readers of a topic that they cannot get all they should.
    pub(crate) fn lost(&self, topic: &Topic) {
        self.counters.losses.add(1);
        self.for_each_shard_of(topic, |shard| {
            shard.lock().members(topic).iter().for_each(|connection| self.missed(connection));
        });
        self.lost_to_observers(topic);
    }

    pub(super) fn fan_out(&self, topic: &Topic, delivery: &Delivery<'_>, skip: &Skip) {
        let (mut delivered, mut too_slow, mut known, mut closing) = (0, 0, 0, 0);
        self.for_each_shard_of(topic, |shard| {
            let rooms = shard.lock();
            let skipped = rooms.skipped(topic, skip);
            for connection in rooms.members(topic) {
                if skipped.contains(&connection.id) {
                    continue;
                }
                match connection.outbox.push(delivery) {
                    Pushed::Queued => delivered += 1,
                    Pushed::Known => known += 1,
                    Pushed::TooSlow => {
                        too_slow += 1;
                        self.note_missed(delivery, connection);
                    }
                    Pushed::Closing => {
                        closing += 1;
                        self.note_missed(delivery, connection);
                    }
                }
            }
        });
        self.counters.deliveries.add(delivered);
        self.counters.slow_closes.add(too_slow);
        if let (Some(journal), Some((conversation, entry))) = (self.journal(), delivery.message) {
            let counts = [delivered, too_slow + closing, known];
            let counts = counts.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            journal.delivered(topic, conversation, entry.offset, counts);
        }
    }

    fn note_missed(&self, delivery: &Delivery<'_>, connection: &Connection) {
        if let (Some(journal), Some((conversation, entry))) = (self.journal(), delivery.message) {
            journal.not_delivered(conversation, entry.offset, connection.id.number);
        }
    }
}

/// Who gets no copy among the members of a topic in one shard.
enum Skipped<'a> {
    Nobody,
    One(ConnectionId),
    Some(&'a [Arc<Connection>]),
}

impl Skipped<'_> {
    fn contains(&self, id: &ConnectionId) -> bool {
        match self {
            Skipped::Nobody => false,
            Skipped::One(skipped) => skipped == id,
            Skipped::Some(connections) => rooms::search(connections, *id).is_ok(),
        }
    }
}

impl Rooms {
    fn skipped(&self, topic: &Topic, skip: &Skip) -> Skipped<'_> {
        match skip {
            Skip::Nobody => Skipped::Nobody,
            Skip::Connection(id) => Skipped::One(*id),
            Skip::User(user) => {
                let (Topic::World(app) | Topic::Group(app, _) | Topic::Inbox(app, _)) = topic;
                Skipped::Some(self.members(&Topic::Inbox(*app, user.clone())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::hub::outbox::Limits;

    #[test]
    fn what_is_lost_is_counted_once_for_each_topic() {
        let counters = Arc::new(Counters::default());
        let hub = Hub::new(1, Limits { frames: 1, bytes: 1 }, counters.clone());
        hub.lost(&Topic::World(1));
        hub.lost(&Topic::World(2));
        assert_eq!(counters.losses.get(), 2);
    }
}
