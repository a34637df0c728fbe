//! Bytes of a client to messages: the receiving half of the WebSocket protocol (RFC 6455), without a socket.
//!
//! Invariant: what is given was valid to its last byte; after a violation nothing more is given. A message is read where
//! its bytes lie, and copied only when it comes in parts.

use std::borrow::Cow;
use std::ops::Range;

use super::ending::Violation;

/// Content of a control frame at most (RFC 6455 §5.5).
const MAX_CONTROL: u8 = 125;
/// Bit of a message's last frame.
const FIN: u8 = 0x80;
/// Bits of extensions, of which none is agreed on.
const RESERVED: u8 = 0x70;
/// Bit of a frame whose content is masked.
const MASKED: u8 = 0x80;

/// RFC 6455 §11.8.
mod opcode {
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// Something the client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A text message, however many frames it came in.
    Text(Cow<'a, str>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping, with what the pong must repeat.
    Ping(&'a [u8]),
    /// A pong, or a part of a message of which more is to come.
    Other,
    /// The client closes, perhaps with a code and a reason.
    Close(Option<(u16, &'a str)>),
}

/// What is remembered between two frames: the parts of a message so far.
#[derive(Debug, Default)]
pub struct Reader {
    message: Option<Box<Message>>,
}

/// A message of which more is to come.
#[derive(Debug)]
struct Message {
    is_text: bool,
    bytes: Vec<u8>,
    /// Bytes known to be whole characters.
    checked: usize,
}

/// A frame's header, and where its content lies.
struct Header {
    is_last: bool,
    opcode: u8,
    mask: [u8; 4],
    content: Range<usize>,
}

impl Reader {
    /// The next thing in `input`, from `at` on, which moves behind it; nothing while it is not there to its end.
    ///
    /// # Errors
    /// When the client breaks the protocol, or a message has more than `max_bytes`.
    pub fn next<'a>(
        &mut self,
        input: &'a mut [u8],
        at: &mut usize,
        max_bytes: usize,
    ) -> Result<Option<Received<'a>>, Violation> {
        let begun = self.message.as_ref().map_or(0, |message| message.bytes.len());
        let Some(header) = Header::read(input, *at, max_bytes.saturating_sub(begun))? else {
            return Ok(None);
        };
        let Some(content) = input.get_mut(header.content.clone()) else { return Ok(None) };
        *at = header.content.end;
        unmask(content, header.mask);
        match header.opcode {
            opcode::PING => Ok(Received::Ping(content)),
            opcode::PONG => Ok(Received::Other),
            opcode::CLOSE => close(content).map(Received::Close),
            opcode::CONTINUATION => self.go_on(content, header.is_last),
            _ if self.message.is_some() => Err(Violation::protocol("a message inside another")),
            opcode::TEXT if header.is_last => text(content).map(|text| Received::Text(text.into())),
            _ if header.is_last => Ok(Received::Binary((&*content).into())),
            opcode => {
                let is_text = opcode == opcode::TEXT;
                self.message = Some(Box::new(Message { is_text, bytes: Vec::new(), checked: 0 }));
                self.go_on(content, false)
            }
        }
        .map(Some)
    }

    fn go_on<'a>(&mut self, content: &[u8], is_last: bool) -> Result<Received<'a>, Violation> {
        let message = self.message.as_mut().ok_or(Violation::protocol("the rest of no message"))?;
        message.add(content, is_last)?;
        match self.message.take_if(|_| is_last) {
            Some(message) => message.whole(),
            None => Ok(Received::Other),
        }
    }
}

impl Message {
    fn add(&mut self, content: &[u8], is_last: bool) -> Result<(), Violation> {
        self.bytes.extend_from_slice(content);
        if !self.is_text {
            return Ok(());
        }
        match str::from_utf8(&self.bytes[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            // The last character may go on in the next frame.
            Err(error) if error.error_len().is_none() && !is_last => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::not_utf8()),
        }
        Ok(())
    }

    fn whole<'a>(self) -> Result<Received<'a>, Violation> {
        if !self.is_text {
            return Ok(Received::Binary(self.bytes.into()));
        }
        let text = String::from_utf8(self.bytes).map_err(|_| Violation::not_utf8())?;
        Ok(Received::Text(text.into()))
    }
}

impl Header {
    /// The header at `at`, when it is there to its end. A message may have `room` bytes more.
    fn read(input: &[u8], at: usize, room: usize) -> Result<Option<Self>, Violation> {
        let input = &input[at..];
        let [first, second, ..] = *input else { return Ok(None) };
        check(first, second)?;
        let short = second & !MASKED;
        let (length_bytes, least) = match short {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        let Some(rest) = input.get(2..2 + length_bytes + 4) else { return Ok(None) };
        let (length, mask) = rest.split_at(length_bytes);
        let length = match length_bytes {
            0 => u64::from(short),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if length < least || length > i64::MAX.cast_unsigned() {
            return Err(Violation::protocol("a length not in its shortest form"));
        }
        let opcode = first & 0x0f;
        let fits = |length: &usize| opcode >= opcode::CLOSE || *length <= room;
        let length = usize::try_from(length).ok().filter(fits).ok_or_else(Violation::too_big)?;
        let begin = at + 2 + length_bytes + 4;
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        Ok(Some(Self { is_last: first & FIN != 0, opcode, mask, content: begin..begin + length }))
    }
}

/// Whether a frame may begin with these bytes.
fn check(first: u8, second: u8) -> Result<(), Violation> {
    let opcode = first & 0x0f;
    if first & RESERVED != 0 {
        return Err(Violation::protocol("a reserved bit"));
    }
    if !matches!(opcode, opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG) {
        return Err(Violation::protocol("a reserved opcode"));
    }
    if opcode >= opcode::CLOSE && (first & FIN == 0 || second & !MASKED > MAX_CONTROL) {
        return Err(Violation::protocol("a control frame in parts or too long"));
    }
    if second & MASKED == 0 {
        return Err(Violation::protocol("an unmasked frame"));
    }
    Ok(())
}

/// RFC 6455 §5.3, eight bytes at a time.
fn unmask(content: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = content.chunks_exact_mut(8);
    for word in &mut words {
        let plain = u64::from_ne_bytes(<[u8; 8]>::try_from(&*word).unwrap_or_default()) ^ wide;
        word.copy_from_slice(&plain.to_ne_bytes());
    }
    let rest = words.into_remainder().iter_mut();
    rest.zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

fn text(content: &[u8]) -> Result<&str, Violation> {
    str::from_utf8(content).map_err(|_| Violation::not_utf8())
}

/// Code and reason of a close frame (RFC 6455 §5.5.1).
fn close(content: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    match content {
        [] => Ok(None),
        [_] => Err(Violation::protocol("half a close code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_sendable(code) {
                return Err(Violation::protocol("a close code that must not be sent"));
            }
            Ok(Some((code, text(reason)?)))
        }
    }
}

/// Whether a close frame may bear the code: those of RFC 6455 §7.4 and of its registry, and the private ones.
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;
