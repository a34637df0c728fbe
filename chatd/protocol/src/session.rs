//! Commands and pushes that exist on a WebSocket only: log in, heartbeat, ping, send, refresh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Content, text_kind};
use crate::id::{AppId, MsgId, UserId};
use crate::params::{Kind, Parameter, Reserved, parameters};
use crate::target::Target;

/// Command that names the user of the connection.
pub const LOGIN: &str = "login";
/// Command that keeps the connection open.
pub const HEARTBEAT: &str = "heartbeat";
/// Command that answers `"pong"`, before log-in too.
pub const PING: &str = "ping";
/// Command that sends a message, and the push that brings one.
pub const MSG: &str = "msg";
/// Command that replaces the token of a connection by a later one.
pub const REFRESH: &str = "session/refresh";
/// Command that names the conversation that is looked at on this connection, whose marks it gets.
pub const WATCH: &str = "watch";
/// Command that tells those who look at a conversation that its user writes there, and the push that tells them.
pub const TYPING: &str = "typing";
/// Push: how far others have read a conversation that is looked at.
pub const READ: &str = "read";
/// Push: the connection's token ends soon.
pub const EXPIRING: &str = "session/expiring";
/// Push: the node is stopping and ends this connection.
pub const DRAIN: &str = "system/drain";
/// Push: a user came online.
pub const ENTER: &str = "enter";
/// Push: a user went offline.
pub const EXIT: &str = "exit";
/// Push: who came and went in a room in which more did than [`MAX_SINGLE`] a second.
pub const PRESENCE: &str = "presence";

/// Connections of a node that may look at one conversation at most: where more do, it has no marks there.
pub const MAX_WATCHING: usize = 50;
/// Names in a [`TYPING`] push at most.
pub const MAX_TYPISTS: usize = 5;
/// Names in a [`READ`] push, and in the answer of [`WATCH`], at most.
pub const MAX_READERS: usize = 50;
/// [`ENTER`] and [`EXIT`] pushes of one room in one second at most.
pub const MAX_SINGLE: usize = 20;
/// Names of each kind in a [`PRESENCE`] push at most.
pub const MAX_NAMED: usize = 20;

parameters! {
    /// Data of [`LOGIN`].
    pub struct Login {
        /// Who is speaking on this connection.
        pub user_id: UserId,
        /// Which world the user enters.
        pub app_id: AppId,
        /// Proof of identity, where the server asks for one.
        pub token: Option<String>,
        /// The same, as older clients call it.
        pub service_token: Option<String>,
        /// Last known position of each conversation; may be an empty list.
        pub recover: Option<Vec<Position>>,
    }
}

parameters! {
    /// Data of [`REFRESH`].
    pub struct Refresh {
        /// Proof of the same identity.
        pub token: String,
    }
}

parameters! {
    /// Data of [`WATCH`].
    pub struct Watch {
        /// The conversation, as the user names it; none is looked at when absent.
        pub target: Option<Target>,
        /// Answer with [`Readers`] of at most so many others, or of none where there are more of them. Without, and where
        /// nothing is looked at, the answer is null.
        pub readers: Option<u32> as Kind::Between(1, MAX_READERS as u64),
    }
}

parameters! {
    /// Data of [`TYPING`].
    pub struct Typing {
        /// The conversation, as the user names it.
        pub target: Target,
    }
}

/// Data of the [`TYPING`] push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typists {
    /// Where they write to.
    pub target: Target,
    /// Who does, at most [`MAX_TYPISTS`].
    pub users: Vec<UserId>,
}

/// Data of the [`READ`] push, and of the answer to a [`WATCH`] that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// What they have read; one-to-one a push names who wrote that, and an answer says what was asked.
    pub target: Target,
    /// The history the offsets belong to.
    pub epoch: String,
    /// Who has read on, or has read anything, at most [`MAX_READERS`].
    pub readers: Vec<Reader>,
}

/// How far somebody has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reader {
    /// Who.
    pub user_id: UserId,
    /// Up to which entry.
    pub offset: u64,
}

/// Data of the [`EXPIRING`] push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiring {
    /// When the connection is closed unless its token is replaced, Unix milliseconds.
    pub expires: u64,
}

/// Data of the [`DRAIN`] push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// When to come back, in milliseconds from now.
    pub reconnect_in_ms: u64,
}

/// A place in the log of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The conversation, as the user who asks names it.
    pub target: Target,
    /// Which history the offset belongs to.
    pub epoch: String,
    /// Number of the last message seen; 0 for none.
    pub offset: u64,
}

impl Parameter for Vec<Position> {
    const KIND: Kind = Kind::Json;
}

/// Conversations one log-in may recover at most.
pub const MAX_RECOVER: usize = 200;
/// Other conversations one log-in is told of at most.
pub const MAX_ALSO: usize = 200;

