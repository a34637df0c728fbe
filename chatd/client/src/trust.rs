//! Which certificates a client believes, and the TLS that follows from it.
//!
//! Invariant: ring is the only cryptography; nothing is believed without a check unless the caller asked for that.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use chat_protocol::secret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Error;

/// Whose word a client takes for who a server is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The authorities this host knows; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    #[default]
    System,
    /// The certificates in this PEM file alone.
    Authority(PathBuf),
    /// Anyone's: whoever stands between can read and change everything.
    Anyone,
}

impl Trust {
    /// What two flags of a command line ask for: a file of certificates, and to believe anyone.
    #[must_use]
    pub fn asked(authority: Option<PathBuf>, anyone: bool) -> Self {
        match authority {
            _ if anyone => Self::Anyone,
            Some(file) => Self::Authority(file),
            None => Self::System,
        }
    }

    /// The configuration of TLS; reads certificates from files.
    ///
    /// # Errors
    /// [`Error::BadServer`] naming the file that holds no usable certificate.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::BadServer(format!("TLS cannot be set up: {error}")))?;
        let config = match self {
            Self::System => builder.with_root_certificates(of_system()).with_no_client_auth(),
            Self::Authority(file) => builder.with_root_certificates(in_file(file)?).with_no_client_auth(),
            Self::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(BelievesAnyone(provider)))
                .with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

/// The authorities of this host, read once. What cannot be read is left out: a server it vouches for is refused then,
/// and the refusal says how to name the certificate.
fn of_system() -> Arc<RootCertStore> {
    static KNOWN: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut known = RootCertStore::empty();
        known.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(known)
    };
    KNOWN.get_or_init(read).clone()
}

fn in_file(file: &PathBuf) -> Result<RootCertStore, Error> {
    let name = file.to_string_lossy();
    let name = secret::file(&name);
    let bad = |why: String| Error::BadServer(format!("{name} is no file of certificates (PEM): {why}"));
    let mut known = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        known.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if known.is_empty() { Err(bad("there is none in it".to_owned())) } else { Ok(known) }
}

/// Checks that the server holds the key of the certificate it shows, and not whose certificate it is.
#[derive(Debug)]
struct BelievesAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        for file in ["/nowhere/ca.pem", "/dev/null", "/proc/version"] {
            let error = Trust::Authority(file.into()).config().unwrap_err().to_string();
            assert!(error.starts_with(file), "{error}");
        }
        let pasted =
            Trust::Authority("eyJhbGciOiJIUzI1NiJ9.e30.hush".into()).config().unwrap_err().to_string();
        assert!(pasted.starts_with("the value given") && !pasted.contains("hush"), "{pasted}");
        assert!(Trust::System.config().is_ok() && Trust::Anyone.config().is_ok());
    }
}
