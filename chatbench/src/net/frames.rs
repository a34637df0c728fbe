//! WebSocket frames of a client: parsing where they lie, writing with a mask.
//!
//! Invariant: a frame is handed out whole or not at all; its bytes are not copied.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Longest frame taken from a server; chatd allows 64 KiB.
const MAX_FRAME_BYTES: u64 = 256 * 1024;

/// A frame at the start of some bytes.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// What it is.
    pub opcode: OpCode,
    /// Whether the message ends with it.
    pub is_final: bool,
    /// Its content.
    pub payload: &'a [u8],
    /// Bytes of the frame, header included.
    pub length: usize,
}

/// The frame at the start of `bytes`; `None` when more bytes are needed.
///
/// # Errors
/// What the server did wrong.
pub fn parse(bytes: &[u8]) -> Result<Option<Parsed<'_>>, &'static str> {
    let mut cursor = Cursor::new(bytes);
    let header = FrameHeader::parse(&mut cursor).map_err(|_| "malformed frame header")?;
    let Some((header, length)) = header else { return Ok(None) };
    if header.mask.is_some() || header.rsv1 || header.rsv2 || header.rsv3 {
        return Err("masked or extended frame from the server");
    }
    if length > MAX_FRAME_BYTES {
        return Err("frame larger than 256 KiB");
    }
    // Both are far below 4 GiB after the check.
    let (start, length) = (cursor.position() as usize, length as usize);
    let frame = bytes.get(start..start + length).map(|payload| Parsed {
        opcode: header.opcode,
        is_final: header.is_final,
        payload,
        length: start + length,
    });
    Ok(frame)
}

/// A frame of a client.
#[derive(Debug)]
pub struct FromClient {
    /// Its text; empty when it is a control frame.
    pub text: Vec<u8>,
    /// Bytes of the frame, header included.
    pub length: usize,
    /// Whether it asks for the end.
    pub is_close: bool,
}

/// The frame of a client at the start of `bytes`; `None` when more bytes are needed.
///
/// # Errors
/// What the client did wrong.
pub fn parse_masked(bytes: &[u8]) -> Result<Option<FromClient>, &'static str> {
    let mut cursor = Cursor::new(bytes);
    let header = FrameHeader::parse(&mut cursor).map_err(|_| "malformed frame header")?;
    let Some((header, length)) = header else { return Ok(None) };
    let mask = header.mask.ok_or("no mask")?;
    if length > MAX_FRAME_BYTES {
        return Err("frame larger than 256 KiB");
    }
    // Both are far below 4 GiB after the check.
    let (start, length) = (cursor.position() as usize, length as usize);
    let Some(payload) = bytes.get(start..start + length) else { return Ok(None) };
    let text = match header.opcode {
        OpCode::Data(_) => payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect(),
        OpCode::Control(_) => Vec::new(),
    };
    let is_close = header.opcode == OpCode::Control(Control::Close);
    Ok(Some(FromClient { text, length: start + length, is_close }))
}

/// A text frame of a server.
pub fn unmasked_text(text: &[u8]) -> Vec<u8> {
    unmasked(OpCode::Data(Data::Text), text)
}

/// A close frame of a server.
pub fn unmasked_close(code: u16) -> Vec<u8> {
    unmasked(OpCode::Control(Control::Close), &code.to_be_bytes())
}

fn unmasked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    // Writing to a vector cannot fail.
    let _ = FrameHeader { opcode, ..FrameHeader::default() }.format(payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out
}

/// Appends a text frame.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write(OpCode::Data(Data::Text), text.as_bytes(), out);
}

/// Appends the answer to a ping.
pub fn write_pong(payload: &[u8], out: &mut Vec<u8>) {
    write(OpCode::Control(Control::Pong), payload, out);
}

/// Appends a close frame.
pub fn write_close(code: u16, out: &mut Vec<u8>) {
    write(OpCode::Control(Control::Close), &code.to_be_bytes(), out);
}

fn write(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mask: [u8; 4] = rand::random();
    let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
    // Writing to a vector cannot fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_only_when_it_is_whole() {
        let bytes = b"\x81\x05hello\x81\x02hi";
        for end in 0..7 {
            assert!(parse(&bytes[..end]).unwrap().is_none(), "{end}");
        }
        let frame = parse(bytes).unwrap().unwrap();
        assert_eq!((frame.payload, frame.length, frame.is_final), (&b"hello"[..], 7, true));
        let next = parse(&bytes[frame.length..]).unwrap().unwrap();
        assert_eq!(next.payload, b"hi");
    }

    #[test]
    fn a_server_that_masks_or_exaggerates_is_refused() {
        assert!(parse(b"\x81\x81abcdx").is_err());
        assert!(parse(b"\xc1\x01x").is_err());
        assert!(parse(b"\x81\x7f\x00\x00\x00\x00\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn written_frames_carry_their_mask() {
        for length in [0, 5, 126, 70_000] {
            let text = "x".repeat(length);
            let mut out = Vec::new();
            write_text(&text, &mut out);
            let mut cursor = Cursor::new(&out[..]);
            let (header, announced) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            let (mask, start) = (header.mask.unwrap(), cursor.position() as usize);
            assert_eq!(announced as usize, length);
            let plain: Vec<u8> = out[start..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(plain, text.as_bytes());
        }
    }
}
