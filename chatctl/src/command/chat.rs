//! `chatctl chat`: a room in the terminal, logged in as a user.
//!
//! Invariant: keys, the connection and answers are waited for together, so that none of them holds up another; a message
//! is sent once, under the id of its request.

use std::time::Duration;

use chat_client::live::{Gap, Identity, Item, Options, Requests};
use chat_client::{Error, Live};
use chat_protocol::conversation;
use chat_protocol::message::{History, HistoryResponse, MAX_HISTORY_PAGE};
use chat_protocol::operation::Operation;
use chat_protocol::red_packet::{Create, Grab, GrabResponse, Outcome};
use chat_protocol::session::{Msg, Receipt};
use chat_protocol::user::{List, ListResponse};
use chat_protocol::{AppId, Target, UserId};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::chat::state::{State, Wish};
use crate::chat::view::draw;
use crate::exit::Exit;
use crate::failure::{Failure, plain_error};
use crate::message;
use crate::money::units;
use crate::operator::Operator;
use crate::screen::{Input, Screen, inputs};
use crate::style::Theme;

/// Messages of a page of the history.
const PAGE: u32 = 50;
/// Answers that wait.
const WAITING: usize = 64;
/// How often it is told up to where a room was read.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// Users whose names are known from the start.
const NAMES: u32 = 1000;

const EXAMPLES: &str = "\
The user named by --as is online as long as it runs. A line is said, one that
begins with / is a command: /help tells which. Tab completes names, PgUp shows
what was said before, Ctrl-C or /quit ends it. Times are in UTC. Without being
seen, `chatctl tail --unseen` reads along.

Examples:
  chatctl --app 101 --as 马超 chat
  chatctl --app 101 --as 马超 chat group:tea
  chatctl --app 101 --as 马超 chat user:黄帝";

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to begin: group:ID, user:NAME or "" for the world; the world when absent
    #[arg(value_name = "TARGET", default_value = "", hide_default_value = true)]
    target: Target,
    /// For `tail` only, which is told
    #[arg(long, hide = true)]
    unseen: bool,
}

/// What became of a wish.
enum Answer {
    Sent(Target, String, Result<Receipt, Error>),
    Page(Target, Option<u64>, Result<HistoryResponse, Error>),
    Filled(Gap, Result<HistoryResponse, Error>),
    Grabbed(Result<GrabResponse, Error>),
    Given(Target, Option<Error>),
    Online(Result<ListResponse, Error>, bool),
    Marked,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if args.unseen {
        return Err(Failure::usage(
            "whoever is in a chat is seen online",
            "`chatctl tail --unseen TARGET` reads along; of user:NAME, --as names the other side",
        ));
    }
    let (app_id, user_id) = (operator.settings.app()?, operator.settings.acting()?);
    if operator.settings.dry_run {
        return Err(Failure::usage("a chat has nothing to rehearse", "leave --dry-run away"));
    }
    if !(operator.terminals.stdout && operator.terminals.stdin) || operator.terminals.is_dumb {
        return Err(Failure::usage(
            "chat draws on a terminal that can do more than print, and listens to its keys; this is none",
            "`chatctl tail` shows messages as lines, and `chatctl send` sends one",
        ));
    }
    let options = Options { timeout: operator.settings.timeout.get(), ..Options::default() };
    let identity = Identity { app_id, user_id: user_id.clone(), token: None };
    let mut live = Live::start(vec![operator.settings.server.clone()], identity, options);
    let outcome = Chat::new(app_id, user_id, args.target, &live, operator).follow(&mut live).await;
    live.close().await;
    outcome
}

struct Chat<'a> {
    operator: &'a Operator,
    app_id: AppId,
    state: State,
    requests: Requests,
    tell: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    /// The newest mark, and whether one is on its way.
    marked: Option<(Target, u64)>,
    is_marking: bool,
}

impl<'a> Chat<'a> {
    fn new(app_id: AppId, me: UserId, target: Target, live: &Live, operator: &'a Operator) -> Self {
        let (tell, answers) = mpsc::channel(WAITING);
        let state = State::new(me, target);
        let requests = live.requests();
        Self { operator, app_id, state, requests, tell, answers, marked: None, is_marking: false }
    }

