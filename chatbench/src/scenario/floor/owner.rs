//! A thread of the relay: the clients it owns, and its turns.
//!
//! Invariant: a turn reads all that came, exchanges it with the other owners once, and writes to each client once, but to
//! senders to all twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;

use chat_protocol::MsgId;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::net::frames;
use crate::scenario::floor::client::{Asked, Client, Message, receipt};
use crate::scenario::floor::hall::{Hall, Mail, Post, Push, Readers, Seat};

/// The token by which owners wake each other.
pub const MAIL: Token = Token(usize::MAX);

const EVENTS: usize = 1024;
const BUFFER: usize = 256 * 1024;

/// The owner of a share of the clients.
pub struct Owner {
    number: usize,
    poll: Poll,
    hall: Arc<Hall>,
    clients: Slab<Client>,
    /// Places by app and user.
    users: HashMap<u32, HashMap<String, usize>>,
    /// Messages this turn has heard, each with what its answer repeats.
    posts: Vec<Post>,
    unanswered: Vec<Unanswered>,
    /// Places of those who have something to be written.
    to_write: Vec<usize>,
    buffer: Vec<u8>,
}

struct Unanswered {
    place: usize,
    seq: String,
    msg_id: MsgId,
}

impl Owner {
    /// An owner without clients.
    pub fn new(number: usize, poll: Poll, hall: Arc<Hall>) -> Self {
        let (clients, users, buffer) = (Slab::new(), HashMap::new(), vec![0; BUFFER]);
        let (posts, unanswered, to_write) = Default::default();
        Self { number, poll, hall, clients, users, posts, unanswered, to_write, buffer }
    }

    /// Works for ever.
    ///
    /// # Errors
    /// What the system says when it has no more to work with.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            events.iter().filter(|event| event.token() != MAIL).for_each(|event| self.note(event));
            let posts = std::mem::take(&mut self.posts);
            let (first, Mail { pushes, arrivals }) = self.hall.exchange(self.number, posts);
            for (offset, asked) in (first..).zip(std::mem::take(&mut self.unanswered)) {
                self.say(asked.place, &receipt(&asked.seq, asked.msg_id, offset));
            }
            self.deliver(&pushes);
            self.write();
            arrivals.into_iter().try_for_each(|tcp| self.arrive(tcp))?;
        }
    }

    fn arrive(&mut self, tcp: TcpStream) -> io::Result<()> {
        let _ = tcp.set_nodelay(true);
        let entry = self.clients.vacant_entry();
        let mut client = Client::new(mio::net::TcpStream::from_std(tcp));
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(client.tcp(), Token(entry.key()), both)?;
        entry.insert(client);
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        let Token(place) = event.token();
        let Some(client) = self.clients.get_mut(place) else { return };
        if event.is_writable() && client.unblock() {
            self.to_write.push(place);
        }
        if (event.is_readable() || event.is_read_closed() || event.is_error()) && !self.hear(place) {
            self.leave(place);
        }
    }

    /// Hears what a client asks for; false when it is gone.
    fn hear(&mut self, place: usize) -> bool {
        let is_there = self.clients[place].hear(&mut self.buffer);
        loop {
            match self.clients[place].next(&self.hall) {
                Ok(Some(asked)) => self.take(place, asked),
                Ok(None) => return is_there,
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, place: usize, asked: Asked) {
        match asked {
            Asked::Nothing => {}
            Asked::Answered(answer) => self.say(place, &answer),
            Asked::Login(answer) => {
                if let Some((app, user)) = &self.clients[place].identity {
                    self.hall.enter(*app, user.to_string(), self.number);
                    self.users.entry(*app).or_default().insert(user.to_string(), place);
                }
                self.say(place, &answer);
            }
            Asked::Message(Message { app, target, head, seq, msg_id }) => {
                let sender = Seat { owner: self.number, place };
                self.posts.push(Post { app, target, sender, head });
                self.unanswered.push(Unanswered { place, seq, msg_id });
            }
            Asked::Close => {
                self.say(place, &frames::unmasked_close(1000));
                self.forget(place);
                self.clients[place].ends = true;
            }
        }
    }

    fn deliver(&mut self, pushes: &[Arc<Push>]) {
        let mut to_all: BTreeMap<u32, Vec<&Push>> = BTreeMap::new();
        for push in pushes {
            let Some(users) = self.users.get(&push.app) else { continue };
            let places: Vec<usize> = match &push.readers {
                Readers::All => {
                    to_all.entry(push.app).or_default().push(push);
                    continue;
                }
                Readers::Members(members) => {
                    members.iter().filter_map(|user| users.get(user)).copied().collect()
                }
                Readers::One(user) => users.get(user).copied().into_iter().collect(),
            };
            places.into_iter().for_each(|place| self.give(place, push));
        }
        to_all.iter().for_each(|(app, pushes)| self.give_all(*app, pushes));
    }

    /// Gives a message to a client, unless it sent it.
    fn give(&mut self, place: usize, push: &Push) {
        if push.sender != (Seat { owner: self.number, place }) {
            self.say(place, &push.frame);
        }
    }

    /// Gives messages to all clients of an app, put together once, but for those who sent some of them.
    fn give_all(&mut self, app: u32, pushes: &[&Push]) {
        // No answer waits until everybody has been told.
        self.write();
        let frames = pushes.iter().map(|push| &push.frame[..]).collect::<Vec<_>>().concat();
        let own = pushes.iter().filter(|push| push.sender.owner == self.number);
        let senders: BTreeSet<usize> = own.map(|push| push.sender.place).collect();
        let places: Vec<usize> =
            self.users.get(&app).into_iter().flatten().map(|(_, place)| *place).collect();
        for place in places {
            if senders.contains(&place) {
                pushes.iter().for_each(|push| self.give(place, push));
            } else if self.clients[place].tell(&frames) {
                self.to_write.push(place);
            }
        }
    }

    fn write(&mut self) {
        for place in std::mem::take(&mut self.to_write) {
            if self.clients.get_mut(place).is_some_and(|client| !client.write()) {
                self.leave(place);
            }
        }
    }

    fn say(&mut self, place: usize, bytes: &[u8]) {
        if self.clients.get_mut(place).is_some_and(|client| client.say(bytes)) {
            self.to_write.push(place);
        }
    }

    /// Takes a client from among those who get messages.
    fn forget(&mut self, place: usize) {
        if let Some((app, user)) = &self.clients[place].identity
            && let Some(users) = self.users.get_mut(app)
            && users.get(user.as_str()) == Some(&place)
        {
            users.remove(user.as_str());
        }
    }

    fn leave(&mut self, place: usize) {
        self.forget(place);
        self.clients.remove(place);
    }
}
