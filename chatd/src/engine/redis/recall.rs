//! Taking the content of a message away.
//!
//! Invariant: an entry is replaced only while it is what was judged; readers are told in the same step, once.

use std::sync::LazyLock;

use chat_protocol::UserId;
use chat_protocol::message::Recalled;
use redis::Cmd;

use super::codec;
use super::link::Script;
use super::log::{Life, Logs};
use crate::broker::recall::{Change, judge};
use crate::broker::{BrokerError, Outgoing};
use crate::model::{Conversation, Effect, Entry};

/// Attempts while others change the entry at the same moment: it changes once and may then be dropped for its age.
const ATTEMPTS: usize = 3;

static RECALL: LazyLock<Script> =
    LazyLock::new(|| Script::promising(concat!(include_str!("log.lua"), include_str!("recall.lua"))));

/// See [`crate::broker::Log::recall`].
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
        // An entry from before a fork counts to the history that goes on from it.
        let entry = Entry { epoch: head.epoch, ..codec::logged(&payload)? };
        let recall = judge(conversation, &entry, by, now)?;
        let Some(Change { stub, news }) = recall.change else { return Ok(recall.answer) };
        let stub = codec::with_members(&payload, &entry, &stub);
        let replaced = Replaced { offset, payload: &payload, stub: &stub };
        let call = |life: &Life| call(logs, &news, now, &life.new_epoch(), &replaced);
        if logs.call_in_life(&logs.keys.log(conversation), &RECALL, call).await?.1 {
            return Ok(recall.answer);
        }
    }
    Err(BrokerError::NoSuchMessage)
}

/// The entry at `offset`, if it is this payload, becomes the stub.
struct Replaced<'a> {
    offset: u64,
    payload: &'a [u8],
    stub: &'a [u8],
}

/// Replaces the entry and appends the news of it.
fn call(logs: &Logs, news: &Outgoing, now: u64, fresh: &str, replaced: &Replaced<'_>) -> Cmd {
    let (conversation, sender) = (&news.conversation, &news.sender);
    let mut names = vec![logs.keys.log(conversation), logs.keys.reads(conversation.app(), sender)];
    let targets = logs.inboxes(conversation, &mut names);
    let mut call = RECALL.call(&names);
    call.arg(now);
    logs.add_rules(&mut call);
    call.arg(replaced.offset).arg(replaced.payload).arg(replaced.stub).arg(fresh);
    call.arg(conversation.named_by(sender).to_string());
    call.arg(codec::body(&Effect::None, &news.skip, &news.msg_id, &news.members)).arg(targets);
    call
}
