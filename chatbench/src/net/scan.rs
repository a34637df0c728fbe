//! What a frame from the server is: a scan that allocates nothing for the usual shape, the full parser for the rest.
//!
//! Invariant: the scan reads a frame exactly as the full parser would, or declines it. One exception: a text of the
//! expected length is not searched for quotes, so whoever uses it checks every byte of it.

use std::borrow::Cow;

use chat_protocol::envelope::{Incoming, PUSH_TEXT};
use chat_protocol::session::{DRAIN, ENTER, EXIT, MSG};
use serde::Deserialize;

/// A frame, as far as a load client cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message pushed by the server.
    Delivery(Delivery<'a>),
    /// The answer to a request.
    Answer(Answer<'a>),
    /// The server lets the client go, and says after how many milliseconds it may come back.
    Parting(u64),
    /// Any other push: who entered, who left.
    Other,
    /// Not a frame of the protocol.
    Unreadable,
}

/// A pushed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Its text; empty when it has none.
    pub text: Cow<'a, [u8]>,
    /// Its number in the conversation; 0 when the server gave none.
    pub offset: u64,
    /// Which history the number belongs to.
    pub epoch: Cow<'a, [u8]>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The request's name.
    pub seq: Cow<'a, str>,
    /// See [`chat_protocol::Code`].
    pub code: u16,
    /// The server's words.
    pub reason: Cow<'a, str>,
    /// For a message: its number in the conversation; 0 when the server gave none.
    pub offset: u64,
}

