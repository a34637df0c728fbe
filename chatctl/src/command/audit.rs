//! `chatctl audit`: what operators did at a node.
//!
//! Invariant: the cursor changes with every page, so that the command ends whatever the server answers.

use chat_client::Error;
use chat_protocol::Span;
use chat_protocol::audit::{Audit, AuditRequest, By, DEFAULT_RECORDS_PAGE, MAX_RECORDS_PAGE, Record};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::output::json::compact;
use crate::plural::counted;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
Who did what as an operator, to whom, from where, and how it was answered (200:
it was done), the newest first; of the node that answers, each keeps its own
log. The text of messages is in none. A name with ? is of a caller who proved
nothing.

Examples:
  chatctl audit
  chatctl audit --since 24h --limit 1000
  chatctl audit --who ops --operation /system/ban
  chatctl audit --since 720h -o jsonl > audit.jsonl
  chatctl audit -o json | jq '.[] | select(.code != 200)'";

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only what is younger, for example 90m or 2h
    #[arg(long, value_name = "AGE")]
    since: Option<Span>,
    /// Only what the key or user of this name did
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only this operation, by its path; login and msg are those of a WebSocket
    #[arg(long, value_name = "PATH")]
    operation: Option<String>,
    /// Only if the node has this name
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Show at most so many [default: 50, or all with --since]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let Args { since, who, operation, node, limit } = args;
    let wanted = limit.unwrap_or(if since.is_some() { u32::MAX } else { DEFAULT_RECORDS_PAGE });
    let since = since.map(|age| (operator.clock)().saturating_sub(age.millis()));
    let limit = Some(wanted.min(MAX_RECORDS_PAGE));
    let mut request = AuditRequest { since, who, operation, node, limit, cursor: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Audit>(&request)]);
    }
    let (http, mut found) = (operator.http()?, Vec::new());
    loop {
        let page = operator.call::<Audit>(&http, &request).await?;
        found.extend(page.records);
        let left = wanted.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.cursor.filter(|_| left > 0) else { break };
        if request.cursor.as_ref() == Some(&cursor) {
            let cause = "its audit log does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        // The others must be of the same node.
        request.node = Some(page.node_id);
        (request.limit, request.cursor) = (Some(left.min(MAX_RECORDS_PAGE)), Some(cursor));
    }
    operator.print(&listed(&found))?;
    operator.footer(&counted(found.len() as u64, "record"));
    let left_out: u64 = found.iter().filter_map(|record| record.left_out).sum();
    if left_out > 0 {
        operator.footer(&format!("{} without a record of their own", counted(left_out, "refused attempt")));
    }
    Ok(Exit::Done)
}

fn listed(records: &[Record]) -> Report {
    let rows = records.iter().map(|record| {
        let who = match record.by {
            By::Key => format!("key {}", record.who),
            By::User => format!("user {}", record.who),
            By::Node => format!("node {}", record.who),
            By::Anonymous | By::Unknown => format!("{}?", record.who),
        };
        vec![
            Cell::moment(record.time),
            Cell::from(record.who.as_str()).shown_as(who),
            record.operation.as_str().into(),
            record.app_id.map_or(Cell::from(Value::Null), Cell::from),
            Cell::from(Value::Object(record.params.clone())).shown_as(named(record)),
            record.address.as_str().into(),
            record.code.map_or(Cell::from(Value::Null), Cell::from),
        ]
    });
    let columns = [
        ("time", "TIME"),
        ("who", "WHO"),
        ("operation", "OPERATION"),
        ("appId", "APP"),
        ("params", "WITH"),
        ("address", "FROM"),
        ("code", "CODE"),
    ];
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(records).unwrap_or_default();
    Report::list(&columns, rows.collect()).exactly(exact)
}

/// `userId=马超 seconds=60`.
fn named(record: &Record) -> String {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={}", compact(other)),
    };
    record.params.iter().map(pair).collect::<Vec<_>>().join(" ")
}
