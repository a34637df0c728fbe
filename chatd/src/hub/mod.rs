//! Who is connected to this node, by topic, and the fan-out of one encoded frame to all of them.
//!
//! Invariant: a connection is in the room of a topic exactly while it should get the topic's pushes; no lock is
//! held while anything is awaited, and two shards are never locked at once.

pub mod bell;
mod catching_up;
mod connection;
mod crowd;
mod fan_out;
mod farewell;
pub mod frame;
mod listing;
mod observers;
pub mod outbox;
mod rooms;
pub mod subscription_state;
mod sweep;
mod tailing;
mod term;
mod watching;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use chat_protocol::code::close;
use parking_lot::Mutex;

use crate::counters::Counters;
use crate::journal::Journal;
use crate::model::{ConnectionId, Conversation, Entry, Identity, Language, Topic};
use bell::Rope;
use outbox::{Close, Limits, Outbox};
use rooms::Rooms;
use subscription_state::SubscriptionState;

pub use connection::Connection;
pub use farewell::Drain;
pub use listing::{Listed, Wanted};
pub use sweep::{Deadlines, Silent};
pub use tailing::Tail;

/// Log-ins and fan-outs lock one of these at a time.
const SHARDS: usize = 16;

/// The connections of this node and the rooms they are in.
#[derive(Debug)]
pub struct Hub {
    node: u64,
    started: Instant,
    limits: Limits,
    language: Language,
    counters: Arc<Counters>,
    next_number: AtomicU64,
    open: [Mutex<HashMap<u64, Arc<Connection>>>; SHARDS],
    rooms: [Mutex<Rooms>; SHARDS],
    hasher: RandomState,
    crowds: crowd::Crowds,
    watching: watching::Watching,
    observers: observers::Observers,
    tails: tailing::Tails,
    drain: Drain,
    journal: Option<Arc<Journal>>,
}

impl Hub {
    /// An empty hub of the node with this number.
    #[must_use]
    pub fn new(node: u64, limits: Limits, counters: Arc<Counters>) -> Self {
        Self {
            node,
            started: Instant::now(),
            limits,
            language: Language::default(),
            counters,
            next_number: AtomicU64::new(1),
            open: Default::default(),
            rooms: Default::default(),
            hasher: RandomState::new(),
            crowds: crowd::Crowds::default(),
            watching: watching::Watching::default(),
            observers: observers::Observers::default(),
            tails: tailing::Tails::default(),
            drain: Drain::default(),
            journal: None,
        }
    }

    /// The same, with pushes in this language.
    #[must_use]
    pub fn speaking(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// The same, which notes there what happens.
    #[must_use]
    pub fn noting(self, journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..self }
    }

