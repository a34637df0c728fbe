//! A sender that posts its messages, over HTTP or gRPC.
//!
//! Invariant: the same schedule, window and ledger as a sender on a WebSocket; only the way differs.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use chat_client::{Error, Http};
use chat_proto as proto;
use chat_protocol::group::{SendMessage as GroupSend, SendMessageRequest as GroupSendRequest};
use chat_protocol::user::{SendMessage, SendMessageAll, SendMessageAllRequest, SendMessageRequest};
use chat_protocol::{AppId, MsgId, Target, UserId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::sender::Sender;
use crate::net::calls::Caller;
use crate::net::control::Control;
use crate::net::payload::Stamp;
use crate::net::request;

/// What messages are posted with.
#[derive(Debug, Clone)]
pub enum Way {
    /// A request of HTTP each.
    Http(Http),
    /// A call of gRPC each.
    Grpc(Caller),
}

/// A sender without a connection of its own.
#[derive(Debug)]
pub struct Poster {
    flow: Arc<Flow>,
    control: Arc<Control>,
    way: Way,
    sender: Sender,
    user: UserId,
    target: Target,
}

/// A message on its way.
struct Message {
    app_id: AppId,
    from: UserId,
    target: Target,
    id: String,
    text: String,
}

impl Poster {
    /// Sender number `number` of the plan.
    ///
    /// # Errors
    /// As [`crate::ledger::plan::Plan::user`].
    pub fn new(flow: Arc<Flow>, control: Arc<Control>, way: Way, number: u32) -> Result<Self, Failure> {
        let user = flow.plan.user(flow.plan.user_of_sender(number))?;
        let target = flow.plan.target(number)?;
        Ok(Self { sender: Sender::new(number), flow, control, way, user, target })
    }

    /// Sends what is due until told to stop.
    pub async fn run(mut self) -> Sender {
        let mut posts = FuturesUnordered::new();
        poll_fn(|cx| {
            self.control.register(cx.waker());
            loop {
                while let Some(stamp) = self.sender.next_due(&self.flow, &self.control) {
                    posts.push(self.post(stamp));
                }
                match posts.poll_next_unpin(cx) {
                    Poll::Ready(Some((stamp, posted))) => self.note(stamp, posted),
                    _ if self.control.stopped() => return Poll::Ready(()),
                    _ => return Poll::Pending,
                }
            }
        })
        .await;
        self.sender
    }

    fn post(&self, stamp: Stamp) -> impl Future<Output = (Stamp, Result<u64, Error>)> + use<> {
        let mut text = String::with_capacity(self.flow.plan.payload.bytes());
        self.flow.plan.payload.write(&stamp, &mut text);
        let id = request::message_id(&self.flow.plan.run, stamp.sender, stamp.sequence);
        let (app_id, from, target) = (self.flow.plan.app, self.user.clone(), self.target.clone());
        let (way, message) = (self.way.clone(), Message { app_id, from, target, id, text });
        async move {
            let posted = match way {
                Way::Http(http) => message.over_http(&http).await,
                Way::Grpc(caller) => message.over_grpc(&caller).await,
            };
            (stamp, posted)
        }
    }

    fn note(&mut self, stamp: Stamp, posted: Result<u64, Error>) {
        match posted {
            Ok(offset) => self.sender.answer(&self.flow, stamp.sequence, 200, "", offset),
            Err(Error::Refused { code, reason, .. }) => {
                self.sender.answer(&self.flow, stamp.sequence, code, &reason, 0);
            }
            // Without an answer the message may or may not be in the log: it stays unanswered.
            Err(error) => {
                self.sender.give_up(&self.flow, &error.to_string());
            }
        }
    }
}

impl Message {
    /// Gives its number in the conversation.
    async fn over_http(self, http: &Http) -> Result<u64, Error> {
        let Self { app_id, from: user_id, target, id, text: message } = self;
        let msg_id = MsgId::new(&id).map_err(|error| Error::BadServer(error.to_string()))?;
        let kind = None;
        match target {
            Target::World => {
                let request = SendMessageAllRequest { app_id, user_id, msg_id, message, kind };
                Ok(http.call::<SendMessageAll>(&request).await?.offset)
            }
            Target::Group(group_id) => {
                let msg_id = Some(msg_id);
                let request = GroupSendRequest { app_id, user_id, group_id, message, msg_id, kind };
                Ok(http.call::<GroupSend>(&request).await?.offset)
            }
            Target::User(peer) => {
                let (msg_id, from) = (Some(msg_id), Some(user_id));
                let request = SendMessageRequest { app_id, user_id: peer, message, msg_id, from, kind };
                Ok(http.call::<SendMessage>(&request).await?.offset)
            }
        }
    }

    /// The same.
    async fn over_grpc(self, caller: &Caller) -> Result<u64, Error> {
        let Self { app_id, from, target, id: msg_id, text: message } = self;
        let (app_id, from, r#type) = (Some(app_id), Some(from.to_string()), None);
        match target {
            Target::World => {
                let user_id = from;
                let passed = None;
                let request =
                    proto::SendMessageAllRequest { app_id, user_id, msg_id, message, r#type, passed };
                caller.send_all(request).await
            }
            Target::User(peer) => {
                let (user_id, msg_id, passed) = (peer.to_string(), Some(msg_id), None);
                let request =
                    proto::SendMessageRequest { app_id, user_id, message, msg_id, from, r#type, passed };
                caller.send(request).await
            }
            Target::Group(_) => Err(Error::BadServer("no call of gRPC sends to a group".to_owned())),
        }
    }
}
