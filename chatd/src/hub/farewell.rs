//! The end of all connections, one after the other: whoever was here goes elsewhere, and many at once would be a storm
//! there.
//!
//! Invariant: what is opened after the end has begun is closed at once; all others are served until their turn, the
//! oldest first and evenly over the time there is, and each is told after which time to come back.

use std::time::{Duration, Instant};

use chat_protocol::code::close;
use chat_protocol::session::{DRAIN, Draining};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::outbox::Close;
use super::{Connection, Hub, frame};
use crate::model::{Identity, Notice, Skip};

/// Pause between two slices; at least one connection leaves in each.
const PAUSE: Duration = Duration::from_millis(100);
/// Those of a slice come back at some time within so many milliseconds, not all at its end.
const COME_BACK_WITHIN_MS: u64 = 1000;

/// Whether the node is leaving, and by when its connections do.
#[derive(Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    ends: Mutex<Option<Instant>>,
}

impl Drain {
    /// Begins, or hastens what has begun: the last connection is asked to leave within `over`, and not later than was
    /// said before. True: it begins with this.
    pub fn begin(&self, over: Duration) -> bool {
        let ends = Instant::now() + over;
        let mut known = self.ends.lock();
        let is_first = known.is_none();
        *known = Some(known.map_or(ends, |known| known.min(ends)));
        drop(known);
        self.begun.cancel();
        is_first
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Time until the last connection is asked to leave; none has begun to leave before [`Drain::begin`].
    #[must_use]
    pub fn left(&self) -> Duration {
        let ends = *self.ends.lock();
        ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(Instant::now()))
    }
}

impl Hub {
    /// Whether and how the connections leave.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Ends all connections of a user on this node.
    pub(crate) fn send_away(&self, identity: &Identity, close: &Close) {
        let connections = self.connections_of(identity);
        connections.iter().for_each(|connection| connection.outbox.close(close.clone()));
    }

    /// Asks every connection to leave, as evenly as [`Drain::begin`] said.
    pub async fn close_all(&self) {
        let mut open = Vec::new();
        for shard in &self.open {
            open.extend(shard.lock().values().cloned());
        }
        // The oldest last, because they are taken from the end.
        open.sort_unstable_by_key(|connection| std::cmp::Reverse(connection.id.number));
        loop {
            let rest = open.len() - slice(open.len(), self.drain.left());
            open.drain(rest..).rev().for_each(|connection| send_away(&connection));
            if open.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
            // Some go by themselves.
            open.retain(|connection| !connection.outbox.is_closing());
        }
    }
}

/// How many of `count` connections go now, when `left` is the time until the last one has to.
fn slice(count: usize, left: Duration) -> usize {
    let slices = usize::try_from(left.as_millis() / PAUSE.as_millis()).unwrap_or(usize::MAX).max(1);
    count.div_ceil(slices)
}

/// Tells a connection when to come back, and ends it after what is queued.
pub(super) fn send_away(connection: &Connection) {
    let reconnect_in_ms = rand::random_range(0..=COME_BACK_WITHIN_MS);
    let data = serde_json::to_vec(&Draining { reconnect_in_ms }).unwrap_or_default();
    let notice = Notice { cmd: DRAIN.into(), data: data.into(), skip: Skip::Nobody };
    connection.outbox.answer(frame::notice(&notice));
    connection.outbox.close(Close::new(close::DRAIN, "the node is stopping; reconnect and recover"));
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::counters::Counters;
    use crate::hub::bell::Rope;
    use crate::hub::outbox::Limits;
    use crate::transport::frames::Frames;

    fn hub() -> Hub {
        Hub::new(1, Limits { frames: 10, bytes: 1000 }, Arc::new(Counters::default()))
    }

    fn is_sent_away(connection: &Arc<Connection>) -> bool {
        connection.outbox.closing().map(|close| close.code) == Some(close::DRAIN)
    }

    #[tokio::test]
    async fn who_comes_after_the_end_is_sent_away() {
        let hub = hub();
        let early = hub.open(Rope::default());
        assert!(!hub.drain().has_begun());
        assert!(hub.drain().begin(Duration::ZERO) && !hub.drain().begin(Duration::ZERO));
        hub.close_all().await;
        assert!(is_sent_away(&early) && is_sent_away(&hub.open(Rope::default())));
    }

    #[tokio::test]
    async fn each_is_told_when_to_come_back_and_not_all_the_same() {
        let hub = hub();
        let open: Vec<_> = (0..50).map(|_| hub.open(Rope::default())).collect();
        hub.drain().begin(Duration::ZERO);
        hub.close_all().await;
        let mut told: Vec<u64> = open.iter().map(|connection| told(connection)).collect();
        assert!(told.iter().all(|ms| *ms <= COME_BACK_WITHIN_MS), "{told:?}");
        told.sort_unstable();
        told.dedup();
        assert!(told.len() > 10, "{told:?}");
    }

    fn told(connection: &Connection) -> u64 {
        let mut writing = Frames::default();
        connection.outbox.take(&mut writing, 10);
        let frames: Vec<_> =
            writing.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect();
        let [frame] = frames.as_slice() else { panic!("{frames:?}") };
        assert!(frame.contains(r#""cmd":"system/drain""#), "{frame}");
        let (_, ms) = frame.split_once(r#""reconnectInMs":"#).expect("a time");
        ms.split('}').next().and_then(|ms| ms.parse().ok()).expect("a number")
    }

    #[test]
    fn slices_are_even_and_never_empty() {
        for (count, over_ms, slices) in [(10_000, 5000, 50), (5000, 0, 1), (7, 10_000, 7), (101, 1000, 10)] {
            let (mut left, mut at, mut sizes) = (count, 0, Vec::new());
            while left > 0 {
                let size = slice(left, Duration::from_millis(u64::saturating_sub(over_ms, at)));
                sizes.push(size);
                (left, at) = (left - size, at + 100);
            }
            assert_eq!(sizes.len(), slices, "{count} over {over_ms} ms: {sizes:?}");
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{sizes:?}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_the_others_are_served_until_their_turn_or_until_it_is_hastened() {
        let hub = hub();
        let open: Vec<_> = (0..100).map(|_| hub.open(Rope::default())).collect();
        hub.drain().begin(Duration::from_secs(3600));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        {
            let mut closing = pin!(hub.close_all());
            assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(is_sent_away(&open[0]) && !open[1..].iter().any(is_sent_away));
        assert!(is_sent_away(&hub.open(Rope::default())), "nobody new");
        assert!(!hub.drain().begin(Duration::ZERO) && hub.drain().left().is_zero());
        assert!(!hub.drain().begin(Duration::from_secs(60)) && hub.drain().left().is_zero());
        runtime.block_on(hub.close_all());
        assert!(open.iter().all(is_sent_away));
    }
}
