//! Where a list goes on: texts that an answer gives, and that the caller brings back with the next call as they were.
//!
//! Invariant: what is printed here is read here again as the same place, and a text that [`Cursor::pattern`] takes is
//! read as one. Clients look into none of them.

use std::fmt;
use std::str::FromStr;

use crate::code::Refusal;
use crate::pattern;
use crate::target::Target;

/// A list whose cursor is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// [`conversation::List`](crate::conversation::List): a [`ConversationPlace`].
    Conversations,
    /// [`red_packet::List`](crate::red_packet::List): a [`PacketPlace`].
    Packets,
    /// [`red_packet::Audit`](crate::red_packet::Audit): an [`AuditPlace`].
    Audit,
    /// [`audit::Audit`](crate::audit::Audit): a [`RecordPlace`].
    Records,
}

impl Cursor {
    /// A pattern (ECMA-262) of its texts. A broken ledger may make one that it does not take, and that is read.
    #[must_use]
    pub fn pattern(self) -> String {
        // As many digits as surely fit the type.
        let (whole, signed) = ("[0-9]{1,19}", "-?[0-9]{1,18}");
        // PostgreSQL takes no NUL in a text.
        let text = r"[^\u0000]*";
        match self {
            Cursor::Conversations => format!("^[0-9]{{1,15}}:{}$", pattern::target_within()),
            Cursor::Records => format!(r"^{whole}\.{whole}$"),
            Cursor::Packets => format!(r"^{signed}\.{text}$"),
            Cursor::Audit => format!(
                r"^(?:{whole}\.){{3}}(?:whole|packets(?:\.{signed}\.{text})?|stored(?:\.{text})?|(?:transfers|accounts)\.{text}|discards\.{whole})$"
            ),
        }
    }

    /// One of its texts.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Cursor::Conversations => "1:",
            Cursor::Records => "1.1",
            Cursor::Packets => "1.p",
            Cursor::Audit => "0.1.0.whole",
        }
    }
}

/// What is wrong with a text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoCursor(&'static str);

impl From<NoCursor> for Refusal {
    fn from(error: NoCursor) -> Self {
        Refusal::parameter("cursor", error)
    }
}

/// Where in a user's list of conversations one stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationPlace {
    /// Time of its newest entry, Unix milliseconds; 0 when nothing was said.
    pub last_time: u64,
    /// Which, as the user names it.
    pub target: Target,
}

/// No time has more than 15 digits for the next 30,000 years.
const LATEST: u64 = 1_000_000_000_000_000;

impl fmt::Display for ConversationPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.last_time, self.target)
    }
}

impl FromStr for ConversationPlace {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let read = || {
            let (last_time, target) = text.split_once(':')?;
            // As the pattern says, and what every store can compare with.
            let last_time = last_time.parse().ok().filter(|time| *time < LATEST)?;
            Some(Self { last_time, target: target.parse().ok()? })
        };
        read().ok_or(NoCursor("must come from the page before"))
    }
}

/// Where in the order of creation a packet stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketPlace {
    /// When it was created, Unix milliseconds, as the ledger has it.
    pub created: i64,
    /// Its id, for those of one moment.
    pub packet: String,
}

impl fmt::Display for PacketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created, self.packet)
    }
}

impl FromStr for PacketPlace {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let read = || {
            let (created, packet) = text.split_once('.')?;
            Some(Self { created: created.parse().ok()?, packet: packet.to_owned() })
        };
        read().ok_or(NoCursor("is none that a list gave"))
    }
}

/// Where in the files of an audit log one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Which file, by the number that it keeps under every name.
    pub file: u64,
    /// Records that end before this byte are next.
    pub end: u64,
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.file, self.end)
    }
}

impl FromStr for RecordPlace {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let numbers =
            text.split_once('.').and_then(|(file, end)| Some((file.parse().ok()?, end.parse().ok()?)));
        let (file, end) = numbers.ok_or(NoCursor("is none that a list of records gave"))?;
        Ok(Self { file, end })
    }
}

