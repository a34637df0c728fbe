//! The way back in for a client whose connection ended.
//!
//! Invariant: it holds memory only while a client is away, and it ends when the run does.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use chat_protocol::session::Position;

use crate::clock::{micros, micros_between, now_ns};
use crate::net::door::{self, Guest, Heard, Times};
use crate::net::socket::{ABNORMAL, End};
use crate::phases::client::task::Client;

/// Whether a client whose connection ended like this may try again: the end says so, or nothing was said.
pub fn may_return(end: &End) -> bool {
    matches!(end.code, 1001 | 1005 | ABNORMAL | 1011 | 1012 | 1013 | 4000..=4499)
}

impl Client {
    /// Lets the client in for the first time.
    ///
    /// # Errors
    /// As [`crate::net::door::Door::enter`].
    pub async fn enter(&mut self) -> Result<Times, String> {
        self.attempt(0, None).await
    }

    /// Brings the client back in, not before `floor_ns`, at the next server, and again until it is in. False when the
    /// run ended before that.
    pub async fn come_back(&mut self, floor_ns: u64) -> bool {
        let (control, flow) = (Arc::clone(&self.control), Arc::clone(&self.flow));
        let mut returning = pin!(self.try_until_in(floor_ns));
        std::future::poll_fn(|cx| {
            control.register(cx.waker());
            if control.stopped() || flow.over.load(Relaxed) {
                return Poll::Ready(false);
            }
            returning.as_mut().poll(cx).map(|()| true)
        })
        .await
    }

    async fn try_until_in(&mut self, floor_ns: u64) {
        let wait = Duration::from_micros(micros_between(now_ns(), floor_ns));
        tokio::time::sleep(wait).await;
        let mut backoff = door::backoff();
        loop {
            self.turn = self.turn.wrapping_add(1);
            match self.attempt(floor_ns, Some(self.receiver.position(&self.follows))).await {
                Ok(times) => {
                    let us = micros(times.connect + times.login).max(1);
                    self.flow.journal().reconnect.saturating_record(us);
                    break;
                }
                Err(cause) => *self.flow.journal().failed.entry(cause).or_default() += 1,
            }
            tokio::time::sleep(backoff.pause(1.0)).await;
        }
        self.resend();
    }

    async fn attempt(&mut self, floor_ns: u64, recover: Option<Position>) -> Result<Times, String> {
        let Self { flow, door, receiver, turn, number, .. } = self;
        let asked = recover.is_some();
        let mut ear = |heard: Heard<'_>| match heard {
            Heard::In(recovered) if asked => receiver.begin_recovery(flow, recovered, floor_ns, now_ns()),
            Heard::In(_) => {}
            Heard::Text(text) => {
                receiver.take(flow, text, now_ns());
            }
        };
        let user = flow.plan.user(*number).map_err(|error| error.to_string())?;
        let guest = Guest { user, app: flow.plan.app, number: *number, turn: *turn, recover };
        let (socket, times) = door.enter(guest, &mut ear).await?;
        self.socket = Some(socket);
        Ok(times)
    }
}
