//! Operations on users: who is here, and messages to one or all of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::KINDS;
use crate::id::{AppId, MsgId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// `/user/list`: who is online.
pub struct List;

parameters! {
    /// Parameters of [`List`].
    pub struct ListRequest {
        /// Which world.
        pub app_id: AppId,
        /// At most so many users; all when absent.
        pub limit: Option<u32> as Kind::Between(1, u32::MAX as u64),
        /// Continue after this user.
        pub cursor: Option<UserId>,
    }
}

/// Answer of [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// How many users are online in the world.
    pub user_count: u64,
    /// Their names in byte order.
    pub user_list: Vec<UserId>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UserId>,
}

impl Operation for List {
    const PATH: &'static str = "/user/list";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Users of an app who are online, sorted, in pages when limit is given.";
    const RIGHTS: Rights = Rights::Anyone(Scope::Read);
    type Request = ListRequest;
    type Response = ListResponse;
}

/// `/user/online`: whether one user is online.
pub struct Online;

parameters! {
    /// Parameters of [`Online`].
    pub struct OnlineRequest {
        /// Which world.
        pub app_id: AppId,
        /// Whom to look for.
        pub user_id: UserId,
    }
}

/// Answer of [`Online`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineResponse {
    /// Whether a connection of the user lives on any node.
    pub online: bool,
    /// The user asked for.
    pub user_id: UserId,
}

impl Operation for Online {
    const PATH: &'static str = "/user/online";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Whether a user is online on any node.";
    const RIGHTS: Rights = Rights::Anyone(Scope::Read);
    type Request = OnlineRequest;
    type Response = OnlineResponse;
}

/// `/user/sendMessage`: a message to one user.
pub struct SendMessage;

parameters! {
    /// Parameters of [`SendMessage`].
    pub struct SendMessageRequest {
        /// Which world.
        pub app_id: AppId,
        /// The recipient.
        pub user_id: UserId,
        /// The text, or the address of the file for other types.
        pub message: String as Kind::Content,
        /// The sender's id for it, so that a repeat is not sent twice.
        pub msg_id: Option<MsgId>,
        /// The sender; default system.
        pub from: Option<UserId>,
        /// `text` (when absent), `img`, `audio` or `video`.
        pub kind as "type": Option<String> as Kind::OneOf(&KINDS),
    }
}

/// Answer of [`SendMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageResponse {
    /// Whether the recipient was online and the message is on its way; false: kept for later.
    pub send_results: bool,
    /// Whether the message is in the log.
    pub stored: bool,
    /// The message's id.
    pub msg_id: MsgId,
    /// Its number in the conversation of the two.
    pub offset: u64,
    /// The same message was sent before; this is the first answer again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl Operation for SendMessage {
    const PATH: &'static str = "/user/sendMessage";
    const EFFECT: Effect = Effect::ChangesByGet;
    const ABOUT: &'static str = "Sends a message to one user; kept for later when the user is offline.";
    const RIGHTS: Rights = Rights::User("from", Scope::Send);
    const KEY: Option<&'static str> = Some("msgId");
    type Request = SendMessageRequest;
    type Response = SendMessageResponse;
}

/// `/user/sendMessageAll`: a message to the whole world.
pub struct SendMessageAll;

parameters! {
    /// Parameters of [`SendMessageAll`].
    pub struct SendMessageAllRequest {
        /// Which world.
        pub app_id: AppId,
        /// The sender, who gets no copy.
        pub user_id: UserId,
        /// The sender's id for it, so that a repeat is not sent twice.
        pub msg_id: MsgId,
        /// The text, or the address of the file for other types.
        pub message: String as Kind::Content,
        /// `text` (when absent), `img`, `audio` or `video`.
        pub kind as "type": Option<String> as Kind::OneOf(&KINDS),
    }
}

/// Answer of [`SendMessageAll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageAllResponse {
    /// Always true: the message is in the log and on its way.
    pub send_results: bool,
    /// The message's id.
    pub msg_id: MsgId,
    /// Its number in the world's log.
    pub offset: u64,
    /// The same message was sent before; this is the first answer again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl Operation for SendMessageAll {
    const PATH: &'static str = "/user/sendMessageAll";
    const EFFECT: Effect = Effect::ChangesByGet;
    const ABOUT: &'static str = "Sends a message to everyone in the app except its sender.";
    const RIGHTS: Rights = Rights::User("userId", Scope::Send);
    const KEY: Option<&'static str> = Some("msgId");
    type Request = SendMessageAllRequest;
    type Response = SendMessageAllResponse;
}
