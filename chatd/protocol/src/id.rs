//! Identifiers with their bounds. A value of these types is valid by construction.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A world: all users of one app share its world room.
pub type AppId = u32;

/// Longest user id and group id, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest message id, in bytes of UTF-8.
pub const MAX_MSG_ID_BYTES: usize = 128;

/// Sender of messages whose sender an operator does not name; no user's name where users prove who they are.
pub const SYSTEM: &str = "system";

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than the bound.
    #[error("must be at most {0} bytes of UTF-8")]
    TooLong(usize),
    /// The text holds a control character (Unicode category Cc).
    #[error("must not contain control characters")]
    Control,
}

pub(crate) fn check(text: &str, max_bytes: usize) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > max_bytes {
        Err(IdError::TooLong(max_bytes))
    } else if text.chars().any(char::is_control) {
        Err(IdError::Control)
    } else {
        Ok(())
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the bounds and takes the text.
            ///
            /// # Errors
            /// [`IdError`] when the text is empty, too long, or holds control characters.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, $max).map(|()| Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": $max})
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str>>::deserialize(d)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
    };
}

identifier!(
    /// A user of an app: 1–64 bytes of UTF-8, no control characters.
    UserId,
    MAX_NAME_BYTES
);
identifier!(
    /// A group of an app: 1–64 bytes of UTF-8, no control characters.
    GroupId,
    MAX_NAME_BYTES
);
identifier!(
    /// The sender's name for a message, unique per sender and app: 1–128 bytes, no control characters.
    MsgId,
    MAX_MSG_ID_BYTES
);
identifier!(
    /// A red packet of an app: 1–64 bytes of UTF-8, no control characters.
    PacketId,
    MAX_NAME_BYTES
);
identifier!(
    /// The operator's name for a deposit, unique in the app: 1–128 bytes, no control characters.
    TransferId,
    MAX_MSG_ID_BYTES
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_bytes_of_utf8() {
        assert!(UserId::new("黄帝").is_ok());
        assert!(UserId::new(&"a".repeat(64)).is_ok());
        assert_eq!(UserId::new(&"a".repeat(65)), Err(IdError::TooLong(64)));
        assert_eq!(UserId::new(&"帝".repeat(22)), Err(IdError::TooLong(64)));
        assert_eq!(UserId::new(""), Err(IdError::Empty));
        for bad in ["a\0", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(UserId::new(bad), Err(IdError::Control), "{bad:?}");
        }
    }
}