/// How far an audit has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPlace {
    /// Packets that were created, and transfers that were posted earlier are left out, Unix milliseconds.
    pub since_ms: u64,
    /// When the audit began, Unix milliseconds.
    pub begun_ms: u64,
    /// Broken rules found so far.
    pub found: u64,
    /// What is next.
    pub stage: Stage,
}

/// What an audit goes through, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Packets of the ledger, behind this one.
    Packets(Option<PacketPlace>),
    /// Packets of the packets' store, from there on.
    Stored(Option<String>),
    /// Transfers with an id behind this one.
    Transfers(String),
    /// Accounts with a name behind this one.
    Accounts(String),
    /// Letters that were given up for good, behind this place.
    Discards(u64),
    /// What is of the whole app: the sum of all accounts, and what was given up.
    Whole,
}

impl AuditPlace {
    /// At the beginning.
    #[must_use]
    pub fn new(since_ms: u64, begun_ms: u64) -> Self {
        Self { since_ms, begun_ms, found: 0, stage: Stage::Packets(None) }
    }
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since_ms, begun_ms, found, stage } = self;
        write!(f, "{since_ms}.{begun_ms}.{found}.")?;
        match stage {
            Stage::Packets(None) => f.write_str("packets"),
            Stage::Packets(Some(place)) => write!(f, "packets.{place}"),
            Stage::Stored(None) => f.write_str("stored"),
            Stage::Stored(Some(after)) => write!(f, "stored.{after}"),
            Stage::Transfers(after) => write!(f, "transfers.{after}"),
            Stage::Accounts(after) => write!(f, "accounts.{after}"),
            Stage::Discards(after) => write!(f, "discards.{after}"),
            Stage::Whole => f.write_str("whole"),
        }
    }
}

impl FromStr for AuditPlace {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.splitn(5, '.');
        let mut read = || {
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (since_ms, begun_ms, found) = (number()?, number()?, number()?);
            let stage = match (parts.next()?, parts.next()) {
                ("packets", None) => Stage::Packets(None),
                ("packets", Some(place)) => Stage::Packets(Some(place.parse().ok()?)),
                ("stored", after) => Stage::Stored(after.map(str::to_owned)),
                ("transfers", Some(after)) => Stage::Transfers(after.to_owned()),
                ("accounts", Some(after)) => Stage::Accounts(after.to_owned()),
                ("discards", Some(after)) => Stage::Discards(after.parse().ok()?),
                ("whole", None) => Stage::Whole,
                _ => return None,
            };
            Some(Self { since_ms, begun_ms, found, stage })
        };
        read().ok_or(NoCursor("is none that an audit gave"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_went() {
        let place = |packet: &str| Some(PacketPlace { created: -1, packet: packet.to_owned() });
        for stage in [
            Stage::Packets(None),
            Stage::Packets(place("a.b")),
            Stage::Packets(place("")),
            Stage::Stored(None),
            Stage::Stored(Some("7".to_owned())),
            Stage::Transfers(String::new()),
            Stage::Transfers("packet:a.b".to_owned()),
            Stage::Accounts("wallet:.帝".to_owned()),
            Stage::Discards(0),
            Stage::Discards(7),
            Stage::Whole,
        ] {
            let place = AuditPlace { since_ms: 1, begun_ms: u64::MAX, found: 3, stage };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        let place = RecordPlace { file: 7, end: u64::MAX };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["0:", "17:group:a:b", "17:user:帝", "999999999999999:"] {
            assert_eq!(text.parse::<ConversationPlace>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn another_text_is_refused() {
        for text in
            ["", "1.2.3", "1.2.3.", "1.2.x.whole", "-1.2.3.whole", "1.2.3.packets.x", "1.2.3.packets.x.p"]
        {
            assert!(text.parse::<AuditPlace>().is_err(), "{text}");
        }
        assert!("1.2.3.transfers".parse::<AuditPlace>().is_err());
        for text in
            ["", "1", ":", "x:", "1:x", "-1:", "1:user:", "1000000000000000:", "18446744073709551615:"]
        {
            assert!(text.parse::<ConversationPlace>().is_err(), "{text}");
        }
        for text in ["", "1", "x.p", ".p"] {
            assert!(text.parse::<PacketPlace>().is_err(), "{text}");
        }
    }
}
