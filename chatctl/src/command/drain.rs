//! `chatctl drain` and `chatctl node drain`: lets a node stop once its connections have left, and watches it.
//!
//! Invariant: only the first request can begin anything; those that watch name the node that answered it.

use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::system::{Drain, DrainRequest, DrainResponse, MAX_DRAIN_S, State, StateRequest};
use chat_protocol::{Code, Span};
use tokio::time::{Instant, sleep};

use crate::calendar::rough;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::plural::counted;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
The node is not ready any more and takes no new connections. Those it has leave
evenly over the time, each told when to come back, and what they asked for is
answered before. Then it ends with exit code 0; a supervisor may start it again.
Given again it goes on as it was, or faster. Behind a load balancer name the
node.

Examples:
  chatctl drain --server http://10.0.0.7:8080 --over 2m
  chatctl drain --server http://10.0.0.7:8080 --no-wait -y
  chatctl node drain --server http://10.0.0.7:8080";

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Time that the node has for its last connections and its stores after the last was asked to leave.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Arguments of `drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Time over which the connections leave, at most 1h [default: the setting drain of the node]
    #[arg(long, value_name = "DURATION", value_parser = over)]
    over: Option<Span>,
    /// Do not wait until the node has stopped
    #[arg(long)]
    no_wait: bool,
}

fn over(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: chat_protocol::span::BadSpan| error.to_string())?;
    match span > Span::seconds(MAX_DRAIN_S) {
        true => Err(format!("must be at most {}", Span::seconds(MAX_DRAIN_S))),
        false => Ok(span),
    }
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let request = DrainRequest { seconds: args.over.map(Span::whole_seconds), node: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Drain>(&request)]);
    }
    let http = operator.http()?;
    if operator.asks() {
        let open = operator.concerned(connections(operator, &http)).await?;
        let open = open.map(|open| format!(" with its {}", counted(open, "connection"))).unwrap_or_default();
        operator.confirm(&format!("stop the node at {}{open}?", operator.settings.server)).await?;
    }
    let begun = operator.call::<Drain>(&http, &request).await?;
    let (is_over, last) = if args.no_wait { (false, begun) } else { watch(begun, operator).await? };
    operator.print(&report(last, is_over))?;
    Ok(Exit::Done)
}

async fn connections(operator: &Operator, http: &Http) -> Result<u64, Failure> {
    Ok(operator.call::<State>(http, &StateRequest {}).await?.connections)
}

/// Watches the node until it has stopped; gives whether it has, and what it said last.
async fn watch(begun: DrainResponse, operator: &Operator) -> Result<(bool, DrainResponse), Failure> {
    let (http, mut last) = (operator.http()?, begun);
    let until = Instant::now() + Duration::from_millis(last.left_ms) + LAST_WORDS;
    let request = DrainRequest { seconds: None, node: Some(last.node_id.clone()) };
    operator.footer(&progress(&last));
    while Instant::now() < until {
        sleep(LOOK_AGAIN).await;
        match http.call::<Drain>(&request).await {
            Ok(now) => {
                if now.connections != last.connections {
                    operator.footer(&progress(&now));
                }
                last = now;
            }
            Err(error) if is_gone(&error) => {
                return Ok((true, DrainResponse { connections: 0, left_ms: 0, ..last }));
            }
            // It is busy with its end, or the way to it is.
            Err(error) => operator.console.detail(&error.to_string()),
        }
    }
    let left = counted(last.connections, "connection");
    Err(Failure::Undone(format!("node {} has not stopped; {left} left", last.node_id)))
}

/// Nobody answers there any more, or another node does.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused { .. } => error.code() == Some(Code::NotFound),
        _ => false,
    }
}

fn progress(now: &DrainResponse) -> String {
    let left = counted(now.connections, "connection");
    format!("{left} left, asked to leave within {}", rough(now.left_ms))
}

fn report(last: DrainResponse, is_over: bool) -> Report {
    Report::record([
        ("nodeId", "node", last.node_id.into()),
        ("connections", "connections left", last.connections.into()),
        ("leftMs", "leaving within", Cell::from(last.left_ms).shown_as(rough(last.left_ms))),
        ("stopped", "stopped", is_over.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_within_an_hour() {
        assert_eq!(over("90s"), Ok(Span::seconds(90)));
        assert_eq!(over("0"), Ok(Span::seconds(0)));
        assert!(over("61m").unwrap_err().contains("1h") && over("soon").is_err());
    }

    #[test]
    fn a_node_is_gone_when_nobody_or_another_answers() {
        let refused = |code| Error::Refused { code, reason: String::new(), retry_after_ms: None };
        assert!(is_gone(&refused(1005)));
        assert!(!is_gone(&refused(1013)) && !is_gone(&refused(1003)));
        assert!(is_gone(&Error::Unreachable { server: String::new(), cause: String::new() }));
    }
}
