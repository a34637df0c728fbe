//! What other threads leave for a worker.
//!
//! Invariant: leaving something never waits for the worker, and wakes it once, however much is left until it looks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use mio::{Registry, Token, Waker};
use parking_lot::Mutex;

use super::Arrival;
use crate::session::{Done, Pending};

/// A connection of a worker: its place, and which of those that had the place one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Where the worker keeps it.
    pub place: u32,
    /// Differs from that of others that had the place.
    pub turn: u32,
}

/// What was left since the worker looked last. As many at most as there are places for connections: each arrives once
/// and has one request at a time.
#[derive(Default)]
pub struct Mail {
    /// Connections.
    pub arrivals: Vec<Arrival>,
    /// Requests that are finished, or failed.
    pub done: Vec<(Key, Option<Done>)>,
    /// Whether the worker is to end.
    pub is_stopping: bool,
    /// Whether the worker has ended.
    is_closed: bool,
}

/// The mail of one worker, and how it is woken for it.
pub struct Mailbox {
    mail: Mutex<Mail>,
    is_awake: AtomicBool,
    waker: Waker,
    connections: AtomicUsize,
    turns: AtomicU64,
}

impl Mailbox {
    /// The mailbox of the worker that polls this registry and is woken by this token.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Arc<Self>> {
        let (mail, is_awake, connections, turns) = Default::default();
        Ok(Arc::new(Self { mail, is_awake, waker: Waker::new(registry, token)?, connections, turns }))
    }

    /// Leaves a connection, which ends at once when nobody is there to take it.
    pub fn arrive(&self, arrival: Arrival) {
        let mut mail = self.mail.lock();
        if mail.is_closed {
            return;
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        mail.arrivals.push(arrival);
        drop(mail);
        self.wake();
    }

    /// The worker has ended: nothing is left here any more.
    pub fn close(&self) {
        let mut mail = self.mail.lock();
        *mail = Mail { is_closed: true, ..Mail::default() };
    }

    /// Whether a worker looks here.
    pub fn is_open(&self) -> bool {
        !self.mail.lock().is_closed
    }

    /// A connection has ended.
    pub fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections that arrived and have not ended.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How often the worker has looked here.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Tells the worker to end.
    pub fn stop(&self) {
        self.mail.lock().is_stopping = true;
        self.wake();
    }

    /// Wakes the worker, unless that was done since it looked last.
    pub fn wake(&self) {
        if !self.is_awake.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a worker could not be woken");
        }
    }

    /// What was left since the last call. What is left from now on wakes anew.
    pub fn take(&self) -> Mail {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.is_awake.swap(false, Ordering::AcqRel);
        std::mem::take(&mut *self.mail.lock())
    }

    /// A request that runs on another thread and comes back here, also when it fails.
    pub async fn run(self: Arc<Self>, key: Key, pending: Pending) {
        let mut returning = Returning { mailbox: self, key, done: None };
        returning.done = Some(pending.await);
    }
}

/// A request on its way back.
struct Returning {
    mailbox: Arc<Mailbox>,
    key: Key,
    done: Option<Done>,
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.mailbox.mail.lock().done.push((self.key, self.done.take()));
        self.mailbox.wake();
    }
}
