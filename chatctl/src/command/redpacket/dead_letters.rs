//! `chatctl redpacket dead-letters` and `replay`: settlements that were given up.
//!
//! Invariant: nothing is queued again, or forgotten, before somebody said yes.

use chat_protocol::red_packet::{
    DeadLetter, DeadLetters, DeadLettersRequest, DeadLettersResponse, Discard, DiscardRequest,
    DiscardResponse, MAX_DEAD_LETTERS, Replay, ReplayRequest, ReplayResponse,
};
use chat_protocol::{AppId, PacketId};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::money;
use crate::operator::Operator;
use crate::report::{Cell, Report};

const LIST: &str = "\
A settlement brings a share or a refund to its wallet. One that cannot be
applied waits here; `chatctl redpacket replay` queues it again, and
`dead-letters discard` gives it up for good.

Examples:
  chatctl --app 101 redpacket dead-letters
  chatctl --app 101 redpacket dead-letters --limit 1000 -o jsonl";

const REPLAY: &str = "\
Applying a settlement twice is harmless: the ledger knows its id. With --packet
no dead letter is looked for: what the packet owes by its own books and the
ledger has not posted is paid at once. It is the answer to an audit that finds a
settlement missing.

Examples:
  chatctl --app 101 redpacket replay ID
  chatctl --app 101 redpacket replay --packet PACKET
  chatctl --app 101 redpacket replay -y";

const DISCARD: &str = "\
For a settlement that can never be applied, such as a share that nobody won. The
ledger keeps it with the reason. What the packet still owes it owes all the
same.

Examples:
  chatctl --app 101 redpacket dead-letters discard ID --reason 'the packet never owed it'";

/// Arguments of `redpacket dead-letters`.
#[derive(Debug, clap::Args)]
#[command(after_help = LIST, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

/// What to do with a dead letter.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Give one up for good
    Discard(DiscardArgs),
}

/// Arguments of `redpacket dead-letters discard`.
#[derive(Debug, clap::Args)]
#[command(after_help = DISCARD)]
struct DiscardArgs {
    /// Which dead letter
    #[arg(value_name = "ID")]
    id: String,
    /// Why; the ledger keeps it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// How to list them.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Show at most so many, the oldest first [default: 100]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DEAD_LETTERS)))]
    limit: Option<u32>,
}

/// Arguments of `redpacket replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = REPLAY)]
pub struct ReplayArgs {
    /// Which dead letter; all of the app when absent
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Pay what this packet owes instead
    #[arg(long, value_name = "PACKET", conflicts_with = "id")]
    packet: Option<PacketId>,
}

/// Runs `redpacket dead-letters`.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    match args.verb {
        None => list(args.list, operator).await,
        Some(Verb::Discard(args)) => discard(args, operator).await,
    }
}

async fn discard(args: DiscardArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, DiscardArgs { id, reason }) = (operator.settings.app()?, args);
    if operator.asks() {
        operator.confirm(&format!("give up dead letter {id} for good?")).await?;
    }
    let report = |answer: DiscardResponse| {
        let words = format!("{} given up", answer.discarded);
        Report::record([("discarded", "given up", answer.discarded.into())]).in_words(vec![words])
    };
    operator.carry_out::<Discard>(&DiscardRequest { app_id, id, reason }, report).await
}

async fn list(args: ListArgs, operator: &Operator) -> Result<Exit, Failure> {
    let request = DeadLettersRequest { app_id: operator.settings.app()?, limit: args.limit };
    let report = |found: DeadLettersResponse| listed(&found.dead_letters);
    operator.carry_out::<DeadLetters>(&request, report).await
}

/// Runs `redpacket replay`.
pub async fn replay(args: ReplayArgs, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    if operator.asks() {
        let question = match (&args.id, &args.packet) {
            (_, Some(packet)) => format!("pay what red packet {packet} owes?"),
            (Some(id), None) => format!("queue dead letter {id} again?"),
            (None, None) => {
                let waiting = operator.concerned(waiting(app_id, operator)).await?;
                let waiting = waiting.unwrap_or_else(|| "all dead letters".to_owned());
                format!("queue {waiting} of app {app_id} again?")
            }
        };
        operator.confirm(&question).await?;
    }
    let done = if args.packet.is_some() { "paid" } else { "queued again" };
    let report = |answer: ReplayResponse| {
        let words = format!("{} {done}", answer.replayed);
        Report::record([("replayed", done, answer.replayed.into())]).in_words(vec![words])
    };
    operator.carry_out::<Replay>(&ReplayRequest { app_id, id: args.id, packet_id: args.packet }, report).await
}

/// How many there are, as far as one answer tells.
async fn waiting(app_id: AppId, operator: &Operator) -> Result<String, Failure> {
    let request = DeadLettersRequest { app_id, limit: Some(MAX_DEAD_LETTERS) };
    let found = operator.call::<DeadLetters>(&operator.http()?, &request).await?.dead_letters.len();
    let is_all = u32::try_from(found).is_ok_and(|found| found < MAX_DEAD_LETTERS);
    Ok(match (found, is_all) {
        (1, _) => "the only dead letter".to_owned(),
        (_, true) => format!("all {found} dead letters"),
        (_, false) => format!("{found} dead letters or more"),
    })
}

const COLUMNS: [(&str, &str); 6] = [
    ("id", "ID"),
    ("userId", "USER"),
    ("amount", "AMOUNT"),
    ("packetId", "PACKET"),
    ("transferId", "TRANSFER"),
    ("reason", "REASON"),
];

fn listed(letters: &[DeadLetter]) -> Report {
    let text = |known: Option<&str>| known.map_or(Cell::from(Value::Null), Cell::from);
    let row = |letter: &DeadLetter| {
        vec![
            letter.id.as_str().into(),
            text(letter.user_id.as_ref().map(|id| id.as_str())),
            letter.amount.map_or(Cell::from(Value::Null), money::cell),
            text(letter.packet_id.as_ref().map(|id| id.as_str())),
            text(letter.transfer_id.as_deref()),
            letter.reason.as_str().into(),
        ]
    };
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(letters).unwrap_or_default();
    Report::list(&COLUMNS, letters.iter().map(row).collect()).exactly(exact)
}
