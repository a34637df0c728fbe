//! Which conversation a connection looks at, and the marks that matter to those who look only: who is typing, and how far
//! others have read.
//!
//! Invariant: a mark costs nothing where nobody looks, and nothing where more do than [`MAX_WATCHING`]; it reaches members
//! only, never closes a slow reader, and is kept nowhere.

use std::collections::HashMap;
use std::sync::Arc;

use chat_protocol::Target;
use chat_protocol::session::{MAX_WATCHING, READ, TYPING};
use parking_lot::Mutex;

use super::outbox::Delivery;
use super::{Connection, Hub, frame};
use crate::model::{Conversation, Notice, Skip, Topic};

/// Who looks at what. Whoever looks at nothing takes no memory.
#[derive(Debug, Default)]
pub(super) struct Watching(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    /// What a connection looks at, by its number.
    of: HashMap<u64, Conversation>,
    at: HashMap<Conversation, HashMap<u64, Arc<Connection>>>,
}

impl Looks {
    fn turn(&mut self, connection: &Arc<Connection>, next: Option<Conversation>) {
        let number = connection.id.number;
        let before = match next.clone() {
            Some(next) => self.of.insert(number, next),
            None => self.of.remove(&number),
        };
        if let Some(before) = before
            && let Some(connections) = self.at.get_mut(&before)
        {
            connections.remove(&number);
            if connections.is_empty() {
                self.at.remove(&before);
            }
        }
        if let Some(next) = next {
            self.at.entry(next).or_default().insert(number, connection.clone());
        }
    }

    /// Those who look, unless they are too many.
    fn few_at(&self, conversation: &Conversation) -> Vec<Arc<Connection>> {
        let few = self.at.get(conversation).filter(|connections| connections.len() <= MAX_WATCHING);
        few.map(|connections| connections.values().cloned().collect()).unwrap_or_default()
    }
}

impl Hub {
    /// The connection looks at another conversation from now on, or at none.
    pub fn watch(&self, connection: &Arc<Connection>, conversation: Option<Conversation>) {
        // It cannot end meanwhile.
        connection.following(|_| self.watching.0.lock().turn(connection, conversation));
    }

    /// Whether so many look at a conversation here that it has no marks.
    #[must_use]
    pub fn is_crowded(&self, conversation: &Conversation) -> bool {
        let looks = self.watching.0.lock();
        looks.at.get(conversation).is_some_and(|connections| connections.len() > MAX_WATCHING)
    }

    /// Delivers a mark to those who look. False: the notice is none.
    pub(super) fn mark(&self, topic: &Topic, notice: &Notice) -> bool {
        if ![TYPING, READ].contains(&&*notice.cmd) {
            return false;
        }
        let Some(conversation) = marked(topic, &notice.skip) else { return true };
        let watching = self.watching.0.lock().few_at(&conversation);
        if watching.is_empty() {
            return true;
        }
        let frame = frame::notice(notice);
        for connection in watching {
            let Some(identity) = connection.identity() else { continue };
            let is_own = matches!(&notice.skip, Skip::User(user) if *user == identity.user);
            let is_member = self.holds(&connection, &identity, topic);
            if !is_own && is_member && connection.outbox.has_room() {
                connection.outbox.push(&Delivery { frame: frame.clone(), message: None });
            }
        }
        true
    }
}

/// Which conversation a mark is of; in an inbox it is that with whom it comes from.
fn marked(topic: &Topic, skip: &Skip) -> Option<Conversation> {
    match (topic, skip) {
        (Topic::World(app), _) => Some(Conversation::World(*app)),
        (Topic::Group(app, group), _) => Some(Conversation::Group(*app, group.clone())),
        (Topic::Inbox(app, user), Skip::User(from)) => {
            Some(Conversation::of(*app, user, &Target::User(from.clone())))
        }
        (Topic::Inbox(..), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chat_protocol::{GroupId, UserId};

    use super::super::bell::Rope;
    use super::super::outbox::Limits;
    use super::*;
    use crate::model::Identity;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn hub() -> Hub {
        Hub::new(1, Limits { frames: 1000, bytes: 1 << 20 }, Arc::default())
    }

    fn enter(hub: &Hub, name: &str, topics: &[Topic]) -> Arc<Connection> {
        let (identity, connection) = (Identity { app: 1, user: user(name) }, hub.open(Rope::default()));
        connection.begin(&identity);
        for topic in [&[Topic::Inbox(1, user(name))], topics].concat() {
            hub.enter(&connection, &identity, &topic);
        }
        connection
    }

    fn typing(hub: &Hub, topic: &Topic, from: &str) {
        let notice =
            Notice { cmd: TYPING.into(), data: Bytes::from_static(b"{}"), skip: Skip::User(user(from)) };
        hub.notify(topic, &notice);
    }

    fn is_empty(hub: &Hub) -> bool {
        let looks = hub.watching.0.lock();
        looks.of.is_empty() && looks.at.is_empty()
    }

    #[test]
    fn who_looks_is_told_and_nobody_else_is() {
        let hub = hub();
        let group = Topic::Group(1, GroupId::new("g").unwrap());
        let conversation = Conversation::Group(1, GroupId::new("g").unwrap());
        let [looks, other, own] =
            ["looks", "other", "own"].map(|name| enter(&hub, name, std::slice::from_ref(&group)));
        let outsider = enter(&hub, "outsider", &[]);
        for connection in [&looks, &own, &outsider] {
            hub.watch(connection, Some(conversation.clone()));
        }
        typing(&hub, &group, "own");
        let told = |connection: &Connection| connection.outbox.waiting() > 0;
        assert_eq!([&looks, &other, &own, &outsider].map(|one| told(one)), [true, false, false, false]);
        // A pair: only who looks at the one it comes from.
        hub.watch(&other, Some(Conversation::of(1, &user("other"), &Target::User(user("own")))));
        typing(&hub, &Topic::Inbox(1, user("other")), "looks");
        assert!(!told(&other));
        typing(&hub, &Topic::Inbox(1, user("other")), "own");
        assert!(told(&other));
    }

    #[test]
    fn nobody_is_told_where_many_look_and_what_has_ended_is_forgotten() {
        let hub = hub();
        let world = Topic::World(1);
        let all: Vec<_> = (0..=MAX_WATCHING)
            .map(|number| enter(&hub, &format!("u{number}"), std::slice::from_ref(&world)))
            .collect();
        all.iter().for_each(|connection| hub.watch(connection, Some(Conversation::World(1))));
        typing(&hub, &world, "u0");
        assert!(all.iter().all(|connection| connection.outbox.waiting() == 0));
        assert!(hub.is_crowded(&Conversation::World(1)));
        hub.watch(&all[0], None);
        typing(&hub, &world, "u0");
        assert!(!hub.is_crowded(&Conversation::World(1)));
        assert_eq!(all.iter().filter(|connection| connection.outbox.waiting() > 0).count(), MAX_WATCHING);
        all.iter().for_each(|connection| hub.watch(connection, None));
        assert!(is_empty(&hub));
        all[1].end();
        hub.watch(&all[1], Some(Conversation::World(1)));
        assert!(is_empty(&hub), "one that has ended looks at nothing");
    }
}
