//! JSON Web Tokens by hand: good ones, and every kind of bad one.
//!
//! Invariant: what stands in a token is exactly what a test puts there.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, pkcs8};
use serde_json::{Value, json};

/// The private key of RSA that only tests know.
const RSA: &str = include_str!("rsa.pem");
/// Its public part.
pub const RSA_PUBLIC: &str = include_str!("rsa.pub.pem");
/// What stands before the 32 bytes of a public key of Ed25519 (RFC 8410 §4).
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a token is signed with.
pub enum Signer {
    /// A shared secret.
    Hs256(Vec<u8>),
    /// The key of [`RSA_PUBLIC`].
    Rs256(RsaKeyPair),
    /// A key of its own.
    Ed25519(Ed25519KeyPair),
    /// Nothing at all.
    Nobody,
}

impl Signer {
    /// By a shared secret.
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::Hs256(secret.as_ref().to_vec())
    }

    /// By the private key of RSA.
    ///
    /// # Panics
    /// Never: it is a good one.
    #[must_use]
    pub fn rsa() -> Self {
        Self::Rs256(RsaKeyPair::from_pkcs8(&der(RSA)).expect("a private key"))
    }

    /// By a new key of Ed25519.
    ///
    /// # Panics
    /// When the system has no random numbers.
    #[must_use]
    pub fn ed25519() -> Self {
        let document: pkcs8::Document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random numbers");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a private key"))
    }

    /// The bytes of its public key; none where there is none.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        match self {
            Signer::Rs256(key) => key.public().as_ref().to_vec(),
            Signer::Ed25519(key) => key.public_key().as_ref().to_vec(),
            Signer::Hs256(_) | Signer::Nobody => Vec::new(),
        }
    }

    /// Its public key of Ed25519 in PEM.
    #[must_use]
    pub fn ed25519_pem(&self) -> String {
        let der = [&ED25519_HEAD[..], &self.public()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// What it calls itself in a token.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Signer::Hs256(_) => "HS256",
            Signer::Rs256(_) => "RS256",
            Signer::Ed25519(_) => "EdDSA",
            Signer::Nobody => "none",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Hs256(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
            Signer::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
                signed.expect("it signs");
                signature
            }
            Signer::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Signer::Nobody => Vec::new(),
        }
    }

    /// A token with this head and these claims.
    #[must_use]
    pub fn token(&self, head: &Value, claims: &Value) -> String {
        self.raw(&head.to_string(), &claims.to_string())
    }

    /// A token of these texts, which need not be JSON.
    #[must_use]
    pub fn raw(&self, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", encoded(head), encoded(claims));
        format!("{message}.{}", encoded(self.sign(message.as_bytes())))
    }

    /// A token with the head it should have.
    #[must_use]
    pub fn of(&self, claims: &Value) -> String {
        self.token(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }
}

/// Base64 as it stands in tokens.
pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes in a PEM.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

/// So many seconds from now, Unix seconds.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    now.cast_signed() + seconds
}

/// The claims of a user's token that is good for an hour.
#[must_use]
pub fn claims(app: u32, user: &str) -> Value {
    json!({"sub": user, "appId": app, "exp": in_seconds(3600)})
}
