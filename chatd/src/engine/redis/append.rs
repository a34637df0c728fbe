//! Puts messages into their logs: those that come while others are on their way to Redis go together.
//!
//! Invariant: a call holds whole runs, so what one caller gives in an order is done in it. What becomes of a message is
//! told to who gave it, whether or not somebody still waits for another of the same call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use chat_protocol::AppId;
use parking_lot::Mutex;
use redis::Cmd;
use tokio::sync::oneshot;

use super::codec;
use super::link::{LinkError, Script};
use super::log::{Life, Logs, refusal};
use crate::broker::{BrokerError, Outgoing, REPEAT_WINDOW_MS, Receipt};
use crate::clock::Clock;
use crate::model::{Conversation, Effect};

/// Calls on their way at the same time. Few, so that under load many messages go with each; more than one, so that a
/// Redis far away does not wait for the node.
const LANES: usize = 4;
/// Messages of a call, unless one run is longer: Redis serves nobody else meanwhile.
const MOST: usize = 32;

static APPEND: LazyLock<Script> =
    LazyLock::new(|| Script::promising(concat!(include_str!("log.lua"), include_str!("append.lua"))));

type Outcomes = Vec<Result<Receipt, BrokerError>>;
/// Offset, epoch or why not, time, what became of it.
type Answer = (u64, String, u64, u8);

/// Messages of one caller, and where their outcomes go.
struct Run {
    messages: Vec<Outgoing>,
    answer: oneshot::Sender<Outcomes>,
}

#[derive(Default)]
struct Waiting {
    runs: VecDeque<Run>,
    lanes: usize,
}

/// Gathers runs into calls.
pub(super) struct Appends {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Appends {
    pub(super) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>) -> Self {
        Self { logs, clock, waiting: Arc::default() }
    }

    /// See [`crate::broker::Log::append_all`].
    pub(super) async fn run(&self, messages: Vec<Outgoing>) -> Outcomes {
        let count = messages.len();
        let (answer, outcomes) = oneshot::channel();
        let is_free = {
            let mut waiting = self.waiting.lock();
            waiting.runs.push_back(Run { messages, answer });
            let is_free = waiting.lanes < LANES;
            waiting.lanes += usize::from(is_free);
            is_free
        };
        if is_free {
            tokio::spawn(lane(self.logs.clone(), self.clock.clone(), self.waiting.clone()));
        }
        let ended =
            |_| (0..count).map(|_| Err(BrokerError::Unreachable("it was given up".to_owned()))).collect();
        outcomes.await.unwrap_or_else(ended)
    }
}

/// Does calls for as long as runs wait.
async fn lane(logs: Arc<Logs>, clock: Arc<dyn Clock>, waiting: Arc<Mutex<Waiting>>) {
    loop {
        let runs = {
            let mut waiting = waiting.lock();
            let runs = take(&mut waiting.runs);
            if runs.is_empty() {
                waiting.lanes -= 1;
                return;
            }
            runs
        };
        let messages: Vec<&Outgoing> = runs.iter().flat_map(|run| &run.messages).collect();
        let mut outcomes = logs.append(&messages, clock.now_ms()).await.into_iter();
        for run in runs {
            let outcomes = outcomes.by_ref().take(run.messages.len()).collect();
            // Who left has no use for it.
            let _ = run.answer.send(outcomes);
        }
    }
}

/// Whole runs of at most [`MOST`] messages, or one that is longer.
fn take(waiting: &mut VecDeque<Run>) -> Vec<Run> {
    let (mut runs, mut count) = (Vec::new(), 0);
    while let Some(next) = waiting.front() {
        count += next.messages.len();
        if count > MOST && !runs.is_empty() {
            break;
        }
        runs.extend(waiting.pop_front());
    }
    runs
}

