//! What is written into Redis for a message or a notice: a header of lines, then the JSON as it came.
//!
//! Invariant: decoding never panics and never guesses; bytes that are not a whole payload are [`Malformed`].
//!
//! ```text
//! message in a log     M ⏎ offset ⏎ epoch ⏎ time ⏎ state ⏎ skip ⏎ msgId ⏎ members
//!   that a user joined J ⏎ offset ⏎ epoch ⏎ time ⏎ state ⏎ user ⏎ skip ⏎ msgId ⏎ members
//!   that a user left   L ⏎ offset ⏎ epoch ⏎ time ⏎ state ⏎ user ⏎ skip ⏎ msgId ⏎ members
//!   the last there is  D ⏎ offset ⏎ epoch ⏎ time ⏎ state ⏎ skip ⏎ msgId ⏎ members
//!   whose time is over H ⏎ offset ⏎ epoch ⏎ time ⏎ state ⏎
//! place in an inbox    number ⏎ epoch of the inbox ⏎ time ⏎ state ⏎ offset in the log ⏎ other user
//! message to an inbox  I ⏎ number ⏎ epoch of the inbox ⏎ time ⏎ other user ⏎ the message as in its log
//! notice               N ⏎ skip ⏎ cmd ⏎ data
//! ```
//! Ids hold no control characters, so a line feed ends a field for certain. What a state tells counts in the newest entry
//! of a list only; the scripts write it, as the first lines of messages (`log.lua`). The rest comes from [`body`].

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{AppId, MsgId, Target, UserId};

use crate::broker::Event;
use crate::model::{Conversation, Effect, Entry, Notice, Skip, Topic};

/// The bytes are not a payload of chatd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed payload: {0}")]
pub(crate) struct Malformed(&'static str);

/// Where a payload stands in the stream of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position<'a> {
    pub number: u64,
    pub epoch: &'a str,
    pub time: u64,
    /// Whether the stream ends with it.
    pub last: bool,
}

/// The first line of a message with this effect.
pub(crate) fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::None => "M",
        Effect::Joined(_) => "J",
        Effect::Left(_) => "L",
        Effect::Dismissed => "D",
    }
}

/// The part of a message that the node writes itself.
pub(crate) fn body(effect: &Effect, skip: &Skip, msg_id: &MsgId, members: &[u8]) -> Vec<u8> {
    let mut head = format!("{skip}\n{msg_id}\n");
    if let Effect::Joined(user) | Effect::Left(user) = effect {
        head.insert_str(0, &format!("{user}\n"));
    }
    [head.as_bytes(), members].concat()
}

/// The payload of an entry with other members.
pub(super) fn with_members(payload: &[u8], entry: &Entry, members: &[u8]) -> Vec<u8> {
    let head = payload.len().saturating_sub(entry.members.len());
    [&payload[..head], members].concat()
}

/// A notice as it is published.
pub(crate) fn notice(notice: &Notice) -> Vec<u8> {
    let head = format!("N\n{}\n{}\n", notice.skip, notice.cmd);
    [head.as_bytes(), &notice.data].concat()
}

/// How a list stands whose newest entry this is.
pub(super) fn end(newest: &[u8]) -> Result<Position<'_>, Malformed> {
    let mut rest = newest;
    let last = head(&mut rest)? == Some("D");
    let number = number(&mut rest)?;
    let epoch = line(&mut rest)?;
    let time = self::number(&mut rest)?;
    // The epoch by now, when the list has another one.
    let epoch = line(&mut rest)?.split_once(' ').map_or(epoch, |(_, by_now)| by_now);
    Ok(Position { number, epoch, time, last })
}

/// Number, epoch and time with which something was written into a list.
pub(super) fn stood(entry: &[u8]) -> Result<(u64, &str, u64), Malformed> {
    let mut rest = entry;
    head(&mut rest)?;
    Ok((number(&mut rest)?, line(&mut rest)?, number(&mut rest)?))
}

/// Whether an entry is what stays of a log of which nothing is kept any more.
pub(super) fn is_blank(entry: &[u8]) -> bool {
    entry.starts_with(b"H\n")
}

/// A message's place in an inbox.
pub(super) struct Place<'a> {
    pub number: u64,
    pub epoch: &'a str,
    pub time: u64,
    /// Offset in the log of the pair.
    pub offset: u64,
    pub other: UserId,
}

/// Reads a place.
pub(super) fn place(written: &[u8]) -> Result<Place<'_>, Malformed> {
    let mut rest = written;
    let (number, epoch, time) = (number(&mut rest)?, line(&mut rest)?, self::number(&mut rest)?);
    line(&mut rest)?;
    let offset = self::number(&mut rest)?;
    let other = std::str::from_utf8(rest).map_err(|_| Malformed("not UTF-8"))?;
    Ok(Place { number, epoch, time, offset, other: UserId::new(other).map_err(|_| Malformed("user"))? })
}

