//! One WebSocket connection of a load client, driven by polls.
//!
//! Invariant: an idle connection holds no buffer. Bytes are read into one buffer per thread and parsed there; only the
//! beginning of an unfinished frame is kept.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use chat_client::{Error, Server, Stream};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::net::frames;
use crate::net::handshake::{self, HandshakeError};

const SCRATCH_BYTES: usize = 64 * 1024;

/// Close code of a connection that broke without one.
pub const ABNORMAL: u16 = 1006;
/// Close code of a close frame that names none.
const NO_STATUS: u16 = 1005;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The close code; 1006 when the connection broke without one.
    pub code: u16,
    /// The words that came with it.
    pub reason: String,
}

impl End {
    /// The connection broke.
    pub fn broken(reason: impl ToString) -> Self {
        Self { code: ABNORMAL, reason: reason.to_string() }
    }
}

/// A WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Read and not yet parsed: the beginning of a frame.
    unread: Vec<u8>,
    /// The first frames of a message in several.
    message: Vec<u8>,
    out: Vec<u8>,
    written: usize,
}

impl Socket {
    /// Connects to this address of the server, from `source` if there is one, and shakes hands.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub async fn open(
        server: &Server,
        address: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<Self, HandshakeError> {
        let broken = |error: std::io::Error| HandshakeError::Broken(error.to_string());
        let tcp = connect(address, source).await.map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        let mut stream = Stream::over(tcp, server).await.map_err(|error| match error {
            Error::Unreachable { cause, .. } => HandshakeError::Broken(cause),
            other => HandshakeError::Insecure(other.to_string()),
        })?;
        let unread = handshake::shake(&mut stream, server).await?;
        Ok(Self { stream, unread, message: Vec::new(), out: Vec::new(), written: 0 })
    }

    /// Makes the coming drop a hard one: a reset instead of an orderly end. It also spares this host the minute that
    /// it would keep the port of each connection it ended in order.
    pub fn break_off(&self) {
        // Where the system refuses, the drop is still one without a close frame.
        let _ = self.stream.tcp().set_zero_linger();
    }

    /// Queues a text frame.
    pub fn queue_text(&mut self, text: &str) {
        frames::write_text(text, &mut self.out);
    }

    /// Queues the frame that asks for the end.
    pub fn queue_close(&mut self) {
        frames::write_close(1000, &mut self.out);
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// [`End`] when the connection is over.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        while self.written < self.out.len() {
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]));
            self.written += wrote.map_err(End::broken)?;
        }
        if self.written > 0 {
            self.out.clear();
            self.out.shrink_to(1024);
            self.written = 0;
        }
        // TLS may have kept some of it; a plain socket has nothing to flush.
        Pin::new(&mut self.stream).poll_flush(cx).map_err(End::broken)
    }

    /// Reads once and hands out each whole text. Ready means: there may be more.
    ///
    /// # Errors
    /// [`End`] when the connection is over.
    pub fn poll_texts(
        &mut self,
        cx: &mut Context<'_>,
        mut on_text: impl FnMut(&[u8]),
    ) -> Poll<Result<(), End>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            // By poll_read and not try_read: a short read then spares the second system call that would only say
            // "nothing more".
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(End::broken)?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Err(End::broken("the connection broke")));
            }
            Poll::Ready(self.take(read, &mut on_text))
        })
    }

    /// Writes what is queued as far as the system takes it, then reads once and hands out each whole text. Ready means:
    /// there may be more.
    ///
    /// # Errors
    /// [`End`] when the connection is over.
    pub fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        on_text: impl FnMut(&[u8]),
    ) -> Poll<Result<(), End>> {
        if let Poll::Ready(Err(end)) = self.poll_flush(cx) {
            return Poll::Ready(Err(end));
        }
        self.poll_texts(cx, on_text)
    }

    /// Hands out texts that arrived with the handshake.
    ///
    /// # Errors
    /// [`End`] when a close was among them.
    pub fn take_early(&mut self, mut on_text: impl FnMut(&[u8])) -> Result<(), End> {
        if self.unread.is_empty() { Ok(()) } else { self.take(&[], &mut on_text) }
    }

    fn take(&mut self, read: &[u8], on_text: &mut impl FnMut(&[u8])) -> Result<(), End> {
        if self.unread.is_empty() {
            let used = self.parse(read, on_text)?;
            self.unread.extend_from_slice(&read[used..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.unread);
        bytes.extend_from_slice(read);
        let used = self.parse(&bytes, on_text)?;
        if used < bytes.len() {
            bytes.drain(..used);
            self.unread = bytes;
        }
        Ok(())
    }

    /// Handles all whole frames and says how many bytes they were.
    fn parse(&mut self, bytes: &[u8], on_text: &mut impl FnMut(&[u8])) -> Result<usize, End> {
        let mut used = 0;
        while let Some(frame) = frames::parse(&bytes[used..]).map_err(End::broken)? {
            used += frame.length;
            match frame.opcode {
                OpCode::Data(Data::Text) if frame.is_final => on_text(frame.payload),
                OpCode::Data(Data::Text | Data::Continue) => {
                    self.message.extend_from_slice(frame.payload);
                    if frame.is_final {
                        on_text(&std::mem::take(&mut self.message));
                    }
                }
                OpCode::Control(Control::Ping) => frames::write_pong(frame.payload, &mut self.out),
                OpCode::Control(Control::Pong) => {}
                OpCode::Control(Control::Close) => {
                    let end = closed(frame.payload);
                    // The other side waits for this before it lets go of the connection.
                    frames::write_close(if end.code == NO_STATUS { 1000 } else { end.code }, &mut self.out);
                    return Err(end);
                }
                OpCode::Data(_) | OpCode::Control(_) => return Err(End::broken("unexpected kind of frame")),
            }
        }
        Ok(used)
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The port is chosen when the destination is known, so that each destination has all ports of its own.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}

fn closed(payload: &[u8]) -> End {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => {
            End { code: u16::from_be_bytes(*code), reason: String::from_utf8_lossy(reason).into_owned() }
        }
        None => End { code: NO_STATUS, reason: String::new() },
    }
}
