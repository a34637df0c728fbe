//! `chatctl explain`: why a user is gone, where a message went, where the money of a packet is.
//!
//! Invariant: every live node is asked and each tells what it saw; one that cannot be asked is named on stderr, and the
//! others are shown.

mod next;
pub mod now;

use std::collections::BTreeSet;

use chat_client::Http;
use chat_protocol::explain::{Event, Explain, ExplainRequest, ExplainResponse};
use chat_protocol::node::{Nodes, NodesRequest};
use chat_protocol::{AppId, MsgId, PacketId, Target, UserId};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::Format;
use crate::report::{Cell, Report};

/// Examples of all verbs.
pub const EXAMPLES: &str = "\
Each live node tells what it remembers (--journal-bytes of chatd) and what the
stores know now; the other nodes are asked at the address that `chatctl nodes`
shows, with the same key, unless --node names the one to ask.

Examples:
  chatctl --app 101 explain user 马超                   # why was 马超 disconnected
  chatctl --app 101 explain message group:changan 17    # where did it go
  chatctl --app 101 explain message group:changan 17 --user 马超
  chatctl --app 101 explain message user:马超 17 --user 黄帝
  chatctl --app 101 explain packet PACKET -o json | jq .now";

/// What to explain.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// What happened to a user
    User(UserArgs),
    /// What happened to a message, and whether a reader got it
    Message(MessageArgs),
    /// What happened to a red packet
    Packet(PacketArgs),
}

/// Arguments of `explain user`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct UserArgs {
    /// Whom
    #[arg(value_name = "USER")]
    user: UserId,
    /// Only the node with this name, which has to be the one that answers
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// Arguments of `explain message`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct MessageArgs {
    /// The conversation: '' for the world, group:ID, user:NAME
    #[arg(value_name = "TARGET")]
    target: Target,
    /// Which message
    #[arg(value_name = "OFFSET", required_unless_present = "msg_id")]
    offset: Option<u64>,
    /// By its id instead, if it is one of the newest 500
    #[arg(long, value_name = "ID", conflicts_with = "offset")]
    msg_id: Option<MsgId>,
    /// Whether this user got it; of user:NAME the other side
    #[arg(long, value_name = "USER")]
    user: Option<UserId>,
    /// Only the node with this name, which has to be the one that answers
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// Arguments of `explain packet`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PacketArgs {
    /// Which packet
    #[arg(value_name = "PACKET")]
    packet: PacketId,
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let of = |node| ExplainRequest { node, ..about_nothing(app_id) };
    let request = match verb {
        Verb::User(args) => ExplainRequest { user_id: Some(args.user), ..of(args.node) },
        Verb::Message(MessageArgs { target, offset, msg_id, user, node }) => {
            let user_id = match user {
                Some(user) => Some(user),
                None => operator.settings.acting_in(&target)?,
            };
            ExplainRequest { user_id, target: Some(target), offset, msg_id, ..of(node) }
        }
        Verb::Packet(args) => ExplainRequest { packet_id: Some(args.packet), ..of(None) },
    };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Explain>(&request)]);
    }
    let http = operator.http()?;
    let first = operator.call::<Explain>(&http, &request).await?;
    // Of a packet each node knows what the stores know.
    let (others, silent) = match request.packet_id.is_none() && request.node.is_none() {
        true => elsewhere(operator, &http, &request, &first.node_id).await?,
        false => (Vec::new(), 0),
    };
    let told = merged(first, others);
    match operator.settings.format {
        Format::Table => {
            operator.print(&listed(&told.events))?;
            if told.events.is_empty() {
                operator.footer("nothing happened that a node remembers");
            }
            operator.console.data("\n")?;
            operator.print_beside(&now::page(&told.now, (operator.clock)()))?;
        }
        Format::Json | Format::Yaml => operator.print(&whole(&told))?,
        _ => operator.print(&listed(&told.events))?,
    }
    for command in next::commands(&told.next, &request, operator.settings.app_if_named()) {
        operator.footer(&format!("next: {command}"));
    }
    if let Some(since) = told.since {
        let since = operator.console.times().moment(since);
        operator.footer(&format!("what nodes saw before {since} is forgotten"));
    }
    Ok(if silent > 0 { Exit::Partly } else { Exit::Done })
}

