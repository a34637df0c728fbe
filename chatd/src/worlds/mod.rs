//! Which apps there are: the port, and the gate before whatever leaves something behind of one.
//!
//! The law, which every adapter obeys (`tests/tests/users/apps.rs`):
//! - An app that was admitted is admitted ever after, on every node and over restarts, whatever the limit is by then; so is
//!   one that has messages in the store (over Redis, in its world).
//! - Any other is admitted while there are fewer admitted ones than the limit says, however many ask at once.
//!
//! Invariant: without a limit nothing is asked or remembered.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, Code, Refusal};
use parking_lot::Mutex;

use crate::quota::Quotas;

/// Why it could not be told whether an app is admitted.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The store did not answer.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The store holds something that cannot be.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl From<WorldError> for Refusal {
    fn from(error: WorldError) -> Self {
        tracing::warn!(%error, "apps");
        match error {
            WorldError::Unreachable(_) => Refusal::unreachable("apps"),
            WorldError::Corrupt(_) => Code::ServerError.into(),
        }
    }
}

/// The port. See the law above.
#[async_trait]
pub trait Worlds: Send + Sync {
    /// Whether the app is admitted, when at most so many are.
    async fn admit(&self, app: AppId, most: u64) -> Result<bool, WorldError>;
}

/// Lets an app in, or does not.
pub struct Gate {
    worlds: Arc<dyn Worlds>,
    quotas: Arc<Quotas>,
    /// Apps that were admitted: no more than there are in the store.
    known: Mutex<HashSet<AppId>>,
}

impl Gate {
    /// Before these apps, with the limit in force.
    #[must_use]
    pub fn new(worlds: Arc<dyn Worlds>, quotas: Arc<Quotas>) -> Self {
        Self { worlds, quotas, known: Mutex::default() }
    }

    /// Lets an app in.
    ///
    /// # Errors
    /// [`Code::RefusedByRule`] when it would be one too many; when the store does not answer.
    pub async fn enter(&self, app: AppId) -> Result<(), Refusal> {
        let Some(most) = self.quotas.max_apps() else { return Ok(()) };
        if self.known.lock().contains(&app) {
            return Ok(());
        }
        match self.worlds.admit(app, most).await? {
            true => _ = self.known.lock().insert(app),
            false => return Err(self.quotas.too_many_apps(app)),
        }
        Ok(())
    }
}
