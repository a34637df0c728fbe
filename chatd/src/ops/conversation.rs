//! Operations on a user's conversations: list, read.

use std::sync::Arc;

use chat_protocol::conversation::{
    Conversation, DEFAULT_CONVERSATIONS_PAGE, List, ListRequest, ListResponse, MAX_PREVIEW_CHARS, Preview,
    Read, ReadRequest,
};
use chat_protocol::cursor::ConversationPlace;
use chat_protocol::session::Push;
use chat_protocol::{Refusal, UserId};
use futures_util::FutureExt;

use super::Table;
use crate::conversations::{Conversations, Place, State};
use crate::hub::frame;
use crate::marks::Marks;
use crate::model::{self, Entry, Language};

/// What the operations need.
pub struct ConversationOps {
    conversations: Arc<dyn Conversations>,
    marks: Arc<Marks>,
    language: Language,
}

impl ConversationOps {
    /// Operations on this service, with words in this language for what is no text.
    #[must_use]
    pub fn new(conversations: Arc<dyn Conversations>, marks: Arc<Marks>, language: Language) -> Self {
        Self { conversations, marks, language }
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_CONVERSATIONS_PAGE) as usize;
        let (app, user) = (request.app_id, &request.user_id);
        let after = request.cursor.as_deref().map(str::parse::<ConversationPlace>).transpose()?;
        let after = after.map(|ConversationPlace { last_time, target }| Place {
            last_time,
            conversation: model::Conversation::of(app, user, &target),
        });
        // One more than asked for tells whether there is a next page.
        let mut states = self.conversations.list(app, user, after.as_ref(), limit + 1).await?;
        let more = states.len() > limit;
        states.truncate(limit);
        let conversations: Vec<_> = states.iter().map(|state| self.seen_by(user, state)).collect();
        let last = conversations.last().filter(|_| more);
        let place = |last: &Conversation| ConversationPlace {
            last_time: last.last_time,
            target: last.target.clone(),
        };
        let cursor = last.map(|last| place(last).to_string());
        Ok(ListResponse { conversations, cursor })
    }

    async fn read(&self, request: ReadRequest) -> Result<Conversation, Refusal> {
        let conversation = model::Conversation::of(request.app_id, &request.user_id, &request.target);
        let state = self.conversations.read(&request.user_id, &conversation, request.offset).await?;
        self.marks.read(&request.user_id, conversation, &state.head.epoch, state.read_offset);
        Ok(self.seen_by(&request.user_id, &state))
    }

    /// The state under the name the user has for the conversation.
    fn seen_by(&self, user: &UserId, state: &State) -> Conversation {
        let head = &state.head;
        Conversation {
            target: head.conversation.named_by(user),
            epoch: head.epoch.to_string(),
            last_offset: head.last_offset,
            last_time: head.last_time,
            // One entry that cannot be read does not hide the list.
            last: state.last.as_ref().and_then(|entry| self.preview(entry)),
            read_offset: state.read_offset,
            unread: state.unread.count,
            unread_more: state.unread.more,
        }
    }

    fn preview(&self, entry: &Entry) -> Option<Preview> {
        let Push { content, from, offset, time, .. } = frame::sent(entry).ok()?;
        let words = content.msg.or_else(|| self.language.words(&entry.members)).unwrap_or_default();
        let msg = words.chars().take(MAX_PREVIEW_CHARS).collect();
        Some(Preview { from, kind: content.kind, msg, offset, time })
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, conversation: &Arc<ConversationOps>) {
    table.bind::<List, _>(conversation, |service, _, request| service.list(request).boxed());
    table.bind::<Read, _>(conversation, |service, _, request| service.read(request).boxed());
}
