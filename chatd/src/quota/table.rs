//! What is remembered of each user, or each address, as long as it matters.
//!
//! Invariant: an entry that somebody holds stays; of the others at most [`MOST_IDLE`] do, and those only while they are
//! not as good as new. Work per call is bounded: a sweep comes after as many new entries as it looks at.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

/// Users are found under one of these locks.
const SHARDS: usize = 16;
/// Entries of a shard that nobody holds, at most: 65,536 in all.
const MOST_IDLE: usize = 4096;
/// Entries of a shard from which on it is swept by itself.
const FIRST_SWEEP: usize = 64;

/// Something that is forgotten once it is as good as new.
pub trait Passing: Default {
    /// Whether a new one would be as good.
    fn is_as_new(&self, now_ns: u64) -> bool;
}

/// Entries by key.
#[derive(Debug)]
pub struct Table<K, V> {
    hasher: RandomState,
    shards: [Mutex<Shard<K, V>>; SHARDS],
}

#[derive(Debug)]
struct Shard<K, V> {
    entries: HashMap<K, Arc<V>>,
    /// From how many entries on the next sweep comes.
    sweep_at: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        let shard = |_| Mutex::new(Shard { entries: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { hasher: RandomState::new(), shards: std::array::from_fn(shard) }
    }
}

impl<K: Hash + Eq + Clone, V: Passing> Table<K, V> {
    /// The entry of this key, a new one if there is none.
    pub fn of(&self, key: &K, now_ns: u64) -> Arc<V> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 16")]
        let mut shard = self.shards[(self.hasher.hash_one(key) % SHARDS as u64) as usize].lock();
        if let Some(entry) = shard.entries.get(key) {
            return entry.clone();
        }
        if shard.entries.len() >= shard.sweep_at {
            shard.sweep(now_ns);
        }
        shard.entries.entry(key.clone()).or_default().clone()
    }

    /// Forgets what does not matter any more, one shard after the other.
    pub fn sweep(&self, now_ns: u64) {
        self.shards.iter().for_each(|shard| shard.lock().sweep(now_ns));
    }

    /// Entries that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }
}

impl<K: Hash + Eq, V: Passing> Shard<K, V> {
    fn sweep(&mut self, now_ns: u64) {
        let mut idle = 0;
        self.entries.retain(|_, entry| {
            // Nobody else gets hold of it meanwhile: that needs the lock.
            if Arc::strong_count(entry) > 1 {
                return true;
            }
            let is_kept = idle < MOST_IDLE && !entry.is_as_new(now_ns);
            idle += usize::from(is_kept);
            is_kept
        });
        let left = self.entries.len();
        self.sweep_at = FIRST_SWEEP.max(2 * left);
        if self.entries.capacity() > 4 * self.sweep_at {
            self.entries.shrink_to(self.sweep_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::{Bucket, Pace};
    use super::*;

    impl Passing for Bucket {
        fn is_as_new(&self, now_ns: u64) -> bool {
            self.is_full(now_ns)
        }
    }

    fn pace() -> Pace {
        let pace = Pace::default();
        pace.set("1/s".parse().unwrap(), 1);
        pace
    }

    #[test]
    fn a_key_has_one_entry_until_it_is_as_good_as_new() {
        let (table, pace) = (Table::<u64, Bucket>::default(), pace());
        assert!(table.of(&1, 0).take(&pace, 0).is_ok());
        assert!(table.of(&1, 0).take(&pace, 0).is_err());
        assert!(table.of(&2, 0).take(&pace, 0).is_ok(), "another key has its own");
        table.sweep(500_000_000);
        assert_eq!(table.len(), 2);
        let held = table.of(&1, 0);
        table.sweep(1_000_000_000);
        assert_eq!(table.len(), 1, "who holds an entry keeps it");
        drop(held);
        table.sweep(1_000_000_000);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn however_many_come_by_no_more_than_a_bound_is_remembered() {
        let (table, pace) = (Table::<u64, Bucket>::default(), pace());
        let held: Vec<_> = (0..5000).map(|key| table.of(&key, 0)).collect();
        for key in 5000..300_000 {
            // At one moment: none of them is as good as new.
            assert!(table.of(&key, 0).take(&pace, 0).is_ok());
            assert!(key % 10_000 != 0 || table.len() <= 2 * (SHARDS * MOST_IDLE + held.len()));
        }
        assert!(table.len() <= 2 * (SHARDS * MOST_IDLE + held.len()), "{}", table.len());
        table.sweep(0);
        assert!(table.len() <= SHARDS * MOST_IDLE + held.len(), "{}", table.len());
        assert!(held.iter().enumerate().all(|(key, entry)| Arc::ptr_eq(entry, &table.of(&(key as u64), 0))));
    }

    #[test]
    fn who_comes_by_and_is_as_good_as_new_is_forgotten_without_a_timer() {
        let table = Table::<u64, Bucket>::default();
        for key in 0..100_000 {
            table.of(&key, 0);
            assert!(key % 1000 != 0 || table.len() <= SHARDS * (FIRST_SWEEP + 1), "{}", table.len());
        }
    }
}