/// Reads a frame without allocating. `text_bytes` is the size most texts have, so that they need not be searched
/// for their end. `None` when the frame does not have the usual shape: then ask [`parse`].
pub fn scan(frame: &[u8], text_bytes: usize) -> Option<Frame<'_>> {
    let mut scanner = Scanner { rest: frame };
    scanner.literal(br#"{"seq":"#)?;
    let seq = scanner.string()?;
    scanner.literal(br#","cmd":"#)?;
    let cmd = scanner.string()?;
    if cmd == ENTER.as_bytes() || cmd == EXIT.as_bytes() {
        return Some(Frame::Other);
    }
    if cmd == DRAIN.as_bytes() {
        return None;
    }
    scanner.literal(br#","response":{"code":"#)?;
    let code = scanner.number()?;
    scanner.literal(br#","codeMsg":"#)?;
    let reason = scanner.string()?;
    scanner.literal(br#","data":"#)?;
    let data =
        if scanner.rest.first() == Some(&b'{') { scanner.object(text_bytes)? } else { scanner.null()? };
    if scanner.rest != b"}}" {
        return None;
    }
    if code == 200 && reason == PUSH_TEXT.as_bytes() {
        return Some(if cmd == MSG.as_bytes() {
            Frame::Delivery(Delivery {
                text: Cow::Borrowed(data.msg),
                offset: data.offset,
                epoch: Cow::Borrowed(data.epoch),
            })
        } else {
            Frame::Other
        });
    }
    Some(Frame::Answer(Answer {
        seq: Cow::Borrowed(std::str::from_utf8(seq).ok()?),
        code: code.try_into().ok()?,
        reason: Cow::Borrowed(std::str::from_utf8(reason).ok()?),
        offset: data.offset,
    }))
}

/// After how many milliseconds the client may come back, where a frame says that the server lets it go.
pub fn parting(frame: &[u8]) -> Option<u64> {
    let mut scanner = Scanner { rest: frame };
    scanner.literal(br#"{"seq":"#)?;
    scanner.string()?;
    scanner.literal(br#","cmd":"#)?;
    match scanner.string()? == DRAIN.as_bytes() {
        true => {
            if let Frame::Parting(ms) = parse(frame) {
                Some(ms)
            } else {
                None
            }
        }
        false => None,
    }
}

/// Reads any frame.
pub fn parse(frame: &[u8]) -> Frame<'_> {
    let Ok(incoming) = serde_json::from_slice::<Incoming<'_>>(frame) else {
        return Frame::Unreadable;
    };
    let data = incoming.response.data.and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    let data = data.unwrap_or_default();
    if !incoming.is_push() {
        return Frame::Answer(Answer {
            seq: incoming.seq,
            code: incoming.response.code,
            reason: incoming.response.code_msg,
            offset: data.offset,
        });
    }
    if incoming.cmd == DRAIN {
        return Frame::Parting(data.reconnect_in_ms);
    }
    if incoming.cmd != MSG {
        return Frame::Other;
    }
    Frame::Delivery(Delivery {
        text: Cow::Owned(data.msg.into_bytes()),
        offset: data.offset,
        epoch: Cow::Owned(data.epoch.into_bytes()),
    })
}

/// The members of `data` that matter here, of a push or of an answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    msg: String,
    offset: u64,
    epoch: String,
    #[serde(rename = "reconnectInMs")]
    reconnect_in_ms: u64,
}

#[derive(Default)]
struct Members<'a> {
    msg: &'a [u8],
    offset: u64,
    epoch: &'a [u8],
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn null(&mut self) -> Option<Members<'a>> {
        self.literal(b"null").map(|()| Members::default())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\"")?;
        let end = self.rest.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
        self.up_to_quote(end)
    }

    /// A string that probably has `bytes` bytes. Whoever takes a text of that length on trust checks what is in it.
    fn sized_string(&mut self, bytes: usize) -> Option<&'a [u8]> {
        if self.rest.get(bytes + 1) == Some(&b'"') {
            self.literal(b"\"")?;
            return self.up_to_quote(bytes);
        }
        self.string()
    }

    fn up_to_quote(&mut self, end: usize) -> Option<&'a [u8]> {
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.literal(b"\"")?;
        Some(text)
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// An object of strings, whole numbers and booleans.
    fn object(&mut self, text_bytes: usize) -> Option<Members<'a>> {
        let mut members = Members::default();
        self.literal(b"{")?;
        if self.literal(b"}").is_some() {
            return Some(members);
        }
        loop {
            let name = self.string()?;
            self.literal(b":")?;
            match name {
                b"msg" => members.msg = self.sized_string(text_bytes)?,
                b"offset" => members.offset = self.number()?,
                b"epoch" => members.epoch = self.string()?,
                _ => self.any()?,
            }
            if self.literal(b"}").is_some() {
                return Some(members);
            }
            self.literal(b",")?;
        }
    }

    fn any(&mut self) -> Option<()> {
        match self.rest.first()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &[&str] = &[
        r#"{"seq":"m1","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"target":"","type":"text","msg":"hello","from":"a","msgId":"m1","offset":12,"epoch":"e1","time":17}}}"#,
        r#"{"seq":"m1","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"offset":12,"msg":"longer than five","epoch":"e1"}}}"#,
        r#"{"seq":"m1","cmd":"msg","response":{"code":200,"codeMsg":"Success","data":{"msgId":"m1","offset":12,"epoch":"e1","time":17,"duplicate":false}}}"#,
        r#"{"seq":"s","cmd":"login","response":{"code":200,"codeMsg":"Success","data":null}}"#,
        r#"{"seq":"s","cmd":"msg","response":{"code":1011,"codeMsg":"too many requests","data":{"retryAfterMs":5}}}"#,
        r#"{"seq":"s","cmd":"enter","response":{"code":200,"codeMsg":"Ok","data":{"target":"","from":"马超","time":1}}}"#,
        r#"{"seq":"s","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{}}}"#,
    ];

    #[test]
    fn the_scan_agrees_with_the_full_parser() {
        for frame in USUAL {
            let scanned = scan(frame.as_bytes(), 5).expect(frame);
            assert_eq!(scanned, parse(frame.as_bytes()), "{frame}");
        }
    }

    #[test]
    fn the_scan_declines_what_it_does_not_know() {
        for frame in [
            r#"{"cmd":"msg","seq":"m1","response":{"code":200,"codeMsg":"Ok","data":{"msg":"x","offset":1}}}"#,
            r#"{"seq":"m","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"msg":"a\"b","offset":1}}}"#,
            r#"{"seq":"m","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"size":{"width":1},"offset":1}}}"#,
            r#"{"seq": "m","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"msg":"x","offset":1}}}"#,
            r#"{"seq":"m","cmd":"msg","response":{"code":200,"codeMsg":"Ok","data":{"offset":1}}} "#,
            "",
            "{",
        ] {
            assert_eq!(scan(frame.as_bytes(), 1), None, "{frame}");
        }
        let moved = br#"{"cmd":"msg","response":{"codeMsg":"Ok","code":200,"data":{"offset":7,"msg":"x"}},"seq":"m"}"#;
        assert!(matches!(parse(moved), Frame::Delivery(Delivery { offset: 7, .. })));
        assert_eq!(parse(b"not json"), Frame::Unreadable);
        let parting = br#"{"seq":"","cmd":"system/drain","response":{"code":200,"codeMsg":"Ok","data":{"reconnectInMs":420}}}"#;
        assert_eq!((scan(parting, 1), parse(parting)), (None, Frame::Parting(420)));
        assert_eq!((super::parting(parting), super::parting(USUAL[0].as_bytes())), (Some(420), None));
    }

    #[test]
    fn a_cut_frame_never_reads_as_a_whole_one() {
        for frame in USUAL.iter().filter(|frame| !frame.contains("enter")) {
            for end in 0..frame.len() {
                assert_eq!(scan(&frame.as_bytes()[..end], 5), None, "{frame} cut at {end}");
            }
        }
    }
}
