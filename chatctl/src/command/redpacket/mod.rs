//! `chatctl redpacket`: money that a conversation shares out, and the proof that none of it is lost.
//!
//! Invariants: a packet is created with an id, so that repeating the command with it never pays twice; a share that
//! was not got, and a proof that does not hold, end with the exit code of a broken rule.

use chat_protocol::red_packet::{
    Create, CreateRequest, CreateResponse, Grab, GrabRequest, GrabResponse, MAX_COUNT, MAX_TOTAL, Mode,
    Outcome, PACKET_KIND,
};
use chat_protocol::{MsgId, PacketId, Target};
use clap::Subcommand;

use crate::command::message_id;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::message::name;
use crate::money::{self, Amount, units};
use crate::operator::Operator;
use crate::plural::counted;
use crate::report::{Cell, Report};

mod audit;
mod dead_letters;
mod list;
mod show;

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
--as names who gives, or who takes.

Examples:
  chatctl --app 101 --as 黄帝 redpacket create '' --total 10.00 --count 5
  chatctl --app 101 --as 马超 redpacket grab PACKET
  chatctl --app 101 redpacket show PACKET
  chatctl --app 101 redpacket list --state open
  chatctl --app 101 redpacket audit";

const CREATE: &str = "\
TARGET is \"\" for the world, group:ID or user:NAME. The money leaves the wallet
of the giver at once; what nobody has taken when the packet expires comes back.
An AMOUNT without a dot is whole cents, with one it has exactly two digits
behind it: 1000 and 10.00 are the same. Exit code 6: a rule forbids it, or the
wallet does not hold enough.

Examples:
  chatctl --app 101 --as 黄帝 redpacket create '' --total 10.00 --count 5
  chatctl --app 101 --as 黄帝 redpacket create group:tea --total 888 --count 8 --mode equal
  chatctl --app 101 --as 黄帝 redpacket create user:马超 --total 6.66 --count 1
  chatctl --app 101 --as 黄帝 redpacket create '' --total 10.00 --count 5 --msg-id m-1 -o name";

const GRAB: &str = "\
Repeating it is harmless: the answer is the share that was won before.
Exit code: 0 with a share, 6 when nothing is left or the packet has expired.

Examples:
  chatctl --app 101 --as 马超 redpacket grab PACKET
  chatctl --app 101 redpacket grab PACKET --as 马超 -o json | jq .amount";

/// What to give.
#[derive(Debug, clap::Args)]
#[command(after_help = CREATE)]
pub struct CreateArgs {
    /// The conversation: "" for the world, group:ID or user:NAME
    #[arg(value_name = "TARGET")]
    target: Target,
    /// How much in all: whole cents, or with two digits behind a dot
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    total: Amount,
    /// In how many shares, 1 to 10000
    #[arg(long, value_name = "N", allow_hyphen_values = true,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    count: u32,
    /// lucky (shares by chance) or equal
    #[arg(long, value_name = "MODE", default_value = Mode::Lucky.as_str())]
    mode: Mode,
    /// A word to go with it
    #[arg(long, value_name = "TEXT")]
    greeting: Option<String>,
    /// Your own id for it: a repeat with the same id creates nothing again
    #[arg(long, value_name = "ID")]
    msg_id: Option<MsgId>,
}

/// What to do with red packets.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Offer money to a conversation
    Create(CreateArgs),
    /// Take a share
    #[command(after_help = GRAB)]
    Grab {
        /// The packet
        #[arg(value_name = "PACKET")]
        packet: PacketId,
    },
    /// What became of a packet, and who took how much
    Show(show::Args),
    /// The packets of the app, the newest first
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Prove that no cent is lost
    Audit(audit::Args),
    /// Settlements that could not be applied
    DeadLetters(dead_letters::Args),
    /// Queue settlements that could not be applied again
    Replay(dead_letters::ReplayArgs),
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    match verb {
        Verb::Create(args) => create(args, operator).await,
        Verb::Grab { packet } => grab(packet, operator).await,
        Verb::Show(args) => show::run(args, operator).await,
        Verb::List(args) => list::run(args, operator).await,
        Verb::Audit(args) => audit::run(args, operator).await,
        Verb::DeadLetters(args) => dead_letters::run(args, operator).await,
        Verb::Replay(args) => dead_letters::replay(args, operator).await,
    }
}

async fn create(args: CreateArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    let (total, count) = (args.total, args.count);
    if total.cents() > MAX_TOTAL {
        return Err(Failure::usage(
            format!("--total {total} is too much"),
            format!("at most {}", units(MAX_TOTAL)),
        ));
    }
    if total.cents() < u64::from(count) {
        let cause = format!("--total {total} is too little for {}", shares(count));
        return Err(Failure::usage(cause, "every share needs a cent"));
    }
    let msg_id = message_id::given_or_new(args.msg_id)?;
    operator.doubt.repeatable_with(format!("--msg-id {msg_id}"));
    let words = format!("{total} in {} to {}", shares(count), name(&args.target));
    let request = CreateRequest {
        app_id,
        user_id,
        target: args.target,
        total: total.cents(),
        count,
        mode: Some(args.mode),
        greeting: args.greeting,
        msg_id: msg_id.clone(),
    };
    operator.carry_out::<Create>(&request, |created| offered(&created, &words)).await
}

fn offered(created: &CreateResponse, words: &str) -> Report {
    let before = if created.duplicate { "offered before; nothing was paid again: " } else { "" };
    let words = format!("{before}{PACKET_KIND} {}: {words} (message {})", created.packet_id, created.msg_id);
    Report::record([
        ("packetId", "packet", created.packet_id.as_str().into()),
        ("expires", "expires", Cell::moment(created.expires)),
        ("msgId", "message", created.msg_id.as_str().into()),
        ("offset", "offset", created.offset.into()),
        ("epoch", "history", created.epoch.as_str().into()),
        ("time", "time", Cell::moment(created.time)),
        ("duplicate", "duplicate", created.duplicate.into()),
    ])
    .in_words(vec![words])
}

async fn grab(packet: PacketId, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    let request = GrabRequest { app_id, user_id, packet_id: packet };
    let mut exit = Exit::Done;
    operator
        .carry_out::<Grab>(&request, |taken| {
            exit = exit_of(taken.outcome);
            share(&taken)
        })
        .await?;
    Ok(exit)
}

fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Won | Outcome::Already => Exit::Done,
        Outcome::Empty | Outcome::Expired => Exit::RuleBroken,
    }
}

fn share(taken: &GrabResponse) -> Report {
    let amount = units(taken.amount);
    let words = match taken.outcome {
        Outcome::Won => format!("won {amount}"),
        Outcome::Already => format!("won {amount} before"),
        Outcome::Empty => "nothing is left".to_owned(),
        Outcome::Expired => "the packet has expired".to_owned(),
    };
    Report::record([
        ("outcome", "outcome", word(taken.outcome)),
        ("amount", "amount", money::cell(taken.amount)),
    ])
    .in_words(vec![words])
}

/// A word of the wire.
fn word(value: impl serde::Serialize) -> Cell {
    // Plain data: there is nothing in it that JSON cannot hold.
    serde_json::to_value(value).unwrap_or_default().into()
}

fn shares(count: u32) -> String {
    counted(count.into(), "share")
}
