//! What happened on this node of late, to answer why: who came and went, and where each message was delivered.
//!
//! Invariants: it has a fixed size, and the newest events replace the oldest; nothing anybody said is in it. A message
//! costs one event a topic of this node, however many read it. Whoever writes copies a few bytes under a lock of a share of
//! the journal; whoever reads copies a share and looks through it afterwards.

mod ring;

use chat_protocol::{AppId, UserId};
use parking_lot::Mutex;

use self::ring::{Read, Ring, Written};
use crate::clock::{Clock, SystemClock};
use crate::model::{Conversation, Identity, Topic};

/// Shares, each with its own lock.
const SHARDS: usize = 8;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    /// A connection speaks for a user from now on. Counts: conversations recovered whole, and not.
    LoggedIn,
    /// A log-in was refused. Counts: the code.
    LoginRefused,
    /// A connection ended. Counts: close code, bytes that were still waiting, seconds it was open.
    Ended,
    /// A limit refused a request. Counts: the code.
    Limited,
    /// A message was refused. Counts: the code.
    MessageRefused,
    /// A message came again and was answered as before.
    Duplicate,
    /// A message was put into the outboxes of readers. Counts: how many took it, how many were closing or too slow, how many
    /// had it already.
    Delivered,
    /// A reader's queue was full, or the reader was being closed: not given to this connection.
    NotDelivered,
}

const ALL: [What; 8] = [
    What::LoggedIn,
    What::LoginRefused,
    What::Ended,
    What::Limited,
    What::MessageRefused,
    What::Duplicate,
    What::Delivered,
    What::NotDelivered,
];

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, Unix milliseconds.
    pub time: u64,
    /// What.
    pub what: What,
    /// In which app.
    pub app: AppId,
    /// Of a connection, or, for messages, the offset.
    pub number: u64,
    /// As [`What`] says.
    pub counts: [u32; 3],
    /// The user, or the conversation by its key.
    pub subject: String,
    /// More of it.
    pub detail: String,
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    shards: Vec<Mutex<Ring>>,
    /// When it was begun, Unix milliseconds.
    begun: u64,
}

impl Journal {
    /// With so many bytes; none for 0.
    #[must_use]
    pub fn new(bytes: usize) -> Option<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::new(Ring::new(bytes / SHARDS))).collect();
        (bytes > 0).then(|| Self { shards, begun: now() })
    }

    /// Notes what happened to a user.
    pub fn user(
        &self,
        what: What,
        (app, user): (AppId, &str),
        number: u64,
        counts: [u32; 3],
        detail: &[&str],
    ) {
        let subject = &[user];
        self.put(number, Written { time: now(), kind: what as u8, app, number, counts, subject, detail });
    }

    /// Notes where a message went: to how many readers of a topic of this node.
    pub fn delivered(&self, topic: &Topic, conversation: &Conversation, offset: u64, counts: [u32; 3]) {
        let reader = match topic {
            Topic::Inbox(_, user) => user.as_str(),
            Topic::World(_) | Topic::Group(..) => "",
        };
        self.message(What::Delivered, conversation, offset, counts, reader);
    }

    /// Notes that a connection did not get a message.
    pub fn not_delivered(&self, conversation: &Conversation, offset: u64, connection: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
        let halves = [(connection >> 32) as u32, connection as u32, 0];
        self.message(What::NotDelivered, conversation, offset, halves, "");
    }

    fn message(&self, what: What, conversation: &Conversation, number: u64, counts: [u32; 3], detail: &str) {
        let (app, subject) = (conversation.app(), &key(conversation)[..]);
        let (time, kind, detail) = (now(), what as u8, &[detail][..]);
        self.put(number, Written { time, kind, app, number, counts, subject, detail });
    }

    fn put(&self, share: u64, event: Written<'_>) {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 8")]
        let shard = (share % SHARDS as u64) as usize;
        self.shards[shard].lock().put(&event);
    }

    /// The events that are wanted, in order of time, the newest `limit` of them; and since when the journal has all. Looks
    /// through all of it: for a thread that may work for a while.
    #[must_use]
    pub fn find(&self, limit: usize, wanted: impl Fn(&Event) -> bool) -> (Vec<Event>, u64) {
        let (mut found, mut since) = (Vec::new(), self.begun);
        for shard in &self.shards {
            let (copy, mut is_cut) = {
                let ring = shard.lock();
                (ring.copy(), ring.is_full())
            };
            for event in ring::read(&copy).filter_map(event) {
                if std::mem::take(&mut is_cut) {
                    since = event.time.max(since);
                }
                if wanted(&event) {
                    found.push(event);
                }
            }
        }
        found.sort_by_key(|event| event.time);
        found.drain(..found.len().saturating_sub(limit));
        (found, since)
    }
}

