//! Getting one client in: TCP, handshake, log-in, each timed.
//!
//! Invariant: a client that is in has its log-in answered 200, and nothing that came with the answer is lost.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::Plan;
use crate::wire::request;
use crate::wire::scan::{self, Frame};
use crate::wire::socket::{End, Socket};

/// Longest wait for TCP and handshake, and again for the log-in.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where clients enter.
#[derive(Debug)]
pub struct Door {
    /// Address of the server.
    pub address: SocketAddr,
    /// Its name for the `Host` header.
    pub authority: String,
    /// Path of the WebSocket.
    pub path: String,
}

/// How long it took.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// TCP and handshake.
    pub connect: Duration,
    /// From the request to its answer.
    pub login: Duration,
}

impl Door {
    /// Lets client number `number` in.
    ///
    /// # Errors
    /// The cause, in words that are the same for all clients that fail alike.
    pub async fn enter(&self, plan: &Plan, number: u32) -> Result<(Socket, Times), String> {
        let start = Instant::now();
        let opened =
            tokio::time::timeout(TIMEOUT, Socket::open(self.address, &self.authority, &self.path)).await;
        let mut socket = match opened {
            Ok(opened) => opened.map_err(|error| format!("connect: {error}"))?,
            Err(_) => return Err(format!("connect: no answer within {} s", TIMEOUT.as_secs())),
        };
        let connect = start.elapsed();
        let start = Instant::now();
        let user = plan.user(number).map_err(|error| error.to_string())?;
        socket.queue_text(&request::login(&user, plan.app));
        match tokio::time::timeout(TIMEOUT, answer(&mut socket)).await {
            Ok(Ok(())) => Ok((socket, Times { connect, login: start.elapsed() })),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(format!("log-in: no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}

/// Waits for the answer to the log-in; pushes about others who enter may come first.
async fn answer(socket: &mut Socket) -> Result<(), String> {
    let ended = |end: End| format!("log-in: closed by the server, code {} {}", end.code, end.reason);
    let mut outcome = None;
    socket.take_early(|text| outcome = outcome.take().or(outcome_of(text))).map_err(ended)?;
    std::future::poll_fn(|cx| {
        loop {
            if let Some(outcome) = outcome.take() {
                return Poll::Ready(outcome);
            }
            if let Poll::Ready(Err(end)) = socket.poll_flush(cx) {
                return Poll::Ready(Err(ended(end)));
            }
            match socket.poll_texts(cx, |text| outcome = outcome.take().or(outcome_of(text))) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Err(ended(end))),
            }
        }
    })
    .await
}

fn outcome_of(text: &[u8]) -> Option<Result<(), String>> {
    match scan::scan(text, 0).unwrap_or_else(|| scan::parse(text)) {
        Frame::Answer(answer) if answer.code == 200 => Some(Ok(())),
        Frame::Answer(answer) => {
            Some(Err(format!("log-in refused: code {}, {}", answer.code, answer.reason)))
        }
        _ => None,
    }
}
