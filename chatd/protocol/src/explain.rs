//! The operation that tells why: what happened to a user, a message or a red packet.
//!
//! Invariant: every event has a word for programs, which stays, and words for people, which may change. Nothing that
//! anybody said is in either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AppId, MsgId, PacketId, UserId};
use crate::node::MAX_NODE_BYTES;
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, Rule, parameters};
use crate::target::Target;

/// `/system/explain`: why a user is gone, or where a message or a packet is.
pub struct Explain;

parameters! {
    /// Parameters of [`Explain`].
    pub struct ExplainRequest {
        /// Which world.
        pub app_id: AppId,
        /// What happened to this user; with `target`, whether they got the message.
        pub user_id: Option<UserId>,
        /// What happened to a message of this conversation, as `userId` names it.
        pub target: Option<Target>,
        /// Its offset.
        pub offset: Option<u64>,
        /// Its id, if it is one of the newest 500; instead of the offset.
        pub msg_id: Option<MsgId>,
        /// What happened to this packet; it needs the scope `money` as well.
        pub packet_id: Option<PacketId>,
        /// Only if the answering node has this name, as `nodeId` of `/system/nodes` tells it.
        pub node: Option<String> as Kind::Line(MAX_NODE_BYTES),
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, Unix milliseconds.
    pub time: u64,
    /// The node that tells it.
    pub node: String,
    /// What, for programs. Of users: `loggedIn`, `loginRefused`, `limited`, `messageRefused`, `duplicate`, and how a
    /// connection ended: `closedByClient`, `connectionLost`, `readTooSlowly`, `drained`, `silent`, `noLogin`,
    /// `missedMessages`, `kicked`, `banned`, `tokenEnded`, `ended`. Of messages: `logged`, `recalled`, `delivered`,
    /// `notDelivered`, `duplicate`, `away`. Of packets: `offered`, `grabbed`, `emptied`, `expired`, `settled`,
    /// `unsettled`, `broken`.
    pub what: String,
    /// The same for people.
    pub text: String,
}

/// Answer of [`Explain`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainResponse {
    /// The answering node.
    pub node_id: String,
    /// What happened, in order of time; the newest 200 at most.
    pub events: Vec<Event>,
    /// How it is now, by name; which names there are depends on what was asked for.
    pub now: Map<String, Value>,
    /// Operations that tell more, or do something about it.
    pub next: Vec<String>,
    /// What the node itself saw before this is forgotten, Unix milliseconds; absent where it keeps nothing in mind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl Operation for Explain {
    const PATH: &'static str = "/system/explain";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Why a user was disconnected, where a message went, or where the money of a red packet is, as the answering node knows it.";
    const RULES: &'static [Rule] = &[
        Rule::Apart("packetId", &["userId", "target", "offset", "msgId"]),
        Rule::Apart("offset", &["msgId"]),
        Rule::TwoSides("userId", "target"),
    ];
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = ExplainRequest;
    type Response = ExplainResponse;
}
