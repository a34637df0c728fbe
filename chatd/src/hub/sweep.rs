//! What happens to connections as time goes by: the silent and the stalled are closed, the quiet get a ping, and so do the
//! silent whose place is wanted.
//!
//! Invariant: no connection has a timer of its own, and one pass does little for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chat_protocol::code::close;
use parking_lot::Mutex;

use super::outbox::Close;
use super::{Connection, Hub, frame};
use crate::counters::Limit;
use crate::model::Identity;

/// Deadlines the sweep enforces, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Silence after which a logged-in connection is closed.
    pub heartbeat_s: u32,
    /// Time from the opening within which a connection must log in.
    pub login_s: u32,
    /// Quiet after which a connection gets a ping, so that proxies on the way keep it; 0 for never.
    pub ping_s: u32,
    /// Time in which the socket of a reader takes nothing of what waits, after which the reader is given up.
    pub stall_s: u32,
}

/// A connection that was asked whether it lives.
#[derive(Debug)]
pub struct Silent {
    connection: Arc<Connection>,
    /// When something was last heard of it, before it was asked.
    heard_s: u32,
}

impl Silent {
    /// Whether it has not answered, and does not end anyway.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.connection.heard_s.load(Ordering::Relaxed) == self.heard_s
            && !self.connection.outbox.is_closing()
    }

    /// Ends it, as silence does in the end.
    pub fn give_up(&self) {
        let reason = "silent, and another connection of the user wants its place";
        self.connection.outbox.close(Close::new(close::HEARTBEAT_TIMEOUT, reason));
    }
}

impl Hub {
    /// Notes that the socket of a connection took something, or does not take all.
    pub fn wrote(&self, connection: &Connection, is_blocked: bool) {
        connection.sent_s.store(self.now_s(), Ordering::Relaxed);
        connection.is_blocked.store(is_blocked, Ordering::Relaxed);
        connection.is_in_doubt.store(false, Ordering::Relaxed);
    }

    /// Looks at every connection once. Called every second or so.
    pub fn sweep(&self, deadlines: Deadlines) {
        let now_s = self.now_s();
        for shard in &self.open {
            for connection in shard.lock().values() {
                self.look_at(connection, deadlines, now_s);
            }
        }
    }

    fn look_at(&self, connection: &Connection, deadlines: Deadlines, now_s: u32) {
        let since = |then_s: u32| now_s.saturating_sub(then_s);
        let quiet_s = since(connection.sent_s.load(Ordering::Relaxed));
        let is_blocked = connection.is_blocked.load(Ordering::Relaxed);
        let heard_s = since(connection.heard_s.load(Ordering::Relaxed));
        // Nothing more is heard of a client for whom much waits, and to take some of it is a sign of life too.
        let is_silent = heard_s > deadlines.heartbeat_s && !(is_blocked && quiet_s <= deadlines.stall_s);
        if is_silent {
            connection.outbox.close(Close::new(close::HEARTBEAT_TIMEOUT, "heartbeat timeout"));
        } else if since(connection.opened_s) > deadlines.login_s
            && !connection.is_parting.load(Ordering::Relaxed)
            && connection.following.lock().is_none()
            && connection.observer_key().is_none()
        {
            if !connection.outbox.is_closing() {
                self.counters.refused.by(Limit::LoginTimeout).add(1);
            }
            connection.outbox.close(Close::new(close::LOGIN_TIMEOUT, "no log-in in time"));
        } else if is_blocked && quiet_s > deadlines.stall_s {
            if !connection.is_in_doubt.swap(true, Ordering::Relaxed) {
                return connection.outbox.ring();
            }
            if !connection.outbox.is_closing() {
                self.counters.stalled.add(1);
                self.counters.slow_closes.add(1);
            }
            connection.outbox.shed();
        } else if deadlines.ping_s > 0 && !is_blocked && quiet_s >= deadlines.ping_s {
            // Counts as sent at once, so that the next pass does not send another.
            connection.sent_s.store(now_s, Ordering::Relaxed);
            connection.outbox.answer(Bytes::from_static(frame::PING));
            self.counters.pings.add(1);
        }
    }

    /// Asks those of a user's connections for a sign of life of which nothing was heard for so long (seconds, 0 for
    /// never); the longest silent first.
    #[must_use]
    pub fn ask_silent(&self, identity: &Identity, silent_s: u32) -> Vec<Silent> {
        let now_s = self.now_s();
        let mut silent = Vec::new();
        for connection in self.connections_of(identity) {
            let heard_s = connection.heard_s.load(Ordering::Relaxed);
            if silent_s > 0 && now_s.saturating_sub(heard_s) >= silent_s && !connection.outbox.is_closing() {
                connection.outbox.answer(Bytes::from_static(frame::PING));
                self.counters.pings.add(1);
                silent.push(Silent { connection, heard_s });
            }
        }
        silent.sort_unstable_by_key(|silent| (silent.heard_s, silent.connection.id.number));
        silent
    }

    /// The bytes that wait for the reader for whom most waits.
    #[must_use]
    pub fn most_waiting(&self) -> usize {
        let most = |shard: &Mutex<HashMap<_, Arc<Connection>>>| {
            shard.lock().values().map(|connection| connection.outbox.waiting()).max()
        };
        self.open.iter().filter_map(most).max().unwrap_or(0)
    }

