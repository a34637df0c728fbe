//! `chatctl nodes`, `connections` and `node`: the nodes, who is connected to one, and what is done with one.

use chat_client::Error;
use chat_protocol::UserId;
use chat_protocol::node::{
    Connection, Connections, ConnectionsRequest, MAX_CONNECTIONS_PAGE, Node, Nodes, NodesRequest,
};
use clap::Subcommand;
use serde_json::Value;

use super::drain;
use crate::calendar::rough;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::plural::counted;
use crate::report::{Cell, Report};

/// Examples of all verbs.
pub const EXAMPLES: &str = "\
Examples:
  chatctl node list
  chatctl node drain --server http://10.0.0.7:8080 --over 2m";

const NODES: &str = "\
Each node tells what it is and does every three seconds: SILENT is how long ago
it last did. ADDRESS is where it listens, as it was told on its command line,
OPEN how many connections it has, LEAVES whether it drains. -o json has every
moment.

Examples:
  chatctl nodes
  chatctl nodes -o name
  chatctl nodes --sort-by -connections --columns nodeId,address,connections
  chatctl nodes -o json | jq '.[] | select(.draining)'";

const CONNECTIONS: &str = "\
Of the node that answers: behind a load balancer ask each by its own --server.
With --app only those of the app are shown, else all, also those that have not
logged in.

Examples:
  chatctl connections
  chatctl --app 101 connections --user 马超
  chatctl connections --address 10.0.0. --limit 50
  chatctl connections -o csv > connections.csv";

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The live nodes
    #[command(visible_alias = "ls")]
    List(NodesArgs),
    /// Let a node stop once its connections have left
    Drain(drain::Args),
}

/// Arguments of `nodes`.
#[derive(Debug, clap::Args)]
#[command(after_help = NODES)]
pub struct NodesArgs {}

/// Arguments of `connections`.
#[derive(Debug, clap::Args)]
#[command(after_help = CONNECTIONS)]
pub struct ConnectionsArgs {
    /// Of this user only
    #[arg(long, value_name = "USER")]
    user: Option<UserId>,
    /// From IP addresses that begin so only
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only if the node has this name
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Show at most so many, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Runs `node …`.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    match verb {
        Verb::List(args) => nodes(args, operator).await,
        Verb::Drain(args) => drain::run(args, operator).await,
    }
}

/// Runs `nodes`.
pub async fn nodes(_: NodesArgs, operator: &Operator) -> Result<Exit, Failure> {
    let now_ms = (operator.clock)();
    operator.carry_out::<Nodes>(&NodesRequest {}, |answer| listed(&answer.nodes, now_ms)).await
}

/// Runs `connections`.
pub async fn connections(args: ConnectionsArgs, operator: &Operator) -> Result<Exit, Failure> {
    let ConnectionsArgs { user: user_id, address, node, limit } = args;
    let wanted = limit.unwrap_or(u32::MAX);
    let mut request = ConnectionsRequest {
        app_id: operator.settings.app_if_named(),
        user_id,
        address,
        node,
        limit: Some(wanted.min(MAX_CONNECTIONS_PAGE)),
        cursor: None,
    };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Connections>(&request)]);
    }
    let (http, mut found) = (operator.http()?, Vec::new());
    loop {
        let page = operator.call::<Connections>(&http, &request).await?;
        found.extend(page.connections);
        let left = wanted.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.cursor.filter(|_| left > 0) else { break };
        if request.cursor.is_some_and(|before| cursor <= before) {
            let cause = "its list of connections does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        // The others must be of the same node.
        request.node = Some(page.node_id);
        (request.limit, request.cursor) = (Some(left.min(MAX_CONNECTIONS_PAGE)), Some(cursor));
    }
    operator.print(&shown(&found, (operator.clock)()))?;
    operator.footer(&counted(found.len() as u64, "connection"));
    Ok(Exit::Done)
}

fn listed(nodes: &[Node], now_ms: u64) -> Report {
    let ago = |ms: u64| Cell::from(ms).shown_as(rough(now_ms.saturating_sub(ms)));
    let rows = nodes.iter().map(|node| {
        vec![
            node.node_id.as_str().into(),
            node.host.as_str().into(),
            node.address.as_str().into(),
            node.version.as_str().into(),
            ago(node.since),
            node.connections.into(),
            node.users.into(),
            Cell::from(node.draining).shown_as(if node.draining { "yes" } else { "no" }),
            ago(node.last_heard),
        ]
    });
    let columns = [
        ("nodeId", "NODE"),
        ("host", "HOST"),
        ("address", "ADDRESS"),
        ("version", "VERSION"),
        ("since", "UP FOR"),
        ("connections", "OPEN"),
        ("users", "USERS"),
        ("draining", "LEAVES"),
        ("lastHeard", "SILENT"),
    ];
    Report::list(&columns, rows.collect())
}

/// Connections as a table.
pub fn shown(connections: &[Connection], now_ms: u64) -> Report {
    let ago = |ms: u64| Cell::from(ms).shown_as(rough(now_ms.saturating_sub(ms)));
    let or_null = |text: Option<&str>| text.map_or(Cell::from(Value::Null), Cell::from);
    let rows = connections.iter().map(|connection| {
        vec![
            connection.connection.into(),
            connection.app_id.map_or(Cell::from(Value::Null), Cell::from),
            or_null(connection.user_id.as_ref().map(UserId::as_str)),
            connection.address.as_str().into(),
            ago(connection.since),
            ago(connection.last_heard),
            connection.waiting_bytes.into(),
        ]
    });
    let columns = [
        ("connection", "CONNECTION"),
        ("appId", "APP"),
        ("userId", "USER"),
        ("address", "FROM"),
        ("since", "OPEN FOR"),
        ("lastHeard", "SILENT FOR"),
        ("waitingBytes", "WAITING"),
    ];
    Report::list(&columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Look, table};

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn node(node_id: &str, host: &str, address: &str) -> Node {
        Node {
            node_id: node_id.to_owned(),
            host: host.to_owned(),
            address: address.to_owned(),
            version: "0.1.0".to_owned(),
            since: 0,
            connections: 100_000,
            users: 99_999,
            draining: true,
            last_heard: 100 * DAY_MS - 2000,
        }
    }

    #[test]
    fn the_nodes_fit_into_eighty_columns_and_their_names_give_way_last() {
        let hosts = ["chat-7", "chat-eu-central-1b.internal.example"];
        let nodes = hosts.map(|host| node("0123456789abcdef", host, "203.0.113.201:65535"));
        let text =
            table::render(&listed(&nodes, 100 * DAY_MS), &Look { columns: Some(80), ..Look::default() });
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.matches("0123456789").count(), 2, "{text}");
        assert!(text.contains("chat-eu") && text.contains('…'), "{text}");
        assert!(text.contains("LEAVES") && text.contains("100d 0h") && text.contains("2s"), "{text}");
        let small = [node("0123456789abcdef", "chat-7", "127.0.0.1:80")];
        let text = table::render(&listed(&small, DAY_MS), &Look { columns: Some(100), ..Look::default() });
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
