//! Something that is counted in parts, one of which a thread has nearly to itself.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts; more threads than that share them.
const SHARDS: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// Stands alone on its cache lines, of which processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone<T>(T);

/// The parts.
#[derive(Debug, Default)]
pub struct Sharded<T>([Alone<T>; SHARDS]);

impl<T> Sharded<T> {
    /// The part of this thread.
    pub fn own(&self) -> &T {
        &self.0[OWN.with(|own| *own)].0
    }

    /// All parts.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|part| &part.0)
    }
}
