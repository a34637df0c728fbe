//! Operations that show the nodes and the connections of one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppId, UserId};
use crate::operation::{Effect, Operation, Rights, Scope};
use crate::params::{Kind, parameters};

/// Connections in one page at most.
pub const MAX_CONNECTIONS_PAGE: u32 = 500;
/// Longest name of a node, in bytes.
pub const MAX_NODE_BYTES: usize = 64;
/// Longest address, in bytes.
const MAX_ADDRESS_BYTES: usize = 45;

/// `/system/nodes`: the nodes that share the engine.
pub struct Nodes;

parameters! {
    /// Parameters of [`Nodes`]: none.
    #[derive(Default)]
    pub struct NodesRequest {}
}

/// What a node is and does, as it said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name, new at every start.
    pub node_id: String,
    /// The name of its machine.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Version of chatd.
    pub version: String,
    /// When it started, Unix milliseconds.
    pub since: u64,
    /// Open WebSocket connections.
    pub connections: u64,
    /// Users with a connection that has logged in.
    pub users: u64,
    /// Whether its connections are leaving because it is going to stop.
    pub draining: bool,
    /// When it said so, Unix milliseconds; every three seconds or so.
    pub last_heard: u64,
}

/// Answer of [`Nodes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodesResponse {
    /// The live nodes by name.
    pub nodes: Vec<Node>,
}

impl Operation for Nodes {
    const PATH: &'static str = "/system/nodes";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "The live nodes that share the engine, each as it said last.";
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = NodesRequest;
    type Response = NodesResponse;
}

/// `/system/connections`: who is connected to the answering node.
pub struct Connections;

parameters! {
    /// Parameters of [`Connections`].
    #[derive(Default)]
    pub struct ConnectionsRequest {
        /// Of this world only.
        pub app_id: Option<AppId>,
        /// Of users of this name only.
        pub user_id: Option<UserId>,
        /// From IP addresses that begin so only.
        pub address: Option<String> as Kind::Line(MAX_ADDRESS_BYTES),
        /// Only if the answering node has this name, as `nodeId` of `/system/nodes` tells it.
        pub node: Option<String> as Kind::Line(MAX_NODE_BYTES),
        /// At most so many, 1 to 500; 500 when absent.
        pub limit: Option<u32> as Kind::Between(1, MAX_CONNECTIONS_PAGE as u64),
        /// Continue after this connection.
        pub cursor: Option<u64>,
    }
}

/// One connection as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Its number on the node, as the log names it.
    pub connection: u64,
    /// The world; absent before the log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    /// Who speaks on it; absent before the log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Where it is from, as the node sees it: behind a proxy that is the proxy.
    pub address: String,
    /// When it was opened, Unix milliseconds, to a second or two.
    pub since: u64,
    /// When something was heard from it, Unix milliseconds, to a second or two.
    pub last_heard: u64,
    /// Bytes that wait for its reader.
    pub waiting_bytes: u64,
}

/// Answer of [`Connections`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionsResponse {
    /// The answering node.
    pub node_id: String,
    /// In the order in which they came.
    pub connections: Vec<Connection>,
    /// Present when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
}

impl Operation for Connections {
    const PATH: &'static str = "/system/connections";
    const EFFECT: Effect = Effect::Reads;
    const ABOUT: &'static str = "Connections of the answering node, the oldest first, in pages.";
    const RIGHTS: Rights = Rights::Operator(Scope::Read);
    type Request = ConnectionsRequest;
    type Response = ConnectionsResponse;
}
