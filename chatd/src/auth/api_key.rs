//! Keys of operators: `ck_NAME_SECRET`, the secret 256 random bits in hexadecimal.
//!
//! Invariant: only the hash of a whole key is kept, and it is compared in constant time.

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

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The name in a key; none in what is no key.
pub(super) fn name_of(credential: &str) -> Option<&str> {
    credential.strip_prefix(PREFIX)?.rsplit_once('_').map(|(name, _)| name)
}

/// Whether the key is the one with this hash.
pub(super) fn fits(key: &str, hashed: &[u8; 32]) -> bool {
    hash(key).ct_eq(hashed).into()
}
