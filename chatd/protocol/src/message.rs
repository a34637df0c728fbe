//! Operations on logged messages: history and recall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, Rule, parameters};
use crate::session::Push;
use crate::target::Target;

/// Messages in one page at most.
pub const MAX_HISTORY_PAGE: u32 = 200;
/// Messages in one page when no limit is given.
pub const DEFAULT_HISTORY_PAGE: u32 = 50;
/// How long a sender may take a message back, in milliseconds.
pub const RECALL_WINDOW_MS: u64 = 2 * 60 * 1000;

/// `/message/history`.
pub struct History;

parameters! {
    /// Parameters of [`History`].
    pub struct HistoryRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user; without one an operator reads a world or group.
        pub user_id: Option<UserId>,
        /// The conversation, as the acting user names it.
        pub target: Target,
        /// Newest messages with a lesser offset; not together with after.
        pub before: Option<u64>,
        /// Oldest messages with a greater offset; not together with before.
        pub after: Option<u64>,
        /// At most so many, 1 to 200; 50 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_HISTORY_PAGE as u64),
    }
}

/// Answer of [`History`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryResponse {
    /// The messages by ascending offset.
    pub messages: Vec<Push>,
    /// Where the next page in the same direction begins: give it as `before` or `after` again. Absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Which history the offsets belong to; empty when nothing was ever said.
    pub epoch: String,
}

impl Operation for History {
    const PATH: &'static str = "/message/history";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Messages of a conversation: the newest, or before or after an offset.";
    const RULES: &'static [Rule] = &[Rule::Apart("before", &["after"]), Rule::TwoSides("userId", "target")];
    const RIGHTS: Rights = Rights::User("userId", Scope::Read);
    type Request = HistoryRequest;
    type Response = HistoryResponse;
}

/// `/message/recall`.
pub struct Recall;

/// `type` of the entry that tells that the message at `recalls` was taken back.
pub const RECALL_KIND: &str = "recall";
/// `type` of a message whose content was taken back.
pub const RECALLED_KIND: &str = "recalled";

parameters! {
    /// Parameters of [`Recall`].
    pub struct RecallRequest {
        /// Which world.
        pub app_id: AppId,
        /// The acting user; without one an operator asks.
        pub user_id: Option<UserId>,
        /// The conversation, as the acting user names it.
        pub target: Target,
        /// Which message.
        pub offset: u64,
    }
}

/// Answer of [`Recall`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recalled {
    /// Where the message was sent to.
    pub target: Target,
    /// Who had sent it.
    pub from: UserId,
    /// Which message.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: String,
}

impl Operation for Recall {
    const PATH: &'static str = "/message/recall";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Takes a message's content back: its sender within 2 minutes, or an operator. Its place stays, and an entry of type recall tells of it.";
    const RULES: &'static [Rule] = &[Rule::TwoSides("userId", "target")];
    const RIGHTS: Rights = Rights::User("userId", Scope::Admin);
    type Request = RecallRequest;
    type Response = Recalled;
}
