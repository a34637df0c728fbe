//! One WebSocket connection as the hub sees it: its name, its outbox, who speaks on it and what it follows.
//!
//! Invariant: a connection without a session is in no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::Wake;

use parking_lot::Mutex;

use super::outbox::Outbox;
use super::subscription_state::SubscriptionState;
use crate::model::{ConnectionId, Identity, Topic};

/// One WebSocket connection as the hub sees it.
#[derive(Debug)]
pub struct Connection {
    /// Its name over all nodes.
    pub id: ConnectionId,
    /// What waits to be written to it.
    pub outbox: Outbox,
    /// How far it is with the groups of its user.
    pub subscription: SubscriptionState,
    pub(super) opened_s: u32,
    pub(super) heard_s: AtomicU32,
    /// When its socket last took something.
    pub(super) sent_s: AtomicU32,
    /// Whether its socket takes nothing more for now.
    pub(super) is_blocked: AtomicBool,
    pub(super) session: Mutex<Option<Session>>,
}

/// What a logged-in connection follows.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) identity: Identity,
    /// In order. A set costs three times as much for the two topics that most connections follow.
    topics: Vec<Topic>,
}

impl Session {
    /// Notes a topic; false when it was noted before.
    pub(super) fn follow(&mut self, topic: &Topic) -> bool {
        let Err(index) = self.topics.binary_search(topic) else { return false };
        self.topics.insert(index, topic.clone());
        true
    }

    /// Forgets a topic; false when it was not noted.
    pub(super) fn unfollow(&mut self, topic: &Topic) -> bool {
        let Ok(index) = self.topics.binary_search(topic) else { return false };
        self.topics.remove(index);
        true
    }
}

/// What its owner waits for may have come.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.outbox.ring();
    }
}

impl Connection {
    pub(super) fn begin(&self, identity: &Identity) {
        self.subscription.begin();
        *self.session.lock() = Some(Session { identity: identity.clone(), topics: Vec::with_capacity(2) });
    }

    /// Ends the session; gives the topics it followed.
    pub(super) fn end(&self) -> Vec<Topic> {
        self.session.lock().take().map(|session| session.topics).unwrap_or_default()
    }

    /// Who speaks on it, once logged in.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.session.lock().as_ref().map(|session| session.identity.clone())
    }

    /// Topics the connection follows.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        self.session.lock().as_ref().map(|session| session.topics.clone()).unwrap_or_default()
    }
}
