//! Bytes to and from a server, over TCP or over TLS on it.
//!
//! Invariant: a plain connection costs nothing more than its socket; every address of a name is tried.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::server::Server;

/// How long an address is waited for before the next one of the same name is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// A connection with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to whichever address of the server answers first, from `source` if there is one.
    ///
    /// # Errors
    /// [`Error::Unreachable`], or as [`Stream::over`].
    pub async fn open(server: &Server, source: Option<IpAddr>) -> Result<Self, Error> {
        Self::over(Self::connect(server, source).await?, server).await
    }

    /// As [`Stream::open`] without a source, to speak HTTP/2 alone, as gRPC does.
    ///
    /// # Errors
    /// As [`Stream::open`].
    pub async fn open_http2(server: &Server) -> Result<Self, Error> {
        Self::speaking(Self::connect(server, None).await?, server, &[b"h2"]).await
    }

    async fn connect(server: &Server, source: Option<IpAddr>) -> Result<TcpStream, Error> {
        let unreachable =
            |error: io::Error| Error::Unreachable { server: server.to_string(), cause: error.to_string() };
        let addresses = lookup_host(server.authority()).await.map_err(unreachable)?.collect();
        let tcp = first_of(addresses, source).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        Ok(tcp)
    }

    /// What the server's scheme asks for over a connection to it: nothing for `http`, TLS for `https`.
    ///
    /// # Errors
    /// [`Error::BadServer`] when the certificates to trust cannot be read, [`Error::Untrusted`] when the server does
    /// not prove who it is, [`Error::Unreachable`] when the connection breaks.
    pub async fn over(tcp: TcpStream, server: &Server) -> Result<Self, Error> {
        Self::speaking(tcp, server, &[]).await
    }

    /// With TLS it says that it speaks these protocols (ALPN): a proxy goes by that.
    async fn speaking(tcp: TcpStream, server: &Server, protocols: &[&[u8]]) -> Result<Self, Error> {
        let Some(mut config) = server.tls()? else { return Ok(Self::Plain(tcp)) };
        if !protocols.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        }
        let host = server.host().to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| Error::BadServer(format!("{server} cannot have a certificate: {error}")))?;
        match TlsConnector::from(config).connect(name, tcp).await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err(error) => Err(match tls_cause(&error) {
                Some(cause) => Error::Untrusted { server: server.to_string(), cause },
                None => Error::Unreachable { server: server.to_string(), cause: error.to_string() },
            }),
        }
    }

    /// The socket below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// What TLS has against a connection, when it is TLS that ended it.
pub(crate) fn tls_cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of the system hides the one it was made of.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let hidden = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(found) = error.downcast_ref::<rustls::Error>().or(hidden) {
            return Some(found.to_string());
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Begins with the first address and adds one more whenever those before have failed or are slow.
async fn first_of(addresses: Vec<SocketAddr>, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let fits = |address: &SocketAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
    let mut left = addresses.into_iter().filter(fits);
    let mut tries = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut more = true;
    loop {
        match left.next().filter(|_| more) {
            Some(address) => tries.push(connect(address, source)),
            None => more = false,
        }
        if tries.is_empty() {
            return Err(last);
        }
        let patience = tokio::time::sleep(NEXT_ADDRESS);
        tokio::select! {
            Some(tried) = tries.next() => match tried {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            },
            () = patience, if more => {}
        }
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_nobody_listens_on_hides_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let silent = TcpListener::bind("[::1]:0").await.unwrap();
        let gone = silent.local_addr().unwrap();
        drop(silent);
        let tcp = first_of(vec![gone, there], None).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), there);
        assert!(first_of(vec![gone], None).await.is_err() && first_of(Vec::new(), None).await.is_err());
        let from = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(first_of(vec![gone, there], from).await.unwrap().peer_addr().unwrap(), there);
    }

    #[tokio::test]
    async fn an_address_that_never_answers_hides_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        // A listener whose queue is full answers no more attempts.
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(0).unwrap();
        let silent = full.local_addr().unwrap();
        let held = [0; 4].map(|_| tokio::spawn(TcpStream::connect(silent)));
        tokio::task::yield_now().await;
        let tcp = first_of(vec![silent, there], None).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), there);
        held.into_iter().for_each(|attempt| attempt.abort());
    }
}
