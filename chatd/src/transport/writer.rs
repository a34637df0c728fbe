//! Frames on their way to a client: the sending half of the WebSocket protocol (RFC 6455), over any writer.
//!
//! Invariant: frames leave whole and in their order; pongs overtake data, the close stands behind everything, and
//! nothing comes after it. One who waits for nothing holds no queue.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Result, Write};

use bytes::{Buf, Bytes};

use super::ending::Waiting;

/// Frames handed to the socket in one call at most.
const MAX_SLICES: usize = 64;
/// Pongs that wait at most; of more, only the last one does (RFC 6455 §5.5.3).
const MAX_PONGS: usize = 64;
/// First byte of a close.
const FIN_CLOSE: u8 = 0x88;
/// First byte of a pong.
const FIN_PONG: u8 = 0x8a;

/// What [`Writer::flush`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing.
    All,
    /// Frames wait until the socket is writable.
    Blocked,
}

/// The frames, and how far they are.
#[derive(Debug, Default)]
pub struct Writer {
    /// Frames being written; the first may be partly gone.
    writing: VecDeque<Bytes>,
    own: Option<Box<Own>>,
    /// Whether part of the first frame in `writing` is gone.
    begun: bool,
    /// Whether the close frame is written or being written.
    closed: bool,
    /// Whether the socket took something since somebody asked.
    moved: bool,
    bytes: u64,
    frames: u64,
}

/// Frames of the protocol itself.
#[derive(Debug, Default)]
struct Own {
    pongs: Vec<Bytes>,
    close: Option<Bytes>,
}

impl Writer {
    /// Answers a ping.
    pub fn pong(&mut self, content: &[u8]) {
        let pongs = &mut self.own.get_or_insert_default().pongs;
        if pongs.len() == MAX_PONGS {
            pongs.pop();
        }
        pongs.push(control(FIN_PONG, &[content]));
    }

    /// Ends what is said with a close frame behind all that waits. The first one stays.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.own.get_or_insert_default().close.get_or_insert_with(|| close_frame(code, reason));
    }

    /// Answers the client's close frame.
    pub fn confirm_close(&mut self, code: Option<u16>) {
        let code = code.map(u16::to_be_bytes);
        let frame = || control(FIN_CLOSE, &[code.as_ref().map_or(&[], |code| &code[..])]);
        self.own.get_or_insert_default().close.get_or_insert_with(frame);
    }

    /// Writes until everything is gone or the socket takes no more. `refill` adds at most so many frames to an empty
    /// queue.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(
        &mut self,
        socket: &mut impl Write,
        mut refill: impl FnMut(&mut VecDeque<Bytes>, usize),
    ) -> Result<Flushed> {
        loop {
            if self.writing.is_empty() && !self.gather(&mut refill) {
                return Ok(Flushed::All);
            }
            match self.write_some(socket) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Fills the empty queue. Says whether there is anything to write.
    fn gather(&mut self, refill: &mut impl FnMut(&mut VecDeque<Bytes>, usize)) -> bool {
        if self.closed {
            return false;
        }
        if let Some(own) = &mut self.own {
            self.writing.extend(own.pongs.drain(..));
        }
        refill(&mut self.writing, MAX_SLICES);
        if !self.writing.is_empty() {
            return true;
        }
        let close = self.own.take().and_then(|own| own.close);
        self.closed |= close.is_some();
        // Making a queue anew is little beside the write.
        self.writing = close.into_iter().collect();
        !self.writing.is_empty()
    }

    fn write_some(&mut self, socket: &mut impl Write) -> Result<()> {
        let mut written = if self.writing.len() == 1 {
            socket.write(&self.writing[0])?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.writing.len().min(MAX_SLICES);
            for (slice, frame) in slices.iter_mut().zip(&self.writing) {
                *slice = IoSlice::new(frame);
            }
            socket.write_vectored(&slices[..count])?
        };
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.moved = true;
        self.bytes += written as u64;
        while written > 0 {
            let frame = &mut self.writing[0];
            if written < frame.len() {
                frame.advance(written);
                self.begun = true;
                break;
            }
            written -= frame.len();
            self.writing.pop_front();
            self.frames += 1;
            self.begun = false;
        }
        Ok(())
    }

    /// Drops what waits here, the rest of a frame that is partly gone excepted. Gives what the client does not get.
    pub fn cut(&mut self) -> Waiting {
        let keep = usize::from(self.begun);
        let dropped = Waiting::of(self.writing.iter().skip(keep));
        self.writing.truncate(keep);
        dropped
    }

    /// What was taken to be written and the socket did not take.
    #[must_use]
    pub fn unwritten(&self) -> Waiting {
        Waiting::of(&self.writing)
    }

    /// Whether the socket took something since the last call.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Bytes the socket took.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames the socket took whole, those of the protocol included.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

/// The close frame of our own closes and of those that answer a violation.
fn close_frame(code: u16, reason: &str) -> Bytes {
    control(FIN_CLOSE, &[&code.to_be_bytes(), reason.as_bytes()])
}

/// A control frame of what must not be more than 125 bytes.
fn control(first: u8, parts: &[&[u8]]) -> Bytes {
    let content = parts.concat();
    debug_assert!(content.len() <= 125);
    #[expect(clippy::cast_possible_truncation, reason = "at most 125")]
    let mut frame = vec![first, content.len() as u8];
    frame.extend(content);
    frame.into()
}

#[cfg(test)]
mod tests;
