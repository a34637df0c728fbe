//! Operations on users: list, online, sendMessage, sendMessageAll.

use std::sync::Arc;

use chat_protocol::content::Content;
use chat_protocol::id::SYSTEM;
use chat_protocol::user::{
    List, ListRequest, ListResponse, Online, OnlineRequest, OnlineResponse, SendMessage, SendMessageAll,
    SendMessageAllRequest, SendMessageAllResponse, SendMessageRequest, SendMessageResponse,
};
use chat_protocol::{Refusal, Target, UserId};
use futures_util::FutureExt;

use super::Table;
use crate::chat::Chat;
use crate::model::Identity;
use crate::model::Skip;
use crate::presence::Presence;

/// What the operations need.
pub struct User {
    chat: Arc<Chat>,
    presence: Arc<dyn Presence>,
}

impl User {
    /// Operations on these services.
    #[must_use]
    pub fn new(chat: Arc<Chat>, presence: Arc<dyn Presence>) -> Self {
        Self { chat, presence }
    }

    async fn list(&self, request: ListRequest) -> Result<ListResponse, Refusal> {
        let limit = request.limit.map_or(usize::MAX, |limit| limit as usize);
        let roster = self.presence.list(request.app_id, request.cursor.as_ref(), limit).await?;
        // People come and go while a long list is read: the count of a whole one is that of its names.
        let is_whole = request.cursor.is_none() && !roster.more;
        let user_count = if is_whole { roster.users.len() as u64 } else { roster.count };
        let cursor = if roster.more { roster.users.last().cloned().or(request.cursor) } else { None };
        Ok(ListResponse { user_count, user_list: roster.users, cursor })
    }

    async fn online(&self, request: OnlineRequest) -> Result<OnlineResponse, Refusal> {
        let online = self.presence.is_online(request.app_id, &request.user_id).await?;
        Ok(OnlineResponse { online, user_id: request.user_id })
    }

    async fn send_message(&self, request: SendMessageRequest) -> Result<SendMessageResponse, Refusal> {
        let content = content(request.kind, request.message)?;
        let user = match request.from {
            Some(from) => from,
            None => UserId::new(SYSTEM).map_err(|e| Refusal::parameter("from", e))?,
        };
        let sender = Identity { app: request.app_id, user };
        let target = Target::User(request.user_id.clone());
        let sent = self.chat.send(&sender, &target, &content, request.msg_id.as_ref(), Skip::Nobody).await?;
        // The message is in its log: that the recipient cannot be looked up must not make the caller send it again.
        let online = self.presence.is_online(request.app_id, &request.user_id).await.unwrap_or(false);
        Ok(SendMessageResponse {
            send_results: online,
            stored: true,
            msg_id: sent.msg_id,
            offset: sent.receipt.offset,
            duplicate: sent.receipt.duplicate,
        })
    }

    async fn send_message_all(
        &self,
        request: SendMessageAllRequest,
    ) -> Result<SendMessageAllResponse, Refusal> {
        let content = content(request.kind, request.message)?;
        let skip = Skip::User(request.user_id.clone());
        let sender = Identity { app: request.app_id, user: request.user_id };
        let sent = self.chat.send(&sender, &Target::World, &content, Some(&request.msg_id), skip).await?;
        Ok(SendMessageAllResponse {
            send_results: true,
            msg_id: sent.msg_id,
            offset: sent.receipt.offset,
            duplicate: sent.receipt.duplicate,
        })
    }
}

/// `message` is the text, or for the other types the address of the file.
pub(crate) fn content(kind: Option<String>, message: String) -> Result<Content, Refusal> {
    let content = match kind {
        None => Content::text(message),
        Some(kind) if kind == "text" => Content::text(message),
        Some(kind) => Content::file(kind, message),
    };
    content.check("message")?;
    Ok(content)
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, user: &Arc<User>) {
    table.bind::<List, _>(user, |user, _, request| user.list(request).boxed());
    table.bind::<Online, _>(user, |user, _, request| user.online(request).boxed());
    table.bind::<SendMessage, _>(user, |user, _, request| user.send_message(request).boxed());
    table.bind::<SendMessageAll, _>(user, |user, _, request| user.send_message_all(request).boxed());
}
