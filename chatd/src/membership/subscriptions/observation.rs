//! A connection that reads along in conversations of others, until that is dropped.
//!
//! Invariant: while it lasts, this node follows a topic that carries each of the conversations.

use std::sync::Arc;

use super::{Entered, SLICE, Subscriptions};
use crate::broker::BrokerError;
use crate::hub::Connection;
use crate::model::{Conversation, Topic};

/// A connection's stay as an observer.
pub struct Observation {
    subscriptions: Arc<Subscriptions>,
    connection: Arc<Connection>,
    conversations: Vec<Conversation>,
}

impl Subscriptions {
    /// Lets a connection observe conversations, by the key with this number, 0 for none; what it returns is there when
    /// every later message of them reaches it.
    ///
    /// # Errors
    /// What the broker says when it cannot subscribe. Then the connection observes nothing.
    pub async fn observe(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        key: u16,
        conversations: &[Conversation],
    ) -> Result<Observation, BrokerError> {
        connection.observes(Some(key));
        let (subscriptions, connection) = (self.clone(), connection.clone());
        let mut observation = Observation { subscriptions, connection, conversations: Vec::new() };
        for slice in conversations.chunks(SLICE) {
            let topics: Vec<Topic> = slice.iter().map(Conversation::carrier).collect();
            let entered: Vec<_> =
                slice.iter().zip(&topics).map(|(one, topic)| observation.add(one, topic)).collect();
            self.confirm(&entered).await?;
        }
        Ok(observation)
    }
}

impl Observation {
    /// How many conversations these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.conversations.len()
    }

    fn add<'a>(&mut self, conversation: &Conversation, topic: &'a Topic) -> Entered<'a> {
        let awaited = self.subscriptions.topics.lock().read(topic, true);
        self.subscriptions.hub.observe(&self.connection, conversation);
        self.conversations.push(conversation.clone());
        Entered { topic, awaited, is_new: true }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.connection.observes(None);
        for conversation in &self.conversations {
            self.subscriptions.hub.observe_no_more(&self.connection, conversation);
            self.subscriptions.topics.lock().forget(&conversation.carrier());
        }
    }
}
