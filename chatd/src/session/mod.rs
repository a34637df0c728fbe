//! One WebSocket connection from its handshake to its end.
//!
//! Invariant: one request of a connection is worked on at a time, in the order they came; meanwhile its pushes
//! still go out, and nothing it does or fails to do holds up another connection. A request that was taken is answered
//! before the close, whichever side closes.

mod command;
mod login;
mod missed;
pub mod regroup;
mod request;
mod told;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_protocol::code::close;
use chat_protocol::{Code, Refusal};
use futures_util::future::BoxFuture;
use login::Entered;
use request::Framed;
use tokio::io::Interest;
use tokio::net::TcpStream;
use told::{Told, Why};

use crate::broker::Log;
use crate::chat::Chat;
use crate::conversations::Conversations;
use crate::groups::Groups;
use crate::hub::outbox::Close;
use crate::hub::subscriptions::{Membership, Subscriptions};
use crate::hub::{Connection, Hub};
use crate::ops::Table;
use crate::presence::roll::Roll;
use crate::transport::ending::Waiting;
use crate::transport::websocket::{Flushed, Received, Socket};

/// How long a connection that is being closed may take nothing of what is left for it.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same for one that was waited for already.
const SHORT_FAREWELL: Duration = Duration::from_secs(2);
/// How long the request that is worked on keeps a close waiting.
const ANSWER: Duration = Duration::from_secs(4);

/// Requests answered at once before the answers are written and other connections get their turn.
const REQUESTS_PER_TURN: u32 = 16;

/// What every connection of a node shares.
pub struct Sessions {
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Which topics are followed.
    pub subscriptions: Arc<Subscriptions>,
    /// Who is online.
    pub roll: Arc<Roll>,
    /// For `msg`.
    pub chat: Arc<Chat>,
    /// For every other command.
    pub operations: Arc<Table>,
    /// Which groups a user follows.
    pub groups: Arc<dyn Groups>,
    /// For recovery.
    pub broker: Arc<dyn Log>,
    /// To tell of what else is new.
    pub conversations: Arc<dyn Conversations>,
    /// Bytes of one WebSocket message at most.
    pub max_frame_bytes: usize,
}

/// State of one connection.
struct Session {
    shared: Arc<Sessions>,
    connection: Arc<Connection>,
    membership: Option<Membership>,
    told: Box<Told>,
}

/// What a finished request leaves behind.
enum Done {
    Answer(Framed),
    /// A log-in: pushes were held until its answer is queued.
    Login(Framed, Option<Entered>),
}

/// How much of what a client sent was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// All of it.
    All,
    /// Perhaps not all.
    Some,
    /// All, and nothing more comes.
    End,
}

type Pending = BoxFuture<'static, Done>;

impl Sessions {
    /// Serves a connection until it ends.
    pub async fn serve(self: Arc<Self>, tcp: TcpStream, read_ahead: Bytes, peer: Box<SocketAddr>) {
        // On the heap, as the peer is, because a future holds a copy of everything that is moved through it.
        let socket = Box::new(Socket::new(tcp, &read_ahead, self.max_frame_bytes));
        drop(read_ahead);
        let connection = self.hub.open();
        let told = Told::new(connection.id.number, *peer);
        let session =
            Session { shared: self.clone(), connection: connection.clone(), membership: None, told };
        session.run(socket).await;
        self.hub.close(&connection);
    }
}

impl Session {
    async fn run(mut self, mut socket: Box<Socket>) {
        let connection = self.connection.clone();
        let refill = |writing: &mut VecDeque<_>, max| connection.outbox.take(writing, max);
        let is_lost = match self.converse(&mut socket, refill).await {
            Ok(()) => false,
            Err(error) => {
                socket.lost(&error);
                true
            }
        };
        let identity = self.membership.as_ref().map(|membership| membership.identity().clone());
        // Out of the rooms; what follows may take a while.
        self.membership = None;
        let closing = connection.outbox.closing();
        let mut dropped = Waiting::default();
        if !is_lost {
            let mut patience = FAREWELL;
            match &closing {
                Some(Close { code: code @ close::SLOW_CONSUMER, reason }) => {
                    dropped = socket.close_early(*code, reason);
                    patience = SHORT_FAREWELL;
                }
                Some(Close { code, reason }) => socket.close(*code, reason),
                None => {}
            }
            Box::pin(socket.finish(refill, patience)).await;
        }
        let left = dropped + connection.outbox.left() + socket.unwritten();
        let why = Why::of(socket.end(), closing.as_ref());
        self.told.ended(identity.as_ref(), &why, socket.traffic(), left);
    }

