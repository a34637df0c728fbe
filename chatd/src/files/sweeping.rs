//! Files that have ended go: their content first, then what is known of them.
//!
//! Invariant: whatever ends meanwhile, the next look finds the rest; each step may be repeated, by any node. A file that
//! cannot be removed keeps no other from going.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_protocol::AppId;

use super::{FileError, FileId, Files, Store, name_of, thumbnail_of};

/// Files that are removed between two looks.
const AT_ONCE: usize = 100;
/// Pause between two looks when nothing is known to be due.
const PAUSE: Duration = Duration::from_secs(10);
/// So many files, one after the other, of which the store says nothing: it is away, and the rest is for the next look.
const AWAY: usize = 3;
/// How long a file waits that could not be removed; twice as long each time, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// A file, and the app it is of.
type Name = (AppId, FileId);

/// Files that could not be removed: when each is tried again, and how long it waits for that.
#[derive(Default)]
struct Failed(HashMap<Name, (Instant, Duration)>);

impl Failed {
    fn waits(&self, file: &Name, now: Instant) -> bool {
        self.0.get(file).is_some_and(|(again, _)| now < *again)
    }

    fn add(&mut self, file: Name, now: Instant) {
        let wait = self.0.get(&file).map_or(FIRST_WAIT, |(_, wait)| LONGEST_WAIT.min(*wait * 2));
        self.0.insert(file, (now + wait, wait));
    }

    /// Leaves out what has long not been met again: another node removed it.
    fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, (again, _)| now < *again + LONGEST_WAIT);
    }
}

/// Removes the content of a file, whatever there is of it.
pub(super) async fn remove(store: &dyn Store, app: AppId, id: &FileId) -> Result<(), FileError> {
    store.remove(&name_of(app, id)).await?;
    store.remove(&thumbnail_of(app, id)).await
}

impl Files {
    /// Something may be due: a group was dismissed.
    pub fn look(&self) {
        self.due.notify_one();
    }

    /// Removes what is due, again and again.
    pub async fn sweep(self: Arc<Self>) {
        let Some(store) = &self.parts.store else { return };
        let mut failed = Failed::default();
        loop {
            match self.remove_due(&**store, &mut failed).await {
                Ok(AT_ONCE) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "removing files"),
            }
            let _ = tokio::time::timeout(PAUSE, self.due.notified()).await;
        }
    }

    /// Removes what is due and does not wait; how many files were tried.
    async fn remove_due(&self, store: &dyn Store, failed: &mut Failed) -> Result<usize, FileError> {
        failed.tidy(Instant::now());
        // Those that wait are found again, and others behind them.
        let mut due = self.parts.records.due(AT_ONCE + failed.0.len()).await?;
        due.retain(|file| !failed.waits(file, Instant::now()));
        due.truncate(AT_ONCE);
        let (tried, mut silent) = (due.len(), 0);
        for file in due {
            let Err(error) = self.remove_one(store, &file).await else {
                failed.0.remove(&file);
                silent = 0;
                continue;
            };
            tracing::warn!(%error, app = file.0, file = file.1.as_str(), "removing a file");
            failed.add(file, Instant::now());
            silent = if matches!(error, FileError::Unreachable(_)) { silent + 1 } else { 0 };
            if silent == AWAY {
                return Err(error);
            }
        }
        Ok(tried)
    }

    async fn remove_one(&self, store: &dyn Store, (app, id): &Name) -> Result<(), FileError> {
        remove(store, *app, id).await?;
        self.parts.records.forget(*app, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_waits_ever_longer() {
        let (mut failed, file, start) = (Failed::default(), (1, FileId::random()), Instant::now());
        assert!(!failed.waits(&file, start));
        failed.add(file.clone(), start);
        assert!(failed.waits(&file, start) && !failed.waits(&file, start + FIRST_WAIT));
        failed.add(file.clone(), start);
        assert!(failed.waits(&file, start + FIRST_WAIT) && !failed.waits(&file, start + FIRST_WAIT * 2));
        for _ in 0..20 {
            failed.add(file.clone(), start);
        }
        assert!(!failed.waits(&file, start + LONGEST_WAIT));
        failed.tidy(start + LONGEST_WAIT);
        assert_eq!(failed.0.len(), 1, "it may be met again");
        failed.tidy(start + LONGEST_WAIT * 2);
        assert!(failed.0.is_empty());
    }
}
