//! One WebSocket connection: handshake, text frames in and out, close codes.
//!
//! Invariant: buffers stay small, so that one process can hold tens of thousands of connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::Error;
use crate::server::Server;

/// Close code of a connection that broke without one.
pub const ABNORMAL: u16 = 1006;

/// How to open a [`Connection`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest wait for TCP and the handshake together.
    pub connect_timeout: Duration,
    /// Local address to connect from; the system's choice when absent.
    pub source: Option<IpAddr>,
    /// Bytes read from the socket at a time.
    pub read_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10), source: None, read_buffer: 4096 }
    }
}

/// An open WebSocket to chatd.
#[derive(Debug)]
pub struct Connection {
    server: String,
    stream: WebSocketStream<TcpStream>,
}

impl Connection {
    /// Connects and shakes hands at `/acc`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without TCP, [`Error::Timeout`], or [`Error::Refused`] with the HTTP status as code
    /// when the server did not upgrade.
    pub async fn open(server: &Server, options: &Options) -> Result<Self, Error> {
        match tokio::time::timeout(options.connect_timeout, open(server, options)).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::Unreachable {
                server: server.to_string(),
                cause: format!("no handshake within {} ms", options.connect_timeout.as_millis()),
            }),
        }
    }

    /// Sends one text frame.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), Error> {
        let sent = self.stream.send(Message::Text(text.into())).await;
        sent.map_err(|error| broken(&error))
    }

    /// Sends any frame, for tests of the server's limits.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is gone.
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        let sent = self.stream.send(message).await;
        sent.map_err(|error| broken(&error))
    }

    /// The next text frame. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Closed`] with the close code when the connection ended.
    pub async fn next(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    // Answers the close handshake; the peer's own code is what the caller wants to know.
                    let _ = self.stream.flush().await;
                    return Err(closed(frame));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(&error)),
                None => return Err(closed(None)),
            }
        }
    }

    /// Closes in order and waits shortly for the server's answer.
    pub async fn close(mut self) {
        let frame = CloseFrame { code: 1000.into(), reason: Utf8Bytes::default() };
        let farewell = async {
            self.stream.close(Some(frame)).await.ok();
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }

    /// The socket below, for options and raw bytes.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }
}

fn broken(error: &tungstenite::Error) -> Error {
    Error::Closed { code: ABNORMAL, reason: error.to_string() }
}

fn closed(frame: Option<CloseFrame>) -> Error {
    match frame {
        Some(frame) => Error::Closed { code: frame.code.into(), reason: frame.reason.to_string() },
        None => Error::Closed { code: ABNORMAL, reason: "the connection broke".to_owned() },
    }
}

async fn open(server: &Server, options: &Options) -> Result<Connection, Error> {
    let unreachable =
        |error: std::io::Error| Error::Unreachable { server: server.to_string(), cause: error.to_string() };
    let tcp = connect(&server.authority(), options.source).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let config = WebSocketConfig::default().read_buffer_size(options.read_buffer).write_buffer_size(0);
    let uri = format!("ws://{}{}", server.authority(), server.socket_path());
    match client_async_with_config(uri, tcp, Some(config)).await {
        Ok((stream, _)) => Ok(Connection { server: server.to_string(), stream }),
        Err(tungstenite::Error::Http(response)) => Err(Error::Refused {
            code: response.status().as_u16(),
            reason: format!("no WebSocket: HTTP status {}", response.status()),
            retry_after_ms: None,
        }),
        Err(error) => Err(Error::Unreachable { server: server.to_string(), cause: error.to_string() }),
    }
}

async fn connect(authority: &str, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let mut last = None;
    for address in lookup_host(authority).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        match socket.connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address")))
}