impl Logs {
    /// Logs and publishes messages; as many outcomes.
    async fn append(&self, messages: &[&Outgoing], now: u64) -> Outcomes {
        let app = |message: &Outgoing| message.conversation.app();
        if !self.appends.has_slots() || messages.iter().all(|message| app(message) == app(messages[0])) {
            return self.append_some(messages, now).await;
        }
        // Those of one app share a slot, and stay in their order.
        let mut apps: BTreeMap<AppId, Vec<usize>> = BTreeMap::new();
        for (place, message) in messages.iter().enumerate() {
            apps.entry(app(message)).or_default().push(place);
        }
        let some = apps.into_values().map(|places| async move {
            let some: Vec<&Outgoing> = places.iter().map(|place| messages[*place]).collect();
            (self.append_some(&some, now).await, places)
        });
        let done = futures_util::future::join_all(some).await;
        let mut outcomes: Vec<_> =
            done.into_iter().flat_map(|(outcomes, places)| places.into_iter().zip(outcomes)).collect();
        outcomes.sort_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// The same for messages whose keys share a slot.
    async fn append_some(&self, messages: &[&Outgoing], now: u64) -> Outcomes {
        match self.try_append(messages, now).await {
            Ok((life, answers)) => answers.into_iter().map(|answer| outcome(&life, answer)).collect(),
            Err(error) => messages.iter().map(|_| Err(error.clone().into())).collect(),
        }
    }

    async fn try_append(&self, messages: &[&Outgoing], now: u64) -> Result<(Life, Vec<Answer>), LinkError> {
        let Some(first) = messages.first() else {
            return Err(LinkError::Corrupt("no messages".to_owned()));
        };
        let call = |life: &Life| {
            let (mut names, mut rest) = (Vec::new(), Vec::new());
            for message in messages {
                self.add(message, now, life.new_epoch(), &mut names, &mut rest);
            }
            let mut call: Cmd = APPEND.call(&names);
            call.arg(now).arg(REPEAT_WINDOW_MS).arg(REPEAT_WINDOW_MS - now % REPEAT_WINDOW_MS);
            self.add_rules(&mut call);
            call.arg(rest);
            call
        };
        let key = self.keys.log(&first.conversation);
        let (life, answers): (Life, Vec<Answer>) = self.call_in_life(&key, &APPEND, call).await?;
        if answers.len() == messages.len() {
            return Ok((life, answers));
        }
        Err(LinkError::Corrupt(format!("{} answers to {} messages", answers.len(), messages.len())))
    }

    /// Adds what a call needs for a message.
    fn add(
        &self,
        message: &Outgoing,
        now: u64,
        fresh: String,
        names: &mut Vec<String>,
        rest: &mut Vec<Vec<u8>>,
    ) {
        let (conversation, keys, sender) = (&message.conversation, &self.keys, &message.sender);
        let (app, period) = (conversation.app(), now / REPEAT_WINDOW_MS);
        names.push(keys.log(conversation));
        names.extend(
            [period, period.saturating_sub(1), period + 1].map(|period| keys.sent(app, sender, period)),
        );
        names.push(keys.reads(app, sender));
        match conversation {
            Conversation::World(_) => rest.push(b"world".into()),
            Conversation::Group(_, group) => {
                names.extend([keys.group(app, group), keys.members(app, group), keys.groups_of(app, sender)]);
                rest.push(b"group".into());
            }
            Conversation::Pair(_, a, b) => {
                names.push(keys.blocked(app, if sender == a { b } else { a }));
                rest.push(conversation.topics().len().to_string().into());
            }
        }
        // Half of it, so that what is kept of an id fits into a compact hash.
        let fingerprint = message.fingerprint.map(|fingerprint| fingerprint.to_string()[..16].to_owned());
        let msg_id = if fingerprint.is_some() { message.msg_id.as_str() } else { "" };
        rest.extend([msg_id.into(), fingerprint.unwrap_or_default().into(), fresh.into()]);
        rest.extend([sender.as_str().into(), conversation.named_by(sender).to_string().into()]);
        rest.push(codec::body(&Effect::None, &message.skip, &message.msg_id, &message.members));
        rest.extend(self.inboxes(conversation, names).into_iter().map(String::into_bytes));
    }
}

fn outcome(life: &Life, (offset, epoch, time, became): Answer) -> Result<Receipt, BrokerError> {
    match (offset, became) {
        (0, 2) => Err(life.refused(epoch).into()),
        (0, _) => Err(refusal(&epoch)),
        _ => Ok(Receipt { offset, epoch: epoch.into(), time, duplicate: became == 1 }),
    }
}
