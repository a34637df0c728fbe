//! The memory that waits for readers: every frame and every HTTP answer from its encoding until the last socket has it.
//!
//! Invariant: bytes are counted once, however many queues hold them, and for as long as one does. Memory is the
//! process's, and so is the count.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

static QUEUED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static EXCEEDED: Notify = Notify::const_new();

/// Bytes that count.
struct Counted(Vec<u8>);

impl Counted {
    fn size(&self) -> usize {
        self.0.capacity()
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        QUEUED.fetch_sub(self.size(), Ordering::Relaxed);
    }
}

/// The bytes, counted until nobody holds them.
#[must_use]
pub fn counted(bytes: Vec<u8>) -> Bytes {
    let counted = Counted(bytes);
    let before = QUEUED.fetch_add(counted.size(), Ordering::Relaxed);
    if before + counted.size() > LIMIT.load(Ordering::Relaxed) {
        EXCEEDED.notify_one();
    }
    Bytes::from_owner(counted)
}

/// Bytes that wait now.
#[must_use]
pub fn bytes() -> usize {
    QUEUED.load(Ordering::Relaxed)
}

/// Sets how many bytes should wait at most.
pub fn limit_to(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Bytes that should wait at most.
#[must_use]
pub fn limit() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// Bytes above the limit.
#[must_use]
pub fn excess() -> usize {
    bytes().saturating_sub(LIMIT.load(Ordering::Relaxed))
}

/// Returns when more wait than should.
pub async fn exceeded() {
    while excess() == 0 {
        EXCEEDED.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_once_and_until_the_last_holder_lets_go() {
        // Other tests of this process count a few frames meanwhile.
        const MANY: usize = 1 << 30;
        let bytes_of = |size| counted(Vec::with_capacity(size));
        let first = bytes_of(MANY);
        assert!((MANY..2 * MANY).contains(&bytes()));
        let (part, copy) = (first.slice(0..0), first.clone());
        drop(first);
        drop(copy);
        drop(part);
        assert!(bytes() < MANY);
        let held = bytes_of(MANY);
        let (whole, other) = (held.clone(), held);
        drop(other);
        assert!((MANY..2 * MANY).contains(&bytes()));
        drop(whole);
        assert!(bytes() < MANY);
    }
}
