//! An operator's key as the settings keep it: its name, its scopes, and what it hashes to.
//!
//! Invariant: the key itself is not here and cannot be had from here.

use std::fmt;
use std::str::FromStr;

use chat_protocol::rights::Scope;

/// Longest name of a key.
const MAX_NAME: usize = 32;

/// What a key is for: any number of scopes, the same in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// All there are.
    pub const ALL: Self = Self(0b1111);

    /// Whether this scope is one of them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    const fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | Self::bit(scope)))
    }
}

/// As they stand in the line of a key: `read+send`.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::as_str);
        f.write_str(&names.collect::<Vec<_>>().join("+"))
    }
}

/// A key as the settings keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is called, in logs too.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// SHA-256 of the key. A key is drawn from 2^256, so nothing slower is needed.
    pub hash: [u8; 32],
}

/// Checks a name, which stands in keys, lines and logs.
///
/// # Errors
/// What a name is.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!("a key's name has 1 to {MAX_NAME} of a-z, 0-9 and -")),
    }
}

impl FromStr for ApiKey {
    type Err = String;

    /// Refusals do not repeat the line: it may be the key itself.
    fn from_str(line: &str) -> Result<Self, String> {
        let [name, scopes, hash] = line.split(':').collect::<Vec<_>>()[..] else {
            return Err("a key stands here as NAME:SCOPE+SCOPE:HASH, as `chatd api-key` prints it".to_owned());
        };
        check_name(name)?;
        let scopes = scopes.split('+').map(str::parse).collect::<Result<Scopes, _>>();
        let scopes = scopes.map_err(|why| format!("the key {name}: {why}"))?;
        let bytes =
            unhex(hash).ok_or_else(|| format!("the key {name}: its hash has 64 hexadecimal digits"))?;
        Ok(Self { name: name.to_owned(), scopes, hash: bytes })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        write!(f, "{}:", self.scopes)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written_and_nothing_else_is() {
        let hash = "0f".repeat(32);
        let line = format!("ops-1:read+admin:{hash}");
        let key: ApiKey = line.parse().unwrap();
        assert!(key.scopes.has(Scope::Read) && key.scopes.has(Scope::Admin) && !key.scopes.has(Scope::Money));
        assert_eq!(key.to_string(), line);
        let any_order: ApiKey = format!("ops-1:admin+read+read:{hash}").parse().unwrap();
        assert_eq!(any_order, key);
        for wrong in [
            String::new(),
            "ck_ops_secret".to_owned(),
            format!("Ops:read:{hash}"),
            format!("a\n:read:{hash}"),
            format!("{}:read:{hash}", "a".repeat(33)),
            format!("ops::{hash}"),
            format!("ops:read+root:{hash}"),
            format!("ops:read:{}", &hash[2..]),
            format!("ops:read:{hash}:x"),
            format!("ops:read:{}+f", &hash[2..]),
        ] {
            let refused = wrong.parse::<ApiKey>().unwrap_err();
            assert!(!refused.contains("secret") && !refused.contains('\n'), "{wrong}: {refused}");
        }
    }
}
