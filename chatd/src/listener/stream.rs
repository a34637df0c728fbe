//! The socket of an HTTP connection: it tells the course what comes, and outlives the HTTP library when the client
//! is still sending.
//!
//! Invariant: an upgraded connection gets the bare socket back.

use std::io;
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

/// Silence after which a client that was refused is taken to have read its answer.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest time for which a refused request is read on.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of a refused request that are read at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A socket that tells its course what comes.
pub struct Stream {
    /// Present until the end.
    tcp: Option<TcpStream>,
    course: Arc<Course>,
}

impl Stream {
    /// A connection's socket.
    pub fn new(tcp: TcpStream, course: Arc<Course>) -> Self {
        Self { tcp: Some(tcp), course }
    }

    /// The bare socket.
    pub fn into_tcp(mut self) -> Option<TcpStream> {
        self.tcp.take()
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether bytes wait in the kernel.
    fn has_bytes(&self) -> bool {
        let peek = |tcp| SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
        self.tcp.as_ref().is_some_and(|tcp| peek(tcp).is_ok_and(|bytes| bytes > 0))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(tcp) = self.tcp.take() {
            self.course.leave(tcp);
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
        ready!(self.tcp()?.poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.course.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_shutdown(cx)
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
