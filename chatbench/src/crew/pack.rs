//! Books as bytes in base64: what a message takes in JSON would be too much for millions of them.
//!
//! Invariant: what is unpacked equals what was packed; bytes that are too few or too many are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use crate::client::sender::{Answered, Sender, Sent};
use crate::recorder::Seen;
use crate::spread::Spread;

/// The bytes of a sender's messages.
pub fn messages(sender: &Sender) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(sender.messages.len() * 25);
    for message in &sender.messages {
        bytes.extend(message.intended_ns.to_le_bytes());
        bytes.extend(message.lag_us.to_le_bytes());
        bytes.extend(message.offset.to_le_bytes());
        bytes.extend(message.ack_us.to_le_bytes());
        bytes.push(match message.answered {
            Answered::Not => 0,
            Answered::Accepted => 1,
            Answered::Refused => 2,
        });
    }
    bytes
}

/// A sender as a line of text.
pub fn sender(sender: &Sender) -> String {
    let rest = (sender.number, &sender.refused, &sender.first_refusal, sender.waited);
    let head = serde_json::to_string(&rest).unwrap_or_default();
    format!("{} {head}", STANDARD.encode(messages(sender)))
}

/// The sender of a line of text.
///
/// # Errors
/// When it is none.
pub fn sender_of(text: &str) -> Result<Sender, String> {
    let (packed, head) = text.split_once(' ').ok_or("no sender")?;
    let bytes = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    let (number, refused, first_refusal, waited) =
        serde_json::from_str(head).map_err(|error| error.to_string())?;
    let mut sender = Sender::new(number);
    (sender.refused, sender.first_refusal, sender.waited) = (refused, first_refusal, waited);
    let mut rest = Bytes(&bytes);
    while !rest.0.is_empty() {
        sender.messages.push(rest.message().ok_or("a broken message")?);
    }
    Ok(sender)
}

/// For `#[serde(with = "pack")]` of what receivers saw of the messages.
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

/// For `#[serde(with = "pack")]` of what receivers saw of the messages.
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

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn message(&mut self) -> Option<Sent> {
        let (intended_ns, lag_us, offset, ack_us) = (self.u64()?, self.u32()?, self.u64()?, self.u32()?);
        let answered = match self.take::<1>()? {
            [0] => Answered::Not,
            [1] => Answered::Accepted,
            _ => Answered::Refused,
        };
        Some(Sent { intended_ns, lag_us, offset, ack_us, answered })
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
        let mut known = Sender::new(7);
        for (sequence, answered) in (0..).zip([Answered::Not, Answered::Accepted, Answered::Refused]) {
            let intended_ns = u64::MAX - sequence;
            known.messages.push(Sent { intended_ns, lag_us: 5, offset: sequence, ack_us: 9, answered });
        }
        known.refused.insert(1011, 1);
        known.first_refusal = Some("too many \"requests\"".to_owned());
        known.waited = 3;
        let back = sender_of(&sender(&known)).unwrap();
        assert_eq!(format!("{back:?}"), format!("{known:?}"));
        for bad in ["", "AAAA []", "AAAA [1,{},null,0]", "? [1,{},null,0]"] {
            assert!(sender_of(bad).is_err(), "{bad}");
        }

        let mut spread = Spread::default();
        [5, 900, 901].iter().for_each(|us| spread.add(*us));
        let seen = Seen { first_us: 5, last_us: 901, offset: 77, missing: 2, spread };
        let holder = Holder(vec![Seen::default(), Seen::default(), seen]);
        let text = serde_json::to_string(&holder).unwrap();
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        assert!(serde_json::from_str::<Holder>("\"AAAA\"").is_err());
    }
}
