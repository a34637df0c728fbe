//! How the owner of many connections hears which of them have something to be done: each rings once, however much
//! it is, until it was looked at.
//!
//! Invariant: what was queued before a ring is seen by the look that follows it; ringing never waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The bell of one owner.
pub struct Bell {
    rung: Mutex<Vec<u32>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Bell {
    /// A bell that wakes its owner by `wake`, which must not block.
    #[must_use]
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { rung: Mutex::default(), wake })
    }

    /// Takes who has rung since the last call; `into` must be empty.
    pub fn take(&self, into: &mut Vec<u32>) {
        std::mem::swap(into, &mut self.rung.lock());
    }

    fn ring(&self, place: u32) {
        let is_first = {
            let mut rung = self.rung.lock();
            rung.push(place);
            rung.len() == 1
        };
        if is_first {
            (self.wake)();
        }
    }
}

/// One connection's rope of its owner's bell.
#[derive(Default)]
pub struct Rope {
    /// None: nobody listens.
    bell: Option<Arc<Bell>>,
    /// Where the owner keeps the connection.
    place: u32,
    is_rung: AtomicBool,
}

impl Rope {
    /// The rope of the connection that the owner keeps at this place.
    #[must_use]
    pub fn new(bell: Arc<Bell>, place: u32) -> Self {
        Self { bell: Some(bell), place, is_rung: AtomicBool::new(false) }
    }

    /// Rings, unless it has rung and was not looked at since.
    pub fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel)
            && let Some(bell) = &self.bell
        {
            bell.ring(self.place);
        }
    }

    /// Nothing rings from now on until [`Rope::let_go`]: it is going to be looked at anyway.
    pub fn hold(&self) {
        self.is_rung.store(true, Ordering::Release);
    }

    /// What is queued from now on rings anew. Called before a look.
    pub fn let_go(&self) {
        // Not a mere store, so that it sees what was queued before a ring that it hides.
        self.is_rung.swap(false, Ordering::AcqRel);
    }
}

impl fmt::Debug for Rope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rope").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn who_rings_twice_is_looked_at_once_and_the_owner_is_woken_once() {
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = woken.clone();
        let bell = Bell::new(Box::new(move || _ = wake.fetch_add(1, Ordering::Relaxed)));
        let ropes = [3, 5].map(|place| Rope::new(bell.clone(), place));
        for rope in [&ropes[0], &ropes[1], &ropes[0]] {
            rope.ring();
        }
        let mut rung = Vec::new();
        bell.take(&mut rung);
        assert_eq!((rung.clone(), woken.load(Ordering::Relaxed)), (vec![3, 5], 1));
        ropes[0].let_go();
        rung.clear();
        ropes.iter().for_each(Rope::ring);
        bell.take(&mut rung);
        assert_eq!((rung.clone(), woken.load(Ordering::Relaxed)), (vec![3], 2), "5 was not looked at");
        rung.clear();
        ropes[0].let_go();
        ropes[0].hold();
        ropes[0].ring();
        bell.take(&mut rung);
        assert!(rung.is_empty(), "who is going to be looked at rings nothing");
    }
}
