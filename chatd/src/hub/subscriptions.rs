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
            if followed.subscribed.initialized() {
                self.broker.unsubscribe(topic);
            }
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
