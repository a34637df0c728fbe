//! `chatctl redpacket list`: the packets of an app, the newest first, however many pages that takes.
//!
//! Invariant: the cursor changes with every page, so that the command ends whatever the server answers; one page is
//! held at a time.

use chat_client::Error;
use chat_protocol::red_packet::{
    DEFAULT_PACKETS_PAGE, List, ListRequest, ListResponse, Listed, MAX_PACKETS_PAGE, State,
};
use serde_json::Value;

use super::word;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::message::name;
use crate::money;
use crate::operator::Operator;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
Examples:
  chatctl --app 101 redpacket list
  chatctl --app 101 redpacket list --state open --limit 10
  chatctl --app 101 redpacket list --all -o csv > packets.csv";

/// Arguments of `redpacket list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only packets that stand so: open, empty or expired
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Show at most so many [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Everything there is
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let wanted = if args.all { u32::MAX } else { args.limit.unwrap_or(DEFAULT_PACKETS_PAGE) };
    let state = args.state;
    let limit = Some(wanted.min(MAX_PACKETS_PAGE));
    let mut request = ListRequest { app_id: operator.settings.app()?, state, limit, cursor: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<List>(&request)]);
    }
    let (http, mut flow) = (operator.http()?, operator.flow());
    let mut left = wanted;
    loop {
        let ListResponse { mut packets, cursor } = operator.call::<List>(&http, &request).await?;
        packets.truncate(left as usize);
        if !operator.flows(&mut flow, listed(&packets))? {
            return Ok(Exit::Done);
        }
        left = left.saturating_sub(u32::try_from(packets.len()).unwrap_or(u32::MAX));
        let Some(cursor) = cursor.filter(|_| left > 0) else { break };
        if request.cursor.as_ref() == Some(&cursor) {
            let cause = "its list of packets does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        request.cursor = Some(cursor);
        request.limit = Some(left.min(MAX_PACKETS_PAGE));
    }
    operator.end(flow, &listed(&[]))?;
    if left == wanted {
        operator.footer("no packets");
    }
    Ok(Exit::Done)
}

const COLUMNS: [(&str, &str); 8] = [
    ("packetId", "PACKET"),
    ("state", "STATE"),
    ("from", "FROM"),
    ("target", "TO"),
    ("total", "TOTAL"),
    ("grabbed", "TAKEN"),
    ("created", "CREATED"),
    ("expires", "EXPIRES"),
];

fn listed(packets: &[Listed]) -> Report {
    let at = |time: u64| Cell::moment(time);
    let row = |packet: &Listed| {
        vec![
            packet.packet_id.as_str().into(),
            packet.state.map_or(Cell::from(Value::Null), word),
            packet.from.as_str().into(),
            Cell::from(packet.target.to_string()).shown_as(name(&packet.target)),
            money::cell(packet.total),
            money::cell(packet.grabbed),
            at(packet.created),
            at(packet.expires),
        ]
    };
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(packets).unwrap_or_default();
    let report = Report::list(&COLUMNS, packets.iter().map(row).collect());
    report.sparing(&["created", "expires"]).exactly(exact)
}
