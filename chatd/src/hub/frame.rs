//! Server frames, encoded once: WebSocket header and JSON text in one shared buffer.
//!
//! Invariant: a frame is a whole, unmasked, unfragmented text frame (RFC 6455 §5.2).

use bytes::Bytes;
use chat_protocol::Refusal;
use chat_protocol::code::Code;
use chat_protocol::envelope::PUSH_TEXT;
use chat_protocol::session::{MSG, Push};
use serde::Serialize;

use crate::model::{Entry, Language, Notice};
use crate::transport::queued;

/// Longest header of an unmasked frame.
const MAX_HEADER: usize = 10;
const FIN_TEXT: u8 = 0x81;
/// Most answers have no more bytes.
const USUAL_ANSWER: usize = 200;
/// A ping without content; whoever is there answers with a pong.
pub const PING: &[u8] = &[0x89, 0];

/// A logged message as it was sent.
///
/// # Errors
/// When the log holds something else.
pub fn sent(entry: &Entry) -> Result<Push, Refusal> {
    serde_json::from_slice(&data(entry)).map_err(|error| {
        tracing::error!(%error, offset = entry.offset, "an entry of the log cannot be read");
        Code::ServerError.into()
    })
}

/// The frame of any text.
#[must_use]
pub fn text(text: &[u8]) -> Bytes {
    framed(text.len(), |frame| frame.extend_from_slice(text))
}

/// The frame of a value that serializes to JSON.
#[must_use]
pub fn json(value: &impl Serialize) -> Bytes {
    // Cannot fail: the types of the wire have text keys and no failing serializer.
    framed(USUAL_ANSWER, |frame| serde_json::to_writer(frame, value).unwrap_or_default())
}

/// The frame of what `write` appends, of which `expected` bytes are expected. It is written where it stays.
fn framed(expected: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frame = Vec::with_capacity(MAX_HEADER + expected);
    frame.resize(MAX_HEADER, 0);
    write(&mut frame);
    frame.shrink_to_fit();
    let (header, text) = frame.split_at_mut(MAX_HEADER);
    let length = text.len();
    // It ends where the text begins.
    header[MAX_HEADER - 8..].copy_from_slice(&(length as u64).to_be_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "each arm's pattern bounds the length")]
    let start = match length {
        0..=125 => {
            header[MAX_HEADER - 2..].copy_from_slice(&[FIN_TEXT, length as u8]);
            MAX_HEADER - 2
        }
        126..=65_535 => {
            header[MAX_HEADER - 4..MAX_HEADER - 2].copy_from_slice(&[FIN_TEXT, 126]);
            MAX_HEADER - 4
        }
        _ => {
            header[..2].copy_from_slice(&[FIN_TEXT, 127]);
            0
        }
    };
    queued::counted(frame).slice(start..)
}

/// The push of a logged message, with words for whoever shows texts only.
#[must_use]
pub fn message(entry: &Entry, language: Language) -> Bytes {
    let words = language.words(&entry.members);
    push(&json_text(entry.msg_id.as_str()), MSG, &with_words(entry, words.as_deref()))
}

/// A logged message as it was sent: its members with its position in the log.
#[must_use]
pub fn data(entry: &Entry) -> Vec<u8> {
    with_words(entry, None)
}

fn with_words(entry: &Entry, words: Option<&str>) -> Vec<u8> {
    let mut data = Vec::with_capacity(entry.members.len() + 96);
    data.push(b'{');
    data.extend_from_slice(&entry.members);
    if let Some(words) = words {
        data.extend_from_slice(format!(r#","msg":{}"#, json_text(words)).as_bytes());
    }
    let place = format!(r#","offset":{},"epoch":"{}","time":{}}}"#, entry.offset, entry.epoch, entry.time);
    data.extend_from_slice(place.as_bytes());
    data
}

/// The push of a notice.
#[must_use]
pub fn notice(notice: &Notice) -> Bytes {
    push(r#""""#, &notice.cmd, &notice.data)
}

/// `data` must be JSON; `seq` a JSON text with its quotes; `cmd` needs no escaping.
fn push(seq: &str, cmd: &str, data: &[u8]) -> Bytes {
    let code = Code::Success.number();
    let head =
        format!(r#"{{"seq":{seq},"cmd":"{cmd}","response":{{"code":{code},"codeMsg":"{PUSH_TEXT}","data":"#);
    framed(head.len() + data.len() + 2, |frame| {
        [head.as_bytes(), data, b"}}"].iter().for_each(|part| frame.extend_from_slice(part));
    })
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Effect, Skip};
    use chat_protocol::MsgId;
    use chat_protocol::envelope::Incoming;
    use chat_protocol::session::Push;

    #[test]
    fn header_length_follows_the_payload() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = text(&vec![b'x'; length]);
            assert_eq!(frame.len(), length + header);
            assert!(frame[0] == FIN_TEXT && frame[header..].iter().all(|byte| *byte == b'x'));
            let told = match frame[1] {
                126 => u64::from(u16::from_be_bytes([frame[2], frame[3]])),
                127 => u64::from_be_bytes(frame[2..10].try_into().unwrap()),
                short => u64::from(short),
            };
            assert_eq!(told, length as u64);
        }
    }

    #[test]
    fn a_message_becomes_the_documented_push() {
        let entry = Entry {
            offset: 7,
            epoch: "e1".into(),
            time: 99,
            msg_id: MsgId::new("m\"1").unwrap(),
            members: Bytes::from_static(
                r#""target":"","type":"text","msg":"hello","from":"马超","msgId":"m\"1""#.as_bytes(),
            ),
            skip: Skip::Nobody,
            effect: Effect::None,
        };
        let frame = message(&entry, Language::English);
        let incoming: Incoming<'_> = serde_json::from_slice(&frame[4..]).unwrap();
        assert!(incoming.is_push());
        assert_eq!((&*incoming.seq, &*incoming.cmd), ("m\"1", "msg"));
        let push: Push = serde_json::from_str(incoming.response.data.unwrap().get()).unwrap();
        assert_eq!((push.from.as_str(), push.offset, push.time, &*push.epoch), ("马超", 7, 99, "e1"));
    }

    #[test]
    fn a_notice_is_a_push() {
        let data = Bytes::from_static(br#"{"target":"","from":"a","time":1}"#);
        let frame = notice(&Notice { cmd: "enter".into(), data, skip: Skip::Nobody });
        let incoming: Incoming<'_> = serde_json::from_slice(&frame[2..]).unwrap();
        assert!(incoming.is_push());
        assert_eq!(&*incoming.cmd, "enter");
    }
}
