//! Operations on a user's conversations: list and read state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};
use crate::target::Target;

/// Conversations in one page at most.
pub const MAX_CONVERSATIONS_PAGE: u32 = 200;
/// Conversations in one page when no limit is given.
pub const DEFAULT_CONVERSATIONS_PAGE: u32 = 100;

/// Characters of a [`Preview`]'s text at most.
pub const MAX_PREVIEW_CHARS: usize = 200;

/// The newest entry of a conversation, in short; the history has it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Who sent it.
    pub from: UserId,
    /// What it is, as in a push: `text`, `img`, `recall` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its text, or words for what is no text; the first 200 characters of it.
    pub msg: String,
    /// Its number in the conversation.
    pub offset: u64,
    /// When it was logged, Unix milliseconds.
    pub time: u64,
}

/// A conversation of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The conversation, as the user names it.
    pub target: Target,
    /// Which history the offsets belong to; empty when nothing was ever said.
    pub epoch: String,
    /// Offset of the newest entry.
    pub last_offset: u64,
    /// Time of the newest entry, Unix milliseconds; 0 when nothing was said.
    pub last_time: u64,
    /// The newest entry; absent when nothing was said or the history has it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Preview>,
    /// Offset up to which the user has read.
    pub read_offset: u64,
    /// Messages of others after that, which the history still has and nobody took back; at most 99.
    pub unread: u64,
    /// Whether there may be more than `unread`: only 99, and only among the next 500 entries, are counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread_more: bool,
}

/// `/conversation/list`.
pub struct List;

parameters! {
    /// Parameters of [`List`].
    pub struct ListRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// At most so many, 1 to 200; 100 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_CONVERSATIONS_PAGE as u64),
        /// From the page before.
        pub cursor: Option<String> as Kind::Cursor(Cursor::Conversations),
    }
}

/// Answer of [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// The conversations, the latest first.
    pub conversations: Vec<Conversation>,
    /// Give it with the next call for those that follow. Absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Operation for List {
    const PATH: &'static str = "/conversation/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str =
        "A user's conversations with what was said last and unread counts, the latest first.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = ListRequest;
    type Response = ListResponse;
}

/// `/conversation/read`.
pub struct Read;

parameters! {
    /// Parameters of [`Read`].
    pub struct ReadRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user.
        pub user_id: UserId,
        /// The conversation, as the user names it.
        pub target: Target,
        /// Up to which offset.
        pub offset: u64,
    }
}

impl Operation for Read {
    const PATH: &'static str = "/conversation/read";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Marks messages as read; never moves back, never past the end.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    type Request = ReadRequest;
    type Response = Conversation;
}
