//! The threads that own the WebSocket connections of a node: each polls its own, reads into one buffer, and writes shared
//! frames straight to the sockets.
//!
//! Invariant: a connection stays with one worker from its handshake to its end, and costs a place in a slab (and its keys,
//! where it speaks TLS): no task, no timer, no buffer of its own. Whatever waits for a store runs elsewhere and comes back as mail.

mod mailbox;
mod seat;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::mailbox::Mailbox;
use self::worker::Worker;
use crate::listener::places::Place;
use crate::session::Sessions;
use crate::tls::Line;

/// Workers at most: beyond that, others of the machine are what a node waits for.
const MAX_WORKERS: usize = 16;

/// Pause before it is looked again whether a worker has taken a turn.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The workers of a node.
pub struct Workers {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A connection whose handshake is done.
pub struct Arrival {
    /// Its socket; does not block.
    pub line: Line<std::net::TcpStream>,
    /// Bytes that came together with the handshake.
    pub read_ahead: Bytes,
    /// Who it is.
    pub peer: SocketAddr,
    /// What it holds as long as it lives.
    pub held: Held,
}

/// What a connection holds as long as it lives.
pub struct Held {
    /// Its place; none where it came over no socket of the listener.
    pub place: Option<Place>,
    /// Counts it among those that a stop waits for.
    pub token: TaskTrackerToken,
}

impl Workers {
    /// As many as the machine runs at once. What their connections wait for runs on the runtime this is called on.
    ///
    /// # Errors
    /// What the system says when there is no file or thread left.
    pub fn start(sessions: &Arc<Sessions>) -> io::Result<Arc<Self>> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let (mut mailboxes, mut threads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let (worker, mailbox) = Worker::new(sessions.clone(), Handle::current())?;
            let name = format!("connections-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
            mailboxes.push(mailbox);
        }
        Ok(Arc::new(Self { mailboxes, threads: Mutex::new(threads) }))
    }

    /// Gives a connection to the worker that has the fewest.
    pub fn take(&self, arrival: Arrival) {
        let open = self.mailboxes.iter().filter(|mailbox| mailbox.is_open());
        if let Some(mailbox) = open.min_by_key(|mailbox| mailbox.connections()) {
            mailbox.arrive(arrival);
        }
    }

    /// Waits until each worker has taken a turn, which is never for one that hangs. False: none is left.
    pub async fn turn(&self) -> bool {
        let mut is_any_left = false;
        for mailbox in self.mailboxes.iter().filter(|mailbox| mailbox.is_open()) {
            let before = mailbox.turns();
            mailbox.wake();
            while mailbox.turns() == before && mailbox.is_open() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            is_any_left |= mailbox.is_open();
        }
        is_any_left
    }

    /// Ends the workers, and with them the connections that are left.
    pub fn stop(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.stop());
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker had failed");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}
