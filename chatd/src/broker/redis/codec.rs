//! What is written into Redis for a message or a notice: a header of lines, then the JSON as it came.
//!
//! Invariant: decoding never panics and never guesses; bytes that are not a whole payload are [`Malformed`].
//!
//! ```text
//! message in a log     M ⏎ offset ⏎ epoch ⏎ time ⏎ skip ⏎ msgId ⏎ members
//! message in an inbox  I ⏎ number ⏎ epoch of the inbox ⏎ time ⏎ other user ⏎ the message as in its log
//! notice               N ⏎ skip ⏎ cmd ⏎ data
//! ```
//! Ids hold no control characters, so a line feed ends a field for certain. `append.lua` writes the first lines of
//! both kinds of message; the rest comes from [`body`].

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{MsgId, Target, UserId};

use crate::broker::{ConnectionId, Conversation, Entry, Event, Notice, Outgoing, Skip, Topic};

/// The bytes are not a payload of chatd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed payload: {0}")]
pub(super) struct Malformed(&'static str);

/// Where a payload stands in the stream of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position<'a> {
    pub number: u64,
    pub epoch: &'a str,
    pub time: u64,
}

/// The part of a message that the node writes itself.
pub(super) fn body(message: &Outgoing) -> Vec<u8> {
    let head = format!("{}\n{}\n", skip_text(&message.skip), message.msg_id);
    [head.as_bytes(), &message.members].concat()
}

/// A notice as it is published.
pub(super) fn notice(notice: &Notice) -> Vec<u8> {
    let head = format!("N\n{}\n{}\n", skip_text(&notice.skip), notice.cmd);
    [head.as_bytes(), &notice.data].concat()
}

/// Position of a message, or nothing for a notice.
pub(super) fn position(payload: &[u8]) -> Result<Option<Position<'_>>, Malformed> {
    let mut rest = payload;
    match line(&mut rest)? {
        "N" => Ok(None),
        "M" | "I" => {
            let number = number(&mut rest)?;
            let epoch = line(&mut rest)?;
            Ok(Some(Position { number, epoch, time: self::number(&mut rest)? }))
        }
        _ => Err(Malformed("unknown kind")),
    }
}

/// What to deliver to the readers of a topic.
pub(super) fn event(topic: &Topic, payload: &Bytes) -> Result<Event, Malformed> {
    let mut rest: &[u8] = payload;
    match (line(&mut rest)?, topic) {
        ("N", _) => {
            let skip = skip(line(&mut rest)?)?;
            let cmd: Arc<str> = line(&mut rest)?.into();
            Ok(Event::Notice(Notice { cmd, data: payload.slice_ref(rest), skip }))
        }
        ("M", Topic::World(app)) => message(Conversation::World(*app), payload),
        ("M", Topic::Group(app, group)) => message(Conversation::Group(*app, group.clone()), payload),
        ("I", Topic::Inbox(app, user)) => {
            for _ in 0..3 {
                line(&mut rest)?;
            }
            let other = UserId::new(line(&mut rest)?).map_err(|_| Malformed("user"))?;
            message(Conversation::of(*app, user, &Target::User(other)), &payload.slice_ref(rest))
        }
        _ => Err(Malformed("a kind that does not belong to the topic")),
    }
}

/// An entry of a log.
pub(super) fn entry(payload: &Bytes) -> Result<(Entry, Skip), Malformed> {
    let mut rest: &[u8] = payload;
    if line(&mut rest)? != "M" {
        return Err(Malformed("not a message"));
    }
    let offset = number(&mut rest)?;
    let epoch = line(&mut rest)?.into();
    let time = number(&mut rest)?;
    let skip = skip(line(&mut rest)?)?;
    let msg_id = MsgId::new(line(&mut rest)?).map_err(|_| Malformed("msgId"))?;
    Ok((Entry { offset, epoch, time, msg_id, members: payload.slice_ref(rest) }, skip))
}

fn message(conversation: Conversation, payload: &Bytes) -> Result<Event, Malformed> {
    let (entry, skip) = entry(payload)?;
    Ok(Event::Message { conversation, entry, skip, effect: crate::broker::Effect::None })
}

fn skip_text(skip: &Skip) -> String {
    match skip {
        Skip::Nobody => "-".to_owned(),
        Skip::User(user) => format!("u{user}"),
        Skip::Connection(ConnectionId { node, number }) => format!("c{node}:{number}"),
    }
}

