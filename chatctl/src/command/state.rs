//! `chatctl state`: what the answering node is doing.
//!
//! Invariant: every counter the server reports is shown.

use chat_protocol::system::{State, StateRequest, StateResponse};

use crate::calendar::rough;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
Counters run from the start of the node. Behind a load balancer any node may answer.

Examples:
  chatctl state
  chatctl state -o json | jq .connections
  chatctl state --server http://10.0.0.7:8080";

/// Arguments of `state`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args, operator: &Operator) -> Result<Exit, Failure> {
    let request = StateRequest {};
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<State>(&request)]);
    }
    let http = operator.http()?;
    let state = operator.call::<State>(&http, &request).await?;
    operator.print(&report(state))?;
    Ok(Exit::Done)
}

fn report(state: StateResponse) -> Report {
    let exact = serde_json::to_value(&state).unwrap_or_default();
    let ready = match state.unready.as_slice() {
        [] => Cell::from(state.ready),
        stores => Cell::from(state.ready).shown_as(format!("no: {}", stores.join(", "))),
    };
    let up_for = Cell::from(state.uptime_ms).shown_as(rough(state.uptime_ms));
    Report::record([
        ("nodeId", "node", state.node_id.into()),
        ("version", "version", state.version.into()),
        ("engine", "engine", state.engine.into()),
        ("ready", "ready", ready),
        ("pid", "pid", state.pid.into()),
        ("uptimeMs", "up for", up_for),
        ("nodes", "live nodes", state.nodes.into()),
        ("connections", "connections", state.connections.into()),
        ("sessions", "logged in", state.sessions.into()),
        ("maxConnections", "room for", state.max_connections.into()),
        ("connectionsTotal", "connections so far", state.connections_total.into()),
        ("messagesTotal", "messages so far", state.messages_total.into()),
        ("deliveriesTotal", "deliveries so far", state.deliveries_total.into()),
        ("slowClosesTotal", "closed as too slow", state.slow_closes_total.into()),
        ("gapFillsTotal", "gaps filled", state.gap_fills_total.into()),
    ])
    .exactly(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_the_answer_is_shown() {
        let state = StateResponse {
            node_id: "n".to_owned(),
            version: "1".to_owned(),
            engine: "redis".to_owned(),
            ready: false,
            unready: vec!["ledger".to_owned()],
            pid: 1,
            uptime_ms: 2,
            nodes: 3,
            connections: 4,
            sessions: 5,
            max_connections: 6,
            connections_total: 7,
            messages_total: 8,
            deliveries_total: 9,
            slow_closes_total: 10,
            gap_fills_total: 11,
        };
        let expected = serde_json::to_value(&state).unwrap();
        assert_eq!(serde_json::to_value(report(state).tree()).unwrap(), expected);
    }
}