    /// Gives up the readers for whom most waits, and at least so many bytes, until about so many are free. What those
    /// hold who have been given up already counts as free: their sockets let go of it soon.
    pub fn shed(&self, bytes: usize, least: usize) {
        let mut behind = Vec::new();
        for shard in &self.open {
            let open = shard.lock();
            let waiting = open.values().map(|connection| (connection.outbox.waiting(), connection.clone()));
            behind.extend(waiting.filter(|(waiting, _)| *waiting >= least.max(1)));
        }
        behind.sort_unstable_by_key(|(waiting, _)| std::cmp::Reverse(*waiting));
        let mut freed = 0;
        for (_, connection) in behind {
            if freed >= bytes {
                return;
            }
            if !connection.outbox.is_closing() {
                self.counters.shed.add(1);
                self.counters.slow_closes.add(1);
            }
            freed += connection.outbox.shed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;
    use crate::transport::frames::Frames;

    const DEADLINES: Deadlines = Deadlines { heartbeat_s: 360, login_s: 1000, ping_s: 45, stall_s: 20 };

    fn hub() -> (Hub, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Hub::new(1, Limits { frames: 10, bytes: 1000 }, counters.clone()), counters)
    }

    fn taken(connection: &Connection) -> Vec<Bytes> {
        let mut writing = Frames::default();
        connection.outbox.take(&mut writing, 10);
        writing.iter().cloned().collect()
    }

    #[test]
    fn a_connection_that_is_sent_nothing_gets_a_ping_after_its_time_and_not_before() {
        let (hub, counters) = hub();
        let connection = hub.open(Rope::default());
        for (now_s, pings) in [(44, 0), (45, 1), (46, 0), (89, 0), (90, 1)] {
            hub.look_at(&connection, DEADLINES, now_s);
            assert_eq!(taken(&connection), vec![Bytes::from_static(frame::PING); pings], "second {now_s}");
        }
        assert_eq!(counters.pings.get(), 2);
        hub.look_at(&connection, Deadlines { ping_s: 0, ..DEADLINES }, 300);
        assert!(taken(&connection).is_empty(), "0 is never");
    }

    #[test]
    fn a_reader_whose_socket_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
        let (hub, counters) = hub();
        let (stuck, slow) = (hub.open(Rope::default()), hub.open(Rope::default()));
        for connection in [&stuck, &slow] {
            connection.outbox.answer(Bytes::from_static(b"waits"));
            hub.wrote(connection, true);
        }
        for now_s in (0..300).step_by(10) {
            slow.sent_s.store(now_s, Ordering::Relaxed);
            hub.look_at(&stuck, DEADLINES, now_s);
            hub.look_at(&slow, DEADLINES, now_s);
            let closing = stuck.outbox.closing().map(|close| close.code);
            assert_eq!(closing, (now_s > 30).then_some(close::SLOW_CONSUMER), "second {now_s}");
            assert_eq!(stuck.is_in_doubt(), now_s > 20, "its socket is tried once more before that");
        }
        assert!(!slow.outbox.is_closing() && !slow.is_in_doubt());
        assert_eq!((counters.stalled.get(), counters.slow_closes.get()), (1, 1));
    }

    #[test]
    fn who_is_leaving_is_not_late_for_a_log_in() {
        let (hub, counters) = hub();
        let [leaving, silent] = [(); 2].map(|()| hub.open(Rope::default()));
        leaving.parts();
        for now_s in [1000, 1001, 1002] {
            for connection in [&leaving, &silent] {
                hub.look_at(connection, Deadlines { heartbeat_s: 2000, ..DEADLINES }, now_s);
            }
        }
        assert_eq!(counters.refused.by(Limit::LoginTimeout).get(), 1);
        assert_eq!(silent.outbox.closing().map(|close| close.code), Some(close::LOGIN_TIMEOUT));
        assert!(!leaving.outbox.is_closing());
    }

    #[test]
    fn who_says_nothing_but_takes_what_waits_is_alive() {
        let (hub, _) = hub();
        let [reads, idles] = [(); 2].map(|()| hub.open(Rope::default()));
        hub.wrote(&reads, true);
        for now_s in (0..=400).step_by(10) {
            reads.sent_s.store(now_s, Ordering::Relaxed);
            hub.look_at(&reads, Deadlines { ping_s: 0, ..DEADLINES }, now_s);
            hub.look_at(&idles, Deadlines { ping_s: 0, ..DEADLINES }, now_s);
        }
        assert!(!reads.outbox.is_closing());
        assert_eq!(idles.outbox.closing().map(|close| close.code), Some(close::HEARTBEAT_TIMEOUT));
    }

    #[test]
    fn those_for_whom_most_waits_are_given_up_once_and_nobody_for_little() {
        let (hub, counters) = hub();
        let readers = [(); 4].map(|()| hub.open(Rope::default()));
        for (reader, bytes) in readers.iter().zip([100, 900, 5, 500]) {
            reader.outbox.answer(Bytes::from(vec![0; bytes]));
            // On its way to a socket that takes nothing.
            taken(reader);
            reader.outbox.answer(Bytes::from_static(b"+"));
        }
        let given_up = || readers.each_ref().map(|reader| reader.outbox.is_closing());
        hub.shed(800, 50);
        assert_eq!(given_up(), [false, true, false, false]);
        // As long as its socket has not ended, nobody else goes for it.
        hub.shed(800, 50);
        assert_eq!(given_up(), [false, true, false, false]);
        hub.shed(usize::MAX, 50);
        assert_eq!(given_up(), [true, true, false, true]);
        assert_eq!(counters.shed.get(), 3);
    }
}
