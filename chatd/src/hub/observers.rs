//! Connections that read along in conversations of others.
//!
//! Invariant: who observes is in no room, so that nobody counts them; where nobody observes, a message costs one look at
//! a number. What reaches an observer passes through the same bounded outbox as what reaches a user.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::outbox::{Delivery, Pushed};
use super::{Connection, Hub};
use crate::model::{Conversation, Topic};

/// Who observes what.
#[derive(Debug, Default)]
pub(super) struct Observers {
    /// How many places there are in all conversations.
    places: AtomicUsize,
    of: Mutex<HashMap<Conversation, Vec<Arc<Connection>>>>,
}

impl Hub {
    /// The connection gets what is said in a conversation from now on.
    pub(crate) fn observe(&self, connection: &Arc<Connection>, conversation: &Conversation) {
        let mut of = self.observers.of.lock();
        of.entry(conversation.clone()).or_default().push(connection.clone());
        self.observers.places.fetch_add(1, Ordering::SeqCst);
    }

    /// It gets that no more.
    pub(crate) fn observe_no_more(&self, connection: &Connection, conversation: &Conversation) {
        let mut of = self.observers.of.lock();
        let Some(observers) = of.get_mut(conversation) else { return };
        let Some(index) = observers.iter().position(|observer| observer.id == connection.id) else { return };
        observers.swap_remove(index);
        if observers.is_empty() {
            of.remove(conversation);
        }
        self.observers.places.fetch_sub(1, Ordering::SeqCst);
    }

    /// Pushes a message that a topic brought to those who observe its conversation, once where two topics bring it.
    pub(super) fn tell_observers(&self, topic: &Topic, conversation: &Conversation, delivery: &Delivery<'_>) {
        if self.observers.places.load(Ordering::SeqCst) == 0 || !conversation.is_carried_by(topic) {
            return;
        }
        let observers = self.observers.of.lock().get(conversation).cloned().unwrap_or_default();
        for observer in observers {
            match observer.outbox.push(delivery) {
                Pushed::Queued => self.counters.deliveries.add(1),
                Pushed::TooSlow => self.counters.slow_closes.add(1),
                Pushed::Known | Pushed::Closing => {}
            }
        }
    }

    /// Tells those who observe what a topic brings that they cannot get all of it.
    pub(super) fn lost_to_observers(&self, topic: &Topic) {
        let of = self.observers.of.lock();
        let lost = of.iter().filter(|(conversation, _)| conversation.carrier() == *topic);
        lost.flat_map(|(_, observers)| observers).for_each(|observer| self.missed(observer));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chat_protocol::code::close;
    use chat_protocol::{GroupId, MsgId, Target, UserId};

    use super::*;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;
    use crate::model::{Effect, Entry, Skip};

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn hub() -> Hub {
        Hub::new(1, Limits { frames: 10, bytes: 10_000 }, Arc::default())
    }

    fn said(hub: &Hub, conversation: &Conversation, offset: u64) {
        let (msg_id, members) = (MsgId::new("m").unwrap(), Bytes::from_static(br#""msg":"x""#));
        let skip = Skip::User(user("a"));
        let entry = Entry { offset, epoch: "e".into(), time: 0, msg_id, members, skip, effect: Effect::None };
        conversation.topics().iter().for_each(|topic| hub.push(topic, conversation, &entry));
    }

    fn frames(connection: &Connection) -> usize {
        connection.outbox.left().frames
    }

    #[test]
    fn an_observer_gets_each_message_of_its_conversation_once_and_nothing_after_the_end() {
        let hub = hub();
        let pair = |b: &str| Conversation::of(1, &user("a"), &Target::User(user(b)));
        let (observed, other, own) = (pair("b"), pair("c"), pair("a"));
        let observer = hub.open(Rope::default());
        for conversation in [&observed, &own] {
            hub.observe(&observer, conversation);
            said(&hub, conversation, 1);
            said(&hub, &other, 1);
        }
        assert_eq!(frames(&observer), 2);
        assert_eq!((hub.sessions(), hub.users()), (0, 0));
        hub.observe_no_more(&observer, &observed);
        hub.observe_no_more(&observer, &observed);
        said(&hub, &observed, 2);
        said(&hub, &own, 2);
        assert_eq!(frames(&observer), 3);
        hub.observe_no_more(&observer, &own);
        assert_eq!(hub.observers.places.load(Ordering::SeqCst), 0);
        assert!(hub.observers.of.lock().is_empty());
    }

    #[test]
    fn an_observer_that_cannot_get_all_is_told_and_no_other_is() {
        let hub = hub();
        let group = |name: &str| GroupId::new(name).unwrap();
        let [told, other, slow] = [(); 3].map(|()| hub.open(Rope::default()));
        hub.observe(&told, &Conversation::Group(1, group("g")));
        hub.observe(&other, &Conversation::Group(1, group("h")));
        hub.observe(&slow, &Conversation::World(1));
        hub.lost(&Topic::Group(1, group("g")));
        (0..11).for_each(|offset| said(&hub, &Conversation::World(1), offset + 1));
        let codes = [&told, &other, &slow].map(|one| one.outbox.closing().map(|close| close.code));
        assert_eq!(codes, [Some(close::MISSED_MESSAGES), None, Some(close::SLOW_CONSUMER)]);
    }
}
