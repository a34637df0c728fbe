//! An entry of an outbox or of the dead letters: a settlement, each of its parts in a field of its own.
//!
//! Invariant: an entry with a body in place of the parts has the settlement as an earlier chatd wrote it, or something
//! that is none; either is handed on as it is.

use bytes::Bytes;
use chat_protocol::{PacketId, UserId};

use crate::money::settlement::Settlement;

/// Id of an entry, its fields and values.
pub(super) type Entry = (String, Vec<Bytes>);

pub(super) fn field<'a>(fields: &'a [Bytes], name: &str) -> Option<&'a Bytes> {
    fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| &pair[1])
}

/// What was put in, as the port has it. Nothing when that cannot be told, which is no settlement.
pub(super) fn body(fields: &[Bytes]) -> Bytes {
    if let Some(body) = field(fields, "body") {
        return body.clone();
    }
    settlement(fields).map(|settlement| settlement.to_json()).unwrap_or_default()
}

fn settlement(fields: &[Bytes]) -> Option<Settlement> {
    let text = |name| std::str::from_utf8(field(fields, name)?).ok();
    Some(Settlement {
        app: text("app")?.parse().ok()?,
        packet: PacketId::new(text("packet")?).ok()?,
        kind: text("kind")?.parse().ok()?,
        user: UserId::new(text("user")?).ok()?,
        amount: text("amount")?.parse().ok()?,
        time_ms: text("time_ms")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Cents;
    use crate::money::settlement::Kind;

    fn fields(text: &[&str]) -> Vec<Bytes> {
        text.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect()
    }

    #[test]
    fn a_settlement_is_read_whatever_the_ids() {
        for hostile in
            [r#"","amount":0,""#, r#"\"amount":0,"#, "帝 {}", "\\", "amount\":0,", "a b c", "'", "body"]
        {
            let parts = [
                "app", "7", "packet", hostile, "kind", "refund", "user", hostile, "amount", "12345",
                "time_ms", "1",
            ];
            let read: Settlement = serde_json::from_slice(&body(&fields(&parts))).unwrap();
            assert_eq!((read.packet.as_str(), read.user.as_str()), (hostile, hostile));
            assert_eq!(
                (read.app, read.kind, read.amount, read.time_ms),
                (7, Kind::Refund, Cents::new(12_345), 1)
            );
        }
    }

    #[test]
    fn parts_are_a_settlement_and_a_body_is_what_it_is() {
        let parts =
            ["app", "7", "packet", "p", "kind", "grab", "user", "a\"b", "amount", "5", "time_ms", "6"];
        let json = r#"{"app":7,"packet":"p","kind":"grab","user":"a\"b","amount":5,"time_ms":6}"#;
        assert_eq!(body(&fields(&parts)), json);
        assert_eq!(body(&fields(&["body", json])), json);
        assert_eq!(body(&fields(&["body", "poison", "reason", "why"])), "poison");
        assert_eq!(body(&fields(&parts[..10])), "");
        let below = parts.map(|part| if part == "5" { "-5" } else { part });
        assert_eq!(body(&fields(&below)), "");
    }
}
