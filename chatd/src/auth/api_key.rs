//! Keys of operators: `ck_NAME_SECRET`, the secret 256 random bits in hexadecimal.
//!
//! Invariant: only the hash of a whole key is kept, and it is compared in constant time with that of every key there is:
//! how long that takes tells of no name whether there is such a key.

use rand::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{ApiKey, Scopes};

/// What every key begins with; no token does.
const PREFIX: &str = "ck_";

/// A new key and what the settings keep of it. The name must be one that [`crate::config::check_name`] lets pass.
///
/// # Errors
/// When the system has no random numbers.
pub fn make(name: &str, scopes: Scopes) -> Result<(String, ApiKey), String> {
    let mut secret = [0; 32];
    let drawn = rand::rngs::OsRng.try_fill_bytes(&mut secret);
    drawn.map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("{PREFIX}{name}_{secret}");
    let hash = hash(&key);
    Ok((key, ApiKey { name: name.to_owned(), scopes, hash }))
}

/// Whether this is meant to be a key.
pub(super) fn is_key(credential: &str) -> bool {
    credential.starts_with(PREFIX)
}

/// What the settings keep of a key.
pub(super) fn hash(key: &str) -> [u8; 32] {
    #[cfg(test)]
    tests::HASHED.set(tests::HASHED.get() + key.len());
    Sha256::digest(key).into()
}

/// Whether these are of the same key, in constant time.
pub(super) fn fits(hash: &[u8; 32], kept: &[u8; 32]) -> bool {
    hash.ct_eq(kept).into()
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Bytes that this thread has hashed.
        pub static HASHED: Cell<usize> = const { Cell::new(0) };
    }
}
