//! `chatctl conversation`: the conversations of a user, and up to where they are read.

use chat_protocol::Target;
use chat_protocol::conversation::{Conversation, List, ListRequest, Read, ReadRequest};
use clap::Subcommand;

use crate::calendar::moment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::message::name;
use crate::operator::Operator;
use crate::report::{Cell, Report};

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
Examples:
  chatctl --app 101 --as 马超 conversation list
  chatctl --app 101 --as 马超 conversation read group:tea 42";

const LIST: &str = "\
Examples:
  chatctl --app 101 --as 马超 conversation list
  chatctl --app 101 --as 马超 conversation list -o jsonl | jq 'select(.unread > 0)'";

const READ: &str = "\
The mark never moves back and never past the end.

Examples:
  chatctl --app 101 --as 马超 conversation read '' 120
  chatctl --app 101 --as 马超 conversation read user:黄帝 7";

/// What to do with conversations.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Conversations with unread counts, the latest first
    #[command(after_help = LIST)]
    List,
    /// Mark messages as read
    #[command(after_help = READ)]
    Read {
        /// The conversation: "" for the world, group:ID or user:NAME
        #[arg(value_name = "TARGET")]
        target: Target,
        /// Up to which message
        #[arg(value_name = "OFFSET")]
        offset: u64,
    },
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    match verb {
        Verb::List => {
            let report = |found: Vec<Conversation>| Report::list(&COLUMNS, found.iter().map(row).collect());
            operator.carry_out::<List>(&ListRequest { app_id, user_id }, report).await
        }
        Verb::Read { target, offset } => {
            let request = ReadRequest { app_id, user_id, target, offset };
            operator.carry_out::<Read>(&request, |found| marked(&found)).await
        }
    }
}

const COLUMNS: [(&str, &str); 5] = [
    ("target", "CONVERSATION"),
    ("lastOffset", "LAST"),
    ("lastTime", "AT"),
    ("readOffset", "READ"),
    ("unread", "UNREAD"),
];

fn row(found: &Conversation) -> Vec<Cell> {
    vec![target(found), found.last_offset.into(), at(found), found.read_offset.into(), found.unread.into()]
}

fn marked(found: &Conversation) -> Report {
    let words = format!("{} read up to {}, {} unread", name(&found.target), found.read_offset, found.unread);
    Report::record([
        ("target", "conversation", target(found)),
        ("lastOffset", "last", found.last_offset.into()),
        ("lastTime", "at", at(found)),
        ("readOffset", "read", found.read_offset.into()),
        ("unread", "unread", found.unread.into()),
    ])
    .in_words(vec![words])
}

fn target(found: &Conversation) -> Cell {
    Cell::from(found.target.to_string()).shown_as(name(&found.target))
}

fn at(found: &Conversation) -> Cell {
    let shown = if found.last_time == 0 { "-".to_owned() } else { moment(found.last_time) };
    Cell::from(found.last_time).shown_as(shown)
}
