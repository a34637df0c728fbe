//! Taking a message back: who may, what stays of it, and the entry that tells of it.
//!
//! Invariant: what stays names the message, its sender and its target, and nothing that it said.

use bytes::Bytes;
use chat_protocol::message::{RECALL_KIND, RECALL_WINDOW_MS, RECALLED_KIND, Recalled};
use chat_protocol::{MsgId, Target, UserId};
use serde::{Deserialize, Serialize};

use super::{BrokerError, Outgoing, new_msg_id};
use crate::model::{Conversation, Skip};

/// What stays of a message.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remains {
    target: Target,
    #[serde(rename = "type", default)]
    kind: String,
    from: UserId,
    msg_id: MsgId,
}

/// The entry that tells of it.
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

impl Remains {
    /// Of a message with these members.
    pub(crate) fn of(members: &[u8]) -> Result<Self, BrokerError> {
        let object = [b"{", members, b"}"].concat();
        serde_json::from_slice(&object).map_err(|error| BrokerError::Corrupt(format!("an entry: {error}")))
    }

    /// Whether the message is there to be taken back by `by`, or by an operator; false when it was taken back before.
    pub(crate) fn admit(&self, by: Option<&UserId>, sent_ms: u64, now_ms: u64) -> Result<bool, BrokerError> {
        if by.is_some_and(|by| *by != self.from) {
            return Err(BrokerError::NotSender);
        }
        if self.kind == RECALLED_KIND {
            return Ok(false);
        }
        if by.is_some() && now_ms.saturating_sub(sent_ms) > RECALL_WINDOW_MS {
            return Err(BrokerError::TooLate);
        }
        Ok(true)
    }

    /// The answer to who takes it back.
    pub(crate) fn answer(&self, offset: u64, epoch: &str) -> Recalled {
        Recalled { target: self.target.clone(), from: self.from.clone(), offset, epoch: epoch.to_owned() }
    }

    /// Members of the entry that stays in the message's place.
    pub(crate) fn stub(&self) -> Result<Bytes, BrokerError> {
        members(&Self { kind: RECALLED_KIND.to_owned(), ..self.clone() })
    }

    /// The entry that tells of it. It speaks in the name of the message's sender, whoever took it back, so that it
    /// belongs to the same conversation for both sides of a pair.
    pub(crate) fn news(&self, conversation: &Conversation, offset: u64) -> Result<Outgoing, BrokerError> {
        let msg_id = new_msg_id();
        let record = Record {
            target: &self.target,
            kind: RECALL_KIND,
            from: &self.from,
            recalls: offset,
            msg_id: &msg_id,
        };
        let members = members(&record)?;
        Ok(Outgoing {
            conversation: conversation.clone(),
            sender: self.from.clone(),
            msg_id,
            fingerprint: None,
            members,
            skip: Skip::Nobody,
        })
    }
}

/// JSON members without the braces around them.
fn members(value: &impl Serialize) -> Result<Bytes, BrokerError> {
    let json = serde_json::to_vec(value).map_err(|error| BrokerError::Corrupt(error.to_string()))?;
    Ok(Bytes::from(json[1..json.len() - 1].to_vec()))
}
