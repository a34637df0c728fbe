//! `chatctl recall`: takes the content of a message back.

use chat_protocol::Target;
use chat_protocol::message::{Recall, RecallRequest};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::message::name;
use crate::operator::Operator;
use crate::report::Report;

const EXAMPLES: &str = "\
OFFSET is the first column of `chatctl history TARGET`. The message keeps its
place and its sender; what it said is gone from the history, and everyone who
is connected is told. In a one-to-one conversation --as names one of the two.

Examples:
  chatctl --app 101 recall '' 42
  chatctl --app 101 recall group:tea 7
  chatctl --app 101 --as 马超 recall user:黄帝 3";

/// Arguments of `recall`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The conversation: "" for the world, group:ID or user:NAME
    #[arg(value_name = "TARGET")]
    target: Target,
    /// Which message
    #[arg(value_name = "OFFSET")]
    offset: u64,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting_in(&args.target)?);
    let conversation = name(&args.target);
    let request = RecallRequest { app_id, user_id, target: args.target, offset: args.offset };
    let report = |done: chat_protocol::message::Recalled| {
        let words = format!("recalled message {} of {} in {conversation}", done.offset, done.from);
        Report::record([
            ("offset", "message", done.offset.into()),
            ("from", "from", done.from.as_str().into()),
            ("target", "target", done.target.to_string().into()),
            ("epoch", "history", done.epoch.into()),
        ])
        .in_words(vec![words])
    };
    operator.carry_out::<Recall>(&request, report).await
}
