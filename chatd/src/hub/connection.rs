//! One WebSocket connection as the hub sees it: its name, its outbox, who speaks on it and what it follows.
//!
//! Invariant: a connection that is not logged in is in no room.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
    /// Whom it is from. A third smaller than a socket's address as one.
    pub(super) peer: (IpAddr, u16),
    pub(super) opened_s: u32,
    pub(super) heard_s: AtomicU32,
    /// When its socket last took something.
    pub(super) sent_s: AtomicU32,
    /// Whether its socket takes nothing more for now.
    pub(super) is_blocked: AtomicBool,
    /// Whether its socket is to be tried although it does not say that it takes more.
    pub(super) is_in_doubt: AtomicBool,
    /// Whether it was told that its term ends soon.
    pub(super) is_warned: AtomicBool,
    /// Whether it only says its last words, and is in no room for that.
    pub(super) is_parting: AtomicBool,
    /// One more than the number of the key by which it observes; 0 for one that does not.
    pub(super) observes: AtomicU32,
    /// None before its log-in and after its end.
    pub(super) following: Mutex<Option<Following>>,
}

/// What a logged-in connection follows.
#[derive(Debug)]
pub(crate) struct Following {
    /// For whom.
    pub(crate) identity: Identity,
    /// Its user's inbox, which all follow.
    inbox: bool,
    /// The world, which all follow too.
    world: bool,
    /// By which key it speaks for its user; 0 for none.
    pub(super) key: u16,
    /// How long it may, Unix seconds; the largest is for ever.
    pub(super) until_s: u32,
    /// The others, in order.
    groups: Vec<Topic>,
}

impl Following {
    fn new(identity: Identity) -> Self {
        Self { identity, inbox: false, world: false, key: 0, until_s: u32::MAX, groups: Vec::new() }
    }

    /// Notes a topic; false when it was noted before.
    pub(crate) fn follow(&mut self, topic: &Topic) -> bool {
        if let Some(own) = self.own(topic) {
            return !std::mem::replace(own, true);
        }
        let Err(index) = self.groups.binary_search(topic) else { return false };
        self.groups.insert(index, topic.clone());
        true
    }

    /// Forgets a topic; false when it was not noted.
    pub(crate) fn unfollow(&mut self, topic: &Topic) -> bool {
        if let Some(own) = self.own(topic) {
            return std::mem::take(own);
        }
        let Ok(index) = self.groups.binary_search(topic) else { return false };
        self.groups.remove(index);
        true
    }

    fn own(&mut self, topic: &Topic) -> Option<&mut bool> {
        let Identity { app: own, user: name } = &self.identity;
        match topic {
            Topic::Inbox(app, user) if (app, user) == (own, name) => Some(&mut self.inbox),
            Topic::World(app) if app == own => Some(&mut self.world),
            _ => None,
        }
    }

    /// All of them.
    fn topics(&self) -> Vec<Topic> {
        let Identity { app, user } = &self.identity;
        let inbox = self.inbox.then(|| Topic::Inbox(*app, user.clone()));
        let world = self.world.then_some(Topic::World(*app));
        inbox.into_iter().chain(world).chain(self.groups.iter().cloned()).collect()
    }
}

/// What its owner waits for may have come.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.outbox.ring();
    }
}

impl Connection {
    /// Gives it its identity.
    pub(crate) fn begin(&self, identity: &Identity) {
        self.subscription.begin();
        *self.following.lock() = Some(Following::new(identity.clone()));
    }

    /// Ends what it follows; gives the topics.
    pub(crate) fn end(&self) -> Vec<Topic> {
        self.following.lock().take().map(|following| following.topics()).unwrap_or_default()
    }

    /// Changes what it follows; it cannot end meanwhile. None: it is not logged in, or has ended.
    pub(crate) fn following<T>(&self, change: impl FnOnce(&mut Following) -> T) -> Option<T> {
        self.following.lock().as_mut().map(change)
    }

    /// Whether its socket is to be tried although it does not say that it takes more: the kernel says so only once a
    /// third of its buffer is free, for which a slow reader may need longer than the time to be given up.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }

    /// It is out of its rooms, and says its last words.
    pub(crate) fn parts(&self) {
        self.is_parting.store(true, Ordering::Relaxed);
    }

    /// It observes from now on, by the key with this number, 0 where nobody needs one; or does no more.
    pub(crate) fn observes(&self, key: Option<u16>) {
        self.observes.store(key.map_or(0, |key| u32::from(key) + 1), Ordering::Relaxed);
    }

    /// By which key it observes; none for one that does not.
    #[must_use]
    pub fn observer_key(&self) -> Option<u16> {
        let observes = self.observes.load(Ordering::Relaxed);
        observes.checked_sub(1).and_then(|key| u16::try_from(key).ok())
    }

    /// The address it is from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer.into()
    }

    /// By which key it speaks for its user; 0 for none.
    #[must_use]
    pub fn key(&self) -> u16 {
        self.following.lock().as_ref().map_or(0, |following| following.key)
    }

    /// Who speaks on it, once logged in.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.following.lock().as_ref().map(|following| following.identity.clone())
    }

    /// Topics the connection follows.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        self.following.lock().as_ref().map(Following::topics).unwrap_or_default()
    }
}
