//! Taking the content of a message away.
//!
//! Invariant: an entry is replaced only while it is what was judged; readers are told in the same step, once.

use bytes::Bytes;
use chat_protocol::message::{RECALL_PUSH, RECALL_WINDOW_MS, RECALLED_KIND, Recalled};
use chat_protocol::{MsgId, Target, UserId};
use redis::Cmd;
use serde::{Deserialize, Serialize};

use super::codec;
use super::link::LinkError;
use super::log::{INBOX_IDLE_MS, Logs};
use crate::broker::{BrokerError, Conversation, Event, Notice, Skip, Topic};

/// Attempts while others change the entry at the same moment: it changes once and may then be dropped for its age.
const ATTEMPTS: usize = 3;

/// Recalls told again at most after an interruption.
const TOLD_AGAIN: usize = 100;
/// Age, in milliseconds before a topic's newest message, of the messages whose recalls are told again: a sender's
/// window, and a long interruption.
const TOLD_AGAIN_MS: u64 = RECALL_WINDOW_MS + 10 * 60 * 1000;

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
pub(super) async fn recall(
    logs: &Logs,
    conversation: &Conversation,
    offset: u64,
    by: Option<&UserId>,
    now: u64,
) -> Result<Recalled, BrokerError> {
    for _ in 0..ATTEMPTS {
        let (head, payload) = logs.at(conversation, offset, now).await?;
        let payload = payload.ok_or(BrokerError::NoSuchMessage)?;
        let entry = codec::logged(&payload)?;
        let remains: Remains = parse(&entry.members)?;
        if by.is_some_and(|by| *by != remains.from) {
            return Err(BrokerError::NotSender);
        }
        let epoch = head.epoch.to_string();
        let (target, from) = (remains.target.clone(), remains.from.clone());
        let recalled = Recalled { target, from, offset, epoch };
        if remains.kind == RECALLED_KIND {
            return Ok(recalled);
        }
        if by.is_some() && now.saturating_sub(entry.time) > RECALL_WINDOW_MS {
            return Err(BrokerError::TooLate);
        }
        let members = json(&Remains { kind: RECALLED_KIND.to_owned(), ..remains })?;
        let stub = codec::with_members(&payload, &entry, &members[1..members.len() - 1]);
        let notice = Notice { cmd: RECALL_PUSH.into(), data: json(&recalled)?, skip: Skip::Nobody };
        let call = recall_call(logs, conversation, offset, &payload, &stub, &codec::notice(&notice));
        if logs.appends.call(&logs.recall, &call).await? {
            return Ok(recalled);
        }
    }
    Err(BrokerError::NoSuchMessage)
}

/// Notices of what was recalled among the newest messages of a topic, for readers who may have missed them; to be
/// told twice does no harm.
pub(super) async fn told_again(logs: &Logs, topic: &Topic, newest_ms: u64) -> Result<Vec<Event>, LinkError> {
    let mut notices = Vec::new();
    for payload in logs.newest_stubs(topic, TOLD_AGAIN).await? {
        let Ok(Event::Message { entry, .. }) = codec::event(topic, &payload) else { continue };
        if entry.time.saturating_add(TOLD_AGAIN_MS) < newest_ms {
            continue;
        }
        let Ok(Remains { target, from, .. }) = parse(&entry.members) else { continue };
        let recalled = Recalled { target, from, offset: entry.offset, epoch: entry.epoch.to_string() };
        let Ok(data) = json(&recalled) else { continue };
        notices.push(Event::Notice(Notice { cmd: RECALL_PUSH.into(), data, skip: Skip::Nobody }));
    }
    Ok(notices)
}

fn recall_call(
    logs: &Logs,
    conversation: &Conversation,
    offset: u64,
    payload: &[u8],
    stub: &[u8],
    notice: &[u8],
) -> Cmd {
    let keys = &logs.keys;
    let mut names = vec![keys.log(conversation), keys.log_head(conversation), keys.stubs(conversation)];
    let mut targets = Vec::with_capacity(4);
    for topic in &conversation.topics() {
        targets.push(keys.channel(topic));
        if let (Conversation::Pair(_, a, b), Topic::Inbox(_, user)) = (conversation, topic) {
            names.extend([keys.topic_log(topic), keys.topic_head(topic), keys.topic_stubs(topic)]);
            targets.push((if user == a { b } else { a }).to_string());
        }
    }
    let mut call = logs.recall.call(&names);
    call.arg(offset).arg(payload).arg(stub).arg(notice).arg(INBOX_IDLE_MS).arg(targets);
    call
}

fn parse(members: &[u8]) -> Result<Remains, BrokerError> {
    let object = [b"{", members, b"}"].concat();
    serde_json::from_slice(&object).map_err(|error| BrokerError::Corrupt(format!("an entry: {error}")))
}

fn json(value: &impl Serialize) -> Result<Bytes, BrokerError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| BrokerError::Corrupt(error.to_string()))
}