fn now() -> u64 {
    SystemClock.now_ms()
}

/// Pieces of the text that stands for a conversation.
fn key(conversation: &Conversation) -> [&str; 4] {
    match conversation {
        Conversation::World(_) => ["w", "", "", ""],
        Conversation::Group(_, group) => ["g", group.as_str(), "", ""],
        Conversation::Pair(_, a, b) => ["p", a.as_str(), "\n", b.as_str()],
    }
}

fn event(read: Read) -> Option<Event> {
    let Read { time, kind, app, number, counts, subject, detail } = read;
    Some(Event { time, what: *ALL.get(usize::from(kind))?, app, number, counts, subject, detail })
}

impl Event {
    /// Whether it is about a message of this conversation.
    #[must_use]
    pub fn is_of(&self, conversation: &Conversation, offset: u64) -> bool {
        let is_message = matches!(self.what, What::Delivered | What::NotDelivered);
        is_message
            && (self.app, self.number) == (conversation.app(), offset)
            && self.subject == key(conversation).concat()
    }

    /// Whether it is about this user.
    #[must_use]
    pub fn is_about(&self, identity: &Identity) -> bool {
        !matches!(self.what, What::Delivered | What::NotDelivered)
            && self.app == identity.app
            && self.subject == identity.user.as_str()
    }

    /// Which connection did not get the message.
    #[must_use]
    pub fn connection(&self) -> u64 {
        (u64::from(self.counts[0]) << 32) | u64::from(self.counts[1])
    }

    /// The user it is about.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        UserId::new(&self.subject).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_found_again_and_a_journal_of_nothing_is_none() {
        assert!(Journal::new(0).is_none());
        let journal = Journal::new(1 << 20).unwrap();
        for (place, what) in ALL.into_iter().enumerate() {
            assert_eq!(what as usize, place);
        }
        let name = |name: &str| UserId::new(name).unwrap();
        let identity = Identity { app: 1, user: name("a\u{202e}帝") };
        let (app, user) = (1, identity.user.as_str());
        journal.user(What::LoggedIn, (app, user), 5, [0; 3], &["127.0.0.1:1"]);
        journal.user(What::Ended, (app, user), 5, [4001, 70, 3], &["read too slowly", "; ", "x"]);
        journal.user(What::Ended, (2, user), 6, [1000, 0, 0], &[]);
        let pair = Conversation::Pair(1, name("a"), name("b"));
        for offset in 0..1000 {
            journal.delivered(&Topic::Inbox(1, name("b")), &pair, offset, [2, 1, 0]);
        }
        journal.not_delivered(&pair, 7, u64::MAX - 1);
        let (found, _) = journal.find(10, |event| event.is_about(&identity));
        let told: Vec<_> = found.iter().map(|event| (event.what, event.number, event.counts[0])).collect();
        assert_eq!(told, [(What::LoggedIn, 5, 0), (What::Ended, 5, 4001)]);
        assert_eq!(found[1].detail, "read too slowly; x");
        let (found, _) = journal.find(10, |event| event.is_of(&pair, 7));
        assert_eq!((found.len(), found[0].detail.as_str(), found[1].connection()), (2, "b", u64::MAX - 1));
        let other = Conversation::Pair(1, name("a"), name("c"));
        assert!(journal.find(10, |event| event.is_of(&other, 7)).0.is_empty());
        assert_eq!(journal.find(10, |event| event.what == What::Delivered).0.len(), 10);
    }
}
