//! Which server has which slot.
//!
//! Invariant: the slot of a key is that of what stands between its first braces, as Redis counts it.

use std::collections::BTreeMap;

use redis::{Arg, Cmd, Pipeline};

use crate::engine::redis::link::{Link, LinkError};

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Slots in a row, the last one included, and who has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    /// Host and port.
    pub(super) at: String,
}

/// A server, and the link to it.
pub(crate) struct Member {
    pub(crate) at: String,
    pub(crate) link: Link,
}

/// The servers at one moment.
pub(crate) struct Servers {
    /// By their slots; nothing where there is no cluster.
    pub(super) ranges: Vec<Range>,
    pub(crate) members: Vec<Member>,
}

impl Servers {
    /// The only one there is.
    pub(super) fn one(at: String, link: Link) -> Self {
        Self { ranges: Vec::new(), members: vec![Member { at, link }] }
    }

    /// The link to the server of a key; without a key, to one of them.
    pub(crate) fn owner(&self, key: Option<&[u8]>) -> Result<&Link, LinkError> {
        let owner = self.place_of(key).map(|place| &self.members[place].link);
        owner.ok_or_else(|| LinkError::Unreachable("CLUSTERDOWN: nobody has the slot".to_owned()))
    }

    /// Which of the members has the slot of a key.
    pub(crate) fn place_of(&self, key: Option<&[u8]>) -> Option<usize> {
        let Some(key) = key.filter(|_| !self.ranges.is_empty()) else { return Some(0) };
        let slot = slot(key);
        let after = self.ranges.partition_point(|range| range.last < slot);
        let range = self.ranges.get(after).filter(|range| range.first <= slot)?;
        self.members.iter().position(|member| member.at == range.at)
    }

    /// A name whose slot a member has, of those that `name` gives.
    pub(crate) fn name_at(&self, place: usize, name: impl Fn(u32) -> String) -> Option<String> {
        // Each comes with a chance of the member's share of the slots.
        (0..100_000).map(name).find(|name| self.place_of(Some(name.as_bytes())) == Some(place))
    }

    /// The commands of a pipeline by the links they go over, as places in it. Those without a key go with the first.
    pub(super) fn parts(&self, pipeline: &Pipeline) -> Result<Vec<(&Link, Vec<usize>)>, LinkError> {
        let first = pipeline.cmd_iter().find_map(key_of);
        let mut parts: Vec<(usize, Vec<usize>)> = Vec::new();
        for (place, command) in pipeline.cmd_iter().enumerate() {
            let key = key_of(command).or(first);
            let none = || LinkError::Unreachable("CLUSTERDOWN: nobody has the slot".to_owned());
            let member = self.place_of(key).ok_or_else(none)?;
            match parts.iter_mut().find(|(of, _)| *of == member) {
                Some((_, places)) => places.push(place),
                None => parts.push((member, vec![place])),
            }
        }
        Ok(parts.into_iter().map(|(member, places)| (&self.members[member].link, places)).collect())
    }
}

/// The first key of a command; nothing when it has none.
pub(super) fn key_of(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().filter_map(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    match words.next()? {
        b"TIME" | b"SCAN" | b"INFO" | b"CONFIG" => None,
        b"EVALSHA" => words.nth(1).filter(|count| *count != b"0").and_then(|_| words.next()),
        b"XREADGROUP" => words.find(|word| *word == b"STREAMS").and_then(|_| words.next()),
        _ => words.next(),
    }
}

/// Names of keys by their slots, with their places among all.
pub(super) fn by_slot(names: &[String]) -> Vec<(Vec<String>, Vec<usize>)> {
    let mut parts: BTreeMap<u16, (Vec<String>, Vec<usize>)> = BTreeMap::new();
    for (place, name) in names.iter().enumerate() {
        let (some, places) = parts.entry(slot(name.as_bytes())).or_default();
        some.push(name.clone());
        places.push(place);
    }
    parts.into_values().collect()
}

/// The slot of a key.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of Redis Cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_tag() {
        // What CLUSTER KEYSLOT of Redis 7.0 answers.
        for (key, of) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}:entries:x", 12_182),
            ("a{foo}{bar}", 12_182),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
        ] {
            assert_eq!(slot(key.as_bytes()), of, "{key}");
        }
    }

    #[test]
    fn the_key_of_a_command_is_found_where_it_stands() {
        let command = |text: &str| {
            let mut words = text.split(' ');
            let mut command = redis::cmd(words.next().unwrap_or_default());
            words.for_each(|word| _ = command.arg(word));
            command
        };
        for (text, key) in [
            ("GET k", Some("k")),
            ("EVALSHA hash 2 k l a", Some("k")),
            ("EVALSHA hash 0 a", None),
            ("XREADGROUP GROUP g c COUNT 5 STREAMS k >", Some("k")),
            ("TIME", None),
            ("SCAN 0 MATCH *", None),
        ] {
            assert_eq!(key_of(&command(text)), key.map(str::as_bytes), "{text}");
        }
    }
}
