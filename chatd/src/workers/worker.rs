//! One worker: its sockets, its sessions, and the turn that each of them gets.
//!
//! Invariant: within a turn everyone who has something to do is looked at once; a failure of one connection ends that
//! one.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::runtime::Handle;

use super::Arrival;
use super::mailbox::{Key, Mailbox};
use super::seat::{Seat, Turn};
use crate::hub::bell::{Bell, Rope};
use crate::session::{Done, Session, Sessions};
use crate::tls::Line;

/// Bytes read at a time: a client that always has more to say must not keep others from their turn.
const BUFFER: usize = 16 * 1024;
/// Events taken at a time.
const EVENTS: usize = 1024;
/// The token of the mailbox. Those of connections are their keys.
const MAIL: Token = Token(usize::MAX);

/// A thread's share of the connections.
pub struct Worker {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    bell: Arc<Bell>,
    sessions: Arc<Sessions>,
    runtime: Handle,
    seats: Slab<Box<Seat>>,
    /// Places to be looked at in the next turn, each once.
    queue: VecDeque<u32>,
    /// When to look at whom though nothing happens; some are past and mean nothing any more.
    deadlines: BTreeSet<(Instant, Key)>,
    buffer: Vec<u8>,
    turns: u32,
}

impl Worker {
    /// A worker of these sessions and its mailbox. What they wait for runs on `runtime`.
    ///
    /// # Errors
    /// What the system says when there is no file left.
    pub fn new(sessions: Arc<Sessions>, runtime: Handle) -> io::Result<(Self, Arc<Mailbox>)> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(poll.registry(), MAIL)?;
        let woken = mailbox.clone();
        let bell = Bell::new(Box::new(move || woken.wake()));
        let worker = Self {
            poll,
            mailbox: mailbox.clone(),
            bell,
            sessions,
            runtime,
            seats: Slab::new(),
            queue: VecDeque::new(),
            deadlines: BTreeSet::new(),
            buffer: vec![0; BUFFER],
            turns: 0,
        };
        Ok((worker, mailbox))
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        // For requests that are done here and wait with a time-out.
        let runtime = self.runtime.clone();
        let _runtime = runtime.enter();
        let mut events = Events::with_capacity(EVENTS);
        let mut rung = Vec::new();
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return tracing::error!(%error, "a worker cannot poll its connections");
                }
                _ => {}
            }
            events.iter().filter(|event| event.token() != MAIL).for_each(|event| self.note(event));
            let mail = self.mailbox.take();
            if mail.is_stopping {
                return;
            }
            mail.arrivals.into_iter().for_each(|arrival| self.arrive(arrival));
            mail.done.into_iter().for_each(|(key, done)| self.done(key, done));
            self.bell.take(&mut rung);
            rung.drain(..).for_each(|place| self.queue(place));
            let now = Instant::now();
            self.expire(now);
            for _ in 0..self.queue.len() {
                if let Some(place) = self.queue.pop_front() {
                    self.look(place, now);
                }
            }
        }
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Option<std::time::Duration> {
        if !self.queue.is_empty() {
            return Some(std::time::Duration::ZERO);
        }
        let (first, _) = self.deadlines.first()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn note(&mut self, event: &mio::event::Event) {
        let key = Key::from(event.token());
        if let Some(seat) = self.seat(key) {
            seat.note(event);
            self.queue(key.place);
        }
    }

    /// The connection, unless it has ended.
    fn seat(&mut self, key: Key) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(key.place as usize)?;
        (seat.turn == key.turn).then_some(&mut **seat)
    }

    fn queue(&mut self, place: u32) {
        if let Some(seat) = self.seats.get_mut(place as usize)
            && !std::mem::replace(&mut seat.is_queued, true)
        {
            self.queue.push_back(place);
        }
    }

    fn arrive(&mut self, Arrival { line, read_ahead, peer, held }: Arrival) {
        let entry = self.seats.vacant_entry();
        let Ok(place) = u32::try_from(entry.key()) else { return self.mailbox.left() };
        self.turns = self.turns.wrapping_add(1);
        let key = Key { place, turn: self.turns };
        let session =
            Session::new(self.sessions.clone(), Rope::new(self.bell.clone(), place), peer, &read_ahead);
        let line = Line { tcp: mio::net::TcpStream::from_std(line.tcp), tls: line.tls };
        let mut seat = Box::new(Seat::new(line, session, key.turn, held));
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(seat.tcp(), key.into(), both) {
            seat.session().lost(&error);
            return self.mailbox.left();
        }
        entry.insert(seat);
        self.queue(place);
    }

    fn done(&mut self, key: Key, done: Option<Done>) {
        let Some(seat) = self.seat(key) else { return };
        seat.ran();
        let session = seat.session();
        session.quiet();
        let told = catch_unwind(AssertUnwindSafe(|| match done {
            Some(done) => session.done(done),
            None => session.failed(),
        }));
        match told {
            Ok(()) => self.queue(key.place),
            Err(_) => self.leave(key.place),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.deadlines.first()
            && until <= now
        {
            self.deadlines.pop_first();
            if self.seat(key).is_some() {
                self.queue(key.place);
            }
        }
    }

    fn look(&mut self, place: u32, now: Instant) {
        let Some(seat) = self.seats.get_mut(place as usize) else { return };
        seat.is_queued = false;
        let key = Key { place, turn: seat.turn };
        let before = seat.session().stage().until();
        let buffer = &mut self.buffer;
        let looked = catch_unwind(AssertUnwindSafe(|| seat.look(buffer, now)));
        let until = seat.session().stage().until();
        let (turn, pending) = looked.unwrap_or((Turn::Over, None));
        if let Some(pending) = pending {
            let running = self.runtime.spawn(self.mailbox.clone().run(key, pending));
            seat.runs(running.abort_handle());
        }
        match turn {
            Turn::Over => self.leave(place),
            Turn::Again => self.queue(place),
            Turn::Wait => {}
        }
        if until != before
            && let Some(until) = until
        {
            self.deadlines.insert((until, key));
        }
    }

    /// Ends a connection.
    fn leave(&mut self, place: u32) {
        let seat = AssertUnwindSafe(self.seats.remove(place as usize));
        if catch_unwind(|| drop(seat)).is_err() {
            tracing::error!("a connection failed at its end");
        }
        self.mailbox.left();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl From<Key> for Token {
    fn from(key: Key) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a place of 64 bits holds both")]
        Self((u64::from(key.turn) << 32 | u64::from(key.place)) as usize)
    }
}

impl From<Token> for Key {
    fn from(Token(token): Token) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "its two halves")]
        Self { place: token as u32, turn: (token as u64 >> 32) as u32 }
    }
}
