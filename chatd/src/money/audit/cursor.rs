//! How far an audit has come, as a text that the caller brings back.
//!
//! Invariant: a text that no audit gave is refused, whatever it is; one that an audit gave leads on from just there.

use std::fmt;
use std::str::FromStr;

use crate::money::ledger::records::Place;

/// See the file's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
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
    Packets(Option<Place>),
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

impl Cursor {
    /// At the beginning.
    #[must_use]
    pub fn new(since_ms: u64, begun_ms: u64) -> Self {
        Self { since_ms, begun_ms, found: 0, stage: Stage::Packets(None) }
    }
}

impl fmt::Display for Cursor {
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

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(5, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(());
        let (since_ms, begun_ms, found) = (number()?, number()?, number()?);
        let stage = match (parts.next(), parts.next()) {
            (Some("packets"), None) => Stage::Packets(None),
            (Some("packets"), Some(place)) => Stage::Packets(Some(place.parse()?)),
            (Some("stored"), after) => Stage::Stored(after.map(str::to_owned)),
            (Some("transfers"), Some(after)) => Stage::Transfers(after.to_owned()),
            (Some("accounts"), Some(after)) => Stage::Accounts(after.to_owned()),
            (Some("discards"), Some(after)) => Stage::Discards(after.parse().map_err(|_| ())?),
            (Some("whole"), None) => Stage::Whole,
            _ => return Err(()),
        };
        Ok(Self { since_ms, begun_ms, found, stage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let place = |packet: &str| Some(Place { created: -1, packet: packet.to_owned() });
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
            let cursor = Cursor { since_ms: 1, begun_ms: u64::MAX, found: 3, stage };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn another_text_is_refused() {
        for text in
            ["", "1.2.3", "1.2.3.", "1.2.x.whole", "-1.2.3.whole", "1.2.3.packets.x", "1.2.3.packets.x.p"]
        {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
        assert_eq!("1.2.3.transfers".parse::<Cursor>(), Err(()));
    }
}
