//! The short way of a connection whose first bytes are a whole request for something else than HTTP: it is answered
//! here, and the HTTP library never sees it.
//!
//! Invariant: a request that is not granted is not touched: its bytes stay in the kernel until the HTTP library reads
//! them.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Guest;
use super::places::Place;
use super::stream::poll_read;
use crate::tls::Line;

/// Bytes that are looked at; who sends more at first goes the long way.
const MOST_BYTES: usize = 2048;

/// A request that is granted.
#[derive(Debug)]
pub struct Grant {
    /// The answer.
    pub answer: Vec<u8>,
    /// Bytes of the request.
    pub length: usize,
    /// Counts the connection among those there may be.
    pub token: TaskTrackerToken,
    /// Who asks, which a proxy may have said.
    pub peer: SocketAddr,
}

/// A connection whose request was granted and answered.
pub struct Taken {
    /// Its socket; does not block.
    pub line: Line<std::net::TcpStream>,
    /// What came behind the request.
    pub read_ahead: Bytes,
    /// Who it is.
    pub peer: SocketAddr,
    /// Its place.
    pub place: Place,
    /// Of its grant.
    pub token: TaskTrackerToken,
}

/// What takes connections over.
pub trait Shortcut: Send + Sync {
    /// Looks at the bytes that came first.
    fn grant(&self, came: &[u8], peer: SocketAddr) -> Option<Grant>;

    /// Takes a connection over.
    fn take(&self, taken: Taken);
}

/// Waits for the first bytes of a connection, and gives it back unless they are granted.
pub(super) async fn offer(
    mut line: Line<TcpStream>,
    guest: Guest,
    shortcut: &dyn Shortcut,
    stop: &CancellationToken,
) -> Option<(Line<TcpStream>, Guest)> {
    if line.tcp.set_nodelay(true).is_err() {
        return None;
    }
    let looking =
        poll_fn(|cx| look(&mut line, cx, |came| Some((shortcut.grant(came, guest.peer)?, came.len()))));
    let granted = tokio::select! {
        biased;
        granted = looking => granted,
        () = guest.course.ceased() => None,
        () = stop.cancelled() => None,
    };
    let Some((grant, came)) = granted else { return Some((line, guest)) };
    match answer(line, &grant, came) {
        Ok((line, read_ahead)) => {
            let Grant { peer, token, .. } = grant;
            guest.place.leaves_http();
            shortcut.take(Taken { line, read_ahead, peer, place: guest.place, token });
        }
        Err(error) => tracing::debug!(%error, peer = %guest.peer, "a connection was lost at its handshake"),
    }
    None
}

/// What `seen` makes of the first bytes, which stay where they are.
fn look<T>(
    line: &mut Line<TcpStream>,
    cx: &mut Context<'_>,
    seen: impl FnOnce(&[u8]) -> Option<T>,
) -> Poll<Option<T>> {
    let mut bytes = [MaybeUninit::uninit(); MOST_BYTES];
    let mut bytes = ReadBuf::uninit(&mut bytes);
    // Whoever is lost is so for the HTTP library too, which tells of it.
    let came = match &mut line.tls {
        None => ready!(line.tcp.poll_peek(cx, &mut bytes)).ok(),
        Some(tls) => {
            let came = ready!(poll_read(tls, &line.tcp, cx, bytes.initialize_unfilled())).ok();
            bytes.advance(came.unwrap_or_default());
            tls.unread(bytes.filled());
            came
        }
    };
    Poll::Ready(came.and_then(|_| seen(bytes.filled())))
}

/// Takes the bytes that came and writes the answer, for which a new socket always has room.
fn answer(
    line: Line<TcpStream>,
    grant: &Grant,
    came: usize,
) -> io::Result<(Line<std::net::TcpStream>, Bytes)> {
    let mut bytes = vec![0; came];
    let mut line = line.change(TcpStream::into_std)?;
    let count = line.read(&mut bytes)?;
    bytes.truncate(count);
    line.write_all(&grant.answer)?;
    Ok((line, Bytes::from(bytes).slice(grant.length.min(count)..)))
}
