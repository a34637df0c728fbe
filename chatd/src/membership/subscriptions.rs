//! Which topics this node follows: the broker is asked when the first connection needs one, and told some time
//! after the last has gone.
//!
//! Invariant: a topic with a connection in its room is subscribed, or whoever put it there is still waiting for
//! that. A connection that has ended follows nothing and cannot be made to.

mod observation;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::task::yield_now;

pub use self::observation::Observation;
use super::resync_queue::ResyncQueue;
use crate::broker::{BrokerError, Bus};
use crate::hub::{Connection, Hub};
use crate::model::{Identity, Topic};

/// Sweeps a topic stays subscribed without readers, so that a reconnect finds it.
const LINGER_SWEEPS: u32 = 5;
/// Topics looked after at a time: others get their turn, and no lock is held, before the next ones.
const SLICE: usize = 64;

/// The topics this node follows, and how many connections read each.
pub struct Subscriptions {
    hub: Arc<Hub>,
    bus: Arc<dyn Bus>,
    resyncs: Arc<ResyncQueue>,
    /// Is told of each connection that has ended.
    left: Left,
    topics: Mutex<Topics>,
}

/// A topic that is followed for a reader without a connection, until dropped.
pub struct Followed {
    subscriptions: Arc<Subscriptions>,
    topic: Topic,
}

/// Is told for whom a connection was, when it has ended.
pub type Left = Box<dyn Fn(&Identity) + Send + Sync>;

/// Done when the broker has confirmed a subscription.
type Confirmation = Arc<OnceCell<()>>;

#[derive(Default)]
struct Topics {
    known: HashMap<Topic, Known>,
    /// Topics without readers, with the sweeps since the last one went.
    idle: HashMap<Topic, u32>,
}

struct Known {
    /// None once the broker has confirmed.
    awaited: Option<Confirmation>,
    readers: u32,
}

impl Default for Known {
    fn default() -> Self {
        Self { awaited: Some(Confirmation::default()), readers: 0 }
    }
}

/// A room a connection was put into.
struct Entered<'a> {
    topic: &'a Topic,
    awaited: Option<Confirmation>,
    /// Whether it was not there before.
    is_new: bool,
}

/// A connection's stay in the rooms of its topics, until dropped.
pub struct Membership {
    subscriptions: Arc<Subscriptions>,
    connection: Arc<Connection>,
    identity: Identity,
}

