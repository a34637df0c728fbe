//! Operations that show the nodes and the connections of this one: nodes, connections.

use std::sync::Arc;

use chat_protocol::Refusal;
use chat_protocol::node::{
    Connection, Connections, ConnectionsRequest, ConnectionsResponse, MAX_CONNECTIONS_PAGE, Nodes,
    NodesRequest, NodesResponse,
};
use futures_util::FutureExt;

use super::Table;
use super::system::check_node;
use crate::clock::Clock;
use crate::hub::{Hub, Listed, Wanted};
use crate::presence::Presence;
use crate::presence::card::Card;

/// What the operations need.
pub struct NodeOps {
    card: Card,
    hub: Arc<Hub>,
    presence: Arc<dyn Presence>,
    clock: Arc<dyn Clock>,
}

impl NodeOps {
    /// Operations of the node that this card is about.
    #[must_use]
    pub fn new(card: Card, hub: Arc<Hub>, presence: Arc<dyn Presence>, clock: Arc<dyn Clock>) -> Self {
        Self { card, hub, presence, clock }
    }

    async fn nodes(&self, _: NodesRequest) -> Result<NodesResponse, Refusal> {
        // What this node is just now it need not have said yet.
        let own = self.card.now();
        let mut nodes = self.presence.nodes().await?;
        nodes.retain(|node| node.node_id != own.node_id);
        nodes.push(own);
        nodes.sort_by(|one, other| one.node_id.cmp(&other.node_id));
        Ok(NodesResponse { nodes })
    }

    async fn connections(&self, request: ConnectionsRequest) -> Result<ConnectionsResponse, Refusal> {
        let ConnectionsRequest { app_id, user_id, address, node, limit, cursor } = request;
        check_node(self.card.node_id(), node.as_deref())?;
        let wanted = Wanted { app: app_id, user: user_id, address };
        let limit = limit.unwrap_or(MAX_CONNECTIONS_PAGE) as usize;
        let (listed, more) = self.hub.list(&wanted, cursor.unwrap_or(0), limit);
        let now = self.clock.now_ms();
        let connections: Vec<_> = listed.into_iter().map(|listed| shown(listed, now)).collect();
        let cursor = connections.last().map(|last| last.connection).filter(|_| more);
        Ok(ConnectionsResponse { node_id: self.card.node_id().to_owned(), connections, cursor })
    }
}

fn shown(listed: Listed, now_ms: u64) -> Connection {
    let (app_id, user_id) = listed.identity.map(|identity| (identity.app, identity.user)).unzip();
    let before = |ago: std::time::Duration| now_ms.saturating_sub(ago.as_secs() * 1000);
    Connection {
        connection: listed.number,
        app_id,
        user_id,
        address: listed.peer.to_string(),
        since: before(listed.open_for),
        last_heard: before(listed.silent_for),
        waiting_bytes: listed.waiting as u64,
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, node: &Arc<NodeOps>) {
    table.bind::<Nodes, _>(node, |node, _, request| node.nodes(request).boxed());
    table.bind::<Connections, _>(node, |node, _, request| node.connections(request).boxed());
}
