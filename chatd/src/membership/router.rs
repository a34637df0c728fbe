//! Where what the broker delivers goes: to the rooms of its topic, and, of a group's log, to who is in them.
//!
//! Invariant: only the live stream, or the log where it is ahead of that, takes a connection out of a group's room.

use std::sync::Arc;

use super::resync_queue::ResyncQueue;
use crate::bans::{SENT_AWAY, sent_away};
use crate::broker::{Event, Sink};
use crate::groups::{JOINED, Joined};
use crate::hub::{Connection, Hub};
use crate::model::{Conversation, Effect, Entry, Identity, Notice, Topic};

/// The sink of this node.
pub struct Router {
    hub: Arc<Hub>,
    /// Who is to be looked after.
    resyncs: Arc<ResyncQueue>,
}

impl Router {
    /// Delivers to this hub, and queues there whose groups changed.
    #[must_use]
    pub fn new(hub: Arc<Hub>, resyncs: Arc<ResyncQueue>) -> Self {
        Self { hub, resyncs }
    }

    /// Notes that a user has joined a group, perhaps without where.
    fn joined(&self, identity: Identity, notice: &Notice) {
        let joined = Joined::told(notice);
        if let Some(joined) = &joined {
            let connections = self.hub.connections_of(&identity);
            connections.iter().for_each(|connection| connection.subscription.joined(joined));
        }
        self.resyncs.note(identity, joined.is_none());
    }

    /// Takes those out of the room who get nothing after this entry, unless they have it from the log and the log says
    /// otherwise. They are looked after again, because they may have joined anew before this entry was heard of here.
    fn take_effect(&self, topic: &Topic, conversation: &Conversation, entry: &Entry) {
        let Topic::Group(app, group) = topic else { return };
        let goes = |connection: &Connection, member| {
            !connection.outbox.knows(conversation, entry)
                && connection.subscription.changed(group, entry, member)
        };
        match &entry.effect {
            Effect::None => {}
            Effect::Joined(user) | Effect::Left(user) => {
                let identity = Identity { app: *app, user: user.clone() };
                let member = matches!(entry.effect, Effect::Joined(_));
                if self.hub.remove(&identity, topic, |connection| goes(connection, member)) {
                    self.resyncs.note(identity, false);
                }
            }
            Effect::Dismissed => {
                let gone = self.hub.remove_all(topic, |connection| goes(connection, false));
                let identities = gone.iter().filter_map(|connection| connection.identity());
                identities.for_each(|identity| self.resyncs.note(identity, false));
            }
        }
    }
}

impl Sink for Router {
    fn deliver(&self, topic: &Topic, event: &Event) {
        match event {
            Event::Message { conversation, entry } => {
                self.hub.push(topic, conversation, entry);
                self.take_effect(topic, conversation, entry);
            }
            Event::Notice(notice) => {
                if let Topic::Inbox(app, user) = topic {
                    let identity = Identity { app: *app, user: user.clone() };
                    match &*notice.cmd {
                        JOINED => self.joined(identity, notice),
                        SENT_AWAY => return self.hub.send_away(&identity, &sent_away(notice)),
                        _ => {}
                    }
                }
                self.hub.notify(topic, notice);
            }
        }
    }

    fn interrupted(&self, topic: &Topic) {
        if let Topic::Inbox(app, user) = topic {
            self.resyncs.note(Identity { app: *app, user: user.clone() }, true);
        }
    }

    fn lost(&self, topic: &Topic) {
        self.hub.lost(topic);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use chat_protocol::{GroupId, MsgId, UserId};
    use futures_util::FutureExt;

    use super::*;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;
    use crate::model::Skip;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn group() -> GroupId {
        GroupId::new("g").unwrap()
    }

    /// A node with two connections of `a` and one of `b` in the room of a group.
    struct Node {
        hub: Arc<Hub>,
        resyncs: Arc<ResyncQueue>,
        router: Router,
        connections: Vec<(Identity, Arc<Connection>)>,
    }

    impl Node {
        fn new() -> Self {
            let hub = Arc::new(Hub::new(1, Limits { frames: 10, bytes: 1000 }, Arc::default()));
            let resyncs = Arc::new(ResyncQueue::default());
            let router = Router::new(hub.clone(), resyncs.clone());
            let connections = ["a", "a", "b"].map(|name| {
                let (identity, connection) =
                    (Identity { app: 1, user: user(name) }, hub.open(Rope::default()));
                connection.begin(&identity);
                for topic in [Topic::Inbox(1, user(name)), Topic::Group(1, group())] {
                    hub.enter(&connection, &identity, &topic);
                }
                (identity, connection)
            });
            Self { hub, resyncs, router, connections: connections.into() }
        }

        fn logged(&self, offset: u64, effect: Effect) {
            let (msg_id, members) = (MsgId::new("m").unwrap(), Bytes::new());
            let (epoch, skip) = ("e".into(), Skip::Nobody);
            let entry = Entry { offset, epoch, time: 0, msg_id, members, skip, effect };
            let conversation = Conversation::Group(1, group());
            self.router.deliver(&Topic::Group(1, group()), &Event::Message { conversation, entry });
        }

        fn in_room(&self) -> Vec<bool> {
            let topic = Topic::Group(1, group());
            let connections = self.connections.iter();
            connections.map(|(identity, connection)| self.hub.holds(connection, identity, &topic)).collect()
        }

        /// Who waits for a resync, each with whether something may not have been heard.
        fn queued(&self) -> Vec<(String, bool)> {
            let taken: HashMap<_, _> = self.resyncs.take().now_or_never().unwrap_or_default();
            let mut queued: Vec<_> =
                taken.into_iter().map(|(identity, unheard)| (identity.user.to_string(), unheard)).collect();
            queued.sort_unstable();
            queued
        }
    }

    #[test]
    fn who_leaves_goes_with_every_connection_and_nobody_else_does() {
        let node = Node::new();
        node.logged(1, Effect::None);
        assert_eq!((node.in_room(), node.queued()), (vec![true, true, true], vec![]));
        node.logged(2, Effect::Left(user("a")));
        assert_eq!(node.in_room(), [false, false, true]);
        assert_eq!(node.queued(), [("a".to_owned(), false)]);
        node.logged(3, Effect::Left(user("elsewhere")));
        assert_eq!((node.in_room(), node.queued()), (vec![false, false, true], vec![]));
    }

    #[test]
    fn a_dismissal_takes_out_everybody_but_who_is_entering() {
        let node = Node::new();
        node.connections[1].1.subscription.enter(&group());
        node.logged(2, Effect::Dismissed);
        assert_eq!(node.in_room(), [false, true, false]);
        assert_eq!(node.queued(), [("a".to_owned(), false), ("b".to_owned(), false)]);
    }

    #[test]
    fn who_has_joined_is_queued_and_who_may_have_unheard_too() {
        let node = Node::new();
        let joined = Joined { group: group(), since: 5, epoch: "e".into() };
        let inbox = |name| Topic::Inbox(1, user(name));
        node.router.deliver(&inbox("a"), &Event::Notice(joined.notice(&user("a"))));
        node.router.deliver(&inbox("b"), &Event::Notice(crate::groups::notice(&group(), &user("b"))));
        assert_eq!(node.queued(), [("a".to_owned(), false), ("b".to_owned(), true)]);
        node.router.interrupted(&inbox("a"));
        node.router.interrupted(&Topic::Group(1, group()));
        assert_eq!(node.queued(), [("a".to_owned(), true)]);
        let subscription = &node.connections[0].1.subscription;
        assert!(subscription.open(), "each connection of theirs knows of the joining");
    }
}
