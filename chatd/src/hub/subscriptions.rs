//! Which topics this node follows: the broker is asked when the first connection needs one, and told some time
//! after the last has gone.
//!
//! Invariant: a topic with a connection in its room is subscribed, or whoever put it there is still waiting for
//! that. A connection that has ended follows nothing and cannot be made to.

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
    topics: Mutex<HashMap<Topic, Known>>,
}

/// Done when the broker has confirmed the subscription.
type Confirmed = Arc<OnceCell<()>>;

#[derive(Default)]
struct Known {
    confirmed: Confirmed,
    readers: usize,
    idle_sweeps: u32,
}

/// A room a connection was put into.
struct Entered {
    confirmed: Confirmed,
    /// Whether it was not there before.
    is_new: bool,
}

/// A connection's place in the rooms of its topics, until dropped.
pub struct Membership {
    subscriptions: Arc<Subscriptions>,
    connection: Arc<Connection>,
    identity: Identity,
    left: Box<dyn FnOnce(&Identity) + Send + Sync>,
}

impl Subscriptions {
    /// Follows nothing yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>, broker: Arc<dyn Broker>) -> Self {
        Self { hub, broker, topics: Mutex::default() }
    }

    /// Gives the connection its identity. `left` is called when it has ended.
    pub fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: &Identity,
        left: Box<dyn FnOnce(&Identity) + Send + Sync>,
    ) -> Membership {
        connection.begin(identity);
        Membership {
            subscriptions: self.clone(),
            connection: connection.clone(),
            identity: identity.clone(),
            left,
        }
    }

    /// Puts a logged-in connection into the rooms of `topics` at once; what it returns is done when every later message
    /// of them reaches it. Following a topic twice is harmless; a connection that has ended is left alone.
    ///
    /// # Errors
    /// What the broker says when it cannot subscribe. Then the connection is in none of the rooms it was put into.
    pub fn follow<'a>(
        &'a self,
        connection: &Arc<Connection>,
        topics: &'a [Topic],
    ) -> impl Future<Output = Result<(), BrokerError>> + Send + use<'a> {
        let entered: Vec<_> = topics.iter().filter_map(|topic| self.enter(connection, topic)).collect();
        let connection = connection.clone();
        async move {
            let subscribe = topics
                .iter()
                .zip(&entered)
                .map(|(topic, entered)| entered.confirmed.get_or_try_init(|| self.broker.subscribe(topic)));
            let followed = futures_util::future::try_join_all(subscribe).await;
            if followed.is_err() {
                let new = topics.iter().zip(&entered).filter(|(_, entered)| entered.is_new);
                new.for_each(|(topic, _)| self.unfollow(&connection, topic));
            }
            followed.map(|_| ())
        }
    }

    fn enter(&self, connection: &Arc<Connection>, topic: &Topic) -> Option<Entered> {
        // Held until the room is entered, so that the connection cannot end in between.
        let mut session = connection.session.lock();
        let session = session.as_mut()?;
        let mut known = self.topics.lock();
        let known = known.entry(topic.clone()).or_default();
        let again = session.topics.contains(topic);
        if !again {
            session.topics.push(topic.clone());
            known.readers += 1;
            known.idle_sweeps = 0;
        }
        self.hub.enter(connection, &session.identity, topic, again);
        Some(Entered { confirmed: known.confirmed.clone(), is_new: !again })
    }

    /// Takes the connection out of the room of a topic.
    pub fn unfollow(&self, connection: &Connection, topic: &Topic) {
        let mut session = connection.session.lock();
        let Some(session) = session.as_mut() else { return };
        let Some(index) = session.topics.iter().position(|followed| followed == topic) else { return };
        session.topics.swap_remove(index);
        self.hub.leave(connection, &session.identity, std::slice::from_ref(topic));
        self.forget(std::slice::from_ref(topic));
    }

    fn forget(&self, topics: &[Topic]) {
        let mut known = self.topics.lock();
        for topic in topics {
            if let Some(known) = known.get_mut(topic) {
                known.readers -= 1;
                known.idle_sweeps = 0;
            }
        }
    }

    /// Gives up topics that nobody has needed for a while. Called every second or so.
    pub fn sweep(&self) {
        self.topics.lock().retain(|topic, known| {
            if known.readers > 0 || known.idle_sweeps < LINGER_SWEEPS {
                known.idle_sweeps += 1;
                return true;
            }
            // A subscription that was begun and dropped halfway is ended too.
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
}

impl Drop for Membership {
    fn drop(&mut self) {
        let topics = self.connection.end();
        self.subscriptions.hub.leave(&self.connection, &self.identity, &topics);
        self.subscriptions.forget(&topics);
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

        async fn doubt(&self, _: &Conversation, _: &str, _: u64) -> Result<(), BrokerError> {
            unreachable!("not doubted")
        }

        async fn recall(
            &self,
            _: &Conversation,
            _: u64,
            _: Option<&chat_protocol::UserId>,
        ) -> Result<chat_protocol::message::Recalled, BrokerError> {
            unreachable!("not recalled")
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
        let connection = hub.open();
        let membership = subscriptions.join(&connection, &identity, Box::new(|_| ()));
        let topics = [topic.clone()];
        let following = subscriptions.follow(&connection, &topics);
        assert!(futures_util::FutureExt::now_or_never(following).is_none());
        drop(membership);
        (0..=LINGER_SWEEPS).for_each(|_| subscriptions.sweep());
        assert_eq!(*broker.ended.lock(), [topic]);
        assert!(subscriptions.topics.lock().is_empty());
    }
}
