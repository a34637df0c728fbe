//! Operations on a user's conversations: list, read.

use std::sync::Arc;

use chat_protocol::conversation::{Conversation, List, ListRequest, Read, ReadRequest};
use chat_protocol::{Refusal, Target, UserId};

use super::{Table, on};
use crate::broker;
use crate::conversations::{Conversations, State};

/// What the operations need.
pub struct ConversationOps {
    conversations: Arc<dyn Conversations>,
}

impl ConversationOps {
    /// Operations on this service.
    #[must_use]
    pub fn new(conversations: Arc<dyn Conversations>) -> Self {
        Self { conversations }
    }

    async fn list(&self, request: ListRequest) -> Result<Vec<Conversation>, Refusal> {
        let states = self.conversations.list(request.app_id, &request.user_id).await?;
        Ok(states.iter().map(|state| seen_by(&request.user_id, state)).collect())
    }

    async fn read(&self, request: ReadRequest) -> Result<Conversation, Refusal> {
        let conversation = broker::Conversation::of(request.app_id, &request.user_id, &request.target);
        let state = self.conversations.read(&request.user_id, &conversation, request.offset).await?;
        Ok(seen_by(&request.user_id, &state))
    }
}

/// The state under the name the user has for the conversation.
fn seen_by(user: &UserId, state: &State) -> Conversation {
    let target = match &state.conversation {
        broker::Conversation::World(_) => Target::World,
        broker::Conversation::Group(_, group) => Target::Group(group.clone()),
        broker::Conversation::Pair(_, a, b) => Target::User(if a == user { b.clone() } else { a.clone() }),
    };
    Conversation {
        target,
        last_offset: state.last_offset,
        last_time: state.last_time,
        read_offset: state.read_offset,
        unread: state.last_offset.saturating_sub(state.read_offset),
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, conversation: &Arc<ConversationOps>) {
    table.bind::<List, _>(on(conversation, |service, request| async move { service.list(request).await }));
    table.bind::<Read, _>(on(conversation, |service, request| async move { service.read(request).await }));
}
