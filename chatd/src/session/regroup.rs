//! Keeps connections in the rooms of their user's groups while they are open.
//!
//! Invariant: the store is the truth. Whenever a user is named, each of his connections follows exactly the groups
//! the store lists, and gets what was said since he joined a group before anything newer of it.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::{Refusal, UserId};

use super::missed::{self, Budget};
use crate::broker::{Broker, Conversation, Entry, Topic};
use crate::groups::{Groups, Joined};
use crate::hub::subscriptions::Subscriptions;
use crate::hub::{Connection, Hub, Identity, frame};

/// Users looked after at the same time.
const AT_ONCE: usize = 32;
/// Pause after a store failed.
const RETRY: Duration = Duration::from_millis(200);

/// See the file's head.
pub struct Regroup {
    hub: Arc<Hub>,
    subscriptions: Arc<Subscriptions>,
    groups: Arc<dyn Groups>,
    broker: Arc<dyn Broker>,
}

impl Regroup {
    /// Looks after the connections of this hub. [`Regroup::run`] does the work.
    pub fn new(
        hub: Arc<Hub>,
        subscriptions: Arc<Subscriptions>,
        groups: Arc<dyn Groups>,
        broker: Arc<dyn Broker>,
    ) -> Self {
        Self { hub, subscriptions, groups, broker }
    }

    /// Looks after users as they are named, for ever.
    pub async fn run(self: Arc<Self>) {
        use futures_util::StreamExt;
        loop {
            let named = self.hub.regroup.take().await;
            let failed: Vec<_> = futures_util::stream::iter(named)
                .map(|(identity, waiters)| async {
                    let error = self.look_after(&identity).await.err();
                    waiters.into_iter().for_each(|waiter| _ = waiter.send(()));
                    error.map(|error| (identity, error))
                })
                .buffer_unordered(AT_ONCE)
                .filter_map(std::future::ready)
                .collect()
                .await;
            if let Some((_, error)) = failed.first() {
                tracing::warn!(%error, users = failed.len(), "groups could not be followed; trying again");
                tokio::time::sleep(RETRY).await;
            }
            failed.into_iter().for_each(|(identity, _)| self.hub.regroup.note(identity));
        }
    }

    async fn look_after(&self, identity: &Identity) -> Result<(), Refusal> {
        let connections = self.hub.connections_of(identity);
        if connections.is_empty() {
            return Ok(());
        }
        let groups = self.groups.of_user(identity.app, &identity.user).await?;
        for connection in connections {
            self.leave_others(&connection, identity, &groups);
            for joined in &groups {
                let topic = Topic::Group(identity.app, joined.group.clone());
                if !self.hub.holds(&connection, identity, &topic) {
                    connection.outbox.hold();
                    let entered = self.enter(&connection, identity, joined, topic).await;
                    let sent = entered.as_ref().ok().cloned();
                    connection.outbox.release(sent);
                    entered?;
                }
            }
        }
        Ok(())
    }

    fn leave_others(&self, connection: &Connection, identity: &Identity, groups: &[Joined]) {
        for topic in connection.topics() {
            if let Topic::Group(app, group) = &topic
                && !(*app == identity.app && groups.iter().any(|joined| joined.group == *group))
            {
                self.subscriptions.unfollow(connection, &topic);
            }
        }
    }

    async fn enter(
        &self,
        connection: &Arc<Connection>,
        identity: &Identity,
        joined: &Joined,
        topic: Topic,
    ) -> Result<(Conversation, u64), Refusal> {
        self.subscriptions.follow(connection, std::slice::from_ref(&topic)).await?;
        let conversation = Conversation::Group(identity.app, joined.group.clone());
        let mut budget = Budget::within(self.hub.limits());
        let after = joined.since.max(connection.outbox.known(&conversation));
        let removed = |entry: &Entry| removes(entry, &identity.user);
        let missed = missed::read(&*self.broker, &conversation, None, after, &mut budget, removed).await?;
        for frame in missed.frames {
            connection.outbox.answer(frame);
        }
        if missed.ended {
            // Removed before the room was entered: what came since is not for this user.
            self.subscriptions.unfollow(connection, &topic);
            connection.outbox.discard(&conversation);
            return Ok((conversation, missed.last));
        }
        if !missed.complete {
            self.hub.missed(connection);
        }
        Ok((conversation, missed.head))
    }
}

/// Whether an entry of a group's log says that the user is no member any more.
fn removes(entry: &Entry, user: &UserId) -> bool {
    #[derive(serde::Deserialize)]
    struct Change {
        #[serde(rename = "type")]
        kind: String,
        from: UserId,
        member: Option<UserId>,
    }
    let Ok(change) = serde_json::from_slice::<Change>(&frame::data(entry)) else { return false };
    match change.kind.as_str() {
        "leave" => change.from == *user,
        "kick" => change.member.as_ref() == Some(user),
        "dismiss" => true,
        _ => false,
    }
}
