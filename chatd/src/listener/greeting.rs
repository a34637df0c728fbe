//! The beginning of a connection on a port that speaks TLS: its handshake.
//!
//! Invariant: a handshake is work for the runtime's threads, never for one that accepts or owns connections, and only on
//! [`at_once`] of them at a time, a step each, so that however many come at once, others get their turn. Whoever does not
//! come to its end loses the socket when an unfinished request would have.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use chat_protocol::{Code, Refusal};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::places::Tongue;
use super::{Guest, Speech};
use crate::counters::Counters;
use crate::counters::handshakes::Failure;
use crate::tls::{Keeper, Line, Tls, failure};

/// First byte of a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// What a client is told that speaks HTTP without TLS.
const SPEAK_TLS: &str = "this port speaks TLS: ask with https:// or wss:// in place of http:// or ws://";

/// Greets those who come over TLS.
pub struct Greeter {
    keeper: Arc<Keeper>,
    speech: Speech,
    counters: Arc<Counters>,
    turns: Semaphore,
}

/// Handshakes that are worked on at a time: half of what the machine runs at once.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |count| usize::from(count).div_ceil(2))
}

impl Greeter {
    /// Shows the certificate that is in force when somebody comes, to speak this.
    #[must_use]
    pub fn new(keeper: Arc<Keeper>, speech: Speech, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { keeper, speech, counters, turns: Semaphore::new(at_once()) })
    }

    /// Shakes hands; none when that failed.
    pub(super) async fn greet(
        &self,
        mut tcp: TcpStream,
        guest: Guest,
        stop: &CancellationToken,
    ) -> Option<(Line<TcpStream>, Guest)> {
        let shaken = tokio::select! {
            biased;
            shaken = self.shake(&mut tcp) => shaken,
            () = guest.course.ceased() => Err((Failure::Late, "not in time".to_owned())),
            () = stop.cancelled() => return None,
        };
        let (failure, why) = match shaken {
            Ok(tls) => {
                self.counters.handshakes.done.add(1);
                return Some((Line { tcp, tls: Some(tls) }, guest));
            }
            Err(failed) => failed,
        };
        self.counters.handshakes.failed(failure).add(1);
        let (reason, peer) = (failure.name(), guest.peer);
        match failure {
            Failure::PlainHttp => {
                let refusal = Refusal::new(Code::BadParameter, SPEAK_TLS);
                guest.places.refuse(tcp, Tongue::Http, peer, &refusal);
            }
            // As many as health checks.
            Failure::Left | Failure::Late => tracing::debug!(reason, why, %peer, "no handshake of TLS"),
            _ => tracing::info!(reason, why, %peer, "no handshake of TLS"),
        }
        None
    }

    async fn shake(&self, tcp: &mut TcpStream) -> Result<Box<Tls>, (Failure, String)> {
        let mut first = [0];
        match tcp.peek(&mut first).await {
            Ok(1..) if first[0] == HANDSHAKE => {}
            Ok(1..) if first[0].is_ascii_alphabetic() => {
                return Err((Failure::PlainHttp, String::new()));
            }
            Ok(1..) => return Err((Failure::NoTls, format!("a first byte of {}", first[0]))),
            Ok(_) => return Err((Failure::Left, String::new())),
            Err(error) => return Err((Failure::Left, error.to_string())),
        }
        let config = match self.speech {
            Speech::Web => self.keeper.config(),
            Speech::Grpc => self.keeper.grpc_config(),
        };
        let mut tls = Tls::new(config).map_err(|error| (Failure::Other, error.to_string()))?;
        loop {
            let turn = self.turns.acquire().await;
            let step = tls.shake(&mut Now(tcp));
            drop(turn);
            match step {
                Ok(()) => return Ok(tls),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err((failure(&error), error.to_string())),
            }
            let interest = if tls.held() > 0 { Interest::WRITABLE } else { Interest::READABLE };
            tcp.ready(interest).await.map_err(|error| (Failure::Left, error.to_string()))?;
        }
    }
}

/// A socket as it is now: what it cannot do at once would block.
pub(super) struct Now<'a>(pub(super) &'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
