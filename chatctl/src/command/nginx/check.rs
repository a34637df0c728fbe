//! `chatctl nginx check`: whether a running proxy passes on what chatd needs, asked as a client would.
//!
//! Invariant: each finding says what was seen, and one that does not hold what to change.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chat_client::connection::Options;
use chat_client::{Error, Http, Server, Session};
use chat_protocol::node::{Connections, ConnectionsRequest};
use chat_protocol::session::{LOGIN, Login, PING};
use chat_protocol::system::{State, StateRequest};
use chat_protocol::{Span, UserId};
use serde_json::json;
use tokio::time::Instant;

use crate::command::ready;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Cell, Report};

/// More than nginx takes by default, and than any operation.
const LARGE_BYTES: usize = 2 * 1024 * 1024;
/// Requests for each node, to see who answers.
const TURNS: usize = 4;

const EXAMPLES: &str = "\
--server is the proxy. It checks that requests, WebSockets and large bodies
pass; with --node that each node is ready and no other answers; with --app too
that a node knows from where a client comes, for which it logs in there; and
with --idle that a silent WebSocket lives so long. What does not hold ends with
exit code 6 and says what to change. HAProxy and Caddy can be asked the same.

Examples:
  chatctl nginx check --server http://chat.example
  chatctl nginx check --server http://chat.example --app 101 --idle 2m \\
      --node 10.0.0.7:8080 --node 10.0.0.8:8080";

/// Arguments of `nginx check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A node behind it, as this host reaches it (repeatable)
    #[arg(long = "node", value_name = "HOST:PORT")]
    nodes: Vec<String>,
    /// The address that the proxy sees of this host, where it is not its own
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// Hold a silent WebSocket for so long
    #[arg(long, value_name = "DURATION")]
    idle: Option<Span>,
}

/// What was found of one thing.
struct Finding {
    name: &'static str,
    holds: bool,
    found: String,
}

impl Finding {
    fn new(name: &'static str, found: Result<String, String>) -> Self {
        let holds = found.is_ok();
        Self { name, holds, found: found.unwrap_or_else(|why| why) }
    }
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (server, http) = (&operator.settings.server, operator.http()?);
    let elsewhere = |node: &String| {
        server.elsewhere(node).map_err(|error| Failure::usage(error.to_string(), "write --node HOST:PORT"))
    };
    let nodes = args.nodes.iter().map(elsewhere).collect::<Result<Vec<_>, _>>()?;
    if operator.settings.dry_run {
        return operator.rehearse(&[]);
    }
    let mut findings = vec![Finding::new("requests", requests(&http).await?), upload(&http).await];
    let mut session = match open(server).await {
        Ok(session) => session,
        Err(why) => {
            findings.push(Finding::new("WebSocket", Err(why)));
            return told(&findings, operator);
        }
    };
    findings.push(Finding::new("WebSocket", Ok("opens and answers".to_owned())));
    if !nodes.is_empty() {
        findings.push(Finding::new("nodes", reached(&http, &nodes, operator).await));
    }
    if let (false, Some(app)) = (nodes.is_empty(), operator.settings.app_if_named()) {
        let user = UserId::new(&format!("nginx-check-{}", uuid::Uuid::now_v7().simple()));
        let user = user.map_err(|error| Failure::Undone(error.to_string()))?;
        let login = Login { token: server.token().map(str::to_owned), ..Login::new(user.clone(), app) };
        session.request(LOGIN, &login).await?;
        let own = session.connection().tcp().local_addr().ok();
        let own = own.map(|own| SocketAddr::new(args.from.unwrap_or(own.ip()), own.port()));
        findings.push(Finding::new("client address", address(&user, own, &nodes, operator).await));
    }
    if let Some(idle) = args.idle {
        findings.push(Finding::new("silence", silent(&mut session, idle).await));
    }
    session.close().await;
    told(&findings, operator)
}

fn told(findings: &[Finding], operator: &Operator) -> Result<Exit, Failure> {
    let row = |finding: &Finding| {
        let holds = Cell::from(finding.holds).shown_as(if finding.holds { "yes" } else { "NO" });
        vec![finding.name.into(), holds, finding.found.as_str().into()]
    };
    let columns = [("check", "CHECK"), ("holds", "HOLDS"), ("found", "FOUND")];
    operator.print(&Report::list(&columns, findings.iter().map(row).collect()))?;
    Ok(if findings.iter().all(|finding| finding.holds) { Exit::Done } else { Exit::RuleBroken })
}

async fn requests(http: &Http) -> Result<Result<String, String>, Failure> {
    let (status, body) = http.get("/livez", &[]).await?;
    let words = body.chars().take(200).collect::<String>();
    Ok(match status {
        200 if body == "ok\n" => Ok("pass".to_owned()),
        502..=504 => Err(format!("HTTP status {status}: it reaches no node")),
        403 => Err(format!("a node refuses them: {}", words.trim())),
        _ => Err(format!("HTTP status {status} at /livez, which is no answer of chatd")),
    })
}

