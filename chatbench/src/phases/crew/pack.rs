//! What senders did, as bytes in base64: what a message takes in JSON would be too much for millions of them.
//!
//! Invariant: what is unpacked equals what was packed; bytes that are too few or too many are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ledger::packed::Bytes;
use crate::ledger::sender::{Answered, Sender, Sent};

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
        sender.messages.push(message(&mut rest).ok_or("a broken message")?);
    }
    Ok(sender)
}

fn message(bytes: &mut Bytes<'_>) -> Option<Sent> {
    let (intended_ns, lag_us, offset, ack_us) = (bytes.u64()?, bytes.u32()?, bytes.u64()?, bytes.u32()?);
    let answered = match bytes.take::<1>()? {
        [0] => Answered::Not,
        [1] => Answered::Accepted,
        _ => Answered::Refused,
    };
    Some(Sent { intended_ns, lag_us, offset, ack_us, answered })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
