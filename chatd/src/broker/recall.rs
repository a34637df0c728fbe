//! Taking a message back: who may and until when, what stays of it, and the entry that tells of it.
//!
//! Invariant: what stays names the message, its sender and its target, and nothing that it said.

use bytes::Bytes;
use chat_protocol::message::{RECALL_KIND, RECALL_WINDOW_MS, RECALLED_KIND, Recalled};
use chat_protocol::{MsgId, Target, UserId};
use serde::{Deserialize, Serialize};

use super::{BrokerError, Outgoing, new_msg_id};
use crate::model::{Conversation, Entry, Skip, members};

/// What becomes of a message that may be taken back.
pub(crate) struct Recall {
    /// For who takes it back.
    pub answer: Recalled,
    /// What is to be changed, in one step; none when the message was taken back before.
    pub change: Option<Change>,
}

/// What a log does to take a message back.
pub(crate) struct Change {
    /// Members of the entry that stays in the message's place.
    pub stub: Bytes,
    /// The entry that tells of it. It speaks in the name of the message's sender, whoever took it back, so that it
    /// belongs to the same conversation for both sides of a pair.
    pub news: Outgoing,
}

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

/// The members of the entry that tells of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    target: &'a Target,
    #[serde(rename = "type")]
    kind: &'a str,
    from: &'a UserId,
    recalls: u64,
    msg_id: &'a MsgId,
}

/// Judges whether `by`, or without it an operator, may take this entry of the conversation's log back at `now_ms`.
///
/// # Errors
/// [`BrokerError::NotSender`], [`BrokerError::TooLate`], and [`BrokerError::Corrupt`] for an entry that is no message.
pub(crate) fn judge(
    conversation: &Conversation,
    entry: &Entry,
    by: Option<&UserId>,
    now_ms: u64,
) -> Result<Recall, BrokerError> {
    let corrupt = |error: serde_json::Error| BrokerError::Corrupt(format!("an entry: {error}"));
    let mut remains: Remains = members::read(&entry.members).map_err(corrupt)?;
    if by.is_some_and(|by| *by != remains.from) {
        return Err(BrokerError::NotSender);
    }
    let answer = Recalled {
        target: remains.target.clone(),
        from: remains.from.clone(),
        offset: entry.offset,
        epoch: entry.epoch.to_string(),
    };
    if remains.kind == RECALLED_KIND {
        return Ok(Recall { answer, change: None });
    }
    if by.is_some() && now_ms.saturating_sub(entry.time) > RECALL_WINDOW_MS {
        return Err(BrokerError::TooLate);
    }
    remains.kind = RECALLED_KIND.to_owned();
    let stub = members::write(&remains).map_err(corrupt)?;
    let msg_id = new_msg_id();
    let record = Record {
        target: &remains.target,
        kind: RECALL_KIND,
        from: &remains.from,
        recalls: entry.offset,
        msg_id: &msg_id,
    };
    let members = members::write(&record).map_err(corrupt)?;
    let news = Outgoing {
        conversation: conversation.clone(),
        sender: remains.from,
        msg_id,
        fingerprint: None,
        members,
        skip: Skip::Nobody,
    };
    Ok(Recall { answer, change: Some(Change { stub, news }) })
}
