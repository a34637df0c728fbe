//! Taking the content of a message away.
//!
//! Invariant: the entry keeps its place, its sender and its id, and readers are told once.

use bytes::Bytes;
use chat_protocol::message::{RECALL_PUSH, RECALL_WINDOW_MS, RECALLED_KIND, Recalled};
use chat_protocol::{MsgId, Target, UserId};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::Step;
use super::log;
use crate::broker::{BrokerError, Conversation, Event, Notice, Skip};

/// What stays of a message.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remains {
    target: Target,
    #[serde(rename = "type", default)]
    kind: String,
    from: UserId,
    msg_id: MsgId,
}

/// See [`crate::broker::Broker::recall`].
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
    let remains = parse(&members)?;
    if by.is_some_and(|by| *by != remains.from) {
        return Err(BrokerError::NotSender);
    }
    let recalled = Recalled {
        target: remains.target.clone(),
        from: remains.from.clone(),
        offset,
        epoch: head.epoch.to_string(),
    };
    if remains.kind == RECALLED_KIND {
        return Ok(recalled);
    }
    if by.is_some() && step.now_ms.saturating_sub(time) > RECALL_WINDOW_MS {
        return Err(BrokerError::TooLate);
    }
    let remains = json(&Remains { kind: RECALLED_KIND.to_owned(), ..remains })?;
    step.connection
        .prepare_cached("UPDATE entry SET members = ?3 WHERE conversation = ?1 AND offset = ?2")?
        .execute(params![head.id, offset, &remains[1..remains.len() - 1]])?;
    let notice = Notice { cmd: RECALL_PUSH.into(), data: json(&recalled)?, skip: Skip::Nobody };
    step.publish((conversation.topics(), Event::Notice(notice)));
    Ok(recalled)
}

fn parse(members: &[u8]) -> Result<Remains, BrokerError> {
    let object = [b"{", members, b"}"].concat();
    serde_json::from_slice(&object).map_err(|error| BrokerError::Corrupt(format!("an entry: {error}")))
}

fn json(value: &impl Serialize) -> Result<Bytes, BrokerError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| BrokerError::Corrupt(error.to_string()))
}
