//! Files that have ended go: their content first, then what is known of them.
//!
//! Invariant: whatever ends meanwhile, the next look finds the rest; each step may be repeated, by any node.

use std::sync::Arc;
use std::time::Duration;

use chat_protocol::AppId;

use super::{FileError, FileId, Files, name_of, thumbnail_of};

/// Files that are removed between two looks.
const AT_ONCE: usize = 100;
/// Pause between two looks when nothing is known to be due.
const PAUSE: Duration = Duration::from_secs(10);

impl Files {
    /// Ends a file; what cannot be done now is left for the next look.
    pub(super) async fn end(&self, app: AppId, id: &FileId) {
        if let Err(error) = self.parts.records.end(app, id).await {
            tracing::warn!(%error, "ending a file");
        }
        self.due.notify_one();
    }

    /// Something may be due: a group was dismissed.
    pub fn look(&self) {
        self.due.notify_one();
    }

    /// Removes what is due, again and again.
    pub async fn sweep(self: Arc<Self>) {
        if self.parts.store.is_none() {
            return;
        }
        loop {
            match self.remove_due().await {
                Ok(AT_ONCE) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "removing files"),
            }
            let _ = tokio::time::timeout(PAUSE, self.due.notified()).await;
        }
    }

    async fn remove_due(&self) -> Result<usize, FileError> {
        let Some(store) = &self.parts.store else { return Ok(0) };
        let due = self.parts.records.due(AT_ONCE).await?;
        for (app, id) in &due {
            store.remove(&name_of(*app, id)).await?;
            store.remove(&thumbnail_of(*app, id)).await?;
            self.parts.records.forget(*app, id).await?;
        }
        Ok(due.len())
    }
}
