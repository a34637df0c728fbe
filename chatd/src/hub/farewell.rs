//! The end of all connections, slice by slice: whoever was here goes elsewhere, and many at once would be a storm there.
//!
//! Invariant: what is opened after the end has begun is closed at once; all others are served until their turn, the
//! oldest first, and the last one's comes a bounded time after the first one's.

use std::time::Duration;

use super::Hub;
use super::outbox::Close;

/// Pause between two slices.
const PAUSE: Duration = Duration::from_millis(100);
/// Slices at most: with the pauses between them not quite 5 s.
const SLICES: usize = 50;
/// Connections of a slice at least. A node with so few is left by all at once.
const LEAST: usize = 100;

impl Hub {
    /// Closes every connection, and every one that is opened from now on.
    pub async fn close_all(&self, farewell: &Close) {
        let _ = self.farewell.set(farewell.clone());
        let mut open = Vec::new();
        for shard in &self.open {
            open.extend(shard.lock().values().cloned());
        }
        open.sort_unstable_by_key(|connection| connection.id.number);
        let mut is_first = true;
        for slice in open.chunks(LEAST.max(open.len().div_ceil(SLICES))) {
            if !std::mem::take(&mut is_first) {
                tokio::time::sleep(PAUSE).await;
            }
            for connection in slice {
                connection.outbox.close(farewell.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::hub::bell::Rope;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use chat_protocol::code::close;

    use super::*;
    use crate::counters::Counters;
    use crate::hub::Connection;
    use crate::hub::outbox::Limits;

    fn hub() -> Hub {
        Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::new(Counters::default()))
    }

    fn stop() -> Close {
        Close::new(close::GOING_AWAY, "stop")
    }

    fn is_sent_away(connection: &Arc<Connection>) -> bool {
        connection.outbox.closing().map(|close| close.code) == Some(close::GOING_AWAY)
    }

    #[tokio::test]
    async fn who_comes_after_the_end_is_sent_away() {
        let hub = hub();
        let early = hub.open(Rope::default());
        hub.close_all(&stop()).await;
        assert!(is_sent_away(&early) && is_sent_away(&hub.open(Rope::default())));
    }

    #[tokio::test]
    async fn many_are_sent_away_slice_by_slice_and_few_at_once() {
        for (count, at_once) in
            [(0, 0), (1, 1), (LEAST, LEAST), (3 * LEAST - 1, LEAST), (SLICES * LEAST * 2, 2 * LEAST)]
        {
            let hub = hub();
            let open: Vec<_> = (0..count).map(|_| hub.open(Rope::default())).collect();
            let farewell = stop();
            let mut closing = pin!(hub.close_all(&farewell));
            let polled = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled.is_ready(), count == at_once, "{count}");
            let (first, others) = open.split_at(at_once);
            assert!(first.iter().all(is_sent_away), "{count}: the first");
            assert!(!others.iter().any(is_sent_away), "{count}: the others stay");
            assert!(is_sent_away(&hub.open(Rope::default())), "{count}: nobody new");
            if polled.is_pending() && count < SLICES * LEAST {
                closing.await;
                assert!(open.iter().all(is_sent_away), "{count}: all");
            }
        }
    }
}