impl Place<'_> {
    /// The pair whose log has it.
    pub(super) fn conversation(&self, app: AppId, owner: &UserId) -> Conversation {
        Conversation::of(app, owner, &Target::User(self.other.clone()))
    }

    /// The message as it was published to the inbox.
    pub(super) fn told(&self, entry: &[u8]) -> Bytes {
        let Place { number, epoch, time, other, .. } = self;
        [format!("I\n{number}\n{epoch}\n{time}\n{other}\n").as_bytes(), entry].concat().into()
    }
}

/// Position of a message, or nothing for a notice.
pub(super) fn position(payload: &[u8]) -> Result<Option<Position<'_>>, Malformed> {
    let mut rest = payload;
    match line(&mut rest)? {
        "N" => Ok(None),
        kind @ ("M" | "J" | "L" | "D" | "H" | "I") => {
            let number = number(&mut rest)?;
            let epoch = line(&mut rest)?;
            let time = self::number(&mut rest)?;
            Ok(Some(Position { number, epoch, time, last: kind == "D" }))
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
        ("M" | "J" | "L" | "D", Topic::Group(app, group)) => {
            message(Conversation::Group(*app, group.clone()), payload)
        }
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

/// The same of what was read from a log, where it may have been damaged.
pub(super) fn kept_event(topic: &Topic, payload: &Bytes) -> Result<Event, Malformed> {
    match event(topic, payload)? {
        Event::Message { entry, .. } if !entry.is_readable() => Err(Malformed("no JSON")),
        event => Ok(event),
    }
}

/// An entry of a log.
pub(crate) fn logged(payload: &Bytes) -> Result<Entry, Malformed> {
    let mut rest: &[u8] = payload;
    let kind = line(&mut rest)?;
    if !matches!(kind, "M" | "J" | "L" | "D") {
        return Err(Malformed("not a message"));
    }
    let offset = number(&mut rest)?;
    let epoch = line(&mut rest)?.into();
    let time = number(&mut rest)?;
    line(&mut rest)?;
    let user = |rest: &mut _| UserId::new(line(rest)?).map_err(|_| Malformed("user"));
    let effect = match kind {
        "J" => Effect::Joined(user(&mut rest)?),
        "L" => Effect::Left(user(&mut rest)?),
        "D" => Effect::Dismissed,
        _ => Effect::None,
    };
    let skip = skip(line(&mut rest)?)?;
    let msg_id = MsgId::new(line(&mut rest)?).map_err(|_| Malformed("msgId"))?;
    Ok(Entry { offset, epoch, time, msg_id, members: payload.slice_ref(rest), skip, effect })
}

fn message(conversation: Conversation, payload: &Bytes) -> Result<Event, Malformed> {
    Ok(Event::Message { conversation, entry: logged(payload)? })
}

/// The first line of an entry; a place has none of the kind.
fn head<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a str>, Malformed> {
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return Ok(None);
    }
    line(rest).map(Some)
}

fn skip(text: &str) -> Result<Skip, Malformed> {
    text.parse().map_err(|_| Malformed("skip"))
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
    use crate::model::ConnectionId;

    const MEMBERS: &[u8] = br#""msg":"x""#;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn with_effect(effect: &Effect, skip: &Skip) -> Bytes {
        let body = body(effect, skip, &MsgId::new("m:1").unwrap(), MEMBERS);
        [kind(effect).as_bytes(), b"\n7\nabc\n1234\n\n", &body].concat().into()
    }

    fn plain(skip: Skip) -> Bytes {
        with_effect(&Effect::None, &skip)
    }

    #[test]
    fn an_effect_travels_with_its_entry() {
        let topic = Topic::Group(1, chat_protocol::GroupId::new("g").unwrap());
        for wanted in
            [Effect::None, Effect::Joined(user("j")), Effect::Left(user("u:\u{9ec4}")), Effect::Dismissed]
        {
            let payload = with_effect(&wanted, &Skip::Nobody);
            let ends = position(&payload).unwrap().unwrap().last;
            assert_eq!(ends, wanted == Effect::Dismissed);
            let Ok(Event::Message { entry, .. }) = event(&topic, &payload) else { panic!("no message") };
            assert_eq!((&entry.effect, &entry.members[..]), (&wanted, MEMBERS));
            if wanted != Effect::None {
                assert!(event(&Topic::World(1), &payload).is_err(), "a world has no members");
            }
        }
    }

    #[test]
    fn a_stub_keeps_everything_but_the_members() {
        let payload = with_effect(&Effect::Left(user("u")), &Skip::User(user("v")));
        let before = logged(&payload).unwrap();
        let stub: Bytes = with_members(&payload, &before, br#""type":"recalled""#).into();
        let after = logged(&stub).unwrap();
        assert_eq!(&after.members[..], br#""type":"recalled""#);
        assert_eq!(Entry { members: before.members.clone(), ..after }, before);
    }

    #[test]
    fn a_message_round_trips_with_its_skip() {
        let connection = ConnectionId { node: u64::MAX, number: 3 };
        for wanted in
            [Skip::Nobody, Skip::User(UserId::new("u:\u{9ec4}").unwrap()), Skip::Connection(connection)]
        {
            let entry = logged(&plain(wanted.clone())).unwrap();
            assert_eq!((entry.offset, &*entry.epoch, entry.time), (7, "abc", 1234));
            assert_eq!(entry.msg_id.as_str(), "m:1");
            assert_eq!(&entry.members[..], br#""msg":"x""#);
            assert_eq!(entry.skip, wanted);
        }
    }

    #[test]
    fn an_inbox_message_names_its_pair_and_both_positions() {
        let log = plain(Skip::Nobody);
        let payload: Bytes = [b"I\n2\nbox\n1234\na\n".as_slice(), &log].concat().into();
        assert_eq!(
            position(&payload),
            Ok(Some(Position { number: 2, epoch: "box", time: 1234, last: false }))
        );
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
    fn the_newest_entry_says_how_its_list_stands() {
        let read = |newest: &[u8]| {
            let end = end(newest).unwrap();
            (end.number, end.epoch.to_owned(), end.time, end.last)
        };
        let log: Bytes = with_effect(&Effect::Dismissed, &Skip::Nobody);
        assert_eq!(read(&log), (7, "abc".to_owned(), 1234, true));
        assert_eq!(read(b"M\n7\nabc\n1234\n99 abc.1.x\n-\nm\n"), (7, "abc.1.x".to_owned(), 1234, false));
        assert_eq!(read(b"H\n7\nabc\n1234\n abc.1.x\n"), (7, "abc.1.x".to_owned(), 1234, false));
        let forked = b"3\nbox\n1234\nh box.1.x\n7\na";
        assert_eq!(read(forked), (3, "box.1.x".to_owned(), 1234, false));
        assert_eq!(stood(forked), Ok((3, "box", 1234)));
    }

    #[test]
    fn a_place_leads_to_the_message_as_it_was_published() {
        let log = plain(Skip::Nobody);
        let place = place("3\nbox\n1234\nu\n7\na:\u{9ec4}".as_bytes()).unwrap();
        assert_eq!((place.number, place.offset, place.other.as_str()), (3, 7, "a:\u{9ec4}"));
        let told = place.told(&log);
        let b = UserId::new("b").unwrap();
        let Event::Message { conversation, entry } = event(&Topic::Inbox(1, b.clone()), &told).unwrap()
        else {
            panic!("not a message")
        };
        assert_eq!((conversation, entry.offset), (place.conversation(1, &b), 7));
        for hostile in ["", "3", "3\nbox\n1234\nu\n7\n", "3\nbox\n1234\nu\n-7\na", "x\nbox\n1\nu\n7\na"] {
            assert!(super::place(hostile.as_bytes()).is_err(), "{hostile:?}");
        }
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
        let inbox: Bytes = [b"I\n2\nbox\n1234\na\n".as_slice(), &plain(Skip::Nobody)].concat().into();
        let header = inbox.len() - br#""msg":"x""#.len();
        let topic = Topic::Inbox(1, UserId::new("b").unwrap());
        for end in 0..header {
            assert!(event(&topic, &inbox.slice(..end)).is_err(), "{end}");
        }
        let group = Topic::Group(1, chat_protocol::GroupId::new("g").unwrap());
        let hostile: [&[u8]; 12] = [
            b"",
            b"\n",
            b"X\n1\ne\n1\n",
            b"M\n-1\ne\n1\n\n-\nm\n",
            b"M\n99999999999999999999\ne\n1\n\n-\nm\n",
            b"M\n1\n\xff\n1\n\n-\nm\n",
            b"M\n1\ne\n1\n\nc1\nm\n",
            b"M\n1\ne\n1\n\nu\nm\n",
            b"M\n1\ne\n1\n\n-\n\n",
            b"L\n1\ne\n1\n\n-\nm\n",
            b"L\n1\ne\n1\n\n\n-\nm\n",
            b"D\n1\ne\n1\n\nm\n",
        ];
        for bytes in hostile {
            assert!(event(&Topic::World(1), &Bytes::from_static(bytes)).is_err(), "{bytes:?}");
            assert!(event(&group, &Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
        assert!(event(&topic, &plain(Skip::Nobody)).is_err(), "a log entry on an inbox topic");
        assert!(event(&Topic::World(1), &inbox).is_err(), "an inbox entry on a world topic");
    }
}
