//! Keeps connections in the rooms of their user's groups while they are open.
//!
//! Invariant: a connection gets what was said while its user was a member of a group, once and in order, however short
//! that was: from the log until it has reached the live stream, then from that.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{GroupId, Refusal};

use super::missed::{self, Budget};
use super::resync_queue::ResyncQueue;
use super::subscriptions::Subscriptions;
use crate::bans::Bans;
use crate::broker::Log;
use crate::groups::Groups;
use crate::hub::subscription_state::{Due, Read};
use crate::hub::{Connection, Hub};
use crate::model::epoch::history;
use crate::model::{Conversation, Effect, Entry, Identity, Position, Skip, Topic};

/// Users looked after at the same time.
const AT_ONCE: usize = 32;
/// Pause after a store failed.
const RETRY: Duration = Duration::from_millis(200);

/// Puts connections into the rooms of groups their users joined, and gives up those they are out of.
pub struct Resync {
    hub: Arc<Hub>,
    subscriptions: Arc<Subscriptions>,
    groups: Arc<dyn Groups>,
    log: Arc<dyn Log>,
    bans: Arc<dyn Bans>,
    queue: Arc<ResyncQueue>,
}

impl Resync {
    /// Looks after the connections of this hub whose users are queued. [`Resync::run`] does the work.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        subscriptions: Arc<Subscriptions>,
        groups: Arc<dyn Groups>,
        log: Arc<dyn Log>,
        bans: Arc<dyn Bans>,
        queue: Arc<ResyncQueue>,
    ) -> Self {
        Self { hub, subscriptions, groups, log, bans, queue }
    }

    /// Looks after users as they are queued, for ever.
    pub async fn run(self: Arc<Self>) {
        use futures_util::StreamExt;
        let resync = &*self;
        loop {
            let queued = self.queue.take().await;
            let failed: Vec<_> = futures_util::stream::iter(queued)
                .map(|(identity, unheard)| async move {
                    let error = resync.look_after(&identity, unheard).await.err();
                    error.map(|error| (identity, unheard, error))
                })
                .buffer_unordered(AT_ONCE)
                .filter_map(std::future::ready)
                .collect()
                .await;
            self.queue.done();
            if let Some((.., error)) = failed.first() {
                tracing::warn!(%error, users = failed.len(), "groups could not be followed; trying again");
                tokio::time::sleep(RETRY).await;
            }
            failed.into_iter().for_each(|(identity, unheard, _)| self.queue.note(identity, unheard));
        }
    }

    /// Waits until every connection of the user follows the group they have joined, or has got what there was for
    /// them; not for ever. `since`: epoch and offset of their joining.
    pub async fn settle(&self, identity: &Identity, group: &GroupId, since: Option<(&str, u64)>) {
        let topic = Topic::Group(identity.app, group.clone());
        let follows = |connection: &Connection| {
            self.hub.holds(connection, identity, &topic)
                || since.is_some_and(|(epoch, since)| connection.subscription.is_over(group, epoch, since))
        };
        let done = || self.hub.connections_of(identity).iter().all(|connection| follows(connection));
        self.queue.settle(done).await;
    }

    async fn look_after(&self, identity: &Identity, unheard: bool) -> Result<(), Refusal> {
        let connections = self.hub.connections_of(identity);
        if connections.is_empty() {
            return Ok(());
        }
        let mut listed = Vec::new();
        if unheard {
            // That they were banned may not have been heard of either.
            if let Some(ban) = self.bans.find(identity.app, &identity.user).await? {
                self.hub.send_away(identity, &ban.close());
                return Ok(());
            }
            listed = self.groups.of_user(identity.app, &identity.user).await?;
        }
        let topic = |group: &GroupId| Topic::Group(identity.app, group.clone());
        for connection in connections {
            self.tidy(&connection, identity);
            let in_room = |group: &GroupId| self.hub.holds(&connection, identity, &topic(group));
            for due in connection.subscription.due(&listed, in_room) {
                connection.subscription.enter(&due.group);
                connection.outbox.hold();
                let topic = topic(&due.group);
                let read = self.enter(&connection, identity, &due, &topic).await;
                self.entered(&connection, identity, &due.group, read.as_ref().ok().cloned());
                read?;
            }
        }
        Ok(())
    }

    /// Gives up topics whose rooms the connection was taken out of. Only the live stream takes it out: until that has
    /// told of the removal, there may be more to come from before it.
    fn tidy(&self, connection: &Connection, identity: &Identity) {
        for topic in connection.topics() {
            if matches!(topic, Topic::Group(..)) && !self.hub.holds(connection, identity, &topic) {
                self.subscriptions.unfollow(connection, &topic);
            }
        }
    }

    /// Enters the room and queues what the log has for the user.
    async fn enter(
        &self,
        connection: &Arc<Connection>,
        identity: &Identity,
        due: &Due,
        topic: &Topic,
    ) -> Result<Read, Refusal> {
        self.subscriptions.follow(connection, std::slice::from_ref(topic)).await?;
        let conversation = Conversation::Group(identity.app, due.group.clone());
        let mut budget = Budget::within(self.hub.limits());
        let known = connection.outbox.known(&conversation);
        let (mut member, mut readable) = (false, true);
        let encode = |entry: &Entry| {
            let given = match &entry.effect {
                Effect::Joined(user) if *user == identity.user => {
                    member = true;
                    false
                }
                Effect::Left(user) if *user == identity.user => std::mem::replace(&mut member, false),
                _ => member,
            };
            let has =
                known.as_ref().is_some_and(|known| known.covers(&entry.epoch, entry.offset) == Some(true));
            let skipped = skips(&entry.skip, connection, identity);
            if !given || has || skipped {
                return None;
            }
            let frame = self.hub.logged_frame(&conversation, entry);
            readable &= frame.is_some();
            frame
        };
        let missed = missed::read(&*self.log, &conversation, None, due.after, &mut budget, encode).await?;
        let position = Position { epoch: missed.epoch, offset: missed.head };
        if let Some(epoch) = due.only.as_ref().filter(|epoch| history(epoch) != history(&position.epoch)) {
            // Another group has the name by now.
            connection.subscription.forget(&due.group, epoch);
            return Ok(Read { position, member: false });
        }
        for frame in missed.frames {
            connection.outbox.answer(frame);
        }
        if !missed.complete || !readable {
            self.hub.missed(connection);
        }
        Ok(Read { position, member })
    }

    /// Ends the time in which a group's log was read for a connection that is in its room: what came live meanwhile is
    /// queued as far as it is for the user, who leaves the room if they are no member.
    fn entered(&self, connection: &Connection, identity: &Identity, group: &GroupId, read: Option<Read>) {
        let topic = Topic::Group(identity.app, group.clone());
        let conversation = Conversation::Group(identity.app, group.clone());
        let settle = || {
            let sent = read.as_ref().map(|read| read.position.clone());
            let entered = connection.subscription.entered(group, read);
            connection.outbox.discard(&conversation, |epoch, offset| !entered.gives(epoch, offset));
            connection.outbox.release(sent.map(|position| (conversation, position)));
            entered.stays()
        };
        if !self.hub.settle(connection, identity, &topic, settle) {
            self.subscriptions.unfollow(connection, &topic);
        }
    }
}

/// Whether the connection would have got no copy of a live delivery.
fn skips(skip: &Skip, connection: &Connection, identity: &Identity) -> bool {
    match skip {
        Skip::Nobody => false,
        Skip::User(user) => *user == identity.user,
        Skip::Connection(id) => *id == connection.id,
    }
}