impl Subscriptions {
    /// Follows nothing yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>, bus: Arc<dyn Bus>, resyncs: Arc<ResyncQueue>, left: Left) -> Self {
        Self { hub, bus, resyncs, left, topics: Mutex::default() }
    }

    /// Gives the connection its identity.
    pub fn join(self: &Arc<Self>, connection: &Arc<Connection>, identity: &Identity) -> Membership {
        connection.begin(identity);
        Membership { subscriptions: self.clone(), connection: connection.clone(), identity: identity.clone() }
    }

    /// Puts a logged-in connection into the rooms of `topics`, the first of them at once, the others in slices; what it
    /// returns is done when every later message of them reaches it. Following a topic twice is harmless; a connection
    /// that has ended is left alone.
    ///
    /// # Errors
    /// What the broker says when it cannot subscribe. Then the connection is in none of the rooms it was put into.
    pub fn follow<'a>(
        &'a self,
        connection: &Arc<Connection>,
        topics: &'a [Topic],
    ) -> impl Future<Output = Result<(), BrokerError>> + Send + use<'a> {
        let mut slices = topics.chunks(SLICE);
        let mut entered = self.enter(connection, slices.next().unwrap_or_default());
        let connection = connection.clone();
        async move {
            let mut new = Vec::new();
            loop {
                new.extend(entered.iter().filter(|entered| entered.is_new).map(|entered| entered.topic));
                if let Err(error) = self.confirm(&entered).await {
                    new.into_iter().for_each(|topic| self.unfollow(&connection, topic));
                    return Err(error);
                }
                let Some(slice) = slices.next() else { return Ok(()) };
                yield_now().await;
                entered = self.enter(&connection, slice);
            }
        }
    }

    /// Follows a topic for a reader without a connection: when it returns, the node hears of every later message.
    ///
    /// # Errors
    /// What the broker says when it cannot subscribe.
    pub async fn follow_alone(self: &Arc<Self>, topic: Topic) -> Result<Followed, BrokerError> {
        let awaited = self.topics.lock().read(&topic, true);
        let followed = Followed { subscriptions: self.clone(), topic };
        self.confirm(&[Entered { topic: &followed.topic, awaited, is_new: true }]).await?;
        Ok(followed)
    }

    /// Waits until the broker has confirmed the topics of which it has not yet.
    async fn confirm(&self, entered: &[Entered<'_>]) -> Result<(), BrokerError> {
        let awaited: Vec<_> =
            entered.iter().filter_map(|entered| Some((entered.topic, entered.awaited.clone()?))).collect();
        if awaited.is_empty() {
            return Ok(());
        }
        let asked = awaited.iter().map(|(topic, confirmation)| async move {
            confirmation.get_or_try_init(|| self.bus.subscribe(topic)).await.map(|_| ())
        });
        try_join_all(asked).await?;
        let mut topics = self.topics.lock();
        awaited.iter().for_each(|(topic, confirmation)| topics.confirmed(topic, confirmation));
        Ok(())
    }

    fn enter<'a>(&self, connection: &Arc<Connection>, topics: &'a [Topic]) -> Vec<Entered<'a>> {
        let entered = connection.following(|following| {
            let enter = |topic| {
                let is_new = following.follow(topic);
                let awaited = self.topics.lock().read(topic, is_new);
                self.hub.enter(connection, &following.identity, topic);
                Entered { topic, awaited, is_new }
            };
            topics.iter().map(enter).collect()
        });
        entered.unwrap_or_default()
    }

    /// Takes the connection out of the room of a topic.
    pub fn unfollow(&self, connection: &Connection, topic: &Topic) {
        connection.following(|following| {
            if following.unfollow(topic) {
                self.hub.leave(connection, &following.identity, std::slice::from_ref(topic));
                self.topics.lock().forget(topic);
            }
        });
    }

    /// Gives up topics that nobody has needed for a while. Called every second or so.
    pub async fn sweep(&self) {
        let idle = std::mem::take(&mut self.topics.lock().idle);
        let mut idle = idle.into_iter();
        loop {
            let slice: Vec<_> = idle.by_ref().take(SLICE).collect();
            if slice.is_empty() {
                return;
            }
            self.sweep_some(slice);
            yield_now().await;
        }
    }

    fn sweep_some(&self, idle: Vec<(Topic, u32)>) {
        let mut topics = self.topics.lock();
        for (topic, sweeps) in idle {
            let needed = topics.known.get(&topic).is_none_or(|known| known.readers > 0);
            if needed || topics.idle.contains_key(&topic) {
                // Somebody came, and perhaps left again, meanwhile.
            } else if sweeps < LINGER_SWEEPS {
                topics.idle.insert(topic, sweeps + 1);
            } else {
                topics.known.remove(&topic);
                // A subscription that was begun and dropped halfway is ended too.
                self.bus.unsubscribe(&topic);
            }
        }
    }
}

impl Topics {
    /// Counts a reader in, if it is a new one; gives what they have to wait for.
    fn read(&mut self, topic: &Topic, is_new: bool) -> Option<Confirmation> {
        let known = self.known.entry(topic.clone()).or_default();
        if is_new {
            known.readers += 1;
            if known.readers == 1 {
                self.idle.remove(topic);
            }
        }
        known.awaited.clone()
    }

    /// Nobody waits for this confirmation any more.
    fn confirmed(&mut self, topic: &Topic, confirmation: &Confirmation) {
        if let Some(known) = self.known.get_mut(topic)
            // Not that of a subscription which was begun anew.
            && known.awaited.as_ref().is_some_and(|awaited| Arc::ptr_eq(awaited, confirmation))
        {
            known.awaited = None;
        }
    }

    /// Counts a reader out.
    fn forget(&mut self, topic: &Topic) {
        let Some(known) = self.known.get_mut(topic) else { return };
        known.readers -= 1;
        if known.readers == 0 {
            self.idle.insert(topic.clone(), 0);
        }
    }
}

impl Membership {
    /// Who is in the rooms.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The log-in is done: groups joined meanwhile are entered now.
    pub fn open(&self) {
        if self.connection.subscription.open() {
            self.subscriptions.resyncs.note(self.identity.clone(), false);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.subscriptions.hub.watch(&self.connection, None);
        let (all, subscriptions) = (self.connection.end(), &self.subscriptions);
        for slice in all.chunks(SLICE) {
            subscriptions.hub.leave(&self.connection, &self.identity, slice);
            let mut topics = subscriptions.topics.lock();
            slice.iter().for_each(|topic| topics.forget(topic));
        }
        (subscriptions.left)(&self.identity);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.subscriptions.topics.lock().forget(&self.topic);
    }
}

#[cfg(test)]
mod tests {
    use crate::hub::bell::Rope;
    use async_trait::async_trait;

