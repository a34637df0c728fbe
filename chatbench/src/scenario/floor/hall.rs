//! What the owners of a relay share: the count of its messages, who is where, and what each leaves for the others.
//!
//! Invariant: every owner finds the messages in the order of their numbers, each once.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_protocol::Target;
use mio::Waker;
use serde::Serialize;

use crate::net::frames;

/// What stands behind the number of a message in its push.
pub const TAIL: &str = r#","epoch":"floor","time":1}}}"#;

/// A client: its owner, and its place with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    pub owner: usize,
    pub place: usize,
}

/// A message without its number.
pub struct Post {
    pub app: u32,
    pub target: Target,
    pub sender: Seat,
    /// Its push up to the number.
    pub head: String,
}

/// Who gets a message.
pub enum Readers {
    All,
    Members(Arc<HashSet<String>>),
    One(String),
}

/// A message on its way.
pub struct Push {
    pub app: u32,
    pub readers: Readers,
    pub sender: Seat,
    pub frame: Vec<u8>,
}

/// What was left for an owner.
#[derive(Default)]
pub struct Mail {
    pub pushes: Vec<Arc<Push>>,
    pub arrivals: Vec<TcpStream>,
}

/// What the owners share.
pub struct Hall {
    books: Mutex<Books>,
    wakers: Vec<Waker>,
}

#[derive(Default)]
struct Books {
    /// Number of the last message.
    offset: u64,
    groups: HashMap<String, Arc<HashSet<String>>>,
    /// Whose client a user is, by app and name.
    owners: HashMap<(u32, String), usize>,
    mail: Vec<Mail>,
}

impl Hall {
    /// A hall of owners who are woken by these.
    pub fn new(wakers: Vec<Waker>) -> Self {
        let mail = wakers.iter().map(|_| Mail::default()).collect();
        Self { books: Mutex::new(Books { mail, ..Books::default() }), wakers }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a connection for one of the owners.
    pub fn arrive(&self, number: usize, tcp: TcpStream) {
        let owner = number % self.wakers.len();
        self.books().mail[owner].arrivals.push(tcp);
        self.wake(owner);
    }

    fn wake(&self, owner: usize) {
        // Cannot fail but for want of memory.
        let _ = self.wakers[owner].wake();
    }

    /// Notes whose client a user is.
    pub fn enter(&self, app: u32, user: String, owner: usize) {
        self.books().owners.insert((app, user), owner);
    }

    /// Makes a user a member of a group; gives the number of members.
    pub fn join(&self, group: String, user: String) -> usize {
        let mut books = self.books();
        let members = Arc::make_mut(books.groups.entry(group).or_default());
        members.insert(user);
        members.len()
    }

    /// Numbers the messages of an owner's turn and leaves them for the owners of their readers; gives the number of the
    /// first one, and what was left for this owner.
    pub fn exchange(&self, owner: usize, posts: Vec<Post>) -> (u64, Mail) {
        let mut books = self.books();
        let first = books.offset + 1;
        let mut to_wake = vec![false; self.wakers.len()];
        for post in posts {
            for reached in books.post(post) {
                to_wake[reached] = true;
            }
        }
        let mail = std::mem::take(&mut books.mail[owner]);
        drop(books);
        to_wake[owner] = false;
        (0..to_wake.len()).filter(|other| to_wake[*other]).for_each(|other| self.wake(other));
        (first, mail)
    }
}

impl Books {
    /// Gives the owners for whom the message was left.
    fn post(&mut self, post: Post) -> Range<usize> {
        let Post { app, target, sender, mut head } = post;
        self.offset += 1;
        head += &self.offset.to_string();
        head += TAIL;
        let all = 0..self.mail.len();
        let (readers, owners) = match target {
            Target::World => (Readers::All, all),
            Target::Group(group) => {
                let members = self.groups.get(group.as_str()).cloned().unwrap_or_default();
                (Readers::Members(members), all)
            }
            Target::User(user) => {
                let key = (app, user.to_string());
                let owners = self.owners.get(&key).map_or(0..0, |owner| *owner..*owner + 1);
                (Readers::One(key.1), owners)
            }
        };
        let push = Arc::new(Push { app, readers, sender, frame: frames::unmasked_text(head.as_bytes()) });
        self.mail[owners.clone()].iter_mut().for_each(|mail| mail.pushes.push(push.clone()));
        owners
    }
}

/// An answer or a push as it is sent.
pub fn json(value: &impl Serialize) -> String {
    // Cannot fail: the types of the wire have text keys and no failing serializer.
    serde_json::to_string(value).unwrap_or_default()
}
