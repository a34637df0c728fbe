//! `chatctl redpacket show`: what became of a packet, with all winners, however many pages that takes.
//!
//! Invariant: the sums are those of the last page, so that they are never older than a winner that is shown.

use chat_client::{Error, Http};
use chat_protocol::PacketId;
use chat_protocol::red_packet::{Detail, DetailRequest, DetailResponse, MAX_WINNERS_PAGE, Winner};
use serde_json::Value;

use crate::command::redpacket::word;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::message::name;
use crate::money;
use crate::operator::Operator;
use crate::output::Format;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
JSON holds the packet with all winners; csv and tsv hold the winners, and -o
name their names. --as asks as a user, who must be in the conversation.

Examples:
  chatctl --app 101 redpacket show PACKET
  chatctl --app 101 redpacket show PACKET -o csv
  chatctl --app 101 redpacket show PACKET -o json | jq .open";

/// Arguments of `redpacket show`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The packet
    #[arg(value_name = "PACKET")]
    packet: PacketId,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting.clone());
    let limit = Some(MAX_WINNERS_PAGE);
    let request = DetailRequest { app_id, user_id, packet_id: args.packet, after: None, limit };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Detail>(&request)]);
    }
    let found = all_winners(request, operator, &operator.http()?).await?;
    let winners = winners(&found);
    if operator.settings.format == Format::Table {
        operator.print(&packet(&found))?;
        if !found.winners.is_empty() {
            operator.console.data("\n")?;
        }
    }
    operator.print(&winners)?;
    Ok(Exit::Done)
}

async fn all_winners(
    mut request: DetailRequest,
    operator: &Operator,
    http: &Http,
) -> Result<DetailResponse, Failure> {
    let mut found: Vec<Winner> = Vec::new();
    loop {
        let mut page = operator.call::<Detail>(http, &request).await?;
        found.append(&mut page.winners);
        let Some(next) = page.next else { return Ok(DetailResponse { winners: found, ..page }) };
        if request.after.is_some_and(|after| next <= after) {
            let (server, cause) =
                (http.server().to_string(), "its list of winners does not come to an end".to_owned());
            return Err(Error::NotChatd { server, cause }.into());
        }
        request.after = Some(next);
    }
}

fn packet(found: &DetailResponse) -> Report {
    let of = |amount: u64, count: u32| {
        Cell::from(amount).shown_as(format!("{} in {}", money::units(amount), super::shares(count)))
    };
    let at = |time: u64| Cell::moment(time);
    Report::record([
        ("packetId", "packet", found.packet_id.as_str().into()),
        ("from", "from", found.from.as_str().into()),
        ("target", "to", Cell::from(found.target.to_string()).shown_as(name(&found.target))),
        ("greeting", "greeting", found.greeting.as_str().into()),
        ("mode", "mode", word(found.mode)),
        ("state", "state", word(found.state)),
        ("total", "total", of(found.total, found.count)),
        ("grabbed", "taken", of(found.grabbed, found.grabbed_count)),
        ("open", "open", money::cell(found.open)),
        ("refunded", "given back", money::cell(found.refunded)),
        ("created", "created", at(found.created)),
        ("expires", "expires", at(found.expires)),
    ])
}

const COLUMNS: [(&str, &str); 5] = [
    ("userId", "WINNER"),
    ("number", "NUMBER"),
    ("amount", "AMOUNT"),
    ("time", "TIME"),
    ("luckiest", "LUCKIEST"),
];

fn winners(found: &DetailResponse) -> Report {
    let row = |winner: &Winner| {
        let is_luckiest = found.luckiest.as_ref() == Some(&winner.user_id);
        vec![
            winner.user_id.as_str().into(),
            winner.number.into(),
            money::cell(winner.amount),
            Cell::moment(winner.time),
            Cell::from(is_luckiest).shown_as(if is_luckiest { "luckiest" } else { "" }),
        ]
    };
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(found).unwrap_or(Value::Null);
    Report::list(&COLUMNS, found.winners.iter().map(row).collect()).exactly(exact)
}