fn about_nothing(app_id: AppId) -> ExplainRequest {
    ExplainRequest {
        app_id,
        user_id: None,
        target: None,
        offset: None,
        msg_id: None,
        packet_id: None,
        node: None,
    }
}

/// What is to be asked about a user.
pub fn about_user(app_id: AppId, user: UserId) -> ExplainRequest {
    ExplainRequest { user_id: Some(user), ..about_nothing(app_id) }
}

/// What the other nodes tell, and how many told nothing.
async fn elsewhere(
    operator: &Operator,
    http: &Http,
    request: &ExplainRequest,
    asked: &str,
) -> Result<(Vec<ExplainResponse>, usize), Failure> {
    let nodes = operator.call::<Nodes>(http, &NodesRequest {}).await?.nodes;
    let (mut told, mut silent) = (Vec::new(), 0);
    for node in nodes.into_iter().filter(|node| node.node_id != asked) {
        let request = ExplainRequest { node: Some(node.node_id.clone()), ..request.clone() };
        let answer = async {
            let other = http.server().elsewhere(&node.address)?;
            Http::new(other, operator.settings.timeout.get())?.call::<Explain>(&request).await
        };
        match answer.await {
            Ok(answer) => told.push(answer),
            Err(error) => {
                silent += 1;
                let (name, address) = (&node.node_id, &node.address);
                operator.console.error(&format!("node {name} at {address} tells nothing: {error}"));
            }
        }
    }
    Ok((told, silent))
}

/// Of what all tell, each thing once, in order of time.
pub fn merged(first: ExplainResponse, others: Vec<ExplainResponse>) -> ExplainResponse {
    let is_away = |told: &ExplainResponse| told.events.iter().any(|event| event.what == "away");
    // One that was on another node was not away.
    let is_nowhere = is_away(&first) && others.iter().all(is_away);
    let mut told = first;
    name_connections(&mut told);
    for mut other in others {
        name_connections(&mut other);
        // What is in the log every node tells.
        let is_seen = |event: &Event| !["logged", "recalled"].contains(&event.what.as_str());
        told.events.extend(other.events.into_iter().filter(is_seen));
        told.next.extend(other.next);
        told.since = told.since.max(other.since);
        if let (Some(Value::Array(here)), Some(Value::Array(there))) =
            (told.now.get_mut("connectionsHere"), other.now.get("connectionsHere"))
        {
            here.extend(there.iter().cloned());
        }
    }
    told.events.retain(|event| event.what != "away" || is_nowhere);
    told.events.sort_by_key(|event| event.time);
    let mut seen = BTreeSet::new();
    told.next.retain(|next| seen.insert(next.clone()));
    told
}

/// Notes of each connection on which node it is, before those of several nodes stand together.
fn name_connections(told: &mut ExplainResponse) {
    if let Some(Value::Array(connections)) = told.now.get_mut("connectionsHere") {
        for connection in connections {
            connection["node"] = told.node_id.as_str().into();
        }
    }
}

/// What happened, as a table.
pub fn listed(events: &[Event]) -> Report {
    let rows = events.iter().map(|event| {
        let node = event.node.get(..6).unwrap_or(&event.node);
        vec![
            Cell::moment(event.time),
            Cell::from(event.node.as_str()).shown_as(node),
            event.what.as_str().into(),
            event.text.as_str().into(),
        ]
    });
    let columns = [("time", "TIME"), ("node", "NODE"), ("what", "WHAT"), ("text", "HOW")];
    Report::list(&columns, rows.collect())
}

fn whole(told: &ExplainResponse) -> Report {
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = json!({"events": told.events, "now": told.now, "next": told.next, "since": told.since});
    Report::record([("events", "events", Cell::from(told.events.len()))]).exactly(exact)
}
