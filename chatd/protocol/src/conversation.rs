//! Operations on a user's conversations: list and read state.

use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation};
use crate::params::{Field, Kind};
use crate::target::Target;

const APP_ID: Field = Field::required("appId", Kind::AppId, "which world");
const USER_ID: Field = Field::required("userId", Kind::UserId, "the acting user");

/// A conversation of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The conversation, as the user names it.
    pub target: Target,
    /// Offset of the newest message.
    pub last_offset: u64,
    /// Time of the newest message, Unix milliseconds; 0 when nothing was said.
    pub last_time: u64,
    /// Offset up to which the user has read.
    pub read_offset: u64,
    /// Messages after that: `lastOffset − readOffset`.
    pub unread: u64,
}

/// `/conversation/list`.
pub struct List;

/// Parameters of [`List`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListRequest {
    /// Which world.
    pub app_id: AppId,
    /// Whose conversations.
    pub user_id: UserId,
}

impl Operation for List {
    const PATH: &'static str = "/conversation/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "A user's conversations with unread counts, the latest first.";
    const FIELDS: &'static [Field] = &[APP_ID, USER_ID];
    const ACTOR: Option<&'static str> = Some("userId");
    type Request = ListRequest;
    type Response = Vec<Conversation>;
}

/// `/conversation/read`.
pub struct Read;

/// Parameters of [`Read`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadRequest {
    /// Which world.
    pub app_id: AppId,
    /// Who has read.
    pub user_id: UserId,
    /// The conversation, as the user names it.
    pub target: Target,
    /// Up to which offset.
    pub offset: u64,
}

impl Operation for Read {
    const PATH: &'static str = "/conversation/read";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Marks messages as read; never moves back, never past the end.";
    const FIELDS: &'static [Field] = &[
        APP_ID,
        USER_ID,
        Field::required("target", Kind::Target, "the conversation, as the user names it"),
        Field::required("offset", Kind::U64, "up to which offset"),
    ];
    const ACTOR: Option<&'static str> = Some("userId");
    type Request = ReadRequest;
    type Response = Conversation;
}
