//! `chatctl latency`: how long each node takes, over HTTP and over WebSocket.
//!
//! Invariant: one request at a time, over a connection that is open already, so that what is measured is the way there
//! and back and the node, not a handshake; a node that cannot be reached is told with the others.

use std::time::{Duration, Instant};

use chat_client::connection::Options;
use chat_client::{Error, Http, Server, Session};
use chat_protocol::node::{Node, Nodes, NodesRequest};
use chat_protocol::session::PING;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

/// Pause between two requests.
const PAUSE: Duration = Duration::from_millis(20);

const EXAMPLES: &str = "\
HTTP asks /livez, WS sends `ping`, each over one open connection; CONNECT is a
WebSocket from nothing to its handshake. All are of this host, so run it where
the clients are.

Examples:
  chatctl latency
  chatctl latency --count 100 -o json | jq '.[] | .wsP99Us'
  chatctl latency --server http://10.0.0.7:8080 --only";

/// Arguments of `latency`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Requests of each kind to each node
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Only the server that was named, not the nodes it knows
    #[arg(long)]
    only: bool,
}

/// What was measured of one node.
struct Measured {
    name: String,
    address: String,
    http: Result<Times, Error>,
    connect: Result<Duration, Error>,
    socket: Result<Times, Error>,
}

/// Times in order.
struct Times(Vec<Duration>);

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Nodes>(&NodesRequest {})]);
    }
    let server = &operator.settings.server;
    let mut all = Vec::new();
    if args.only {
        all.push(measure(server.to_string(), server.authority(), server, args.count, operator).await);
    } else {
        let nodes = operator.call::<Nodes>(&operator.http()?, &NodesRequest {}).await?.nodes;
        for Node { node_id, address, .. } in nodes {
            let measured = match server.elsewhere(&address) {
                Ok(node) => measure(node_id, address, &node, args.count, operator).await,
                Err(error) => {
                    operator.console.error(&error.to_string());
                    continue;
                }
            };
            all.push(measured);
        }
    }
    let columns = [
        ("node", "NODE"),
        ("address", "ADDRESS"),
        ("httpMinUs", "HTTP MIN"),
        ("httpP50Us", "P50"),
        ("httpP99Us", "P99"),
        ("wsConnectUs", "CONNECT"),
        ("wsMinUs", "WS MIN"),
        ("wsP50Us", "P50"),
        ("wsP99Us", "P99"),
    ];
    let report = Report::list(&columns, all.iter().map(row).collect());
    operator.print(&report.sparing(&["wsMinUs", "httpMinUs"]))?;
    let mut exit = Exit::Done;
    for measured in &all {
        let failed =
            [measured.http.as_ref().err(), measured.connect.as_ref().err(), measured.socket.as_ref().err()];
        if let Some(error) = failed.into_iter().flatten().next() {
            operator.console.error(&format!("node {} at {}: {error}", measured.name, measured.address));
            exit = Exit::Partly;
        }
    }
    Ok(exit)
}

async fn measure(
    name: String,
    address: String,
    server: &Server,
    count: u32,
    operator: &Operator,
) -> Measured {
    let timeout = operator.settings.timeout.get();
    let http = over_http(server, timeout, count).await;
    let began = Instant::now();
    let options = Options { connect_timeout: timeout, ..Options::default() };
    let (connect, socket) = match Session::open(server, &options, timeout).await {
        Ok(session) => (Ok(began.elapsed()), over_socket(session, count).await),
        Err(error) => (Err(error), Ok(Times(Vec::new()))),
    };
    Measured { name, address, http, connect, socket }
}

async fn over_http(server: &Server, timeout: Duration, count: u32) -> Result<Times, Error> {
    let http = Http::new(server.clone(), timeout)?;
    // The first one opens the connection.
    http.get_at_most("/livez", 1024).await?;
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        http.get_at_most("/livez", 1024).await?;
        times.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Times::of(times))
}

async fn over_socket(mut session: Session, count: u32) -> Result<Times, Error> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        session.request(PING, &json!({})).await?;
        times.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    session.close().await;
    Ok(Times::of(times))
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The smallest time that so many of a hundred were not above.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }
}

fn row(measured: &Measured) -> Vec<Cell> {
    let http = |percent| measured.http.as_ref().ok().and_then(|times| times.percentile(percent));
    let socket = |percent| measured.socket.as_ref().ok().and_then(|times| times.percentile(percent));
    let name = measured.name.get(..6).filter(|_| !measured.name.contains(':')).unwrap_or(&measured.name);
    let texts = [Cell::from(measured.name.as_str()).shown_as(name), measured.address.as_str().into()];
    let times = [
        http(0),
        http(50),
        http(99),
        measured.connect.as_ref().ok().copied(),
        socket(0),
        socket(50),
        socket(99),
    ];
    texts.into_iter().chain(times.map(cell)).collect()
}

fn cell(time: Option<Duration>) -> Cell {
    let Some(time) = time else { return Cell::from(Value::Null).shown_as("-") };
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Cell::from(us).shown_as(format!("{}.{:02} ms", us / 1000, us % 1000 / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times::of((1..=200).rev().map(Duration::from_micros).collect());
        let of = |percent| times.percentile(percent).unwrap().as_micros();
        assert_eq!([of(0), of(50), of(99), of(100)], [1, 100, 198, 200]);
        assert_eq!(Times::of(Vec::new()).percentile(50), None);
        assert_eq!(cell(Some(Duration::from_micros(12_345))).words(), Some("12.34 ms"));
    }
}