    /// Requests in, answers and pushes out, until one side wants to end. An error: the connection is gone.
    async fn converse(
        &mut self,
        socket: &mut Socket,
        mut refill: impl FnMut(&mut VecDeque<Bytes>, usize),
    ) -> std::io::Result<()> {
        let connection = self.connection.clone();
        let mut pending: Option<Pending> = None;
        let mut was_blocked = false;
        while !connection.outbox.is_closing() {
            let heard = self.listen(socket, &mut pending);
            if heard == Heard::End {
                return Ok(());
            }
            let flushed = socket.flush(&mut refill)?;
            let is_blocked = flushed == Flushed::Blocked;
            if socket.has_moved() || is_blocked != was_blocked {
                self.shared.hub.wrote(&connection, is_blocked);
                was_blocked = is_blocked;
            }
            let listens = pending.is_none() && connection.outbox.has_room();
            if listens && heard == Heard::Some {
                // More may be waiting that the socket does not announce again.
                tokio::task::yield_now().await;
                continue;
            }
            let interest = match (listens, flushed) {
                (true, Flushed::All) => Some(Interest::READABLE),
                (true, Flushed::Blocked) => Some(Interest::READABLE | Interest::WRITABLE),
                (false, Flushed::Blocked) => Some(Interest::WRITABLE),
                (false, Flushed::All) => None,
            };
            tokio::select! {
                () = connection.outbox.changed() => {}
                ready = socket.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => ready?,
                done = async { pending.as_mut().expect("checked by the guard").await }, if pending.is_some() => {
                    pending = None;
                    self.finish(done);
                }
            }
        }
        // Whoever is given up as too slow does not hear it any more.
        if let Some(pending) = pending
            && connection.outbox.takes_answers()
            && let Ok(done) = Box::pin(tokio::time::timeout(ANSWER, pending)).await
        {
            self.finish(done);
        }
        Ok(())
    }

    /// Takes requests until one has to wait. Of a client that does not read its answers nothing more is taken.
    fn listen(&mut self, socket: &mut Socket, pending: &mut Option<Pending>) -> Heard {
        for _ in 0..REQUESTS_PER_TURN {
            if pending.is_some() || !self.connection.outbox.has_room() {
                break;
            }
            match socket.receive() {
                Received::Text(text) => *pending = self.take(&text),
                Received::Binary(bytes) => match str::from_utf8(&bytes) {
                    Ok(text) => *pending = self.take(text),
                    Err(_) => self.refuse_binary(),
                },
                Received::Control => self.shared.hub.heard(&self.connection),
                Received::Nothing => return Heard::All,
                Received::End => return Heard::End,
            }
        }
        Heard::Some
    }

    /// Starts on a request; answers at once what needs no waiting.
    fn take(&mut self, text: &str) -> Option<Pending> {
        self.shared.hub.heard(&self.connection);
        match command::start(self, text) {
            command::Started::Answered(answer) => {
                self.connection.outbox.answer(answer.frame);
                None
            }
            command::Started::Pending(pending) => Some(pending),
        }
    }

    fn finish(&mut self, done: Done) {
        let outbox = &self.connection.outbox;
        match done {
            Done::Answer(answer) => {
                outbox.answer(answer.frame);
            }
            Done::Login(answer, None) => {
                outbox.abandon();
                outbox.answer(answer.frame);
            }
            Done::Login(answer, Some(entered)) => {
                outbox.answer(answer.frame);
                entered.frames.into_iter().for_each(|frame| _ = outbox.answer(frame));
                outbox.release(entered.sent);
                if self.connection.comings.open() {
                    self.shared.hub.regroup.note(entered.membership.identity().clone(), false);
                }
                self.told.logged_in(entered.membership.identity());
                self.membership = Some(entered.membership);
            }
        }
    }

    fn refuse_binary(&self) {
        self.shared.hub.heard(&self.connection);
        let refusal = Refusal::new(Code::BadParameter, "not UTF-8; a request is JSON");
        self.connection.outbox.answer(request::refusal("", "", &refusal).frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million idle connections hold a million of these.
    #[test]
    fn the_future_of_a_connection_stays_small() {
        fn size<F: Future>(_: impl FnOnce(Arc<Sessions>, TcpStream, Bytes, Box<SocketAddr>) -> F) -> usize {
            std::mem::size_of::<F>()
        }
        let bytes = size(Sessions::serve);
        assert!(bytes <= 1024, "{bytes} bytes");
    }
}
