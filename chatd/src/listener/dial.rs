//! A connection that this node begins to another one, as the library of HTTP reads and writes it.
//!
//! Invariant: over TLS it leads to whoever proved to be who was called, and nobody else.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::seal_http2;

/// What bytes go over.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that was begun here.
pub type Dialled = TokioIo<Box<dyn Wire>>;

/// Begins a connection for HTTP/2 to a host, a name or an address, one of IPv6 in brackets or not.
///
/// # Errors
/// When nobody is there, or over TLS somebody who is not believed.
pub async fn dial(host: &str, port: u16, is_tls: bool) -> io::Result<Dialled> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let wire: Box<dyn Wire> = if is_tls { Box::new(seal_http2(tcp, host).await?) } else { Box::new(tcp) };
    Ok(TokioIo::new(wire))
}
