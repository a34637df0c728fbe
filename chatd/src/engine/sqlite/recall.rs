//! Taking the content of a message away.
//!
//! Invariant: the entry keeps its place, its sender and its id, and readers are told once.

use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use rusqlite::{OptionalExtension, params};

use super::broker::Step;
use super::log;
use crate::broker::BrokerError;
use crate::broker::recall::Remains;
use crate::model::{Conversation, Effect};

/// See [`crate::broker::Log::recall`].
pub fn recall(
    step: &mut Step<'_>,
    conversation: &Conversation,
    offset: u64,
    by: Option<&UserId>,
) -> Result<Recalled, BrokerError> {
    let head = log::head(step.connection, conversation)?.ok_or(BrokerError::NoSuchMessage)?;
    if offset > head.offset {
        return Err(BrokerError::NoSuchMessage);
    }
    let found = step
        .connection
        .prepare_cached(
            "SELECT time, members FROM entry WHERE conversation = ?1 AND offset = ?2 AND time >= ?3",
        )?
        .query_row(params![head.id, offset, step.scope.retention.since(step.now_ms)], |row| {
            Ok((row.get::<_, u64>(0)?, row.get_ref(1)?.as_blob()?.to_owned()))
        });
    let (time, members) = found.optional()?.ok_or(BrokerError::NoSuchMessage)?;
    let remains = Remains::of(&members)?;
    if remains.admit(by, time, step.now_ms)? {
        step.connection
            .prepare_cached("UPDATE entry SET members = ?3 WHERE conversation = ?1 AND offset = ?2")?
            .execute(params![head.id, offset, &remains.stub()?[..]])?;
        log::put(step, remains.news(conversation, offset)?, Effect::None)?;
    }
    Ok(remains.answer(offset, &head.epoch))
}
