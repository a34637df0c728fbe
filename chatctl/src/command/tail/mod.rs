//! `chatctl tail`: messages as they come, behind the last ones there were.
//!
//! Invariant: between the history and the live messages, and over every break of the connection, there is no hole
//! that is not told and no repeat.

mod filter;
mod unseen;

use std::time::Duration;

use chat_client::live::positions::{Admission, Positions};
use chat_client::live::{Gap, Identity, Item, Observer, Options, conversation_of};
use chat_client::{Error, Http, Live};
use chat_protocol::code::close;
use chat_protocol::message::{History, HistoryRequest, MAX_HISTORY_PAGE};
use chat_protocol::session::{Position, Push};
use chat_protocol::{AppId, Code, Span, Target, UserId};

use self::filter::Filter;
use crate::exit::Exit;
use crate::failure::{Failure, plain_error};
use crate::message;
use crate::operator::Operator;
use crate::output::Format;
use crate::output::json::compact;
use crate::pages::Pages;

/// Shortest pause between two looks of an operator.
const SHORTEST: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
With --as the user is logged in as long as it runs, and others see them online.
Without it an operator reads along, with a key that may read, and no user sees
that. What two users say to each other needs both: --as USER for one, user:NAME
for the other, and --unseen to read along there. It stands in the audit log of
the server. A broken connection is replaced, and what was missed meanwhile is
fetched. Ctrl-C ends it with code 130.

Examples:
  chatctl --app 101 tail
  chatctl --app 101 watch group:tea --from 马超 --grep tea
  chatctl --app 101 --as 马超 tail group:tea user:黄帝 --last 20
  chatctl --app 101 --as 马超 tail --unseen user:黄帝
  chatctl --app 101 tail --type redPacket -o jsonl | jq -r .packetId";

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
    /// Read along as an operator, without logging in; of user:NAME, --as names the other side
    #[arg(long)]
    unseen: bool,
    /// Pause between two looks of an operator where the server brings nothing by itself
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    every: Span,
    /// What to show
    #[command(flatten)]
    filter: Filter,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if !matches!(operator.settings.format, Format::Table | Format::Jsonl) {
        return Err(Failure::usage(
            "tail writes lines of text or of JSON",
            "leave -o away, or give -o jsonl",
        ));
    }
    let mut targets = args.targets;
    let mut known = std::collections::HashSet::new();
    targets.retain(|target| known.insert(target.clone()));
    for target in &targets {
        operator.settings.acting_in(target)?;
    }
    let user_id = operator.settings.acting.clone();
    let is_unseen = args.unseen || user_id.is_none();
    let mut tail = Tail {
        operator,
        http: operator.http()?,
        app_id: operator.settings.app()?,
        user_id,
        is_unseen,
        targets,
        filter: args.filter,
        shown: Positions::default(),
    };
    if operator.settings.dry_run {
        let request = |target| operator.rehearsed::<History>(&tail.request(target, Some(args.last.max(1))));
        return operator.rehearse(&tail.targets.iter().map(request).collect::<Vec<_>>());
    }
    let begun = tokio::select! {
        begun = tail.begin(args.last) => begun?,
        () = operator.stop.notified() => return Ok(Exit::Done),
    };
    let Some(positions) = begun else { return Ok(Exit::Done) };
    match tail.user_id.clone().filter(|_| !is_unseen) {
        None => tail.observe(positions, args.every.get().max(SHORTEST)).await?,
        Some(user_id) => tail.log_in(user_id, positions).await?,
    }
    Ok(Exit::Done)
}

struct Tail<'a> {
    operator: &'a Operator,
    http: Http,
    app_id: AppId,
    user_id: Option<UserId>,
    is_unseen: bool,
    targets: Vec<Target>,
    filter: Filter,
    /// Guards against repeats between history and live messages.
    shown: Positions,
}

impl Tail<'_> {
    /// An operator reads as nobody where that will do: then no group asks whether they are a member.
    fn request(&self, target: &Target, limit: Option<u32>) -> HistoryRequest {
        let needs_side = !self.is_unseen || matches!(target, Target::User(_));
        let (target, user_id) = (target.clone(), self.user_id.clone().filter(|_| needs_side));
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

    /// Follows as the user, who is online meanwhile.
    async fn log_in(&mut self, user_id: UserId, positions: Vec<Position>) -> Result<(), Failure> {
        let identity = Identity { app_id: self.app_id, user_id, token: None };
        let options = self.options(positions);
        let mut live = Live::start(vec![self.operator.settings.server.clone()], identity, options);
        let outcome = self.follow(&mut live).await;
        live.close().await;
        outcome
    }

    /// Follows as an operator, whom nobody sees. Of a server that cannot do that the histories are looked at.
    async fn observe(&mut self, positions: Vec<Position>, every: Duration) -> Result<(), Failure> {
        let observer = Observer { app_id: self.app_id, side: self.user_id.clone() };
        let options = self.options(positions);
        let mut live = Live::observe(vec![self.operator.settings.server.clone()], observer, options);
        let outcome = self.follow(&mut live).await;
        live.close().await;
        match outcome {
            Err(Failure::Call { error, .. }) if unseen::is_the_way_after(&error) => {
                self.operator.console.detail(&format!("looking at the histories instead: {error}"));
                unseen::follow(self, self.shown.to_recover(), every).await
            }
            outcome => outcome,
        }
    }

    /// A connection that goes on from these places.
    fn options(&self, positions: Vec<Position>) -> Options {
        let timeout = self.operator.settings.timeout.get();
        // Other conversations are not asked for.
        Options { timeout, positions, discover: false, ..Options::default() }
    }

    /// The conversation of a message, as the reader names it.
    fn place(&self, message: &Push) -> Target {
        match &self.user_id {
            Some(user_id) => conversation_of(message, user_id),
            None => message.target.clone(),
        }
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
        let target = self.place(message);
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
        if !self.filter.admits(message) {
            return Ok(true);
        }
        let text = match self.operator.settings.format {
            Format::Jsonl => compact(message) + "\n",
            _ => {
                let target = self.place(message);
                let place = (self.targets.len() > 1).then_some(&target);
                message::line(message, place, self.operator.console.times())
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
