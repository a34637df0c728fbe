//! Why a credential is refused: in words for whoever gave it, and by a name under which it is counted.

use chat_protocol::{Code, Refusal};

use crate::counters::Counter;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is none.
    Missing,
    /// It is neither a key nor a token.
    Malformed,
    /// No key of this name and content is known.
    UnknownKey,
    /// Signed with no key that is known.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
    /// Of another issuer, or for another audience.
    Elsewhere,
    /// A claim is missing or is not what it must be.
    Claims,
    /// Of another user or app.
    OtherUser,
    /// The key may not do that.
    Scope,
    /// Of a user that nobody may be.
    Name,
}

/// Each with its name; in the order of their declaration.
const NAMES: [(Fault, &str); 11] = [
    (Fault::Missing, "missing"),
    (Fault::Malformed, "malformed"),
    (Fault::UnknownKey, "unknown_key"),
    (Fault::Signature, "bad_signature"),
    (Fault::Expired, "expired"),
    (Fault::Early, "not_yet_valid"),
    (Fault::Elsewhere, "other_issuer_or_audience"),
    (Fault::Claims, "bad_claims"),
    (Fault::OtherUser, "other_user"),
    (Fault::Scope, "missing_scope"),
    (Fault::Name, "reserved_name"),
];

/// A credential that is refused.
#[derive(Debug)]
pub(super) struct Denied {
    pub fault: Fault,
    pub refusal: Refusal,
}

impl Denied {
    /// With [`Code::NotAuthorised`].
    pub fn new(fault: Fault, reason: impl Into<String>) -> Self {
        fault.with(Refusal::new(Code::NotAuthorised, reason))
    }
}

impl Fault {
    pub fn with(self, refusal: Refusal) -> Denied {
        Denied { fault: self, refusal }
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub(super) struct Failures([Counter; NAMES.len()]);

impl Failures {
    /// Counts a failure, of which the refusal is left.
    pub fn note(&self, Denied { fault, refusal }: Denied) -> Refusal {
        self.0[fault as usize].add(1);
        refusal
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.iter().zip(&self.0).map(|((_, name), count)| (*name, count.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_under_its_own_name() {
        for (place, (fault, name)) in NAMES.into_iter().enumerate() {
            let failures = Failures::default();
            let refusal = failures.note(Denied::new(fault, "no"));
            assert_eq!((fault as usize, refusal.reason.as_str()), (place, "no"));
            let counted: Vec<_> = failures.iter().filter(|(_, count)| *count == 1).collect();
            assert_eq!(counted, [(name, 1)]);
        }
    }
}
