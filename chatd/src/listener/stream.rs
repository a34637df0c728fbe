//! The socket of an HTTP connection: it tells the course what comes, and outlives the HTTP library when the client
//! is still sending.
//!
//! Invariant: an upgraded connection gets its line back, with nothing of it lost.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::course::Course;
use super::greeting::Now;
use super::refused;
use crate::tls::{Line, Tls};

/// Silence after which a client that was refused is taken to have read its answer.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest time for which a refused request is read on.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of a refused request that are read at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A socket that tells its course what comes.
pub struct Stream {
    /// Present until the end.
    line: Option<Line<TcpStream>>,
    course: Arc<Course>,
    /// Bytes that were written of a refusal in our words.
    explained: usize,
}

impl Stream {
    /// Over a connection's line.
    pub fn new(line: Line<TcpStream>, course: Arc<Course>) -> Self {
        Self { line: Some(line), course, explained: 0 }
    }

    /// The line.
    pub fn into_line(mut self) -> Option<Line<TcpStream>> {
        self.line.take()
    }

    fn line(&mut self) -> io::Result<&mut Line<TcpStream>> {
        self.line.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn pour(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Line { tcp, tls } = self.line()?;
        let mut poured = match tls {
            None => Pin::new(&mut *tcp).poll_write_vectored(cx, bufs),
            Some(tls) => poll_write(tcp, cx, |socket| tls.write(socket, bufs)),
        };
        if poured.is_pending()
            && self.course.is_to_try()
            && let Some(Line { tcp, tls: None }) = &self.line
            && let Ok(count @ 1..) = SockRef::from(tcp).send_vectored(bufs)
        {
            poured = Poll::Ready(Ok(count));
        }
        self.course.blocked(poured.is_pending());
        poured
    }

    /// Brings what TLS has sealed to the socket; what waits there makes the client as late as what was not taken at all.
    fn push(
        &mut self,
        cx: &mut Context<'_>,
        mut push: impl FnMut(&mut Tls, &mut Now<'_>) -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        let Line { tcp, tls: Some(tls) } = self.line()? else { return Poll::Ready(Ok(())) };
        let pushed = poll_write(tcp, cx, |socket| push(tls, socket));
        self.course.blocked(pushed.is_pending());
        pushed
    }

    /// Whether bytes wait, in the kernel or already opened.
    fn has_bytes(&self) -> bool {
        let Some(Line { tcp, tls }) = &self.line else { return false };
        let is_there = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0);
        is_there || tls.as_ref().is_some_and(|tls| tls.has_more())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.course.leave(line.tcp);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.course.is_to_look() && self.has_bytes() {
            self.course.heard();
        }
        let before = buf.filled().len();
        let Line { tcp, tls } = self.line()?;
        match tls {
            None => ready!(Pin::new(tcp).poll_read(cx, buf))?,
            Some(tls) => {
                let count = ready!(poll_read(tls, tcp, cx, buf.initialize_unfilled()))?;
                buf.advance(count);
            }
        }
        if buf.filled().len() > before {
            self.course.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(told) = refused::explained(bufs) else { return self.pour(cx, bufs) };
        while let Some(rest) = told.get(self.explained..).filter(|rest| !rest.is_empty()) {
            self.explained += ready!(self.pour(cx, &[IoSlice::new(rest)]))?;
        }
        Poll::Ready(Ok(bufs.iter().map(|bytes| bytes.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.push(cx, |tls, socket| tls.push(socket))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.push(cx, |tls, socket| tls.end(socket)))?;
        Pin::new(&mut self.line()?.tcp).poll_shutdown(cx)
    }
}

/// Reads once the socket has what that takes.
pub(super) fn poll_read(
    tls: &mut Tls,
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        match tls.read(&mut Now(tcp), into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_read_ready(cx))?,
            read => {
                // What the client asked of TLS itself; if there is no room now, the next write takes it along.
                let _ = tls.push(&mut Now(tcp));
                return Poll::Ready(read);
            }
        }
    }
}

/// Writes once the socket has room.
fn poll_write<T>(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&mut Now<'_>) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match write(&mut Now(tcp)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx))?,
            written => return Poll::Ready(written),
        }
    }
}

/// Closes in stages (RFC 9112 §9.6): says that nothing more comes, and reads on until the client has stopped, so that
/// the kernel does not throw the answer away with what was not read.
pub async fn part(mut tcp: TcpStream) {
    let reading = async {
        let _ = tcp.shutdown().await;
        let (mut scratch, mut total) = (vec![0; 16 * 1024], 0);
        while let Ok(Ok(read @ 1..)) = timeout(SILENCE, tcp.read(&mut scratch)).await {
            total += read;
            if total > MOST_BYTES {
                return;
            }
        }
    };
    let _ = timeout(LONGEST, reading).await;
}
