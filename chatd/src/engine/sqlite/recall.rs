//! Taking the content of a message away.
//!
//! Invariant: the entry keeps its place, its sender and its id, and readers are told once.

use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use rusqlite::params;

use super::broker::Step;
use super::log::{self, EntryKey};
use crate::broker::BrokerError;
use crate::broker::recall::{Change, judge};
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
    let since = step.scope.retention.since(step.now_ms);
    let entry = log::at(step.connection, EntryKey { log: head.id, offset }, &head.epoch, since)?;
    let recall = judge(conversation, &entry.ok_or(BrokerError::NoSuchMessage)?, by, step.now_ms)?;
    if let Some(Change { stub, news }) = recall.change {
        step.connection
            .prepare_cached("UPDATE entry SET members = ?3 WHERE conversation = ?1 AND offset = ?2")?
            .execute(params![head.id, offset, &stub[..]])?;
        log::put(step, news, Effect::None)?;
    }
    Ok(recall.answer)
}