/// A body that nginx refuses unless it is told not to, and chatd always.
async fn upload(http: &Http) -> Finding {
    let large = json!({"appId": 1, "userId": "a", "message": "x".repeat(LARGE_BYTES)});
    let found = match http.call_raw("/user/sendMessage", &large).await {
        Err(Error::Refused { .. }) => Ok("reach chatd, which has its own limit".to_owned()),
        Err(Error::NotChatd { cause, .. }) if cause.contains("413") => {
            Err("it refuses 2 MiB itself; set client_max_body_size 0".to_owned())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("chatd took 2 MiB as a message".to_owned()),
    };
    Finding::new("large bodies", found)
}

async fn open(server: &Server) -> Result<Session, String> {
    let options = Options::default();
    let mut session = Session::open(server, &options, Duration::from_secs(10)).await.map_err(|error| {
        format!("{error}; set proxy_http_version 1.1 and pass on the headers Upgrade and Connection")
    })?;
    session.request(PING, &json!({})).await.map_err(|error| error.to_string())?;
    Ok(session)
}

/// Whether all nodes are ready, and nobody else answers those who ask the proxy. With `least_conn` it is the one with the
/// fewest connections that answers, so the others need not.
async fn reached(http: &Http, nodes: &[Server], operator: &Operator) -> Result<String, String> {
    let name = async |http: &Http| {
        let state = http.call::<State>(&StateRequest {}).await;
        state.map(|state| state.node_id).map_err(|error| error.to_string())
    };
    let mut names = BTreeSet::new();
    for node in nodes {
        let direct = Http::new(node.clone(), operator.settings.timeout.get()).map_err(|e| e.to_string())?;
        ready::ask(&direct).await.map_err(|failure| failure.to_string())?;
        names.insert(name(&direct).await?);
    }
    let mut met = BTreeSet::new();
    for _ in 0..TURNS * nodes.len() {
        met.insert(name(http).await?);
    }
    match met.difference(&names).next() {
        None => Ok(format!("{} ready, of which {} answered", names.len(), met.len())),
        Some(other) => Err(format!("it leads to node {other}, which is none of these")),
    }
}

/// From where a node thinks that this host comes.
async fn address(
    user: &UserId,
    own: Option<SocketAddr>,
    nodes: &[Server],
    operator: &Operator,
) -> Result<String, String> {
    let request = ConnectionsRequest { user_id: Some(user.clone()), ..ConnectionsRequest::default() };
    for node in nodes {
        let direct = Http::new(node.clone(), operator.settings.timeout.get()).map_err(|e| e.to_string())?;
        let listed = direct.call::<Connections>(&request).await.map_err(|error| error.to_string())?;
        if let Some(connection) = listed.connections.first() {
            return judged(&connection.address, own);
        }
    }
    Err("the connection is on none of these nodes".to_owned())
}

/// What a node says of a connection that really comes from `own`.
fn judged(seen: &str, own: Option<SocketAddr>) -> Result<String, String> {
    let (seen, own) = seen.parse::<SocketAddr>().ok().zip(own).ok_or("there is no address")?;
    let same = seen.ip().to_canonical() == own.ip().to_canonical();
    // A proxy on this host has the same address, but a port of its own; one that forwards tells none, or the client's.
    if same && [0, own.port()].contains(&seen.port()) {
        return Ok(format!("known: {}", seen.ip()));
    }
    Err(format!(
        "a node takes {0} for the client; start the nodes with --trusted-proxies {0}, and let the proxy set \
         X-Forwarded-For",
        seen.ip()
    ))
}

async fn silent(session: &mut Session, idle: Span) -> Result<String, String> {
    let until = Instant::now() + idle.get();
    let cut = |error: Error| format!("{error}; raise proxy_read_timeout above heartbeat_timeout");
    while Instant::now() < until {
        // What is pushed meanwhile does not matter; pings are answered while it is waited for.
        session.next_push(until - Instant::now()).await.map_err(cut)?;
    }
    session.request(PING, &json!({})).await.map_err(cut)?;
    Ok(format!("a WebSocket lives for {idle}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_hides_the_client_is_found() {
        let own = Some("10.0.0.9:50000".parse().unwrap());
        for (seen, good) in [
            ("10.0.0.9:0", true),
            ("10.0.0.9:50000", true),
            ("[::ffff:10.0.0.9]:0", true),
            ("10.0.0.9:50001", false),
            ("10.0.0.2:0", false),
            ("", false),
        ] {
            assert_eq!(judged(seen, own).is_ok(), good, "{seen}");
        }
        assert!(judged("10.0.0.2:40000", own).unwrap_err().contains("--trusted-proxies 10.0.0.2"));
    }
}
