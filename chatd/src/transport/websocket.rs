//! A WebSocket over a TCP stream: tungstenite's protocol without its I/O, our own queue of shared frames, and
//! vectored writes.
//!
//! Invariant: a frame is written whole or the connection ends; nothing follows a close frame, and what was queued
//! before it, the answers to what a closing peer had asked above all, stands before it (RFC 6455 §5.5.1).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::ending::{End, LOST, Traffic, Waiting, unsaid};

/// Frames handed to the kernel in one call at most.
const MAX_SLICES: usize = 32;
/// Bytes read at a time. Small, because every connection holds such a buffer.
const READ_BUFFER: usize = 512;
/// Bytes taken from the kernel in one call of [`Socket::receive`], about: a peer that always has more to say must
/// not keep its connection from writing, or others from their turn.
const READ_AT_ONCE: usize = 16 * 1024;
/// Frames of the protocol that may wait to be written. Of more pongs only the last one does (RFC 6455 §5.5.3).
const MAX_CONTROL: usize = 64;
/// First byte of a close.
const FIN_CLOSE: u8 = 0x88;
/// First byte of a pong.
const FIN_PONG: u8 = 0x8a;

/// Close codes of RFC 6455 §7.4.1 for a peer that breaks the protocol.
mod violation {
    pub const PROTOCOL: u16 = 1002;
    pub const NOT_UTF8: u16 = 1007;
    pub const TOO_BIG: u16 = 1009;
}

/// Something the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message, however many frames it came in.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping, a pong, or a part of something: there may be more.
    Control,
    /// Nothing more for now.
    Nothing,
    /// Nothing more ever: the peer closed, broke the protocol, or is gone. See [`Socket::finish`].
    End,
}

/// What [`Socket::flush`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing.
    All,
    /// Frames wait until the socket is writable.
    Blocked,
}

/// One WebSocket: frames in, and frames out as the socket takes them.
pub struct Socket {
    tcp: TcpStream,
    context: WebSocketContext,
    /// Frames of the protocol itself: pongs and the close.
    control: VecDeque<Bytes>,
    /// Frames being written; the first may be partly gone.
    writing: VecDeque<Bytes>,
    /// The close frame to queue once everything else is written.
    farewell: Option<CloseFrame>,
    /// Whether part of the first frame in `writing` is gone.
    begun: bool,
    /// Whether the close frame is written or being written.
    closed: bool,
    /// Whether the kernel took something since somebody asked.
    moved: bool,
    ended: bool,
    traffic: Traffic,
    end: Option<Box<End>>,
}

/// What tungstenite sees: reads come from the socket, writes go to the control queue.
struct Io<'a> {
    tcp: &'a TcpStream,
    control: &'a mut VecDeque<Bytes>,
    /// Bytes that may still be read.
    allowed: usize,
    /// Bytes read so far.
    read: &'a mut u64,
}

impl Read for Io<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowed == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.tcp.try_read(buffer)?;
        self.allowed = self.allowed.saturating_sub(count);
        *self.read += count as u64;
        Ok(count)
    }
}

