//! Texts of the settings that nobody may see again: a secret, the address of a store, which may hold a password, and the
//! line of a key in which somebody may have put one.
//!
//! Invariant: only [`Secret::expose`] gives the text; nothing is refused while it is read, because refusals repeat what
//! they refuse.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use chat_protocol::secret::{HIDDEN, url};
use serde::{Deserialize, Serialize, Serializer};

use super::api_key::ApiKey;

/// The text, which is not shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever signs and verifies.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Any text is one.
macro_rules! of_text {
    ($($name:ident)+) => {$(
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(text: &str) -> Result<Self, Infallible> {
                Ok(text.into())
            }
        }
    )+};
}

of_text!(Secret KeyLine StoreUrl);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(if self.is_empty() { "" } else { HIDDEN })
    }
}

/// The line of a key: shown where it is one, because a hash is no secret, and hidden where it is something else.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct KeyLine(Secret);

impl KeyLine {
    /// The key that the line describes.
    ///
    /// # Errors
    /// What is wrong with it, without the line.
    pub fn parse(&self) -> Result<ApiKey, String> {
        self.0.expose().trim().parse()
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parse() {
            Ok(key) => key.fmt(f),
            Err(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyLine {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// The address of a store, which is shown without what may be secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(Secret);

impl StoreUrl {
    /// The address with its password, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Without password and parameters.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url(self.expose()))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", url(self.expose()))
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_shown_without_its_password() {
        let store = StoreUrl::from("redis://user:hush@host:1/0?x=hush");
        let shown = "redis://user:***@host:1/0?***";
        assert_eq!((store.to_string(), format!("{store:?}")), (shown.to_owned(), format!("{shown:?}")));
        assert_eq!(serde_json::to_value(&store).unwrap(), shown);
        assert!(StoreUrl::default().is_empty() && !store.is_empty());
    }

    #[test]
    fn only_the_hash_of_a_key_is_shown() {
        let line = format!("ops:read+admin:{}", "ab".repeat(32));
        for (text, shown) in [(line.as_str(), line.as_str()), ("ck_ops_secret", HIDDEN), ("", HIDDEN)] {
            let key = KeyLine::from(text);
            assert_eq!((key.to_string(), format!("{key:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(serde_json::to_value(&key).unwrap(), shown);
        }
        let secret = Secret::from("secret");
        assert_eq!(
            (format!("{secret:?}"), serde_json::to_value(&secret).unwrap()),
            (HIDDEN.into(), HIDDEN.into())
        );
        assert_eq!(serde_json::to_value(Secret::default()).unwrap(), "");
    }
}
