//! An operator gives up a dead letter that can never be applied.
//!
//! Invariant: the ledger keeps the letter and the reason before the queue forgets it. What a packet still owes it owes
//! all the same: only the letter is gone.

use std::sync::Arc;

use chat_protocol::{AppId, Refusal};

use super::Queue;
use crate::money::ledger::Archive;

/// Gives up the dead letters of this id; how many there were.
///
/// # Errors
/// Of the queues and the ledger.
pub async fn discard(
    queues: &[Arc<dyn Queue>],
    archive: &dyn Archive,
    app: AppId,
    id: &str,
    reason: &str,
) -> Result<u64, Refusal> {
    let mut discarded = 0;
    for queue in queues {
        let letters = queue.letters(app, id).await?;
        if letters.is_empty() {
            continue;
        }
        for letter in &letters {
            archive.give_up(app, letter, reason).await?;
            tracing::warn!(app, id, reason, cause = letter.reason, "an operator gave a dead letter up");
        }
        discarded += queue.discard(app, id).await?;
    }
    Ok(discarded)
}