impl Write for Io<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.control.len() >= MAX_CONTROL
            && begins(bytes, FIN_PONG)
            && self.control.back().is_some_and(|frame| begins(frame, FIN_PONG))
        {
            self.control.pop_back();
        }
        self.control.push_back(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// A server's end of a connection whose handshake is done. `read_ahead` are bytes that came with it.
    #[must_use]
    pub fn new(tcp: TcpStream, read_ahead: &[u8], max_frame_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_frame_size(Some(max_frame_bytes))
            .max_message_size(Some(max_frame_bytes));
        let traffic = Traffic { bytes_in: read_ahead.len() as u64, ..Traffic::default() };
        let context = WebSocketContext::from_partially_read(read_ahead.to_vec(), Role::Server, Some(config));
        Self {
            tcp,
            context,
            control: VecDeque::new(),
            writing: VecDeque::new(),
            farewell: None,
            begun: false,
            closed: false,
            moved: false,
            ended: false,
            traffic,
            end: None,
        }
    }

    /// The next message, without waiting.
    pub fn receive(&mut self) -> Received {
        if self.ended {
            return Received::End;
        }
        let read = &mut self.traffic.bytes_in;
        let mut io = Io { tcp: &self.tcp, control: &mut self.control, allowed: READ_AT_ONCE, read };
        match self.context.read(&mut io) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes),
            Ok(Message::Close(frame)) => {
                let said = |frame: CloseFrame| (frame.code.into(), frame.reason.to_string());
                let (code, detail) = frame.map_or((unsaid::NO_CODE, String::new()), said);
                self.note(code, "closed by the client", detail);
                Received::Control
            }
            // Pings are answered and closes confirmed by tungstenite; the end follows as an error.
            Ok(_) => Received::Control,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => match io.allowed {
                0 => Received::Control,
                _ => Received::Nothing,
            },
            Err(error) => {
                self.fail(&error);
                self.ended = true;
                Received::End
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        let (code, reason) = match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => (violation::TOO_BIG, "frame too large"),
            Error::Utf8(_) => (violation::NOT_UTF8, "text is not UTF-8"),
            // The peer has shut its side without a close; one that still listens gets its answers.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return self.note(unsaid::NO_CLOSE, "the client left without a close", String::new());
            }
            Error::Protocol(_) => (violation::PROTOCOL, "protocol error"),
            Error::Io(error) => return self.lost(error),
            _ => return self.note(unsaid::NO_CLOSE, LOST, error.to_string()),
        };
        self.close(code, reason);
        self.note(code, reason, error.to_string());
    }

    /// Notes that the connection broke. The first end stays.
    pub fn lost(&mut self, error: &io::Error) {
        self.note(unsaid::NO_CLOSE, LOST, error.to_string());
    }

    fn note(&mut self, code: u16, reason: &'static str, detail: String) {
        self.end.get_or_insert_with(|| Box::new(End { code, reason, detail }));
    }

    /// Why the peer's side ended, when it did.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_deref()
    }

    /// What went over the connection so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What was given to the socket and the kernel did not take.
    #[must_use]
    pub fn unwritten(&self) -> Waiting {
        Waiting::of(&self.writing)
    }

    /// Ends the connection with this code after what is queued. The first reason stays.
    pub fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static(reason) };
        self.farewell.get_or_insert(frame);
    }

    /// The same for a peer who may not read any more: of what is queued only the rest of a frame that is partly gone
    /// stands before the close, and the kernel gets room for both, so that it can deliver them when nobody is here. Gives
    /// what the peer does not get.
    pub fn close_early(&mut self, code: u16, reason: &'static str) -> Waiting {
        let dropped = Waiting::of(self.writing.iter().skip(usize::from(self.begun)));
        self.writing.truncate(usize::from(self.begun));
        let socket = SockRef::from(&self.tcp);
        let rest = self.writing.iter().map(Bytes::len).sum::<usize>();
        // Without the room, a peer who reads at last may find the connection gone.
        if let Ok(bytes) = socket.send_buffer_size()
            && let Err(error) = socket.set_send_buffer_size(bytes + rest)
        {
            tracing::debug!(%error, "room for a farewell");
        }
        self.close(code, reason);
        dropped
    }

    /// Writes until everything is gone or the kernel takes no more. `refill` adds frames to an empty queue.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self, mut refill: impl FnMut(&mut VecDeque<Bytes>, usize)) -> io::Result<Flushed> {
        loop {
            if self.writing.is_empty() && !self.gather(&mut refill) {
                return Ok(Flushed::All);
            }
            match self.write_some() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the kernel took something since the last call.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Fills the empty queue: pongs, then data, then the close. Says whether there is anything to write.
    fn gather(&mut self, refill: &mut impl FnMut(&mut VecDeque<Bytes>, usize)) -> bool {
        let closing = self.control.back().is_some_and(|frame| begins(frame, FIN_CLOSE));
        let close = if closing { self.control.pop_back() } else { None };
        self.writing.append(&mut self.control);
        if !self.closed {
            refill(&mut self.writing, MAX_SLICES);
        }
        if !self.writing.is_empty() {
            self.control.extend(close);
            return true;
        }
        // Our own close goes only where the peer has not closed first.
        let close = close.or_else(|| self.farewell());
        self.closed |= close.is_some();
        // An idle connection should hold no queue; making one anew is little beside the write.
        self.writing = close.into_iter().collect();
        !self.writing.is_empty()
    }

    fn farewell(&mut self) -> Option<Bytes> {
        let frame = self.farewell.take()?;
        let read = &mut self.traffic.bytes_in;
        let mut io = Io { tcp: &self.tcp, control: &mut self.control, allowed: 0, read };
        // Fails only when a close was sent before, and then there is nothing more to say.
        let _ = self.context.close(&mut io, Some(frame)).and_then(|()| self.context.flush(&mut io));
        self.control.drain(..).find(|frame| begins(frame, FIN_CLOSE))
    }

    /// Writes what is left, says farewell, and waits until the peer has closed too. Gives up on a peer who takes
    /// nothing for as long as `patience`, or does not close within it.
    pub async fn finish(&mut self, mut refill: impl FnMut(&mut VecDeque<Bytes>, usize), patience: Duration) {
        while let Ok(Flushed::Blocked) = self.flush(&mut refill) {
            let writable = timeout(patience, self.ready(Interest::WRITABLE)).await;
            if !matches!(writable, Ok(Ok(()))) {
                return;
            }
        }
        // Closing with unread input would reset the connection and could take the farewell with it.
        if self.tcp.shutdown().await.is_err() {
            return;
        }
        let mut discarded = vec![0; READ_BUFFER];
        let _ = timeout(patience, async {
            while let Ok(count) = self.tcp.read(&mut discarded).await
                && count > 0
            {}
        })
        .await;
    }

    fn write_some(&mut self) -> io::Result<()> {
        let mut written = if self.writing.len() == 1 {
            self.tcp.try_write(&self.writing[0])?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.writing.len().min(MAX_SLICES);
            for (slice, frame) in slices.iter_mut().zip(&self.writing) {
                *slice = IoSlice::new(frame);
            }
            self.tcp.try_write_vectored(&slices[..count])?
        };
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.moved = true;
        self.traffic.bytes_out += written as u64;
        while written > 0 {
            let frame = &mut self.writing[0];
            if written < frame.len() {
                frame.advance(written);
                self.begun = true;
                break;
            }
            written -= frame.len();
            self.writing.pop_front();
            self.traffic.frames_out += 1;
            self.begun = false;
        }
        Ok(())
    }

    /// Waits until the socket can be read or written as asked.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn ready(&self, interest: Interest) -> io::Result<()> {
        self.tcp.ready(interest).await.map(|_| ())
    }
}

fn begins(frame: &[u8], first: u8) -> bool {
    frame.first() == Some(&first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PINGS: usize = 10_000;

    /// A socket whose peer has sent pings and a text behind them.
    async fn pinged() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        peer.write_all(&ping.repeat(PINGS)).await.unwrap();
        peer.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
        (Socket::new(tcp, &[], 1024), peer)
    }

    #[tokio::test]
    async fn pings_that_are_not_read_back_take_no_room_and_hide_nothing() {
        let (mut socket, _peer) = pinged().await;
        let mut pings = 0;
        loop {
            match socket.receive() {
                Received::Control => pings += 1,
                Received::Nothing => socket.ready(Interest::READABLE).await.unwrap(),
                other => break assert_eq!(other, Received::Text("x".into())),
            }
            assert!(socket.control.len() <= MAX_CONTROL);
        }
        assert!(pings >= PINGS, "each call brings one");
    }
}
