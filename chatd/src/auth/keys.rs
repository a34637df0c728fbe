//! The keys in force, read from settings and files.
//!
//! Invariant: a key has the same number in every set that holds it, and no other key ever has that number: a session is
//! over when the number of its key is in no set any more. What is refused is named by its setting or file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chat_protocol::secret;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use sha2::{Digest, Sha256};

use super::Known;
use super::token::{TokenKey, Tokens};
use crate::config::{ApiKey, Auth, text_file};

/// Shortest secret for HS256, as RFC 7518 §3.2 asks for.
const SHORTEST_SECRET: usize = 32;
/// An RSA key of 2048 bits has so many bytes in its modulus.
const SHORTEST_MODULUS: usize = 256;
/// Keys of each kind at most: a token may have to be tried with each of one algorithm.
const MAX_KEYS: usize = 32;
/// Bytes of a file with keys at most.
const MAX_FILE: u64 = 256 * 1024;

/// A set of keys.
pub(super) struct Keys {
    /// Of operators, by name.
    pub api: BTreeMap<String, Held>,
    /// Of users' tokens.
    pub tokens: Tokens,
}

/// An operator's key.
pub(super) struct Held {
    /// As the settings keep it.
    pub key: ApiKey,
    /// Its number.
    pub number: u16,
}

/// Numbers given out so far, by what the keys hash to.
#[derive(Default)]
pub(super) struct Numbers(HashMap<[u8; 32], u16>);

impl Numbers {
    /// The number of the key of this kind with this material.
    fn of(&mut self, kind: &str, material: &[u8]) -> Result<u16, String> {
        let hash = Sha256::new_with_prefix(kind).chain_update([0]).chain_update(material).finalize().into();
        // 0 is nobody's.
        let next = u16::try_from(self.0.len() + 1).map_err(|_| "too many keys since the start".to_owned())?;
        Ok(*self.0.entry(hash).or_insert(next))
    }
}

impl Keys {
    /// Reads the keys that the settings name.
    pub fn load(settings: &Auth, numbers: &mut Numbers) -> Result<Self, String> {
        let mut api = BTreeMap::new();
        for line in &settings.keys {
            let key = line.parse().map_err(|why| format!("auth.keys: {why}"))?;
            let number = numbers.of("key", key.to_string().as_bytes())?;
            api.insert(key.name.clone(), Held { key, number });
        }
        let mut read = Vec::new();
        for secret in secrets(settings)? {
            read.push((None, Algorithm::HS256, DecodingKey::from_secret(&secret)));
        }
        for file in &settings.jwt_public_keys {
            read.push(public_key(file).map_err(|why| told("auth.jwt_public_keys", file, &why))?);
        }
        for file in &settings.jwks_files {
            read.extend(key_set(file).map_err(|why| told("auth.jwks_files", file, &why))?);
        }
        if api.len().max(read.len()) > MAX_KEYS {
            return Err(format!("auth: there may be {MAX_KEYS} keys of operators, and as many for tokens"));
        }
        let mut keys = Vec::with_capacity(read.len());
        for (kid, algorithm, key) in read {
            let number = numbers.of("token", &material(&key))?;
            keys.push(TokenKey { kid, algorithm, key, number });
        }
        Ok(Self { api, tokens: Tokens::new(settings, keys) })
    }

    /// Whether the key with this number is among them.
    pub fn has(&self, number: u16) -> bool {
        self.api.values().any(|held| held.number == number)
            || self.tokens.keys.iter().any(|key| key.number == number)
    }

    /// What may be told of them.
    pub fn known(&self) -> Known {
        Known { names: self.api.keys().cloned().collect(), token_keys: self.tokens.keys.len() }
    }
}

fn material(key: &DecodingKey) -> Vec<u8> {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
        DecodingKeyKind::RsaModulusExponent { n, e } => [n.as_slice(), e].concat(),
    }
}

/// The secrets for HS256, that of the setting first.
///
/// # Errors
/// A text for the operator that names the setting or file.
pub(super) fn secrets(settings: &Auth) -> Result<Vec<Vec<u8>>, String> {
    let mut secrets = Vec::new();
    if !settings.jwt_secret.is_empty() {
        let secret = settings.jwt_secret.expose().as_bytes().to_vec();
        secrets.push(checked(secret).map_err(|why| format!("auth.jwt_secret: {why}"))?);
    }
    for file in &settings.jwt_secret_files {
        let secret =
            read(file).and_then(|text| checked(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()));
        secrets.push(secret.map_err(|why| told("auth.jwt_secret_files", file, &why))?);
    }
    Ok(secrets)
}

fn checked(secret: Vec<u8>) -> Result<Vec<u8>, String> {
    match secret.len() < SHORTEST_SECRET {
        true => Err(format!(
            "a secret has at least {SHORTEST_SECRET} bytes; `head -c 32 /dev/urandom | base64` makes one"
        )),
        false => Ok(secret),
    }
}

fn told(setting: &str, file: &Path, why: &str) -> String {
    format!("{setting}: {}: {why}", secret::file(&file.to_string_lossy()))
}

fn read(file: &Path) -> Result<String, String> {
    text_file::read(file, MAX_FILE)
}

type Read = (Option<String>, Algorithm, DecodingKey);

fn public_key(file: &Path) -> Result<Read, String> {
    let text = read(file)?;
    if text.contains("PRIVATE KEY") {
        return Err("is a private key, which chatd does not need: give the public one".to_owned());
    }
    let pem = text.as_bytes();
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Ok((None, Algorithm::EdDSA, key));
    }
    let key = DecodingKey::from_rsa_pem(pem)
        .map_err(|_| "is no public key of RSA or Ed25519 in PEM (BEGIN PUBLIC KEY)".to_owned())?;
    match key.try_get_as_bytes() {
        // The rest of the DER is a few bytes.
        Ok(der) if der.len() >= SHORTEST_MODULUS => Ok((None, Algorithm::RS256, key)),
        _ => Err(too_short()),
    }
}

fn too_short() -> String {
    format!("a key of RSA has at least {} bits", 8 * SHORTEST_MODULUS)
}

/// The usable keys of a JSON Web Key Set (RFC 7517); others may stand beside them.
fn key_set(file: &Path) -> Result<Vec<Read>, String> {
    let set: JwkSet = serde_json::from_str(&read(file)?)
        .map_err(|error| format!("is no JSON Web Key Set: line {}", error.line()))?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => continue,
        };
        let common = &jwk.common;
        let is_to_sign = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        if !is_to_sign || common.key_algorithm.is_some_and(|other| other != named) {
            continue;
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| "a key in it cannot be read".to_owned())?;
        if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind()
            && n.len() < SHORTEST_MODULUS
        {
            return Err(too_short());
        }
        keys.push((common.key_id.clone(), algorithm, key));
    }
    match keys.is_empty() {
        true => Err("has no key for RS256 or EdDSA".to_owned()),
        false => Ok(keys),
    }
}