    use super::*;
    use crate::counters::Counters;
    use crate::hub::outbox::Limits;
    use crate::model::Notice;

    /// A bus that confirms a subscription at once or never.
    #[derive(Default)]
    struct Slow {
        confirms: bool,
        ended: Mutex<Vec<Topic>>,
    }

    #[async_trait]
    impl Bus for Slow {
        async fn notify(&self, _: &Topic, _: Notice) -> Result<(), BrokerError> {
            Ok(())
        }

        async fn subscribe(&self, _: &Topic) -> Result<(), BrokerError> {
            if self.confirms { Ok(()) } else { std::future::pending().await }
        }

        fn unsubscribe(&self, topic: &Topic) {
            self.ended.lock().push(topic.clone());
        }
    }

    #[tokio::test]
    async fn a_log_in_given_up_halfway_leaves_no_subscription() {
        let limits = Limits { frames: 1, bytes: 1 };
        let hub = Arc::new(Hub::new(1, limits, Arc::new(Counters::default())));
        let bus = Arc::new(Slow::default());
        let subscriptions =
            Arc::new(Subscriptions::new(hub.clone(), bus.clone(), Arc::default(), Box::new(|_| ())));
        let user = chat_protocol::UserId::new("a").unwrap();
        let (identity, topic) = (Identity { app: 1, user: user.clone() }, Topic::Inbox(1, user));
        let connection = hub.open(Rope::default());
        let membership = subscriptions.join(&connection, &identity);
        let topics = [topic.clone()];
        let following = subscriptions.follow(&connection, &topics);
        assert!(futures_util::FutureExt::now_or_never(following).is_none());
        drop(membership);
        for _ in 0..=LINGER_SWEEPS {
            subscriptions.sweep().await;
        }
        assert_eq!(*bus.ended.lock(), [topic]);
        assert!(subscriptions.topics.lock().known.is_empty() && subscriptions.topics.lock().idle.is_empty());
    }

    fn groups(count: usize) -> Vec<Topic> {
        let group = |number| chat_protocol::GroupId::new(&format!("g{number}")).unwrap();
        (0..count).map(|number| Topic::Group(1, group(number))).collect()
    }

    #[tokio::test]
    async fn many_topics_are_followed_in_slices_so_that_others_get_their_turn() {
        let hub = Arc::new(Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::new(Counters::default())));
        let bus = Arc::new(Slow { confirms: true, ..Slow::default() });
        let subscriptions = Arc::new(Subscriptions::new(hub.clone(), bus, Arc::default(), Box::new(|_| ())));
        let identity = Identity { app: 1, user: chat_protocol::UserId::new("a").unwrap() };
        let connection = hub.open(Rope::default());
        let membership = subscriptions.join(&connection, &identity);
        let topics = groups(20 * SLICE);
        let mut following = std::pin::pin!(subscriptions.follow(&connection, &topics));
        let mut before = connection.topics().len();
        while futures_util::poll!(&mut following).is_pending() {
            let now = connection.topics().len();
            assert!(now - before <= SLICE, "{} at once", now - before);
            // With a new budget of the runtime.
            yield_now().await;
            before = now;
        }
        assert!(topics.iter().all(|topic| hub.holds(&connection, &identity, topic)));
        drop(membership);
        assert!(!topics.iter().any(|topic| hub.holds(&connection, &identity, topic)));
        assert_eq!(subscriptions.topics.lock().idle.len(), topics.len());
    }

    #[tokio::test]
    async fn a_topic_that_is_read_again_stays_subscribed() {
        let hub = Arc::new(Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::new(Counters::default())));
        let bus = Arc::new(Slow { confirms: true, ..Slow::default() });
        let subscriptions =
            Arc::new(Subscriptions::new(hub.clone(), bus.clone(), Arc::default(), Box::new(|_| ())));
        let identity = Identity { app: 1, user: chat_protocol::UserId::new("a").unwrap() };
        let topics = groups(2);
        let connection = hub.open(Rope::default());
        let _membership = subscriptions.join(&connection, &identity);
        subscriptions.follow(&connection, &topics).await.unwrap();
        topics.iter().for_each(|topic| subscriptions.unfollow(&connection, topic));
        subscriptions.sweep().await;
        subscriptions.follow(&connection, &topics[..1]).await.unwrap();
        for _ in 0..=LINGER_SWEEPS {
            subscriptions.sweep().await;
        }
        assert_eq!(*bus.ended.lock(), topics[1..]);
    }
}