/// Answer of [`LOGIN`] with `recover`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// One for each conversation asked for, in the same order. The missed messages follow as pushes.
    pub recovered: Vec<Recovered>,
    /// The user's other conversations in which something was said, the latest first; at most [`MAX_ALSO`].
    #[serde(default)]
    pub also: Vec<Also>,
    /// Whether there are more than that: `conversation/list` has the rest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A conversation that was not asked for. Everything newer than this is pushed; what was said last may be, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Also {
    /// The conversation, as the user names it.
    pub target: Target,
    /// The history the offset belongs to.
    pub epoch: String,
    /// Number of the newest entry.
    pub last_offset: u64,
}

/// What recovery can give back of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovered {
    /// The conversation, as the user named it.
    pub target: Target,
    /// The history the offset belongs to now.
    pub epoch: String,
    /// Number of the newest message.
    pub offset: u64,
    /// False: some messages are gone, or too many to send; the history has what there is.
    pub complete: bool,
}

parameters! {
    /// Data of [`MSG`].
    #[derive(Default, PartialEq)]
    pub struct Msg {
        /// Where it goes; the world when absent.
        pub target: Option<Target>,
        /// `text` when absent, or `img`, `audio`, `video`.
        pub kind as "type": Option<String>,
        /// The text; required for `text`, a caption elsewhere.
        pub msg: Option<String>,
        /// Address of the file; required for all kinds but `text`.
        pub url: Option<String>,
        /// What the file server asks for before it gives the file out.
        pub secret: Option<String>,
        /// Size of the picture or film: an object of `width` and `height` in pixels.
        pub size: Option<Value>,
        /// Unique per sender; the request's `seq` when absent.
        pub msg_id: Option<MsgId>,
        /// Stands in entries of groups.
        pub member: Option<Reserved>,
        /// Stands in entries that take a message back.
        pub recalls: Option<Reserved>,
        /// Stands in offers of packets.
        pub packet_id: Option<Reserved>,
        /// Stands in offers of packets.
        pub greeting: Option<Reserved>,
    }
}

impl Login {
    /// Of a user who gives no proof and wants nothing recovered.
    #[must_use]
    pub fn new(user_id: UserId, app_id: AppId) -> Self {
        Self { user_id, app_id, token: None, service_token: None, recover: None }
    }
}

impl Msg {
    /// A text.
    pub fn text(target: Target, msg: impl Into<String>) -> Self {
        let kind = Some("text".to_owned());
        Self { target: Some(target), kind, msg: Some(msg.into()), ..Self::default() }
    }

    /// Where it goes, what it carries, and its id.
    #[must_use]
    pub fn parts(self) -> (Target, Content, Option<MsgId>) {
        let Self { target, kind, msg, url, secret, size, msg_id, .. } = self;
        let content = Content { msg, url, secret, size, ..Content::of_kind(kind.unwrap_or_else(text_kind)) };
        (target.unwrap_or(Target::World), content, msg_id)
    }
}

/// Answer to [`MSG`]: the message is in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The message's id.
    pub msg_id: MsgId,
    /// Its number in the conversation.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: String,
    /// When it was logged, Unix milliseconds.
    pub time: u64,
    /// The same message was sent before; this is the first answer again.
    pub duplicate: bool,
}

/// Data of the [`MSG`] push, and of an entry in a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// Where the message was sent to.
    pub target: Target,
    /// What it carries.
    #[serde(flatten)]
    pub content: Content,
    /// Who sent it.
    pub from: UserId,
    /// The sender's id for it.
    pub msg_id: MsgId,
    /// Its number in the conversation.
    pub offset: u64,
    /// Which history the offset belongs to.
    pub epoch: String,
    /// When it was logged, Unix milliseconds.
    pub time: u64,
}

/// Data of the [`ENTER`] and [`EXIT`] pushes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Movement {
    /// The room: always the world.
    pub target: Target,
    /// Who came or went.
    pub from: UserId,
    /// When, Unix milliseconds.
    pub time: u64,
}

/// Data of the [`PRESENCE`] push: of those who came and went since the last one, and were not told singly, some names
/// as they ended, and how many users that makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The room: always the world.
    pub target: Target,
    /// Users online in the room.
    pub count: u64,
    /// Who came online, at most [`MAX_NAMED`].
    pub entered: Vec<UserId>,
    /// Who went offline, at most [`MAX_NAMED`].
    pub exited: Vec<UserId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_login_is_understood() {
        let login: Login =
            serde_json::from_str(r#"{"userId":"马远","appId":101,"serviceToken":"t"}"#).unwrap();
        assert_eq!((login.user_id.as_str(), login.app_id), ("马远", 101));
        assert_eq!((login.token, login.service_token.as_deref()), (None, Some("t")));
    }

    #[test]
    fn push_has_the_documented_members() {
        let push: Push = serde_json::from_str(
            r#"{"target":"","type":"text","msg":"hello","from":"马超","msgId":"m","offset":1,"epoch":"e","time":2}"#,
        )
        .unwrap();
        assert_eq!(push.target, Target::World);
        assert_eq!(push.content, Content::text("hello"));
    }
}
