//! `chatctl state`: what the answering node is doing.
//!
//! Invariant: every counter and limit the server reports is shown.

use chat_protocol::system::{LimitState, State, StateRequest, StateResponse};

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
        _ if state.draining => Cell::from(state.ready).shown_as("no: it is going to stop".to_owned()),
        [] => Cell::from(state.ready),
        stores if state.ready => {
            Cell::from(true).shown_as(format!("yes, but nothing is stored in: {}", stores.join(", ")))
        }
        stores => Cell::from(state.ready).shown_as(format!("no: {}", stores.join(", "))),
    };
    let up_for = Cell::from(state.uptime_ms).shown_as(rough(state.uptime_ms));
    let record = Report::record([
        ("nodeId", "node", state.node_id.into()),
        ("version", "version", state.version.into()),
        ("engine", "engine", state.engine.into()),
        ("role", "role", state.role.into()),
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
    ]);
    state.limits.iter().fold(record, limit).exactly(exact)
}

fn limit(report: Report, LimitState { name, value, refused }: &LimitState) -> Report {
    let shown = match refused {
        0 => value.clone(),
        _ => format!("{value}; {refused} refused"),
    };
    report.with(&format!("limits.{name}"), name, Cell::from(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, value: &str, refused: u64) -> LimitState {
        LimitState { name: name.to_owned(), value: value.to_owned(), refused }
    }

    #[test]
    fn every_member_of_the_answer_is_shown() {
        let state = StateResponse {
            node_id: "n".to_owned(),
            version: "1".to_owned(),
            engine: "redis".to_owned(),
            role: "api".to_owned(),
            ready: false,
            unready: vec!["ledger".to_owned()],
            draining: true,
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
            limits: vec![limit("rate_per_user", "20/s, 50 at once", 12), limit("max_connections", "6", 0)],
        };
        let expected = serde_json::to_value(&state).unwrap();
        let report = report(state);
        assert_eq!(serde_json::to_value(report.tree()).unwrap(), expected);
        let shown: Vec<_> = report.columns.iter().zip(&report.rows[0]).skip(16).collect();
        let shown: Vec<_> =
            shown.iter().map(|(column, cell)| (&*column.title, cell.value.as_str())).collect();
        assert_eq!(
            shown,
            [("rate_per_user", Some("20/s, 50 at once; 12 refused")), ("max_connections", Some("6"))]
        );
    }
}
