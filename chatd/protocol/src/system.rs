//! Operations on the system itself: state, reload, drain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::node::MAX_NODE_BYTES;
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// `/system/state`: what the answering node is doing.
pub struct State;

parameters! {
    /// Parameters of [`State`]: none.
    #[derive(Default)]
    pub struct StateRequest {}
}

/// Answer of [`State`]. Counters run from the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateResponse {
    /// Name of the node, new at every start.
    pub node_id: String,
    /// Version of chatd.
    pub version: String,
    /// `embedded` or `redis`.
    pub engine: String,
    /// What it does: `all`, `gateway`, `api`, `sender` or `settler`.
    #[serde(default = "all")]
    pub role: String,
    /// Whether what is sent now can be stored, as the last writes met it: what `/readyz` says.
    pub ready: bool,
    /// The stores that take nothing at the moment, by what they hold: `messages`, `ledger`, `files`; and `senders`, where
    /// none of the nodes answers that store messages for this one. Absent when all do. A node without `files` is ready: only
    /// files are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unready: Vec<String>,
    /// Whether its connections are leaving because it is going to stop. Absent when not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Live nodes that share the engine, this one included.
    pub nodes: u64,
    /// Open WebSocket connections on this node.
    pub connections: u64,
    /// Connections on this node that have logged in.
    pub sessions: u64,
    /// Connections this node takes at most.
    pub max_connections: u64,
    /// WebSocket connections accepted.
    pub connections_total: u64,
    /// Messages this node put into a log.
    pub messages_total: u64,
    /// Frames put into the queue of a connection.
    pub deliveries_total: u64,
    /// Connections closed because they read too slowly.
    pub slow_closes_total: u64,
    /// Messages fetched from the log because the bus had lost them.
    pub gap_fills_total: u64,
    /// The limits in force, and how often each refused something.
    #[serde(default)]
    pub limits: Vec<LimitState>,
}

/// What nodes of earlier versions do.
fn all() -> String {
    "all".to_owned()
}

/// A limit of the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitState {
    /// The setting, within `[limits]`.
    pub name: String,
    /// Its value, a rate with its burst; `none` for no limit.
    pub value: String,
    /// Requests and connections that it refused or ended.
    pub refused: u64,
}

impl Operation for State {
    const PATH: &'static str = "/system/state";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "State and counters of the answering node.";
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = StateRequest;
    type Response = StateResponse;
}

/// `/system/reload`: the answering node reads its keys again, and what else may change while it runs.
pub struct Reload;

parameters! {
    /// Parameters of [`Reload`]: none.
    #[derive(Default)]
    pub struct ReloadRequest {}
}

/// Answer of [`Reload`]: what is in force from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReloadResponse {
    /// Names of the operators' keys, in order.
    pub keys: Vec<String>,
    /// Secrets and public keys that users' tokens may be signed with.
    pub token_keys: u64,
    /// Settings in `[limits]` that have another value from now on.
    #[serde(default)]
    pub limits: Vec<String>,
    /// Those that have another value from the next start on.
    #[serde(default)]
    pub restart: Vec<String>,
}

impl Operation for Reload {
    const PATH: &'static str = "/system/reload";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Reads the keys of operators and users again, and limits, allowed_hosts, allowed_origins and log; a key that is gone ends \
         the sessions it let in.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = ReloadRequest;
    type Response = ReloadResponse;
}

/// Longest time over which the connections of a node may leave, in seconds.
pub const MAX_DRAIN_S: u32 = 3600;

/// `/system/drain`: the answering node stops, and its connections leave before that.
pub struct Drain;

parameters! {
    /// Parameters of [`Drain`].
    #[derive(Default)]
    pub struct DrainRequest {
        /// Time over which the connections leave, evenly, in seconds, 0 to 3600; when absent, the node's setting `drain`,
        /// or as was said before. Asked again, it can only become shorter.
        pub seconds: Option<u32> as Kind::Between(0, MAX_DRAIN_S as u64),
        /// Only if the answering node has this name, as `nodeId` of `/system/state` tells it.
        pub node: Option<String> as Kind::Line(MAX_NODE_BYTES),
    }
}

/// Answer of [`Drain`]: how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainResponse {
    /// Name of the node.
    pub node_id: String,
    /// Connections that are left.
    pub connections: u64,
    /// Milliseconds until the last of them is asked to leave.
    pub left_ms: u64,
}

impl Operation for Drain {
    const PATH: &'static str = "/system/drain";
    const EFFECT: Effect = Effect::Changes;
    const ABOUT: &'static str = "Stops the answering node once its connections have left, and tells how many are left; \
                                 asked again, it goes on as it was begun.";
    const RIGHTS: Rights = Rights::Operator(Scope::Admin);
    type Request = DrainRequest;
    type Response = DrainResponse;
}
