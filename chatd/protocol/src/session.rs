//! Commands and pushes that exist on a WebSocket only: log in, heartbeat, ping, send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::id::{AppId, MsgId, UserId};
use crate::params::{Field, Kind};
use crate::target::Target;

/// Command that names the user of the connection.
pub const LOGIN: &str = "login";
/// Command that keeps the connection open.
pub const HEARTBEAT: &str = "heartbeat";
/// Command that answers `"pong"`, before log-in too.
pub const PING: &str = "ping";
/// Command that sends a message, and the push that brings one.
pub const MSG: &str = "msg";
/// Push: a user came online.
pub const ENTER: &str = "enter";
/// Push: a user went offline.
pub const EXIT: &str = "exit";
/// Push: who came and went in a room in which more did than [`MAX_SINGLE`] a second.
pub const PRESENCE: &str = "presence";

/// [`ENTER`] and [`EXIT`] pushes of one room in one second at most.
pub const MAX_SINGLE: usize = 20;
/// Names of each kind in a [`PRESENCE`] push at most.
pub const MAX_NAMED: usize = 20;

/// Parameters of [`LOGIN`].
pub const LOGIN_FIELDS: &[Field] = &[
    Field::required("userId", Kind::UserId, "who is speaking on this connection"),
    Field::required("appId", Kind::AppId, "which world the user enters"),
    Field::optional("token", Kind::Text, "proof of identity (alias serviceToken)"),
    Field::optional("recover", Kind::Json, "last known position of each conversation; may be an empty list"),
];

/// Parameters of [`MSG`].
pub const MSG_FIELDS: &[Field] = &[
    Field::optional("target", Kind::Target, "where it goes; empty is the world"),
    Field::optional("type", Kind::Text, "text (default), img, audio or video"),
    Field::optional("msg", Kind::Text, "the text"),
    Field::optional("url", Kind::Text, "address of the file"),
    Field::optional("secret", Kind::Text, "what the file server asks for"),
    Field::optional("size", Kind::Json, "width and height in pixels"),
    Field::optional("msgId", Kind::MsgId, "unique per sender; default: seq"),
];

/// Data of [`LOGIN`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Who is speaking on this connection.
    pub user_id: UserId,
    /// Which world the user enters.
    pub app_id: AppId,
    /// Proof of identity, where the server asks for one.
    #[serde(default, alias = "serviceToken", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Last known position of each conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Vec<Position>>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Data of [`MSG`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Msg {
    /// Where it goes.
    #[serde(default = "world")]
    pub target: Target,
    /// What it carries.
    #[serde(flatten)]
    pub content: Content,
    /// Unique per sender; default: the request's `seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
}

fn world() -> Target {
    Target::World
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
        assert_eq!((login.user_id.as_str(), login.app_id, login.token.as_deref()), ("马远", 101, Some("t")));
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
