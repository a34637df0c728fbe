//! Who reads a conversation from its log and waits for more of it, without a connection.
//!
//! Invariant: what is logged while a reader does not look makes its next wait end at once; where nobody waits, a message
//! costs one look at a number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Hub;
use crate::model::Conversation;

/// Everybody who waits on this node.
#[derive(Debug, Default)]
pub(super) struct Tails {
    count: AtomicUsize,
    waiting: Mutex<HashMap<Conversation, Vec<Arc<Signal>>>>,
}

/// What one reader hears.
#[derive(Debug, Default)]
struct Signal {
    newest: AtomicU64,
    more: Notify,
}

/// A reader that waits for more of a conversation, until dropped.
pub struct Tail {
    hub: Arc<Hub>,
    conversation: Conversation,
    signal: Arc<Signal>,
}

impl Hub {
    /// Waits for more of a conversation from now on. Its topic must be followed, too.
    #[must_use]
    pub fn tail(self: &Arc<Self>, conversation: Conversation) -> Tail {
        let signal = Arc::<Signal>::default();
        self.tails.count.fetch_add(1, Ordering::SeqCst);
        self.tails.waiting.lock().entry(conversation.clone()).or_default().push(signal.clone());
        Tail { hub: self.clone(), conversation, signal }
    }

    /// Tells those who wait that the conversation has come to this offset.
    pub(super) fn wake(&self, conversation: &Conversation, offset: u64) {
        if self.tails.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let waiting = self.tails.waiting.lock();
        for signal in waiting.get(conversation).into_iter().flatten() {
            signal.newest.fetch_max(offset, Ordering::SeqCst);
            signal.more.notify_one();
        }
    }
}

impl Tail {
    /// Waits until more was logged than at the last call.
    pub async fn more(&self) {
        self.signal.more.notified().await;
    }

    /// The newest offset that was heard of; 0 when none was.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.signal.newest.load(Ordering::SeqCst)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let mut waiting = self.hub.tails.waiting.lock();
        if let Some(signals) = waiting.get_mut(&self.conversation) {
            signals.retain(|signal| !Arc::ptr_eq(signal, &self.signal));
            if signals.is_empty() {
                waiting.remove(&self.conversation);
            }
        }
        self.hub.tails.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::hub::outbox::Limits;

    #[test]
    fn who_waits_hears_of_their_conversation_only_and_misses_nothing_meanwhile() {
        let hub = Arc::new(Hub::new(1, Limits { frames: 1, bytes: 1 }, Arc::default()));
        let (one, other) = (hub.tail(Conversation::World(1)), hub.tail(Conversation::World(2)));
        hub.wake(&Conversation::World(1), 4);
        hub.wake(&Conversation::World(1), 3);
        assert_eq!((one.newest(), other.newest()), (4, 0));
        assert!(one.more().now_or_never().is_some());
        assert!(one.more().now_or_never().is_none() && other.more().now_or_never().is_none());
        drop((one, other));
        assert!(hub.tails.waiting.lock().is_empty());
        assert_eq!(hub.tails.count.load(Ordering::SeqCst), 0);
    }
}
