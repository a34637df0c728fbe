//! A conversation as a stream: what is in its log behind an offset, and what comes from then on.
//!
//! Invariant: every entry comes from the log, by the operation that reads histories, in order and each once; live
//! deliveries only tell that there is more. A reader that takes nothing makes the node read nothing: one page waits for it
//! at most. Whether the reader may is asked for each page, and now and then while there is none.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chat_proto::{Entry, ReadConversationRequest};
use chat_protocol::message::{History, MAX_HISTORY_PAGE};
use chat_protocol::{Code, Operation, Params, Refusal, Target, UserId};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, sleep_until};
use tonic::{Request, Status};

use super::Edge;
use super::asking::{Asking, params, read};
use super::status::{late, status};
use crate::auth::Caller;
use crate::hub::Tail;
use crate::membership::subscriptions::Followed;
use crate::model::Conversation;
use crate::ops::desk::app_of;
use crate::ops::duty::Way;

/// Pause after which a reader of a quiet conversation is asked again whether they may.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A page as the operation gives it.
#[derive(Deserialize)]
struct Page {
    messages: VecDeque<Entry>,
    epoch: String,
}

/// Who asks, and what for.
struct Wanted {
    edge: Arc<Edge>,
    asking: Asking,
    params: Params,
    /// The last offset that was given.
    after: u64,
    /// Its epoch; empty before there is one.
    epoch: String,
}

/// One reader.
struct Reading {
    wanted: Wanted,
    page: VecDeque<Entry>,
    /// Whether there may be more than was read.
    is_behind: bool,
    /// Whether the reader once had everything.
    is_live: bool,
    tail: Tail,
    _followed: Followed,
}

/// The stream of a conversation.
///
/// # Errors
/// As the operation that reads histories; when the node drains.
pub(super) async fn open(
    edge: &Arc<Edge>,
    request: Request<ReadConversationRequest>,
) -> Result<BoxStream<'static, Result<Entry, Status>>, Status> {
    let refused = |refusal: Refusal| status(&refusal);
    let (asking, message) = Asking::read(request, &edge.proxies).map_err(refused)?;
    let deadline = asking.deadline;
    let opening = begin(edge.clone(), asking, message);
    let reading = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, opening).await.map_err(|_| late())?,
        None => opening.await,
    };
    let reading = reading.map_err(refused)?;
    Ok(stream::unfold(Some(reading), async |reading| {
        let mut reading = reading?;
        match reading.next().await {
            Ok(entry) => Some((Ok(entry), Some(reading))),
            Err(ended) => Some((Err(ended), None)),
        }
    })
    .boxed())
}

async fn begin(
    edge: Arc<Edge>,
    asking: Asking,
    message: ReadConversationRequest,
) -> Result<Reading, Refusal> {
    edge.system.stays()?;
    let operation = edge.desk.operation(Way::Grpc, History::PATH)?;
    let caller = asking.admitted(&edge, operation)?;
    let (mut params, after) = (params(&message)?, message.after);
    params.set("limit", MAX_HISTORY_PAGE.into());
    let epoch = message.epoch.unwrap_or_default();
    let mut wanted = Wanted { edge, asking, params, after, epoch };
    let page = wanted.page(caller.clone()).await?;
    let conversation = wanted.conversation(&caller)?;
    let followed = wanted.edge.subscriptions.follow_alone(conversation.carrier()).await?;
    let tail = wanted.edge.hub.tail(conversation);
    Ok(Reading { wanted, page, is_behind: true, is_live: false, tail, _followed: followed })
}

impl Wanted {
    /// What is behind the last offset.
    async fn page(&mut self, caller: Caller) -> Result<VecDeque<Entry>, Refusal> {
        let desk = &self.edge.desk;
        desk.check_ban(&caller).await?;
        let operation = desk.operation(Way::Grpc, History::PATH)?;
        self.params.set("after", self.after.into());
        let answer = operation.call(caller, self.asking.peer(), self.params.clone()).await?;
        let Page { messages, epoch } = read(answer.get())?;
        if self.epoch.is_empty() {
            self.epoch = epoch;
        } else if !epoch.is_empty() && epoch != self.epoch {
            return Err(Refusal::new(Code::RefusedByRule, replaced(&epoch)));
        }
        Ok(messages)
    }

    /// Which conversation it is.
    fn conversation(&self, caller: &Caller) -> Result<Conversation, Refusal> {
        let unknown = || Refusal::from(Code::ServerError);
        let text = |name| self.params.given(name).and_then(Value::as_str);
        let app = app_of(caller, &self.params).ok_or_else(unknown)?;
        let target: Target = text("target").unwrap_or_default().parse().map_err(|_| unknown())?;
        let reader = match caller.user() {
            Some(identity) => Some(identity.user.clone()),
            None => text("userId").and_then(|user| UserId::new(user).ok()),
        };
        Ok(match (target, reader) {
            (Target::World, _) => Conversation::World(app),
            (Target::Group(group), _) => Conversation::Group(app, group),
            (target, Some(user)) => Conversation::of(app, &user, &target),
            (_, None) => return Err(unknown()),
        })
    }
}

fn replaced(epoch: &str) -> String {
    format!("the history was replaced, its epoch is {epoch} now: read it from its beginning")
}

impl Reading {
    /// The next entry, once there is one.
    ///
    /// # Errors
    /// How the stream ends.
    async fn next(&mut self) -> Result<Entry, Status> {
        loop {
            if let Some(mut entry) = self.page.pop_front() {
                self.check_pace()?;
                let expected = self.wanted.after + 1;
                entry.missing_before = entry.offset.saturating_sub(expected);
                self.wanted.after = entry.offset;
                return Ok(entry);
            }
            if !self.is_behind {
                self.more().await?;
            }
            let edge = self.wanted.edge.clone();
            edge.system.stays().map_err(|refusal| status(&refusal))?;
            let caller = self.wanted.asking.caller(&edge);
            let page = match caller {
                Ok(caller) => self.wanted.page(caller).await,
                Err(refusal) => Err(refusal),
            };
            self.page = page.map_err(|refusal| status(&refusal))?;
            self.is_behind = !self.page.is_empty();
            self.is_live |= self.page.is_empty();
        }
    }

    /// Waits until there may be more.
    async fn more(&self) -> Result<(), Status> {
        let deadline = async {
            match self.wanted.asking.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.tail.more() => Ok(()),
            () = sleep(ASK_AGAIN) => Ok(()),
            () = self.wanted.edge.hub.drain().begun() => Ok(()),
            () = deadline => Err(late()),
        }
    }

    /// Whether the reader, who once had everything, is not too far behind by now.
    fn check_pace(&self) -> Result<(), Status> {
        let (most, behind) = (self.wanted.edge.hub.limits().frames as u64, self.behind());
        if !self.is_live || behind <= most {
            return Ok(());
        }
        self.wanted.edge.counters.slow_closes.add(1);
        let after = self.wanted.after;
        let why = format!(
            "the reader is {behind} messages behind, {most} may wait; ask again with after = {after}"
        );
        Err(Status::resource_exhausted(why))
    }

    fn behind(&self) -> u64 {
        self.tail.newest().saturating_sub(self.wanted.after)
    }
}