fn skip(text: &str) -> Result<Skip, Malformed> {
    const BAD: Malformed = Malformed("skip");
    if text == "-" {
        return Ok(Skip::Nobody);
    }
    if let Some(user) = text.strip_prefix('u') {
        return UserId::new(user).map(Skip::User).map_err(|_| BAD);
    }
    let (node, number) = text.strip_prefix('c').and_then(|id| id.split_once(':')).ok_or(BAD)?;
    let parse = |digits: &str| u64::from_str(digits).map_err(|_| BAD);
    Ok(Skip::Connection(ConnectionId { node: parse(node)?, number: parse(number)? }))
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Malformed> {
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Malformed("a line is missing"))?;
    let text = std::str::from_utf8(&rest[..end]).map_err(|_| Malformed("not UTF-8"))?;
    *rest = &rest[end + 1..];
    Ok(text)
}

fn number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    line(rest)?.parse().map_err(|_| Malformed("not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(skip: Skip) -> Outgoing {
        Outgoing {
            conversation: Conversation::World(1),
            sender: UserId::new("a").unwrap(),
            msg_id: MsgId::new("m:1").unwrap(),
            repeatable: true,
            members: Bytes::from_static(br#""msg":"x""#),
            skip,
        }
    }

    fn logged(skip: Skip) -> Bytes {
        [b"M\n7\nabc\n1234\n".as_slice(), &body(&outgoing(skip))].concat().into()
    }

    #[test]
    fn a_message_round_trips_with_its_skip() {
        let connection = ConnectionId { node: u64::MAX, number: 3 };
        for wanted in
            [Skip::Nobody, Skip::User(UserId::new("u:\u{9ec4}").unwrap()), Skip::Connection(connection)]
        {
            let (entry, skip) = entry(&logged(wanted.clone())).unwrap();
            assert_eq!((entry.offset, &*entry.epoch, entry.time), (7, "abc", 1234));
            assert_eq!(entry.msg_id.as_str(), "m:1");
            assert_eq!(&entry.members[..], br#""msg":"x""#);
            assert_eq!(skip, wanted);
        }
    }

    #[test]
    fn an_inbox_message_names_its_pair_and_both_positions() {
        let log = logged(Skip::Nobody);
        let payload: Bytes = [b"I\n2\nbox\n1234\na\n".as_slice(), &log].concat().into();
        assert_eq!(position(&payload), Ok(Some(Position { number: 2, epoch: "box", time: 1234 })));
        let b = UserId::new("b").unwrap();
        let Event::Message { conversation, entry, .. } =
            event(&Topic::Inbox(1, b.clone()), &payload).unwrap()
        else {
            panic!("not a message")
        };
        assert_eq!(conversation, Conversation::Pair(1, UserId::new("a").unwrap(), b));
        assert_eq!((entry.offset, &*entry.epoch), (7, "abc"));
    }

    #[test]
    fn a_notice_round_trips() {
        let sent = Notice { cmd: "enter".into(), data: Bytes::from_static(b"{}"), skip: Skip::Nobody };
        let payload = Bytes::from(notice(&sent));
        assert_eq!(position(&payload), Ok(None));
        assert_eq!(event(&Topic::World(1), &payload), Ok(Event::Notice(sent)));
    }

    #[test]
    fn truncated_and_hostile_payloads_are_errors() {
        let inbox: Bytes = [b"I\n2\nbox\n1234\na\n".as_slice(), &logged(Skip::Nobody)].concat().into();
        let header = inbox.len() - br#""msg":"x""#.len();
        let topic = Topic::Inbox(1, UserId::new("b").unwrap());
        for end in 0..header {
            assert!(event(&topic, &inbox.slice(..end)).is_err(), "{end}");
        }
        let hostile: [&[u8]; 9] = [
            b"",
            b"\n",
            b"X\n1\ne\n1\n",
            b"M\n-1\ne\n1\n-\nm\n",
            b"M\n99999999999999999999\ne\n1\n-\nm\n",
            b"M\n1\n\xff\n1\n-\nm\n",
            b"M\n1\ne\n1\nc1\nm\n",
            b"M\n1\ne\n1\nu\nm\n",
            b"M\n1\ne\n1\n-\n\n",
        ];
        for bytes in hostile {
            assert!(event(&Topic::World(1), &Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
        assert!(event(&topic, &logged(Skip::Nobody)).is_err(), "a log entry on an inbox topic");
        assert!(event(&Topic::World(1), &inbox).is_err(), "an inbox entry on a world topic");
    }
}