    async fn follow(mut self, live: &mut Live) -> Result<Exit, Failure> {
        let mut screen = Screen::take(self.operator)?;
        let mut keys = inputs();
        let mut marks = interval(MARK_EVERY);
        marks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.state.at((self.operator.clock)());
            let (mut wish, theme) = (Wish::Nothing, Theme { color: self.operator.console.look().color });
            screen.draw(|frame| wish = draw(frame, &mut self.state, theme))?;
            self.ask(wish);
            let wish = tokio::select! {
                input = keys.recv() => match input {
                    Some(Input::Key(key)) => self.state.press(key),
                    Some(Input::Paste(text)) => {
                        self.state.paste(&text);
                        Wish::Nothing
                    }
                    Some(Input::Resized) => Wish::Nothing,
                    None => Wish::End,
                },
                item = live.next() => match item {
                    Some(Item::Refused(error)) => return Err(error.into()),
                    Some(item) => self.hear(item),
                    None => return Err(Failure::Undone(format!("the session is over: {}", self.state.connection))),
                },
                answer = self.answers.recv() => {
                    self.take(answer);
                    Wish::Nothing
                }
                _ = marks.tick() => {
                    self.mark();
                    Wish::Nothing
                }
                () = self.operator.stop.notified() => Wish::End,
            };
            match wish {
                Wish::End => return Ok(Exit::Done),
                Wish::Interrupt => return Ok(Exit::Interrupted),
                wish => self.ask(wish),
            }
        }
    }

    /// What the connection brought.
    fn hear(&mut self, item: Item) -> Wish {
        match item {
            Item::Message(push) => self.state.hear(&push),
            Item::Push(pushed) => self.state.pushed(&pushed.cmd, &pushed.data),
            Item::Gap(gap) => return Wish::Fill(gap),
            Item::NewEpoch { target, .. } => {
                let text = format!("the history of {} was lost and begins anew", message::name(&target));
                self.state.note(text);
            }
            Item::Connected { .. } => {
                (self.state.connection, self.state.is_connected) = ("connected".to_owned(), true);
                self.who(true);
                let current = self.state.current.clone();
                return Wish::Older(current, None);
            }
            Item::Disconnected { code, reason } => {
                (self.state.connection, self.state.is_connected) =
                    (format!("gone: {reason} (code {code})"), false);
            }
            Item::Retrying { error, .. } => {
                self.state.connection = format!("connecting again: {}", plain_error(error));
            }
            Item::Refused(_) => {}
        }
        Wish::Nothing
    }

    /// Asks the server, and goes on; what it says comes back as an [`Answer`].
    fn ask(&mut self, wish: Wish) {
        match wish {
            Wish::Nothing | Wish::End | Wish::Interrupt => {}
            Wish::Send(target, text) => {
                let message = Msg::text(target.clone(), &text);
                self.run(async move |requests| Answer::Sent(target, text, requests.send(&message).await));
            }
            Wish::Older(target, before) => {
                let data = json!({"target": target, "before": before, "limit": PAGE});
                self.run(async move |requests| {
                    Answer::Page(target, before, typed::<History>(&requests, &data).await)
                });
            }
            Wish::Fill(gap) => {
                let after = gap.seen.as_ref().filter(|_| !gap.is_other_history() && !gap.is_lost_end());
                let after =
                    after.map_or(gap.newest.saturating_sub(MAX_HISTORY_PAGE.into()), |seen| seen.offset);
                let data = json!({"target": gap.target, "after": after, "limit": MAX_HISTORY_PAGE});
                self.run(async move |requests| Answer::Filled(gap, typed::<History>(&requests, &data).await));
            }
            Wish::Grab(packet) => {
                let data = json!({"packetId": packet});
                self.run(async move |requests| Answer::Grabbed(typed::<Grab>(&requests, &data).await));
            }
            Wish::Packet(target, data) => {
                self.run(async move |requests| {
                    Answer::Given(target, typed::<Create>(&requests, &data).await.err())
                });
            }
            Wish::Who => self.who(false),
        }
    }

    /// Who is online; said, or only learned.
    fn who(&self, is_quiet: bool) {
        let data = json!({"limit": NAMES, "appId": self.app_id});
        self.run(async move |requests| Answer::Online(typed::<List>(&requests, &data).await, is_quiet));
    }

    /// Tells the server up to where the room in front was read.
    fn mark(&mut self) {
        let Some(read) = self.state.read().filter(|_| self.state.is_connected && !self.is_marking) else {
            return;
        };
        if self.marked.as_ref() == Some(&read) {
            return;
        }
        let data = json!({"target": read.0, "offset": read.1});
        (self.marked, self.is_marking) = (Some(read), true);
        self.run(async move |requests| {
            // The next mark tells it anyway.
            let _ = requests.request(conversation::Read::PATH.trim_start_matches('/'), &data).await;
            Answer::Marked
        });
    }

    fn run<F: Future<Output = Answer> + Send + 'static>(&self, asks: impl FnOnce(Requests) -> F) {
        let (asking, tell) = (asks(self.requests.clone()), self.tell.clone());
        tokio::spawn(async move {
            let answer = asking.await;
            // Nobody listens any more once the room is left.
            let _ = tell.send(answer).await;
        });
    }

    fn take(&mut self, answer: Option<Answer>) {
        match answer {
            None => {}
            Some(Answer::Marked) => self.is_marking = false,
            Some(Answer::Sent(target, text, Ok(receipt))) => self.state.sent(&target, &text, &receipt),
            Some(Answer::Sent(target, text, Err(error))) => {
                self.state.not_sent(&target, &text, &plain_error(error).to_string());
            }
            Some(Answer::Page(target, before, Ok(page))) => {
                self.state.page(&target, &page.messages, page.next.is_none());
                if before.is_some() && page.messages.is_empty() {
                    self.state.note("nothing was said before");
                }
            }
            Some(Answer::Filled(gap, Ok(page))) => {
                self.state.page(&gap.target, &page.messages, false);
                let first = page.messages.first().map_or(gap.newest, |push| push.offset);
                let is_whole = gap.seen.as_ref().is_some_and(|seen| first <= seen.offset + 1);
                if !is_whole {
                    self.state.note(format!("messages of {} may be missing", message::name(&gap.target)));
                }
            }
            Some(Answer::Grabbed(Ok(grabbed))) => {
                let amount = units(grabbed.amount);
                self.state.note(match grabbed.outcome {
                    Outcome::Won => format!("you won {amount}"),
                    Outcome::Already => format!("you had won {amount} already"),
                    Outcome::Empty => "nothing is left of it".to_owned(),
                    Outcome::Expired => "its time is over".to_owned(),
                });
            }
            // Its own offer is not pushed to whoever made it.
            Some(Answer::Given(target, None)) => self.ask(Wish::Older(target, None)),
            Some(Answer::Online(Ok(answer), is_quiet)) => {
                self.state.meet(&answer.user_list);
                if !is_quiet {
                    let names: Vec<&str> = answer.user_list.iter().map(UserId::as_str).take(200).collect();
                    self.state.note(format!("{} online: {}", answer.user_count, names.join(", ")));
                }
            }
            Some(Answer::Online(Err(_), true)) => {}
            Some(
                Answer::Page(_, _, Err(error))
                | Answer::Filled(_, Err(error))
                | Answer::Grabbed(Err(error))
                | Answer::Given(_, Some(error))
                | Answer::Online(Err(error), false),
            ) => self.state.note(plain_error(error).to_string()),
        }
    }
}

/// Asks for an operation over the connection.
async fn typed<O: Operation>(requests: &Requests, data: &Value) -> Result<O::Response, Error> {
    let answer = requests.request(O::PATH.trim_start_matches('/'), data).await?;
    serde_json::from_value(answer)
        .map_err(|error| Error::NotChatd { server: "the server".to_owned(), cause: error.to_string() })
}
