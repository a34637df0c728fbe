//! `chatctl conversation`: the conversations of a user, however many pages that takes, and up to where they are read.
//!
//! Invariant: a page that tells nothing new ends the list, whatever the server answers.

use std::collections::HashSet;

use chat_client::Error;
use chat_protocol::conversation::{
    Conversation, List, ListRequest, MAX_CONVERSATIONS_PAGE, Read, ReadRequest,
};
use chat_protocol::{AppId, Target, UserId};
use clap::Subcommand;

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
  chatctl --app 101 --as 马超 conversation list --limit 20
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
    #[command(visible_alias = "ls", after_help = LIST)]
    List {
        /// Show at most so many conversations
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
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
        Verb::List { limit } => list(app_id, user_id, limit.unwrap_or(u32::MAX), operator).await,
        Verb::Read { target, offset } => {
            let request = ReadRequest { app_id, user_id, target, offset };
            operator.carry_out::<Read>(&request, |found| marked(&found)).await
        }
    }
}

async fn list(app_id: AppId, user_id: UserId, wanted: u32, operator: &Operator) -> Result<Exit, Failure> {
    let limit = |left: u32| Some(left.min(MAX_CONVERSATIONS_PAGE));
    let mut request = ListRequest { app_id, user_id, limit: limit(wanted), cursor: None };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<List>(&request)]);
    }
    let http = operator.http()?;
    let (mut found, mut known): (Vec<Conversation>, _) = (Vec::new(), HashSet::new());
    loop {
        let page = operator.call::<List>(&http, &request).await?;
        let before = found.len();
        // One in which something is said meanwhile moves; it is shown once.
        found.extend(page.conversations.into_iter().filter(|found| known.insert(found.target.clone())));
        let left = wanted.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.cursor.filter(|_| left > 0) else { break };
        if found.len() == before {
            let cause = "its list of conversations does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        (request.limit, request.cursor) = (limit(left), Some(cursor));
    }
    operator.print(&Report::list(&COLUMNS, found.iter().map(row).collect()))?;
    Ok(Exit::Done)
}

const COLUMNS: [(&str, &str); 6] = [
    ("target", "CONVERSATION"),
    ("lastOffset", "LAST"),
    ("lastTime", "AT"),
    ("readOffset", "READ"),
    ("unread", "UNREAD"),
    ("last", "SAID"),
];

fn row(found: &Conversation) -> Vec<Cell> {
    vec![
        target(found),
        found.last_offset.into(),
        at(found),
        found.read_offset.into(),
        unread(found),
        said(found),
    ]
}

fn marked(found: &Conversation) -> Report {
    let more = if found.unread_more { "+" } else { "" };
    let words =
        format!("{} read up to {}, {}{more} unread", name(&found.target), found.read_offset, found.unread);
    Report::record([
        ("target", "conversation", target(found)),
        ("lastOffset", "last", found.last_offset.into()),
        ("lastTime", "at", at(found)),
        ("readOffset", "read", found.read_offset.into()),
        ("unread", "unread", unread(found)),
    ])
    .in_words(vec![words])
}

fn target(found: &Conversation) -> Cell {
    Cell::from(found.target.to_string()).shown_as(name(&found.target))
}

fn unread(found: &Conversation) -> Cell {
    let shown = if found.unread_more { format!("{}+", found.unread) } else { found.unread.to_string() };
    Cell::from(found.unread).shown_as(shown)
}

fn said(found: &Conversation) -> Cell {
    let words = found.last.as_ref().map(|last| format!("{}: {}", last.from, last.msg));
    Cell::from(serde_json::to_value(&found.last).unwrap_or_default())
        .shown_as(words.unwrap_or_else(|| "-".to_owned()))
}

fn at(found: &Conversation) -> Cell {
    match found.last_time {
        0 => Cell::from(0).shown_as("-"),
        time => Cell::moment(time),
    }
}
