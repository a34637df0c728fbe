//! What entries of groups' logs do to the rooms: who joins gets in, who leaves gets out.
//!
//! Invariant: only the live stream, or the log where it is ahead of that, takes a connection out of a group's room.

use chat_protocol::GroupId;

use super::subscription_state::Read;
use super::{Connection, Hub};
use crate::groups::Joined;
use crate::model::Identity;
use crate::model::{Conversation, Effect, Entry, Topic};

impl Hub {
    /// Notes that a user has joined a group, perhaps without where.
    pub(super) fn has_joined(&self, identity: &Identity, joined: Option<Joined>) {
        if let Some(joined) = &joined {
            self.connections_of(identity)
                .iter()
                .for_each(|connection| connection.subscription.joined(joined));
        }
        self.resyncs.note(identity.clone(), joined.is_none());
    }

    /// Waits until every connection of the user follows the group they have joined, or has got what there was for
    /// them; not for ever. `since`: epoch and offset of their joining.
    pub async fn settle(&self, identity: &Identity, group: &GroupId, since: Option<(&str, u64)>) {
        let topic = Topic::Group(identity.app, group.clone());
        let follows = |connection: &Connection| {
            self.holds(connection, identity, &topic)
                || since.is_some_and(|(epoch, since)| connection.subscription.is_over(group, epoch, since))
        };
        let done = || self.connections_of(identity).iter().all(|connection| follows(connection));
        self.resyncs.settle(done).await;
    }

    /// Takes those out of the room who get nothing after this entry, unless they have it from the log and the log says
    /// otherwise. They are looked after again, because they may have joined anew before this entry was heard of here.
    pub(super) fn take_effect(&self, topic: &Topic, conversation: &Conversation, entry: &Entry) {
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
                let mut rooms = self.room_shard(&identity).lock();
                let own = rooms.members(&Topic::Inbox(*app, user.clone())).to_vec();
                let mut gone = own.clone();
                gone.retain(|connection| rooms.holds(topic, connection.id) && goes(connection, member));
                gone.iter().for_each(|connection| rooms.leave(topic, connection.id));
                drop(rooms);
                if !own.is_empty() {
                    self.resyncs.note(identity, false);
                }
            }
            Effect::Dismissed => self.for_each_shard_of(topic, |shard| {
                let gone = shard.lock().leave_all(topic, |connection| goes(connection, false));
                let identities = gone.iter().filter_map(|connection| connection.identity());
                identities.for_each(|identity| self.resyncs.note(identity, false));
            }),
        }
    }

    /// Ends the time in which a group's log was read for a connection that is in its room: what came live meanwhile is
    /// queued as far as it is for the user. False: they are no member, and the connection has left the room.
    pub(crate) fn entered(
        &self,
        connection: &Connection,
        identity: &Identity,
        group: &GroupId,
        read: Option<Read>,
    ) -> bool {
        let topic = Topic::Group(identity.app, group.clone());
        let conversation = Conversation::Group(identity.app, group.clone());
        // All that reaches the connection passes through this shard: nothing comes in between.
        let mut rooms = self.room_shard(identity).lock();
        let sent = read.as_ref().map(|read| read.position.clone());
        let entered = connection.subscription.entered(group, read);
        connection.outbox.discard(&conversation, |epoch, offset| !entered.gives(epoch, offset));
        connection.outbox.release(sent.map(|position| (conversation, position)));
        if !entered.stays() {
            rooms.leave(&topic, connection.id);
        }
        entered.stays()
    }
}
