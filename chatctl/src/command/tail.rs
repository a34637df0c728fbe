//! `chatctl tail`: messages as they come, behind the last ones there were.
//!
//! Invariant: between the history and the live messages, and over every break of the connection, there is no hole
//! that is not told and no repeat.

use chat_client::live::positions::{Admission, Positions};
use chat_client::live::{Gap, Identity, Item, Options, conversation_of};
use chat_client::{Error, Http, Live};
use chat_protocol::code::close;
use chat_protocol::message::{History, HistoryRequest, MAX_HISTORY_PAGE};
use chat_protocol::session::{Position, Push};
use chat_protocol::{AppId, Code, Target, UserId};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::message;
use crate::operator::{Operator, plain_error};
use crate::output::Format;
use crate::output::json::compact;
use crate::pages::Pages;

const EXAMPLES: &str = "\
The user named by --as is logged in as long as it runs. A broken connection is
replaced, and what was missed meanwhile is fetched. Ctrl-C ends it with code 130.

Examples:
  chatctl --app 101 --as 马超 tail
  chatctl --app 101 --as 马超 tail group:tea user:黄帝 --last 20
  chatctl --app 101 --as 马超 tail -o jsonl | jq -r .msg";

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Conversations: group:ID, user:NAME or "" for the world; the world when absent
    #[arg(value_name = "TARGET", default_value = "", hide_default_value = true)]
    targets: Vec<Target>,
    /// Begin with so many messages of each conversation
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_HISTORY_PAGE)))]
    last: u32,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    if !matches!(operator.settings.format, Format::Table | Format::Jsonl) {
        return Err(Failure::usage(
            "tail writes lines of text or of JSON",
            "leave -o away, or give -o jsonl",
        ));
    }
    let mut targets = args.targets;
    let mut known = std::collections::HashSet::new();
    targets.retain(|target| known.insert(target.clone()));
    let mut tail =
        Tail { operator, http: operator.http()?, app_id, user_id, targets, shown: Positions::default() };
    if operator.settings.dry_run {
        let request = |target| operator.rehearsed::<History>(&tail.request(target, Some(args.last.max(1))));
        return operator.rehearse(&tail.targets.iter().map(request).collect::<Vec<_>>());
    }
    let begun = tokio::select! {
        begun = tail.begin(args.last) => begun?,
        () = operator.stop.notified() => return Ok(Exit::Done),
    };
    let Some(positions) = begun else { return Ok(Exit::Done) };
    let options = Options {
        timeout: operator.settings.timeout.get(),
        positions,
        // Other conversations are not asked for.
        discover: false,
        ..Options::default()
    };
    let identity = Identity { app_id, user_id: tail.user_id.clone(), token: None };
    let mut live = Live::start(vec![operator.settings.server.clone()], identity, options);
    let outcome = tail.follow(&mut live).await;
    live.close().await;
    outcome.map(|()| Exit::Done)
}

struct Tail<'a> {
    operator: &'a Operator,
    http: Http,
    app_id: AppId,
    user_id: UserId,
    targets: Vec<Target>,
    /// Guards against repeats between history and live messages.
    shown: Positions,
}

