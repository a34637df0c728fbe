//! Conversations and read offsets over Redis: a hash per user, by conversation as they name it.
//!
//! Invariant: a read offset is kept with the epoch its history began with, and counts for that history only. A page
//! costs what stands on it and one look at each of the user's groups, whose messages leave no trace with the members.

use std::cmp::Reverse;
use std::iter;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_protocol::{AppId, Target, UserId};
use futures_util::{StreamExt, TryStreamExt};
use redis::Cmd;

use super::broker::RedisBroker;
use super::codec;
use super::groups::RedisGroups;
use super::link::Script;
use super::log::{AHEAD_MS, Logs, refusal};
use crate::broker::BrokerError;
use crate::clock::Clock;
use crate::conversations::{Conversations, Head, Place, State, Unread};
use crate::groups::{GroupError, Groups};
use crate::model::{Conversation, Entry};

/// Heads read in one round trip.
const CHUNK: usize = 250;
/// States read at the same time: each is a script, between which others have their turn.
const AT_ONCE: usize = 16;

/// The port over Redis.
pub struct RedisConversations {
    logs: Arc<Logs>,
    groups: Arc<RedisGroups>,
    clock: Arc<dyn Clock>,
    state: Script,
    read: Script,
    read_by: Script,
}

/// In the place of whether there is more: the first part of the answer says what is wrong.
const REFUSED: u8 = 2;

/// Epoch, offset and time of the newest entry, offset read, unread, whether there is more, the newest entry.
type Answer = (String, u64, u64, u64, u64, u8, Option<Bytes>);

impl RedisConversations {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Arc<Self> {
        Arc::new(Self {
            logs: broker.logs.clone(),
            groups: RedisGroups::new(broker, u64::MAX),
            clock: broker.clock.clone(),
            state: Script::new(concat!(
                include_str!("../log.lua"),
                include_str!("unread.lua"),
                include_str!("state.lua")
            )),
            read: Script::promising(concat!(
                include_str!("../log.lua"),
                include_str!("unread.lua"),
                include_str!("read.lua")
            )),
            read_by: Script::new(concat!(
                include_str!("../log.lua"),
                include_str!("unread.lua"),
                include_str!("read_by.lua")
            )),
        })
    }

