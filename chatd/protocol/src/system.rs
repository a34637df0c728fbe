//! Operations on the system itself: state, reload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::parameters;

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
    /// Whether what is sent now can be stored, as the last writes met it: what `/readyz` says.
    pub ready: bool,
    /// The stores that take nothing at the moment, by what they hold: `messages`, `ledger`. Absent when all do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unready: Vec<String>,
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
