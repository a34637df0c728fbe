//! Sending: a message becomes one record, one append, one receipt; here, or at another node that stores for this one.
//!
//! Invariant: what is logged is what is pushed; the record is encoded once, here, where it is appended.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::content::Content;
use chat_protocol::{AppId, Code, MsgId, PacketId, Refusal, Target, UserId};
use serde::Serialize;
use serde_json::Value;

use crate::broker::{BrokerError, Fingerprint, Log, Outgoing, Receipt, new_msg_id};
use crate::counters::Counters;
use crate::files::Files;
use crate::journal::{Journal, What};
use crate::model::{Conversation, Identity, Skip, members};

/// Puts messages into the log.
pub struct Chat {
    log: Arc<dyn Log>,
    /// None where all are stored here.
    courier: Option<Arc<dyn Courier>>,
    counters: Arc<Counters>,
    journal: Option<Arc<Journal>>,
    /// None where messages carry what they like.
    files: Option<Arc<Files>>,
}

/// A message in its log.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its id.
    pub msg_id: MsgId,
    /// Its position.
    pub receipt: Receipt,
}

/// The part of a push that does not depend on its position in the log, in the documented order, which is also that
/// of a picture: `type`, `from`, `url`, `secret`, `size`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    target: &'a Target,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_id: Option<&'a PacketId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeting: Option<&'a str>,
    from: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Size<'a>>,
    msg_id: &'a MsgId,
}

/// In the documented order, which a JSON object does not keep.
#[derive(Serialize)]
struct Size<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<&'a Value>,
}

/// Has messages stored by other nodes.
///
/// The law: whatever is tried and however often, a letter is logged once at most, because each attempt has its id. An
/// answer is that of the node that logged it. A refusal is that of the node that would have, word for word; but
/// [`Code::StoreUnreachable`] says that whether it was logged is not known.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Has it stored, as [`Chat::send`] does where it is stored.
    async fn send(&self, letter: Letter<'_>) -> Result<Receipt, Refusal>;

    /// Whether any of them would store one right now, as far as the last letters tell.
    async fn ready(&self) -> Result<(), Refusal>;
}

/// A checked message that another node is to store.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// Who sends it.
    pub sender: &'a Identity,
    /// Where it goes: to a user or to the world.
    pub target: &'a Target,
    /// What it carries.
    pub content: &'a Content,
    /// Its id, in each attempt.
    pub msg_id: &'a MsgId,
    /// Who gets no live copy.
    pub skip: &'a Skip,
}

impl<'a> Record<'a> {
    fn new(target: &'a Target, content: &'a Content, from: &'a UserId, msg_id: &'a MsgId) -> Self {
        let size = content.size.as_ref();
        let size = size.map(|size| Size { width: size.get("width"), height: size.get("height") });
        let (kind, msg) = (content.kind.as_str(), content.msg.as_deref());
        let (url, secret) = (content.url.as_deref(), content.secret.as_deref());
        let (packet_id, greeting) = (content.packet_id.as_ref(), content.greeting.as_deref());
        Self { target, kind, msg, packet_id, greeting, from, url, secret, size, msg_id }
    }
}

