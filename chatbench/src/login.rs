//! Getting one client in: TCP, handshake, log-in, each timed.
//!
//! Invariant: a client that is in has its log-in answered 200, and every text that came before or after the answer was
//! handed out.

use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use chat_protocol::envelope::Incoming;
use chat_protocol::session::{LoggedIn, Position, Recovered};
use tokio::time::Instant;

use crate::plan::Plan;
use crate::sources::Sources;
use crate::wire::request;
use crate::wire::scan::{self, Frame};
use crate::wire::socket::{End, Socket};

/// Longest wait for TCP and handshake, and again for the log-in.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same when another server could be asked instead.
const TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub struct Entrance {
    /// The server.
    pub server: chat_client::Server,
    /// The one of its addresses that is used.
    pub address: SocketAddr,
}

/// Where clients enter: at least one server.
#[derive(Debug)]
pub struct Door {
    /// The servers.
    pub entrances: Vec<Entrance>,
    sources: Sources,
}

/// How long it took.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// TCP and handshake.
    pub connect: Duration,
    /// From the request to its answer.
    pub login: Duration,
}

/// What a client hears while it enters.
#[derive(Debug)]
pub enum Heard<'a> {
    /// It is in. What recovery can give back, if it asked for that.
    In(Option<Recovered>),
    /// Any text but the answer to the log-in.
    Text(&'a [u8]),
}

/// Takes what a client hears while it enters.
pub type Ear<'a> = dyn FnMut(Heard<'_>) + Send + 'a;

impl Door {
    /// These servers, from wherever the system chooses.
    pub fn new(entrances: Vec<Entrance>) -> Self {
        Self { entrances, sources: Sources::default() }
    }

    /// Chooses addresses to connect from for `connections` in all, unless the operator did.
    pub fn choose_sources(&mut self, asked: Option<&Sources>, connections: u64) {
        let each = connections.div_ceil(self.entrances.len().max(1) as u64);
        let destinations: Vec<IpAddr> = self.entrances.iter().map(|entrance| entrance.address.ip()).collect();
        self.sources = asked.cloned().unwrap_or_else(|| Sources::enough(&destinations, each));
    }

    /// The ports of the servers on this host.
    pub fn loopback_ports(&self) -> Vec<u16> {
        let here = self.entrances.iter().filter(|entrance| entrance.address.ip().is_loopback());
        here.map(|entrance| entrance.address.port()).collect()
    }

    /// Lets client number `number` in at entrance `number + turn`, counted around.
    ///
    /// # Errors
    /// The cause, in words that are the same for all clients that fail alike.
    pub async fn enter(
        &self,
        plan: &Plan,
        number: u32,
        turn: usize,
        recover: Option<Position>,
        ear: &mut Ear<'_>,
    ) -> Result<(Socket, Times), String> {
        let other = self.entrances.len() > 1 && plan.trouble.reconnects;
        let longest = if other { TIMEOUT_OF_SEVERAL } else { TIMEOUT };
        let count = self.entrances.len();
        let entrance = &self.entrances[(number as usize).wrapping_add(turn) % count];
        // Not a cast that loses: there are far fewer servers than 2^32.
        let source = self.sources.of(number / count as u32);
        let start = Instant::now();
        let opening = Socket::open(&entrance.server, entrance.address, source);
        let mut socket = match tokio::time::timeout(longest, opening).await {
            Ok(opened) => opened.map_err(|error| format!("connect: {error}"))?,
            Err(_) => return Err(format!("connect: no answer within {} s", longest.as_secs())),
        };
        let connect = start.elapsed();
        let start = Instant::now();
        let user = plan.user(number).map_err(|error| error.to_string())?;
        socket.queue_text(&request::login(&user, plan.app, recover));
        match tokio::time::timeout(longest, answer(&mut socket, ear)).await {
            Ok(Ok(())) => Ok((socket, Times { connect, login: start.elapsed() })),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(format!("log-in: no answer within {} s", longest.as_secs())),
        }
    }
}

/// Waits for the answer to the log-in; pushes may come before and behind it.
async fn answer(socket: &mut Socket, ear: &mut Ear<'_>) -> Result<(), String> {
    let ended = |end: End| format!("log-in: closed by the server, code {} {}", end.code, end.reason);
    let mut outcome = None;
    socket.take_early(|text| hear(text, &mut outcome, ear)).map_err(ended)?;
    std::future::poll_fn(|cx| {
        loop {
            if let Some(outcome) = outcome.take() {
                return Poll::Ready(outcome);
            }
            if let Poll::Ready(Err(end)) = socket.poll_flush(cx) {
                return Poll::Ready(Err(ended(end)));
            }
            match socket.poll_texts(cx, |text| hear(text, &mut outcome, ear)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Err(ended(end))),
            }
        }
    })
    .await
}

fn hear(text: &[u8], outcome: &mut Option<Result<(), String>>, ear: &mut Ear<'_>) {
    if outcome.is_some() {
        return ear(Heard::Text(text));
    }
    match scan::scan(text, 0).unwrap_or_else(|| scan::parse(text)) {
        Frame::Answer(answer) if answer.code == 200 => {
            ear(Heard::In(recovered_of(text)));
            *outcome = Some(Ok(()));
        }
        Frame::Answer(answer) => {
            *outcome = Some(Err(format!("log-in refused: code {}, {}", answer.code, answer.reason)));
        }
        _ => ear(Heard::Text(text)),
    }
}

fn recovered_of(text: &[u8]) -> Option<Recovered> {
    let incoming: Incoming<'_> = serde_json::from_slice(text).ok()?;
    let logged_in: LoggedIn = serde_json::from_str(incoming.response.data?.get()).ok()?;
    logged_in.recovered.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_the_answer_is_heard_in_its_order() {
        let texts = [
            r#"{"seq":"e","cmd":"enter","response":{"code":200,"codeMsg":"Ok","data":{"target":"","from":"a","time":1}}}"#,
            r#"{"seq":"login","cmd":"login","response":{"code":200,"codeMsg":"Success","data":{"recovered":[{"target":"","epoch":"e","offset":7,"complete":true}]}}}"#,
            r#"{"seq":"m","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"msg":"x","offset":7,"epoch":"e"}}}"#,
        ];
        let (mut heard, mut outcome) = (Vec::new(), None);
        let mut ear = |it: Heard<'_>| {
            heard.push(match it {
                Heard::In(recovered) => recovered.map_or(0, |recovered| recovered.offset),
                Heard::Text(text) => text.len() as u64,
            });
        };
        for text in texts {
            hear(text.as_bytes(), &mut outcome, &mut ear);
        }
        assert_eq!(heard, [texts[0].len() as u64, 7, texts[2].len() as u64]);
        assert_eq!(outcome, Some(Ok(())));
    }
}
