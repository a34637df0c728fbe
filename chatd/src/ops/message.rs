//! Operations on logged messages: history, recall.

use std::sync::Arc;

use chat_protocol::group::CHANGE_KINDS;
use chat_protocol::message::{
    DEFAULT_HISTORY_PAGE, History, HistoryRequest, HistoryResponse, RECALL_KIND, Recall, RecallRequest,
    Recalled,
};
use chat_protocol::params::Rule;
use chat_protocol::red_packet::PACKET_KIND;
use chat_protocol::{AppId, Code, Refusal, Target, UserId};
use futures_util::FutureExt;

use super::Table;
use crate::auth::Caller;
use crate::broker::recall::judge;
use crate::broker::{Log, Range};
use crate::clock::Clock;
use crate::files::Files;
use crate::groups::{GroupError, Groups};
use crate::hub::frame;
use crate::model::Conversation;

/// Bytes of a page at most, unless its one message has more: less than a connection may have waiting, so that a page is
/// never too large to be sent.
const MAX_PAGE_BYTES: usize = 1_000_000;
/// Bytes that a message takes in a page besides its members, at most about.
const MESSAGE_BYTES: usize = 256;

/// What the operations need.
pub struct MessageOps {
    log: Arc<dyn Log>,
    groups: Arc<dyn Groups>,
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
}

impl MessageOps {
    /// Operations on these services.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, groups: Arc<dyn Groups>, files: Arc<Files>, clock: Arc<dyn Clock>) -> Self {
        Self { log, groups, files, clock }
    }

    async fn history(&self, request: HistoryRequest) -> Result<HistoryResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_HISTORY_PAGE) as usize;
        let range = match request.after {
            Some(after) => Range::After(after),
            None => Range::Before(request.before.unwrap_or(u64::MAX)),
        };
        let conversation =
            self.conversation(request.app_id, request.user_id.as_ref(), &request.target).await?;
        // One more than asked for tells whether there is a next page.
        let mut page = self.log.read(&conversation, range, limit + 1).await?;
        // Whoever was removed meanwhile gets nothing that was said after that.
        self.conversation(request.app_id, request.user_id.as_ref(), &request.target).await?;
        let sizes = page.entries.iter().map(|entry| entry.members.len() + MESSAGE_BYTES);
        let next = match range {
            Range::Before(_) => {
                let rest = page.entries.len() - page_length(sizes.rev(), limit);
                page.entries.drain(..rest);
                page.entries.first().filter(|_| rest > 0).map(|entry| entry.offset)
            }
            Range::After(_) => {
                let length = page_length(sizes, limit);
                let more = page.entries.len() > length;
                page.entries.truncate(length);
                page.entries.last().filter(|_| more).map(|entry| entry.offset)
            }
        };
        let messages = page.entries.iter().map(frame::sent).collect::<Result<_, _>>()?;
        Ok(HistoryResponse { messages, next, epoch: page.epoch.to_string() })
    }

    async fn recall(&self, caller: Caller, request: RecallRequest) -> Result<Recalled, Refusal> {
        let conversation =
            self.conversation(request.app_id, request.user_id.as_ref(), &request.target).await?;
        let after = Range::After(request.offset.saturating_sub(1));
        let page = self.log.read(&conversation, after, 1).await?;
        let by = caller.user().map(|identity| &identity.user);
        if let Some(entry) = page.entries.first().filter(|entry| entry.offset == request.offset) {
            let content = frame::sent(entry)?.content;
            if let Some(reason) = stays(&content.kind) {
                return Err(Refusal::new(Code::RefusedByRule, reason));
            }
            if content.url.is_some() {
                // First the file: whoever repeats a recall that broke off finds the message.
                judge(&conversation, entry, by, self.clock.now_ms())?;
                self.files.end_of(&conversation, &content).await?;
            }
        }
        Ok(self.log.recall(&conversation, request.offset, by).await?)
    }

    /// The conversation, if the acting user may read it.
    async fn conversation(
        &self,
        app: AppId,
        user: Option<&UserId>,
        target: &Target,
    ) -> Result<Conversation, Refusal> {
        match (target, user) {
            (Target::World, _) => Ok(Conversation::World(app)),
            (Target::Group(group), Some(user)) => {
                if !self.groups.is_member(app, group, user).await? {
                    return Err(GroupError::NotMember.into());
                }
                Ok(Conversation::Group(app, group.clone()))
            }
            (Target::Group(group), None) => {
                self.groups.group(app, group).await?;
                Ok(Conversation::Group(app, group.clone()))
            }
            (Target::User(_), Some(user)) => Ok(Conversation::of(app, user, target)),
            (Target::User(_), None) => Err(Rule::TwoSides("userId", "target").refusal()),
        }
    }
}

/// How many messages of these sizes make a page of at most so many.
fn page_length(sizes: impl Iterator<Item = usize>, limit: usize) -> usize {
    let mut bytes = 0;
    let fitting = |(at, size): &(usize, usize)| {
        bytes += size;
        *at == 0 || bytes <= MAX_PAGE_BYTES
    };
    sizes.take(limit).enumerate().take_while(fitting).count()
}

/// Why a message of this kind cannot be taken back.
fn stays(kind: &str) -> Option<&'static str> {
    match kind {
        PACKET_KIND => Some("the offer of a red packet stays; what nobody takes goes back when it expires"),
        RECALL_KIND => Some("that a message was taken back stays in the history"),
        kind if CHANGE_KINDS.contains(&kind) => Some("who came and went stays in a group's history"),
        _ => None,
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, message: &Arc<MessageOps>) {
    table.bind::<History, _>(message, |message, _, request| message.history(request).boxed());
    table.bind::<Recall, _>(message, |message, caller, request| message.recall(caller, request).boxed());
}
