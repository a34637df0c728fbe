//! A sender that posts its messages over HTTP.
//!
//! Invariant: the same schedule, window and ledger as a sender on a WebSocket; only the way differs.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use chat_client::{Error, Http};
use chat_protocol::group::{SendMessage as GroupSend, SendMessageRequest as GroupSendRequest};
use chat_protocol::user::{SendMessage, SendMessageAll, SendMessageAllRequest, SendMessageRequest};
use chat_protocol::{MsgId, Target, UserId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::sender::Sender;
use crate::net::control::Control;
use crate::net::payload::Stamp;
use crate::net::request;

/// A sender without a connection of its own.
#[derive(Debug)]
pub struct HttpSender {
    flow: Arc<Flow>,
    control: Arc<Control>,
    http: Http,
    sender: Sender,
    user: UserId,
    target: Target,
}

impl HttpSender {
    /// Sender number `number` of the plan.
    ///
    /// # Errors
    /// As [`crate::ledger::plan::Plan::user`].
    pub fn new(flow: Arc<Flow>, control: Arc<Control>, http: Http, number: u32) -> Result<Self, Failure> {
        let user = flow.plan.user(flow.plan.user_of_sender(number))?;
        let target = flow.plan.target(number)?;
        Ok(Self { sender: Sender::new(number), flow, control, http, user, target })
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
        let mut message = String::with_capacity(self.flow.plan.payload.bytes());
        self.flow.plan.payload.write(&stamp, &mut message);
        let id = request::message_id(&self.flow.plan.run, stamp.sender, stamp.sequence);
        let (http, app_id, user) = (self.http.clone(), self.flow.plan.app, self.user.clone());
        let target = self.target.clone();
        async move {
            let posted = async {
                let msg_id = MsgId::new(&id).map_err(|error| Error::BadServer(error.to_string()))?;
                let (user_id, kind) = (user, None);
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
                        let request =
                            SendMessageRequest { app_id, user_id: peer, message, msg_id, from, kind };
                        Ok(http.call::<SendMessage>(&request).await?.offset)
                    }
                }
            };
            (stamp, posted.await)
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
                self.sender.give_up(&error.to_string());
            }
        }
    }
}
