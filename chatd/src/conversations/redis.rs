//! Conversations and read offsets over Redis: a hash per user, by conversation as he names it.
//!
//! Invariant: a read offset is kept with the epoch its history began with, and counts for that history only.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, UserId};

use super::{Conversations, State};
use crate::broker::redis::RedisBroker;
use crate::broker::redis::link::{LinkError, Script};
use crate::broker::redis::log::{Logs, named_by, refusal};
use crate::broker::{BrokerError, Conversation};
use crate::groups::redis::RedisGroups;
use crate::groups::{GroupError, Groups};

/// Conversations in one transaction.
const CHUNK: usize = 250;

/// The port over Redis.
pub struct RedisConversations {
    logs: Arc<Logs>,
    groups: Arc<RedisGroups>,
    read: Script,
}

/// `epoch`, `number`, `time` and `born` of a head, and what the user has read of it.
type Answer = ((Option<String>, Option<u64>, Option<u64>, Option<String>), Option<String>);

impl RedisConversations {
    /// Over the connections of the broker.
    #[must_use]
    pub fn new(broker: &RedisBroker) -> Arc<Self> {
        let (logs, groups) = (broker.logs.clone(), RedisGroups::new(broker));
        Arc::new(Self { logs, groups, read: Script::new(include_str!("read.lua")) })
    }

    /// Each with its head and read offset of one moment.
    async fn states(&self, user: &UserId, conversations: Vec<Conversation>) -> Result<Vec<State>, LinkError> {
        let mut states = Vec::with_capacity(conversations.len());
        for chunk in conversations.chunks(CHUNK) {
            let mut pipeline = redis::pipe();
            pipeline.atomic();
            for conversation in chunk {
                let head = self.logs.keys.log_head(conversation);
                pipeline.cmd("HMGET").arg(head).arg("epoch").arg("number").arg("time").arg("born");
                let reads = self.logs.keys.reads(conversation.app(), user);
                pipeline.cmd("HGET").arg(reads).arg(named_by(user, conversation).to_string());
            }
            let answers: Vec<redis::Value> = self.logs.others.run_all(&pipeline).await?;
            for (conversation, answer) in chunk.iter().zip(answers.chunks(2)) {
                let answer = redis::Value::Array(answer.to_vec());
                let answer = redis::from_redis_value(answer).map_err(redis::RedisError::from)?;
                states.push(state(conversation.clone(), answer));
            }
        }
        Ok(states)
    }
}

fn state(conversation: Conversation, ((epoch, number, time, born), read): Answer) -> State {
    let (last_offset, last_time) = (number.unwrap_or(0), time.unwrap_or(0));
    let born = born.or(epoch).unwrap_or_default();
    let read = read.as_deref().and_then(|read| read.split_once('\n'));
    let read = read.filter(|(known, _)| *known == born).and_then(|(_, offset)| offset.parse().ok());
    State { conversation, last_offset, last_time, read_offset: read.unwrap_or(0).min(last_offset) }
}

#[async_trait]
impl Conversations for RedisConversations {
    async fn list(&self, app: AppId, user: &UserId) -> Result<Vec<State>, BrokerError> {
        let (groups, pairs) = tokio::join!(self.groups.of_user(app, user), self.logs.pairs(app, user));
        let mut conversations = vec![Conversation::World(app)];
        conversations.extend(groups?.into_iter().map(|joined| Conversation::Group(app, joined.group)));
        conversations.extend(pairs?);
        let mut states = self.states(user, conversations).await?;
        // A pair or group whose log is gone, the latter just dismissed, has nothing to show.
        states.retain(|state| state.last_offset > 0 || matches!(state.conversation, Conversation::World(_)));
        states.sort_by_key(|state| Reverse(state.last_time));
        Ok(states)
    }

    async fn read(
        &self,
        user: &UserId,
        conversation: &Conversation,
        offset: u64,
    ) -> Result<State, BrokerError> {
        let (app, keys) = (conversation.app(), &self.logs.keys);
        let mut names = vec![keys.log_head(conversation), keys.reads(app, user)];
        if let Conversation::Group(app, group) = conversation {
            names.extend([keys.group(*app, group), keys.members(*app, group)]);
        }
        let mut call = self.read.call(&names);
        call.arg(named_by(user, conversation).to_string()).arg(offset).arg(user.as_str());
        let (last_offset, last_time, read_offset, refused): (u64, u64, u64, String) =
            self.logs.others.call(&self.read, &call).await?;
        if !refused.is_empty() {
            return Err(refusal(&refused));
        }
        Ok(State { conversation: conversation.clone(), last_offset, last_time, read_offset })
    }
}

impl From<GroupError> for BrokerError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NoSuchGroup => BrokerError::NoSuchGroup,
            GroupError::NotMember => BrokerError::NotMember,
            other => BrokerError::Unreachable(other.to_string()),
        }
    }
}