    /// What happened here of late; none where nothing is noted.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// The language of words in pushes.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// Takes in a new connection from nowhere.
    pub fn open(&self, rope: Rope) -> Arc<Connection> {
        self.open_from(rope, SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Takes in a new connection that has not logged in, whose owner hears of it by the rope.
    pub fn open_from(&self, rope: Rope, peer: SocketAddr) -> Arc<Connection> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let now_s = self.now_s();
        let connection = Arc::new(Connection {
            id: ConnectionId { node: self.node, number },
            outbox: Outbox::new(self.limits, rope),
            subscription: SubscriptionState::default(),
            peer: (peer.ip(), peer.port()),
            opened_s: now_s,
            heard_s: AtomicU32::new(now_s),
            sent_s: AtomicU32::new(now_s),
            is_blocked: AtomicBool::new(false),
            is_in_doubt: AtomicBool::new(false),
            is_warned: AtomicBool::new(false),
            is_parting: AtomicBool::new(false),
            observes: AtomicU32::new(0),
            following: Mutex::new(None),
        });
        self.open_shard(number).lock().insert(number, connection.clone());
        self.counters.connections.add(1);
        // It may have come too late for `close_all` to see it.
        if self.drain.has_begun() {
            farewell::send_away(&connection);
        }
        connection
    }

    /// Forgets a connection that is in no room.
    pub fn close(&self, connection: &Connection) {
        self.open_shard(connection.id.number).lock().remove(&connection.id.number);
    }

    /// Notes that something was heard from the connection.
    pub fn heard(&self, connection: &Connection) {
        connection.heard_s.store(self.now_s(), Ordering::Relaxed);
    }

    /// Puts the connection into the room of a topic, unless it is there.
    pub(crate) fn enter(&self, connection: &Arc<Connection>, identity: &Identity, topic: &Topic) {
        self.room_shard(identity).lock().enter(topic, connection);
    }

    /// Takes the connection out of the rooms of `topics`.
    pub(crate) fn leave(&self, connection: &Connection, identity: &Identity, topics: &[Topic]) {
        let mut rooms = self.room_shard(identity).lock();
        for topic in topics {
            rooms.leave(topic, connection.id);
        }
    }

    /// Takes those of a user's connections out of the room of a topic who are to go. False: the user has none here.
    pub(crate) fn remove(
        &self,
        identity: &Identity,
        topic: &Topic,
        goes: impl Fn(&Connection) -> bool,
    ) -> bool {
        let mut rooms = self.room_shard(identity).lock();
        let own = rooms.members(&Topic::Inbox(identity.app, identity.user.clone()));
        let is_here = !own.is_empty();
        let gone = own.iter().filter(|connection| rooms.holds(topic, connection.id) && goes(connection));
        let gone: Vec<_> = gone.map(|connection| connection.id).collect();
        gone.into_iter().for_each(|id| rooms.leave(topic, id));
        is_here
    }

    /// Takes everybody out of the room of a topic who is to go, one shard after the other; gives them.
    pub(crate) fn remove_all(
        &self,
        topic: &Topic,
        goes: impl Fn(&Connection) -> bool,
    ) -> Vec<Arc<Connection>> {
        let mut gone = Vec::new();
        self.for_each_shard_of(topic, |shard| gone.append(&mut shard.lock().leave_all(topic, &goes)));
        gone
    }

    /// Decides whether a connection stays in the room of a topic. All that reaches the connection passes through its
    /// shard: nothing comes in between.
    pub(crate) fn settle(
        &self,
        connection: &Connection,
        identity: &Identity,
        topic: &Topic,
        stays: impl FnOnce() -> bool,
    ) -> bool {
        let mut rooms = self.room_shard(identity).lock();
        let stays = stays();
        if !stays {
            rooms.leave(topic, connection.id);
        }
        stays
    }

    /// Whether the connection is in the room of a topic.
    #[must_use]
    pub fn holds(&self, connection: &Connection, identity: &Identity, topic: &Topic) -> bool {
        self.room_shard(identity).lock().holds(topic, connection.id)
    }

    /// Connections of a user on this node.
    #[must_use]
    pub fn connections_of(&self, identity: &Identity) -> Vec<Arc<Connection>> {
        let inbox = Topic::Inbox(identity.app, identity.user.clone());
        self.room_shard(identity).lock().members(&inbox).to_vec()
    }

    /// Whether a connection of the user is in their inbox room on this node.
    #[must_use]
    pub fn is_here(&self, identity: &Identity) -> bool {
        let inbox = Topic::Inbox(identity.app, identity.user.clone());
        self.room_shard(identity).lock().has(&inbox)
    }

    /// Bounds of each connection's outbox.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The push of a message.
    #[must_use]
    pub fn frame(&self, entry: &Entry) -> Bytes {
        frame::message(entry, self.language)
    }

    /// The push of a message that was read from a log; none where it was damaged there, which is logged.
    #[must_use]
    pub fn logged_frame(&self, conversation: &Conversation, entry: &Entry) -> Option<Bytes> {
        if !entry.is_readable() {
            let offset = entry.offset;
            tracing::error!(?conversation, offset, "damaged: an entry is no JSON, and is sent to nobody");
            return None;
        }
        Some(self.frame(entry))
    }

    /// Tells a connection that it cannot get all it should, so that it comes back and recovers.
    pub fn missed(&self, connection: &Connection) {
        connection.outbox.close(missed_messages());
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Connections logged in now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.rooms.iter().map(|shard| shard.lock().sessions()).sum()
    }

    /// Users with a connection logged in now.
    #[must_use]
    pub fn users(&self) -> usize {
        self.rooms.iter().map(|shard| shard.lock().users()).sum()
    }

    /// Milliseconds since the hub began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn now_s(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    fn open_shard(&self, number: u64) -> &Mutex<HashMap<u64, Arc<Connection>>> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 16")]
        &self.open[(number % SHARDS as u64) as usize]
    }

    /// All rooms of one user lie in one shard; the world's and groups' rooms are spread over all of them.
    fn room_shard(&self, identity: &Identity) -> &Mutex<Rooms> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 16")]
        &self.rooms[(self.hasher.hash_one(identity) % SHARDS as u64) as usize]
    }

    fn for_each_shard_of(&self, topic: &Topic, mut visit: impl FnMut(&Mutex<Rooms>)) {
        match topic {
            Topic::Inbox(app, user) => {
                visit(self.room_shard(&Identity { app: *app, user: user.clone() }));
            }
            Topic::World(_) | Topic::Group(..) => self.rooms.iter().for_each(visit),
        }
    }
}

fn missed_messages() -> Close {
    Close::new(close::MISSED_MESSAGES, "messages were missed; reconnect and recover")
}
