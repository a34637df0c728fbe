//! Frames on their way to a client: the sending half of the WebSocket protocol (RFC 6455), over any outlet.
//!
//! Invariant: frames leave whole and in their order; pongs overtake data, the close stands behind everything, and
//! nothing comes after it. One who waits for nothing holds no queue.

use std::io::{ErrorKind, IoSlice, Result, Write};

use bytes::{Buf, Bytes};

use super::ending::Waiting;
use super::frames::Frames;

/// Frames handed to the socket in one call at most.
const MAX_SLICES: usize = 64;
/// Pongs that wait at most; of more, only the last one does (RFC 6455 §5.5.3).
const MAX_PONGS: usize = 64;
/// First byte of a close.
const FIN_CLOSE: u8 = 0x88;
/// First byte of a pong.
const FIN_PONG: u8 = 0x8a;

/// What frames are written to.
pub trait Outlet: Write {
    /// Bytes it has taken and could not pass on yet; [`Write::flush`] tries to.
    fn held(&self) -> usize {
        0
    }
}

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
    /// What the socket did not take yet.
    rest: Option<Box<Rest>>,
    own: Option<Box<Own>>,
    /// Whether the close frame is written or being written.
    closed: bool,
    /// Whether the socket took something since somebody asked.
    moved: bool,
    bytes: u64,
    frames: u64,
}

/// Frames being written.
#[derive(Debug, Default)]
struct Rest {
    frames: Frames,
    /// Whether part of the first one is gone.
    begun: bool,
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
        socket: &mut impl Outlet,
        mut refill: impl FnMut(&mut Frames, usize),
    ) -> Result<Flushed> {
        // Here and not in a place of its own, as long as the socket takes it.
        let mut rest = self.rest.take().map_or_else(Rest::default, |rest| *rest);
        loop {
            let written = match self.pass_on(socket) {
                Ok(()) if rest.frames.is_empty() && !self.gather(&mut rest.frames, &mut refill) => {
                    return Ok(Flushed::All);
                }
                Ok(()) => self.write_some(&mut rest, socket),
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.rest = (!rest.frames.is_empty()).then(|| Box::new(rest));
                    return if error.kind() == ErrorKind::WouldBlock {
                        Ok(Flushed::Blocked)
                    } else {
                        Err(error)
                    };
                }
            }
        }
    }

    /// Fills the empty queue. Says whether there is anything to write.
    fn gather(&mut self, frames: &mut Frames, refill: &mut impl FnMut(&mut Frames, usize)) -> bool {
        if self.closed {
            return false;
        }
        if let Some(own) = &mut self.own {
            own.pongs.drain(..).for_each(|pong| frames.push(pong));
        }
        refill(frames, MAX_SLICES);
        if !frames.is_empty() {
            return true;
        }
        let close = self.own.take().and_then(|own| own.close);
        self.closed |= close.is_some();
        *frames = close.into_iter().collect();
        !frames.is_empty()
    }

    /// Lets the socket pass on what it holds, to the end of it.
    fn pass_on(&mut self, socket: &mut impl Outlet) -> Result<()> {
        let before = socket.held();
        if before == 0 {
            return Ok(());
        }
        let passed = socket.flush();
        self.moved |= socket.held() < before;
        passed
    }

    fn write_some(&mut self, rest: &mut Rest, socket: &mut impl Outlet) -> Result<()> {
        let mut written = match rest.frames.only() {
            Some(frame) => socket.write(frame)?,
            None => {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = rest.frames.len().min(MAX_SLICES);
                for (slice, frame) in slices.iter_mut().zip(rest.frames.iter()) {
                    *slice = IoSlice::new(frame);
                }
                socket.write_vectored(&slices[..count])?
            }
        };
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.moved = true;
        self.bytes += written as u64;
        while written > 0 {
            let Some(frame) = rest.frames.first_mut() else { break };
            if written < frame.len() {
                frame.advance(written);
                rest.begun = true;
                break;
            }
            written -= frame.len();
            rest.frames.pop();
            self.frames += 1;
            rest.begun = false;
        }
        Ok(())
    }

    /// Drops what waits here, the rest of a frame that is partly gone excepted. Gives what the client does not get.
    pub fn cut(&mut self) -> Waiting {
        let Some(rest) = &mut self.rest else { return Waiting::default() };
        let keep = usize::from(rest.begun);
        let dropped = Waiting::of(rest.frames.iter().skip(keep));
        rest.frames.truncate(keep);
        dropped
    }

    /// What was taken to be written and the socket did not take.
    #[must_use]
    pub fn unwritten(&self) -> Waiting {
        Waiting::of(self.rest.iter().flat_map(|rest| rest.frames.iter()))
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
impl Outlet for Vec<u8> {}

#[cfg(test)]
mod tests;
