//! Getting one client in: TCP, handshake, log-in, each timed.
//!
//! Invariant: a client that is in has its log-in answered 200, and every text that came before or after the answer was
//! handed out.

use std::net::{IpAddr, SocketAddr};
use std::task::{Poll, ready};
use std::time::Duration;

use chat_client::Server;
use chat_protocol::backoff::Backoff;
use chat_protocol::envelope::Incoming;
use chat_protocol::session::{LoggedIn, Position, Recovered};
use chat_protocol::{AppId, UserId};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::net::request;
use crate::net::scan::{self, Frame};
use crate::net::socket::{End, Socket};
use crate::net::sources::Sources;

/// Longest wait for one of several addresses of a name.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause after the first attempt to get in again, and after any.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for TCP and handshake, and again for the log-in.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same when another server could be asked instead.
const TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub struct Entrance {
    /// The server.
    pub server: Server,
    /// The one of its addresses that is used.
    pub address: SocketAddr,
}

/// Where clients enter: at least one server.
#[derive(Debug)]
pub struct Door {
    /// The servers.
    pub entrances: Vec<Entrance>,
    sources: Sources,
    /// Longest wait for TCP and handshake, and again for the log-in.
    longest: Duration,
}

/// Who wants to be let in.
#[derive(Debug)]
pub struct Guest {
    /// The user.
    pub user: UserId,
    /// The app.
    pub app: AppId,
    /// The entrance is number `number + turn`, counted around.
    pub number: u32,
    /// How often they went to the next one.
    pub turn: usize,
    /// What they ask to be given again.
    pub recover: Option<Position>,
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
    /// To these servers, from wherever the system chooses; their addresses are looked up once for all connections.
    /// `turns_away`: whether a client that waits too long at one server asks the next.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] when a name has no address.
    pub async fn to(servers: &[Server], turns_away: bool) -> Result<Self, Failure> {
        let mut entrances = Vec::with_capacity(servers.len());
        for server in servers {
            entrances.push(Entrance { address: address(server).await?, server: server.clone() });
        }
        let longest = if servers.len() > 1 && turns_away { TIMEOUT_OF_SEVERAL } else { TIMEOUT };
        Ok(Self { entrances, sources: Sources::default(), longest })
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

    /// Lets a guest in.
    ///
    /// # Errors
    /// The cause, in words that are the same for all clients that fail alike.
    pub async fn enter(&self, guest: Guest, ear: &mut Ear<'_>) -> Result<(Socket, Times), String> {
        let Guest { user, app, number, turn, recover } = guest;
        let (longest, count) = (self.longest, self.entrances.len());
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
        socket.queue_text(&request::login(&user, app, entrance.server.token(), recover));
        match tokio::time::timeout(longest, answer(&mut socket, ear)).await {
            Ok(Ok(())) => Ok((socket, Times { connect, login: start.elapsed() })),
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(format!("log-in: no answer within {} s", longest.as_secs())),
        }
    }
}

/// Pauses between attempts to get in again.
pub fn backoff() -> Backoff {
    Backoff::half(FIRST_PAUSE, LONGEST_PAUSE)
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
            ready!(socket.poll_exchange(cx, |text| hear(text, &mut outcome, ear))).map_err(ended)?;
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

/// The first address of the server that takes a connection; the first of all when none does, so that the clients say
/// what is wrong.
async fn address(server: &Server) -> Result<SocketAddr, Failure> {
    let unknown = |cause: String| {
        Failure::could_not_run(
            format!("{server} has no address: {cause}"),
            "check the name given with --server",
        )
    };
    let found =
        tokio::net::lookup_host(server.authority()).await.map_err(|error| unknown(error.to_string()))?;
    first_open(&found.collect::<Vec<_>>()).await.ok_or_else(|| unknown("the name is empty".to_owned()))
}

async fn first_open(found: &[SocketAddr]) -> Option<SocketAddr> {
    for address in found.iter().filter(|_| found.len() > 1) {
        let attempt = tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await;
        if matches!(attempt, Ok(Ok(_))) {
            return Some(*address);
        }
    }
    found.first().copied()
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

    #[tokio::test]
    async fn an_address_nobody_listens_on_hides_no_other() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let unused = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
        let gone = unused.local_addr().unwrap();
        drop(unused);
        assert_eq!(first_open(&[gone, there]).await, Some(there));
        assert_eq!(first_open(&[gone]).await, Some(gone), "the clients say what is wrong");
        assert_eq!(first_open(&[]).await, None);
    }
}
