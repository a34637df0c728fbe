//! What tells a repeat of a message from another message that was given the same id.
//!
//! Invariant: the same bytes have the same fingerprint on every node and in every version of chatd.

use std::fmt::{Display, Formatter};

use uuid::Uuid;

/// Under which fingerprints are made (RFC 9562 §5.5); it must never change.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d73_675f_6669_6e67_6572_7072_696e_7400);

/// A digest of where a message goes and what it says: a UUID of version 5, that is 122 bits of SHA-1. Two messages with
/// one fingerprint can be found with effort, but only by the one who sends both, who gains a refusal less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(Uuid);

impl Fingerprint {
    /// The fingerprint of a text that says both.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, text))
    }
}

/// 32 hexadecimal digits.
impl Display for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_same_in_every_version() {
        assert_eq!(Fingerprint::of(b"hello").to_string(), "5d9409d3bb5451638e6fa87d1ca079bf");
    }
}
