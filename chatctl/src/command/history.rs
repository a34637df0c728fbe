//! `chatctl history`: the messages of a conversation, however many pages that takes.
//!
//! Invariant: one page is held at a time; older messages stand above newer ones.

use chat_client::Http;
use chat_protocol::Target;
use chat_protocol::message::{DEFAULT_HISTORY_PAGE, History, HistoryRequest, MAX_HISTORY_PAGE};
use chat_protocol::session::Push;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::message;
use crate::operator::Operator;
use crate::output::flow::Flow;
use crate::pages::Pages;

const EXAMPLES: &str = "\
user:NAME is the conversation of that user with the one named by --as, and ''
the world. Offsets count the messages of a conversation.

Examples:
  chatctl --app 101 history
  chatctl --app 101 history group:tea --limit 500
  chatctl --app 101 --as 马超 history user:黄帝 --before 120
  chatctl --app 101 history --all -o jsonl > world.jsonl
  chatctl --app 101 history --all --after 5000 -o csv";

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The conversation: group:ID or user:NAME; the world when absent
    #[arg(value_name = "TARGET", default_value = "", hide_default_value = true)]
    target: Target,
    /// Show at most so many messages [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only messages with a lesser offset
    #[arg(long, value_name = "OFFSET")]
    before: Option<u64>,
    /// Only messages with a greater offset, the oldest of them first
    #[arg(long, value_name = "OFFSET")]
    after: Option<u64>,
    /// Everything there is
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Where the messages come from.
enum Plan {
    /// The newest ones, in one page.
    Newest(HistoryRequest),
    /// From older to newer ones.
    Walk(Pages),
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting_in(&args.target)?);
    let target = args.target.clone();
    let request = HistoryRequest { app_id, user_id, target, before: args.before, after: None, limit: None };
    let http = operator.http()?;
    let plan = plan(&args, request, operator, &http).await?;
    if operator.settings.dry_run {
        let request = match plan {
            Plan::Newest(request) => request,
            Plan::Walk(pages) => pages.request(),
        };
        return operator.rehearse(&[operator.rehearsed::<History>(&request)]);
    }
    let mut shown = Shown::new(operator);
    let older = match plan {
        Plan::Newest(request) => {
            let page = operator.call::<History>(&http, &request).await?;
            shown.take(&page.messages)?;
            page.next
        }
        Plan::Walk(mut pages) => {
            while let Some(messages) = pages.next(operator, &http).await? {
                if !shown.take(&messages)? {
                    return Ok(Exit::Done);
                }
            }
            None
        }
    };
    shown.end(older)?;
    Ok(Exit::Done)
}

async fn plan(
    args: &Args,
    request: HistoryRequest,
    operator: &Operator,
    http: &Http,
) -> Result<Plan, Failure> {
    let limit = args.limit.unwrap_or(DEFAULT_HISTORY_PAGE);
    if args.all || args.after.is_some() {
        let limit = (!args.all).then_some(u64::from(limit));
        return Ok(Plan::Walk(Pages::new(&request, args.after.unwrap_or(0), args.before, limit)));
    }
    if limit <= MAX_HISTORY_PAGE || operator.settings.dry_run {
        return Ok(Plan::Newest(HistoryRequest { limit: Some(limit.min(MAX_HISTORY_PAGE)), ..request }));
    }
    // Offsets have no gaps: where the newest so many begin is known from the last one alone.
    let last = operator.call::<History>(http, &HistoryRequest { limit: Some(1), ..request.clone() }).await?;
    let last = last.messages.last().map_or(0, |message| message.offset);
    let (after, until) = (last.saturating_sub(u64::from(limit)), last.saturating_add(1));
    Ok(Plan::Walk(Pages::new(&request, after, Some(until), None)))
}

/// What has been written.
struct Shown<'a> {
    operator: &'a Operator,
    flow: Flow,
    count: u64,
}

impl<'a> Shown<'a> {
    fn new(operator: &'a Operator) -> Self {
        Self { operator, flow: operator.flow(), count: 0 }
    }

    /// False when the reader wants no more.
    fn take(&mut self, messages: &[Push]) -> Result<bool, Failure> {
        self.count += messages.len() as u64;
        self.operator.flows(&mut self.flow, message::report(messages))
    }

    fn end(self, older: Option<u64>) -> Result<(), Failure> {
        self.operator.end(self.flow, &message::report(&[]))?;
        match (self.count, older) {
            (0, _) => self.operator.footer("no messages"),
            (_, Some(offset)) => self.operator.footer(&format!("older ones: --before {offset}")),
            _ => {}
        }
        Ok(())
    }
}
