//! Which topics this node follows: the broker is asked when the first connection needs one, and told some time
//! after the last has gone.
//!
//! Invariant: a topic with a connection in its room is subscribed, or the log-in that needs it is still waiting.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Connection, Hub, Identity};
use crate::broker::{Broker, BrokerError, Topic};

/// Sweeps a topic stays subscribed without readers, so that a reconnect finds it.
const LINGER_SWEEPS: u32 = 5;

/// See the file's head.
pub struct Subscriptions {
    hub: Arc<Hub>,
    broker: Arc<dyn Broker>,
    topics: Mutex<HashMap<Topic, Followed>>,
}

#[derive(Default)]
struct Followed {
    subscribed: Arc<OnceCell<()>>,
    readers: usize,
    idle_sweeps: u32,
}

/// A connection's place in the rooms of its topics, until dropped.
pub struct Membership {
    subscriptions: Arc<Subscriptions>,
    connection: Arc<Connection>,
    identity: Identity,
    topics: Vec<(Topic, Arc<OnceCell<()>>)>,
    left: Box<dyn FnOnce(&Identity) + Send + Sync>,
}

impl Subscriptions {
    /// Follows nothing yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>, broker: Arc<dyn Broker>) -> Self {
        Self { hub, broker, topics: Mutex::default() }
    }

    /// Puts the connection into the rooms of `topics`. `left` is called when it has left them again.
    pub fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: &Identity,
        topics: Vec<Topic>,
        left: Box<dyn FnOnce(&Identity) + Send + Sync>,
    ) -> Membership {
        self.hub.enter(connection, identity, &topics);
        let mut known = self.topics.lock();
        let follow = |topic: Topic| {
            let followed = known.entry(topic.clone()).or_default();
            followed.readers += 1;
            followed.idle_sweeps = 0;
            (topic, followed.subscribed.clone())
        };
        let topics = topics.into_iter().map(follow).collect();
        let (connection, identity) = (connection.clone(), identity.clone());
        Membership { subscriptions: self.clone(), connection, identity, topics, left }
    }

    /// Gives up topics that nobody has needed for a while. Called every second or so.
    pub fn sweep(&self) {
        self.topics.lock().retain(|topic, followed| {
            if followed.readers > 0 || followed.idle_sweeps < LINGER_SWEEPS {
                followed.idle_sweeps += 1;
                return true;
            }
            // Also when no log-in waited for the subscription to the end: the broker may have got it nevertheless.
            self.broker.unsubscribe(topic);
            false
        });
    }
}

impl Membership {
    /// Who is in the rooms.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns once every later message of the topics reaches the connection.
    ///
    /// # Errors
    /// What the broker says when it cannot subscribe.
    pub async fn subscribed(&self) -> Result<(), BrokerError> {
        let broker = &self.subscriptions.broker;
        let subscribe = self
            .topics
            .iter()
            .map(|(topic, subscribed)| subscribed.get_or_try_init(move || broker.subscribe(topic)));
        futures_util::future::try_join_all(subscribe).await.map(|_| ())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let topics: Vec<_> = self.topics.drain(..).map(|(topic, _)| topic).collect();
        self.subscriptions.hub.leave(&self.connection, &self.identity, &topics);
        let mut known = self.subscriptions.topics.lock();
        for topic in &topics {
            if let Some(followed) = known.get_mut(topic) {
                followed.readers -= 1;
                followed.idle_sweeps = 0;
            }
        }
        drop(known);
        let left = std::mem::replace(&mut self.left, Box::new(|_| ()));
        left(&self.identity);
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::broker::{Conversation, Notice, Outgoing, Page, Range, Receipt};
    use crate::counters::Counters;
    use crate::hub::outbox::Limits;

    /// A broker that never confirms a subscription.
    #[derive(Default)]
    struct Slow {
        ended: Mutex<Vec<Topic>>,
    }

    #[async_trait]
    impl Broker for Slow {
        async fn append(&self, _: Outgoing) -> Result<Receipt, BrokerError> {
            unreachable!("not sent to")
        }

        async fn notify(&self, _: &Topic, _: Notice) -> Result<(), BrokerError> {
            unreachable!("not sent to")
        }

        async fn subscribe(&self, _: &Topic) -> Result<(), BrokerError> {
            std::future::pending().await
        }

        fn unsubscribe(&self, topic: &Topic) {
            self.ended.lock().push(topic.clone());
        }

        async fn read(&self, _: &Conversation, _: Range, _: usize) -> Result<Page, BrokerError> {
            unreachable!("not read")
        }

        async fn ready(&self) -> Result<(), BrokerError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_log_in_given_up_halfway_leaves_no_subscription() {
        let hub = Arc::new(Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::new(Counters::default())));
        let broker = Arc::new(Slow::default());
        let subscriptions = Arc::new(Subscriptions::new(hub.clone(), broker.clone()));
        let user = chat_protocol::UserId::new("a").unwrap();
        let (identity, topic) = (Identity { app: 1, user: user.clone() }, Topic::Inbox(1, user));
        let membership = subscriptions.join(&hub.open(), &identity, vec![topic.clone()], Box::new(|_| ()));
        assert!(futures_util::FutureExt::now_or_never(membership.subscribed()).is_none());
        drop(membership);
        (0..=LINGER_SWEEPS).for_each(|_| subscriptions.sweep());
        assert_eq!(*broker.ended.lock(), [topic]);
        assert!(subscriptions.topics.lock().is_empty());
    }
}