impl Chat {
    /// Sends through this log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, counters: Arc<Counters>) -> Self {
        Self { log, courier: None, counters, journal: None, files: None }
    }

    /// The same, which leaves to others what they store.
    #[must_use]
    pub fn through(self, courier: Option<Arc<dyn Courier>>) -> Self {
        Self { courier, ..self }
    }

    /// The same, which notes there what is refused or comes again.
    #[must_use]
    pub fn noting(self, journal: Option<Arc<Journal>>) -> Self {
        Self { journal, ..self }
    }

    /// The same, whose messages carry files of these, and little else.
    #[must_use]
    pub fn carrying(self, files: Arc<Files>) -> Self {
        Self { files: Some(files), ..self }
    }

    /// Who stores a message, if that is not this node: others know neither groups nor red packets.
    fn courier(&self, target: &Target, content: &Content) -> Option<&Arc<dyn Courier>> {
        let is_theirs = !matches!(target, Target::Group(_)) && content.packet_id.is_none();
        self.courier.as_ref().filter(|_| is_theirs)
    }

    /// Whether another node stores such a message, so that it must go through [`Chat::send`].
    #[must_use]
    pub fn passes_on(&self, target: &Target, content: &Content) -> bool {
        self.courier(target, content).is_some()
    }

    /// Whether the nodes that store for this one do, where there are any.
    ///
    /// # Errors
    /// As [`Courier::ready`].
    pub async fn ready(&self) -> Result<(), Refusal> {
        match &self.courier {
            Some(courier) => courier.ready().await,
            None => Ok(()),
        }
    }

    /// Puts a checked message into its log. Without a `msg_id` one is made up.
    ///
    /// # Errors
    /// What the broker says; what is wrong with the file that it carries; as [`Courier::send`].
    pub async fn send(
        &self,
        sender: &Identity,
        target: &Target,
        content: &Content,
        msg_id: Option<&MsgId>,
        skip: Skip,
    ) -> Result<Sent, Refusal> {
        if let Some(courier) = self.courier(target, content) {
            let msg_id = msg_id.cloned().unwrap_or_else(new_msg_id);
            let letter = Letter { sender, target, content, msg_id: &msg_id, skip: &skip };
            let sent = courier.send(letter).await;
            let sent = sent.map(|receipt| Sent { msg_id: msg_id.clone(), receipt });
            self.note((sender.app, &sender.user), &msg_id, &sent);
            return sent;
        }
        let attached = match &self.files {
            Some(files) if content.url.is_some() => {
                Some(files.attached(sender, target, content.clone()).await?)
            }
            _ => None,
        };
        let content = attached.as_ref().unwrap_or(content);
        let message = Self::message(sender, target, content, msg_id, skip)?;
        let msg_id = message.msg_id.clone();
        let sent = self.sent(msg_id.clone(), self.log.append(message).await);
        self.note((sender.app, &sender.user), &msg_id, &sent);
        sent
    }

    /// Puts messages of one connection into their logs, in their order; as many outcomes as messages.
    pub async fn send_all(&self, messages: Vec<Outgoing>) -> Vec<Result<Sent, Refusal>> {
        let msg_ids: Vec<_> = messages.iter().map(|message| message.msg_id.clone()).collect();
        let first = messages.first().filter(|_| self.journal.is_some());
        let sender = first.map(|first| (first.conversation.app(), first.sender.clone()));
        let outcomes = self.log.append_all(messages).await;
        let sent = |(msg_id, outcome): (MsgId, Result<Receipt, BrokerError>)| {
            let Some((app, user)) = &sender else { return self.sent(msg_id, outcome) };
            let sent = self.sent(msg_id.clone(), outcome);
            self.note((*app, user), &msg_id, &sent);
            sent
        };
        msg_ids.into_iter().zip(outcomes).map(sent).collect()
    }

    fn note(&self, (app, user): (AppId, &UserId), msg_id: &MsgId, sent: &Result<Sent, Refusal>) {
        let Some(journal) = &self.journal else { return };
        let (by, id) = ((app, user.as_str()), msg_id.as_str());
        match sent {
            Ok(Sent { receipt, .. }) if receipt.duplicate => {
                journal.user(What::Duplicate, by, receipt.offset, [0; 3], &[id]);
            }
            Ok(_) => {}
            Err(refusal) => {
                let counts = [refusal.code.number().into(), 0, 0];
                journal.user(What::MessageRefused, by, 0, counts, &[&refusal.reason, " (msgId ", id, ")"]);
            }
        }
    }

    /// What is sent for a checked message. Without a `msg_id` one is made up.
    ///
    /// # Errors
    /// When it cannot be encoded, which is a fault of this program.
    pub fn message(
        sender: &Identity,
        target: &Target,
        content: &Content,
        msg_id: Option<&MsgId>,
        skip: Skip,
    ) -> Result<Outgoing, Refusal> {
        let fingerprint = msg_id.map(|_| fingerprint(target, content)).transpose()?;
        let msg_id = msg_id.cloned().unwrap_or_else(new_msg_id);
        let members =
            members::write(&Record::new(target, content, &sender.user, &msg_id)).map_err(refusal)?;
        Ok(Outgoing {
            conversation: Conversation::of(sender.app, &sender.user, target),
            sender: sender.user.clone(),
            msg_id,
            fingerprint,
            members,
            skip,
        })
    }

    fn sent(&self, msg_id: MsgId, outcome: Result<Receipt, BrokerError>) -> Result<Sent, Refusal> {
        let receipt = outcome?;
        if !receipt.duplicate {
            self.counters.messages.add(1);
        }
        Ok(Sent { msg_id, receipt })
    }
}

/// Of what was asked for and not of the record: how chatd words a record may differ between nodes and versions.
fn fingerprint(target: &Target, content: &Content) -> Result<Fingerprint, Refusal> {
    Ok(Fingerprint::of(&serde_json::to_vec(&(target, content)).map_err(refusal)?))
}

fn refusal(error: serde_json::Error) -> Refusal {
    tracing::error!(%error, "a message could not be encoded");
    Code::ServerError.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Otherwise what is sent again after an upgrade is refused.
    #[test]
    fn the_same_request_has_the_same_fingerprint_in_every_version() {
        let of = |target: &str, content: Value| {
            let content: Content = serde_json::from_value(content).unwrap();
            fingerprint(&target.parse().unwrap(), &content).unwrap().to_string()
        };
        assert_eq!(of("", json!({"msg": "hello"})), "38087d8dc5ed5b0baf203e3d6113e7d0");
        let picture = of("user:b", json!({"type": "img", "url": "u", "size": {"width": 4, "height": 5}}));
        assert_eq!(picture, "91ec544c4d54581ba85a03c711dc89a5");
        let turned = of("user:b", json!({"type": "img", "url": "u", "size": {"height": 5, "width": 4}}));
        assert_eq!(picture, turned);
    }
}