    /// A call of one of the scripts, with the keys and arguments that both have.
    fn call(&self, script: &Script, user: &UserId, conversation: &Conversation) -> Cmd {
        let keys = &self.logs.keys;
        let reads = keys.reads(conversation.app(), user);
        let mut names = vec![keys.log(conversation), reads];
        if let Conversation::Group(app, group) = conversation {
            names.extend([keys.group(*app, group), keys.members(*app, group)]);
        }
        let mut call = script.call(&names);
        // As chatd writes a message's members.
        let own = format!(r#""from":{}"#, serde_json::Value::from(user.as_str()));
        call.arg(conversation.named_by(user).to_string()).arg(own).arg(self.logs.since(self.clock.now_ms()));
        call.arg(user.as_str());
        call
    }

    /// Where conversations end, those left out of which there is nothing to show.
    async fn ends(&self, conversations: &[Conversation]) -> Result<Vec<Head>, BrokerError> {
        let mut heads = Vec::new();
        for chunk in conversations.chunks(CHUNK) {
            for (conversation, found) in chunk.iter().zip(self.logs.ends(chunk).await?) {
                // What is damaged is left out, so that the others are shown.
                let Ok(found) = found else { continue };
                let conversation = conversation.clone();
                let (epoch, last_offset, last_time) = (found.epoch, found.number, found.time);
                let head = Head { conversation, epoch, last_offset, last_time };
                // The log of a pair or group may be gone, that of the latter as it was just dismissed.
                if last_offset > 0 || matches!(head.conversation, Conversation::World(_)) {
                    heads.push(head);
                }
            }
        }
        Ok(heads)
    }

    /// None of a group whose members cannot be read, which is logged.
    async fn state(&self, user: &UserId, conversation: Conversation) -> Result<Option<State>, BrokerError> {
        let call = self.call(&self.state, user, &conversation);
        let answer: Answer = self.logs.others.call(&self.state, &call).await?;
        if answer.5 != REFUSED {
            return state(conversation, answer).map(Some);
        }
        if let Conversation::Group(app, group) = &conversation {
            let (key, error) = (self.logs.keys.members(*app, group), answer.0);
            tracing::error!(key, error, "damaged; the group is left out of the lists of its members");
        }
        Ok(None)
    }
}

/// The order of the list. Of pairs of one time the greatest name comes first, as in the sorted set.
fn order(user: &UserId, last_time: u64, conversation: &Conversation) -> impl Ord + use<> {
    let (kind, name, other) = match conversation.named_by(user) {
        Target::World => (0, String::new(), String::new()),
        Target::Group(group) => (1, group.to_string(), String::new()),
        Target::User(other) => (2, String::new(), other.to_string()),
    };
    (Reverse(last_time), kind, name, Reverse(other))
}

fn state(conversation: Conversation, answer: Answer) -> Result<State, BrokerError> {
    let (epoch, last_offset, last_time, read_offset, count, more, last) = answer;
    let head = Head { conversation, epoch: epoch.into(), last_offset, last_time };
    // An entry from before a fork counts to the history that goes on from it.
    let last = last
        .map(|payload| codec::logged(&payload).map(|entry| Entry { epoch: head.epoch.clone(), ..entry }))
        .transpose()?;
    Ok(State { head, read_offset, unread: Unread { count, more: more > 0 }, last })
}

#[async_trait]
impl Conversations for RedisConversations {
    async fn heads(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Head>, BrokerError> {
        let groups = self.groups.of_user(app, user).await?;
        let mut conversations = vec![Conversation::World(app)];
        conversations.extend(groups.into_iter().map(|joined| Conversation::Group(app, joined.group)));
        let after = after.map(|after| (after.last_time, order(user, after.last_time, &after.conversation)));
        let is_behind = |head: &Head| {
            let place = order(user, head.last_time, &head.conversation);
            after.as_ref().is_none_or(|(_, after)| place > *after)
        };
        let mut heads = self.ends(&conversations).await?;
        let until = after.as_ref().map_or(u64::MAX, |(time, _)| time.saturating_add(AHEAD_MS));
        // One more, for the place itself. Where those that are not looked at may stand before the last one, more are asked
        // for, and the first ones again: what moves to the front meanwhile must not hide another.
        let mut count = limit.saturating_add(1);
        let pairs = loop {
            let (pairs, least) = self.logs.latest_pairs(app, user, until, count).await?;
            let mut found = self.ends(&pairs).await?;
            // With a greatest age, those behind one that has ended have ended too.
            let have_ended = self.logs.kept().1 > 0 && found.len() < pairs.len();
            found.retain(is_behind);
            found.sort_by_cached_key(|head| order(user, head.last_time, &head.conversation));
            let last = limit.checked_sub(1).and_then(|last| found.get(last));
            let is_full = limit == 0 || last.is_some_and(|last| last.last_time > least);
            if is_full || pairs.len() < count || have_ended {
                break found;
            }
            count = count.saturating_mul(2);
        };
        heads.retain(is_behind);
        heads.extend(pairs);
        heads.sort_by_cached_key(|head| order(user, head.last_time, &head.conversation));
        heads.truncate(limit);
        Ok(heads)
    }

    async fn list(
        &self,
        app: AppId,
        user: &UserId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<State>, BrokerError> {
        let (mut list, mut after) = (Vec::new(), after.cloned());
        // What is left out must not make a page look like the last one.
        loop {
            let wanted = limit - list.len();
            let heads = self.heads(app, user, after.as_ref(), wanted).await?;
            let is_last = heads.len() < wanted;
            let place = |head: &Head| {
                let (last_time, conversation) = (head.last_time, head.conversation.clone());
                Place { last_time, conversation }
            };
            after = heads.last().map(place);
            let states = heads.into_iter().map(|head| self.state(user, head.conversation));
            let states = futures_util::stream::iter(states).buffered(AT_ONCE);
            let states: Vec<Option<State>> = states.try_collect().await?;
            list.extend(states.into_iter().flatten());
            if is_last || list.len() >= limit {
                return Ok(list);
            }
        }
    }

    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError> {
        let mut call = self.call(&self.read, user, conversation);
        call.arg(offset).arg(self.logs.kept().1);
        let answer: Answer = self.logs.others.call(&self.read, &call).await?;
        if answer.5 == REFUSED {
            return Err(refusal(&answer.0));
        }
        state(conversation.clone(), answer)
    }

    async fn read_by(
        &self,
        conversation: &Conversation,
        users: &[UserId],
    ) -> Result<(Arc<str>, Vec<u64>), BrokerError> {
        let keys = &self.logs.keys;
        let reads = users.iter().map(|user| keys.reads(conversation.app(), user));
        let names: Vec<_> = iter::once(keys.log(conversation)).chain(reads).collect();
        let mut call = self.read_by.call(&names);
        for user in users {
            call.arg(conversation.named_by(user).to_string());
        }
        let (epoch, offsets): (String, Vec<u64>) = self.logs.others.call(&self.read_by, &call).await?;
        Ok((epoch.into(), offsets))
    }
}

impl From<GroupError> for BrokerError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NoSuchGroup => BrokerError::NoSuchGroup,
            GroupError::NotMember => BrokerError::NotMember,
            GroupError::Corrupt(detail) => BrokerError::Corrupt(detail),
            other => BrokerError::Unreachable(other.to_string()),
        }
    }
}
