//! How long a connection may speak for its user, and what ends it earlier.
//!
//! Invariant: no connection has a timer of its own; a term is only looked at once a second, and never when something is
//! sent.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use chat_protocol::code::close;
use chat_protocol::session::{EXPIRING, Expiring};

use super::outbox::Close;
use super::{Connection, Hub, frame};
use crate::model::{Notice, Skip};

/// No end in time.
const FOR_EVER: u32 = u32::MAX;

impl Connection {
    /// It may speak for its user until then (Unix seconds, [`u32::MAX`] for ever), by the key with this number, 0 for
    /// none. Nothing happens to one that is not logged in.
    pub fn set_term(&self, until_s: u32, key: u16) {
        self.following(|following| (following.until_s, following.key) = (until_s, key));
        self.is_warned.store(false, Ordering::Relaxed);
    }

    /// The same for a term that ends later; false, and nothing, when it ends earlier than the one it has.
    #[must_use]
    pub fn extend_term(&self, until_s: u32, key: u16) -> bool {
        let is_later = self.following(|following| following.until_s <= until_s) == Some(true);
        if is_later {
            self.set_term(until_s, key);
        }
        is_later
    }
}

impl Hub {
    /// Ends the connections whose term is over at `now_s` (Unix seconds) or whose key is not live any more, and warns
    /// those whose term ends within `warning_s`. Called every second or so where users prove who they are.
    pub fn end_terms(&self, now_s: u32, warning_s: u32, is_live: impl Fn(u16) -> bool) {
        for shard in &self.open {
            for connection in shard.lock().values() {
                look_at(connection, now_s, warning_s, &is_live);
            }
        }
    }
}

fn look_at(connection: &Connection, now_s: u32, warning_s: u32, is_live: &impl Fn(u16) -> bool) {
    let term = connection.following.lock().as_ref().map(|following| (following.until_s, following.key));
    let term = term.or_else(|| connection.observer_key().map(|key| (FOR_EVER, key)));
    let Some((until_s, key)) = term.filter(|(_, key)| *key != 0) else { return };
    if !is_live(key) {
        connection.outbox.close(Close::new(close::TOKEN_INVALID, "the key of this session is gone"));
    } else if until_s <= now_s {
        connection.outbox.close(Close::new(close::TOKEN_INVALID, "the token has expired"));
    } else if until_s != FOR_EVER
        && until_s - now_s <= warning_s
        && !connection.is_warned.swap(true, Ordering::Relaxed)
    {
        connection.outbox.answer(warning(until_s));
    }
}

fn warning(until_s: u32) -> Bytes {
    let data = serde_json::to_vec(&Expiring { expires: u64::from(until_s) * 1000 }).unwrap_or_default();
    frame::notice(&Notice { cmd: EXPIRING.into(), data: data.into(), skip: Skip::Nobody })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;
    use crate::model::Identity;
    use crate::transport::frames::Frames;
    use chat_protocol::UserId;
    use std::sync::Arc;

    fn hub() -> Hub {
        Hub::new(1, Limits { frames: 10, bytes: 1000 }, Arc::new(Counters::default()))
    }

    fn logged_in(hub: &Hub, user: &str) -> Arc<Connection> {
        let connection = hub.open(Rope::default());
        connection.begin(&Identity { app: 1, user: UserId::new(user).unwrap() });
        connection
    }

    fn warnings(connection: &Connection) -> usize {
        let mut writing = Frames::default();
        connection.outbox.take(&mut writing, 10);
        writing.iter().filter(|frame| frame.windows(16).any(|text| text == EXPIRING.as_bytes())).count()
    }

    #[test]
    fn a_term_is_warned_of_once_and_ends_with_its_second() {
        let hub = hub();
        let connection = logged_in(&hub, "a");
        connection.set_term(1000, 7);
        for (now_s, warned) in [(900, 0), (939, 0), (940, 1), (941, 0), (999, 0)] {
            hub.end_terms(now_s, 60, |number| number == 7);
            assert_eq!((warnings(&connection), connection.outbox.is_closing()), (warned, false), "{now_s}");
        }
        connection.set_term(1100, 7);
        hub.end_terms(1000, 60, |_| true);
        assert_eq!((warnings(&connection), connection.outbox.is_closing()), (0, false), "it was renewed");
        hub.end_terms(1050, 60, |_| true);
        assert_eq!(warnings(&connection), 1, "a new term is warned of anew");
        hub.end_terms(1100, 60, |_| true);
        assert_eq!(connection.outbox.closing().map(|close| close.code), Some(close::TOKEN_INVALID));
    }

    #[test]
    fn a_key_that_is_gone_ends_its_sessions_and_nobody_elses() {
        let hub = hub();
        let [by_gone, by_other, by_none] = ["a", "b", "c"].map(|user| logged_in(&hub, user));
        by_gone.set_term(FOR_EVER, 1);
        by_other.set_term(FOR_EVER, 2);
        hub.end_terms(1, 60, |number| number == 2);
        let ended = [&by_gone, &by_other, &by_none].map(|connection| connection.outbox.is_closing());
        assert_eq!(ended, [true, false, false]);
        assert_eq!(warnings(&by_other), 0, "what has no end is not warned of");
    }
}
