//! What receivers saw, as bytes in base64: what a message takes in JSON would be too much for millions of them.
//!
//! Invariant: what is unpacked equals what was packed; bytes that are too few or too many are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use crate::ledger::recorder::Seen;
use crate::ledger::spread::Spread;

/// For `#[serde(with = "packed")]` of what receivers saw of the messages.
///
/// # Errors
/// As the output.
pub fn serialize<S: Serializer>(messages: &[Seen], output: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    for (index, seen) in (0_u32..).zip(messages).filter(|(_, seen)| **seen != Seen::default()) {
        let classes = seen.spread.classes();
        bytes.extend(index.to_le_bytes());
        bytes.extend(seen.first_us.to_le_bytes());
        bytes.extend(seen.last_us.to_le_bytes());
        bytes.extend(seen.offset.to_le_bytes());
        bytes.extend(seen.missing.to_le_bytes());
        bytes.extend((classes.len() as u64).to_le_bytes());
        for (class, count) in classes {
            bytes.extend(class.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
    }
    output.serialize_str(&STANDARD.encode(bytes))
}

/// For `#[serde(with = "packed")]` of what receivers saw of the messages.
///
/// # Errors
/// When the text is not what [`serialize`] writes.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Seen>, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(input)?).map_err(D::Error::custom)?;
    let (mut rest, mut messages) = (Bytes(&bytes), Vec::new());
    while !rest.0.is_empty() {
        let (index, seen) = rest.seen().ok_or_else(|| D::Error::custom("a broken message"))?;
        if index as usize >= messages.len() {
            messages.resize(index as usize + 1, Seen::default());
        }
        messages[index as usize] = seen;
    }
    Ok(messages)
}

/// Bytes that are read from the front.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// The next ones; none when there are too few.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next number.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// The same.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn seen(&mut self) -> Option<(u32, Seen)> {
        let index = self.u32()?;
        let (first_us, last_us, offset, missing) = (self.u32()?, self.u32()?, self.u64()?, self.u64()?);
        let mut spread = Spread::default();
        for _ in 0..self.u64()? {
            spread.add_class(self.take().map(u16::from_le_bytes)?, self.u32()?);
        }
        Some((index, Seen { first_us, last_us, offset, missing, spread }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Holder(#[serde(with = "super")] Vec<Seen>);

    #[test]
    fn nothing_is_lost_in_the_packing() {
        let mut spread = Spread::default();
        [5, 900, 901].iter().for_each(|us| spread.add(*us));
        let seen = Seen { first_us: 5, last_us: 901, offset: 77, missing: 2, spread };
        let holder = Holder(vec![Seen::default(), Seen::default(), seen]);
        let text = serde_json::to_string(&holder).unwrap();
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        assert!(serde_json::from_str::<Holder>("\"AAAA\"").is_err());
    }
}
