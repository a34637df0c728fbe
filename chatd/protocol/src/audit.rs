//! The operation that shows what operators did, and what a record of it is.
//!
//! Invariant: a record holds who did what to whom and what became of it; never what a message says, nor a credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cursor::Cursor;
use crate::id::AppId;
use crate::node::MAX_NODE_BYTES;
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Records in one page at most.
pub const MAX_RECORDS_PAGE: u32 = 200;
/// Records in one page when no limit is given.
pub const DEFAULT_RECORDS_PAGE: u32 = 50;
/// How a node that records nothing refuses [`Audit`], with code 1005.
pub const NO_LOG: &str = "this node keeps no audit log; it needs --audit-log FILE";
/// Longest name of a key or user, in bytes.
const MAX_WHO_BYTES: usize = 64;
/// Longest name of an operation, in bytes.
const MAX_OPERATION_BYTES: usize = 64;

/// `/system/audit`: what operators did at the answering node.
pub struct Audit;

parameters! {
    /// Parameters of [`Audit`].
    #[derive(Default)]
    pub struct AuditRequest {
        /// Only what was done since then, Unix milliseconds.
        pub since: Option<u64>,
        /// Only what the key or user of this name did.
        pub who: Option<String> as Kind::Line(MAX_WHO_BYTES),
        /// Only this operation, by its path, as /system/ban, or login or msg.
        pub operation: Option<String> as Kind::Line(MAX_OPERATION_BYTES),
        /// Only if the answering node has this name, as `nodeId` of `/system/nodes` tells it.
        pub node: Option<String> as Kind::Line(MAX_NODE_BYTES),
        /// At most so many, 1 to 200; 50 when absent. A page may hold fewer although there are more.
        pub limit: Option<u32> as Kind::Between(1, MAX_RECORDS_PAGE as u64),
        /// Continue where the page before ended.
        pub cursor: Option<String> as Kind::Cursor(Cursor::Records),
    }
}

/// What somebody proved to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// An operator, by a key of this name.
    Key,
    /// A user of this name.
    User,
    /// Whoever reaches a node that asks nobody who they are.
    Anonymous,
    /// Nobody: there was no credential, or none that counts.
    Unknown,
    /// The node itself, which tells that records are missing.
    Node,
}

/// What somebody did, or tried to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it was answered, Unix milliseconds.
    pub time: u64,
    /// Name of the node that was asked.
    pub node: String,
    /// What whoever did it proved to be.
    pub by: By,
    /// Name of the key or user.
    pub who: String,
    /// The scope that an operator needs for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Path of the operation; `login` and `msg` for those of a WebSocket.
    pub operation: String,
    /// The world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    /// To whom and with what it was done: the parameters, without what messages say. Empty when it was refused unread.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Where it came from, as the node sees it: behind a proxy that is the proxy.
    pub address: String,
    /// How it was answered: 200 when it was done. Absent when whoever asked left before: it may have been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Refused attempts before this one that have no record of their own, because there were too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
}

/// Answer of [`Audit`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditResponse {
    /// The answering node.
    pub node_id: String,
    /// The newest first.
    pub records: Vec<Record>,
    /// Present when there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Operation for Audit {
    const PATH: &'static str = "/system/audit";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "What operators did at the answering node, the newest first, in pages.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = AuditRequest;
    type Response = AuditResponse;
}
