//! Message ids that may be repeated, and the first receipt of each.
//!
//! Invariant: an id is known for the whole window after it was sent, and for little longer.

use rusqlite::{OptionalExtension, params};

use super::writer::Step;
use crate::broker::{Outgoing, REPEAT_WINDOW_MS, Receipt};

/// Expired ids forgotten with each new one: more than one, so that there are never many.
const FORGET_STEP: u32 = 2;

/// The first receipt of a message that was sent before.
pub fn find(step: &Step<'_>, message: &Outgoing) -> rusqlite::Result<Option<Receipt>> {
    let (app, since) = (message.conversation.app(), step.now_ms.saturating_sub(REPEAT_WINDOW_MS));
    step.connection
        .prepare_cached(
            "SELECT offset, epoch, time FROM sent WHERE app = ?1 AND sender = ?2 AND msg_id = ?3 AND time > ?4",
        )?
        .query_row(params![app, message.sender.as_str(), message.msg_id.as_str(), since], |row| {
            let epoch = row.get_ref(1)?.as_str()?.into();
            Ok(Receipt { offset: row.get(0)?, epoch, time: row.get(2)?, duplicate: true })
        })
        .optional()
}

/// Keeps the receipt for repeats.
pub fn remember(step: &Step<'_>, message: &Outgoing, receipt: &Receipt) -> rusqlite::Result<()> {
    let (app, sender) = (message.conversation.app(), message.sender.as_str());
    let Receipt { offset, epoch, time, .. } = receipt;
    step.connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sent(app, sender, msg_id, offset, epoch, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![app, sender, message.msg_id.as_str(), offset, &**epoch, time])?;
    let expired = step.now_ms.saturating_sub(REPEAT_WINDOW_MS);
    step.connection
        .prepare_cached(
            "DELETE FROM sent WHERE (app, sender, msg_id) IN
             (SELECT app, sender, msg_id FROM sent WHERE time <= ?1 ORDER BY time LIMIT ?2)",
        )?
        .execute(params![expired, FORGET_STEP])?;
    Ok(())
}
