//! The certificate and the key as an operator keeps them: two PEM files.
//!
//! Invariant: a refusal names the file, what is wrong with it and what to do; it shows nothing that stands in a file. A
//! certificate that has ended is no refusal: an old one is better than none.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use chat_protocol::certificate::not_after;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig};
use sha2::{Digest, Sha256};

use super::keeper::Paths;

/// Bytes of a file at most.
const MAX_FILE: u64 = 256 * 1024;
/// What a client and this node may agree to speak inside of TLS: the one protocol over which a WebSocket begins.
const ALPN: &[u8] = b"http/1.1";
/// The same on a port for gRPC.
const ALPN_GRPC: &[u8] = b"h2";

/// What stands in the two files.
pub struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Stands for what stood in the files: the same for the same.
pub type Fingerprint = [u8; 32];

/// A certificate with its key, as new connections use it.
pub struct Pair {
    /// How they are served.
    pub config: Arc<ServerConfig>,
    /// How they are served where they speak gRPC.
    pub grpc: Arc<ServerConfig>,
    /// When the certificate ends, in seconds of Unix time.
    pub ends_s: Option<i64>,
    /// What tells the certificate from others: the beginning of what `openssl x509 -fingerprint -sha256` says.
    pub sha256: String,
    /// Of what it was made of.
    pub fingerprint: Fingerprint,
}

impl Texts {
    /// Reads both files.
    ///
    /// # Errors
    /// A text for the operator that names the one that cannot be read.
    pub fn read(paths: &Paths) -> Result<Self, String> {
        let read = |setting: &str, path: &Path| {
            bytes_of(path).map_err(|error| told(setting, path, &unreadable(&error)))
        };
        Ok(Self { certificate: read("tls_cert", &paths.certificate)?, key: read("tls_key", &paths.key)? })
    }

    /// Of both.
    pub fn fingerprint(&self) -> Fingerprint {
        let length = self.certificate.len().to_le_bytes();
        Sha256::new_with_prefix(length)
            .chain_update(&self.certificate)
            .chain_update(&self.key)
            .finalize()
            .into()
    }

    /// What connections are served with from them.
    ///
    /// # Errors
    /// A text for the operator that names the file and what is wrong with it.
    pub fn pair(&self, paths: &Paths) -> Result<Pair, String> {
        let of_certificate = |why: &str| told("tls_cert", &paths.certificate, why);
        let of_key = |why: &str| told("tls_key", &paths.key, why);
        let chain = chain(&self.certificate).map_err(|why| of_certificate(&why))?;
        let key = key(&self.key).map_err(|why| of_key(&why))?;
        let own = chain.first().map_or(&[][..], |own| own);
        let (ends_s, sha256) = (not_after(own), beginning(&Sha256::digest(own)));
        let config = config(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => of_key(&format!(
                "it is not the key of the first certificate in {}; put the node's own certificate first there, and \
                 give the key that it was made with",
                paths.certificate.display()
            )),
            Error::InvalidCertificate(why) => {
                of_certificate(&format!("its first certificate cannot be used ({why:?}); have it made again"))
            }
            other => of_key(&format!("{other}; give a key of the kind RSA, ECDSA (P-256, P-384) or Ed25519")),
        })?;
        let mut grpc = config.clone();
        grpc.alpn_protocols = vec![ALPN_GRPC.to_vec()];
        Ok(Pair {
            config: Arc::new(config),
            grpc: Arc::new(grpc),
            ends_s,
            sha256,
            fingerprint: self.fingerprint(),
        })
    }
}

/// As openssl writes it.
fn beginning(hash: &[u8]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn told(setting: &str, path: &Path, why: &str) -> String {
    format!("{setting} = {path:?}: {why}")
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(io::Error::new(ErrorKind::InvalidData, format!("it has more than {MAX_FILE} bytes"))),
        false => Ok(bytes),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("{error}; name the file that holds it"),
        ErrorKind::PermissionDenied => format!(
            "{error}; chatd runs as the user with the number {}, who must be able to read it and to pass through the \
             directories above it, such as by `chgrp` and `chmod g+r`",
            std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
        ),
        _ => format!("cannot be read: {error}"),
    }
}

/// The certificates of a file, in their order.
fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| format!("it is no PEM: {error}; copy it anew"))?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match text {
        [] => EMPTY.to_owned(),
        _ if has(text, "PRIVATE KEY-----") => {
            "there is a key and no certificate in it; give the key as tls_key".to_owned()
        }
        [0x30, ..] => binary("x509"),
        _ => "there is no certificate (PEM) in it".to_owned(),
    })
}

/// The first key of a file.
fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if has(text, "BEGIN ENCRYPTED PRIVATE KEY") || has(text, "Proc-Type: 4,ENCRYPTED") {
        let way = "`openssl pkey -in FILE -out NEWFILE` writes one without";
        return Err(format!("the key is encrypted, and nobody is there to ask for its password; {way}"));
    }
    let error = match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    Err(match text {
        [] => EMPTY.to_owned(),
        _ if has(text, "BEGIN CERTIFICATE-----") => {
            "there is a certificate and no key in it; give the certificate as tls_cert".to_owned()
        }
        [0x30, ..] => binary("pkey"),
        _ => format!("there is no key (PEM) in it: {error}"),
    })
}

const EMPTY: &str = "it is empty; copy it anew";

fn binary(kind: &str) -> String {
    format!("it is DER, not PEM; `openssl {kind} -inform der -in FILE -out NEWFILE` changes it")
}

fn has(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|window| window == words.as_bytes())
}

/// TLS 1.2 and 1.3, with tickets that the client keeps: whoever comes back with one spares the node a signature.
fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_a_file_is_told_who_must() {
        let told = unreadable(&ErrorKind::PermissionDenied.into());
        let own = std::fs::metadata("/proc/self").unwrap().uid();
        assert!(told.contains(&format!("number {own},")) && told.contains("chmod g+r"), "{told}");
    }
}
