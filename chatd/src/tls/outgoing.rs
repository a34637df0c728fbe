//! TLS of the node as a client of its stores and of other nodes.
//!
//! Invariant: a server is believed only when an authority of this host, or of the file that `SSL_CERT_FILE` names, vouches
//! for the name it was asked for by.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// A connection to a server that has proved who it is.
pub type Sealed<S> = tokio_rustls::client::TlsStream<S>;

/// Makes TLS of a connection to `host`, a name or an address.
///
/// # Errors
/// When `host` cannot stand in a certificate, the server is not believed, or the connection ends.
pub async fn seal<S: AsyncRead + AsyncWrite + Unpin>(stream: S, host: &str) -> io::Result<Sealed<S>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config()?).connect(name, stream).await
}

/// The same, to speak HTTP/2 over it and nothing else.
///
/// # Errors
/// As [`seal`]; when the server does not speak that.
pub async fn seal_http2<S: AsyncRead + AsyncWrite + Unpin>(stream: S, host: &str) -> io::Result<Sealed<S>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut config = ClientConfig::clone(&*config()?);
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Read until there are some, then kept: a process that runs for months does not follow a change of the authorities.
fn config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut known = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    known.add_parsable_certificates(found.certs);
    if known.is_empty() {
        let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(io::Error::other(format!(
            "this host knows no certificate authority: {}",
            why.join("; ")
        )));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = Arc::new(builder.with_root_certificates(known).with_no_client_auth());
    Ok(CONFIG.get_or_init(|| config).clone())
}