impl Tail<'_> {
    fn request(&self, target: &Target, limit: Option<u32>) -> HistoryRequest {
        let (target, user_id) = (target.clone(), Some(self.user_id.clone()));
        HistoryRequest { app_id: self.app_id, user_id, target, before: None, after: None, limit }
    }

    /// Shows the last messages and gives the place behind them; `None` when the reader wants no more.
    async fn begin(&mut self, last: u32) -> Result<Option<Vec<Position>>, Failure> {
        let (mut messages, mut positions): (Vec<Push>, _) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let request = self.request(target, Some(last.max(1)));
            let page = self.operator.call::<History>(&self.http, &request).await?;
            let offset = page.messages.last().map_or(0, |message| message.offset);
            let position = Position { target: target.clone(), epoch: page.epoch, offset };
            self.shown.set(position.clone());
            positions.push(position);
            if last > 0 {
                messages.extend(page.messages);
            }
        }
        messages.sort_by_key(|message| message.time);
        for message in &messages {
            if !self.write(message)? {
                return Ok(None);
            }
        }
        Ok(Some(positions))
    }

    async fn follow(&mut self, live: &mut Live) -> Result<(), Failure> {
        let operator = self.operator;
        let console = &operator.console;
        let mut was_connected = false;
        let mut last_code = None;
        loop {
            let item = tokio::select! {
                item = live.next() => item,
                () = operator.stop.notified() => return Ok(()),
            };
            match item {
                Some(Item::Message(message)) => {
                    if !self.show(&message)? {
                        return Ok(());
                    }
                }
                // Of conversations that nobody asked for there is nothing to say.
                Some(Item::Gap(Gap { target, .. }) | Item::NewEpoch { target, .. })
                    if !self.targets.contains(&target) => {}
                Some(Item::Gap(gap)) => {
                    let filled = tokio::select! {
                        filled = self.fill(&gap) => filled,
                        () = operator.stop.notified() => return Ok(()),
                    };
                    match filled {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(Failure::Call { error, .. }) => {
                            let place = message::name(&gap.target);
                            self.operator
                                .console
                                .note(&format!("messages of {place} may be missing: {error}"));
                        }
                        Err(other) => return Err(other),
                    }
                }
                Some(Item::NewEpoch { target, .. }) => {
                    console
                        .note(&format!("the history of {} was lost and begins anew", message::name(&target)));
                }
                Some(Item::Push(_)) => {}
                Some(Item::Connected { server, .. }) => match std::mem::replace(&mut was_connected, true) {
                    true => console.note(&format!("connected again to {server}")),
                    false => console.detail(&format!("connected to {server}")),
                },
                Some(Item::Disconnected { code, reason }) => {
                    console.note(&format!("disconnected: {reason} (code {code})"));
                    last_code = Some((code, reason));
                }
                Some(Item::Retrying { error, pause }) => {
                    let error = plain_error(error);
                    console.note(&format!("{error}; trying again in {} ms", pause.as_millis()));
                }
                Some(Item::Refused(error)) => return Err(error.into()),
                None => return Err(ended(last_code)),
            }
        }
    }

    /// Shows a live message, unless it belongs elsewhere or was shown; false when the reader wants no more.
    fn show(&mut self, message: &Push) -> Result<bool, Failure> {
        let target = conversation_of(message, &self.user_id);
        let is_wanted = self.targets.contains(&target)
            && self.shown.admit(&target, &message.epoch, message.offset) != Admission::Repeat;
        if is_wanted { self.write(message) } else { Ok(true) }
    }

    /// Fetches what the server did not send by itself; false when the reader wants no more.
    async fn fill(&mut self, gap: &Gap) -> Result<bool, Failure> {
        if gap.is_lost_end() {
            let place = message::name(&gap.target);
            self.operator.console.note(&format!("{place} lost the messages after {}", gap.newest));
            self.shown.rewind(&gap.target, gap.newest);
            return Ok(true);
        }
        let seen = gap.seen.as_ref().filter(|_| !gap.is_other_history()).map_or(0, |seen| seen.offset);
        let until = (gap.newest > seen || gap.is_other_history()).then_some(gap.newest.saturating_add(1));
        let mut pages = Pages::new(&self.request(&gap.target, None), seen, until, None);
        let mut next = seen + 1;
        while let Some(messages) = pages.next(self.operator, &self.http).await? {
            for message in &messages {
                if message.offset > next {
                    self.note_hole(&gap.target, next, message.offset - 1);
                }
                next = message.offset + 1;
                if !self.show(message)? {
                    return Ok(false);
                }
            }
        }
        if next <= gap.newest {
            self.note_hole(&gap.target, next, gap.newest);
        }
        Ok(true)
    }

    fn write(&self, message: &Push) -> Result<bool, Failure> {
        let text = match self.operator.settings.format {
            Format::Jsonl => compact(message) + "\n",
            _ => {
                let target = conversation_of(message, &self.user_id);
                message::line(message, (self.targets.len() > 1).then_some(&target))
            }
        };
        self.operator.console.flows(&text)
    }

    fn note_hole(&self, target: &Target, first: u64, last: u64) {
        let place = message::name(target);
        self.operator.console.note(&format!("messages {first} to {last} of {place} are gone"));
    }
}

/// Why there is no more to come.
fn ended(last: Option<(u16, String)>) -> Failure {
    match last {
        Some((close::TOKEN_INVALID, reason)) => {
            Error::Refused { code: Code::NotLoggedIn.number(), reason, retry_after_ms: None }.into()
        }
        Some((code, reason)) => Failure::Undone(format!("the server ended it: {reason} (code {code})")),
        None => Failure::Undone("the session is over".to_owned()),
    }
}
