//! One WebSocket connection: handshake, text frames in and out, close codes.
//!
//! Invariant: buffers stay small, so that one process can hold tens of thousands of connections.

use std::net::IpAddr;
use std::time::Duration;

use chat_protocol::envelope::HttpAnswer;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, LOCATION};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::{Error, redirected};
use crate::http::MAX_ANSWER_BYTES;
use crate::server::Server;
use crate::stream::Stream;

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
    stream: WebSocketStream<Stream>,
}

impl Connection {
    /// Connects and shakes hands at `/acc`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without TCP or in time, [`Error::Untrusted`] without TLS where the scheme asks for it,
    /// [`Error::Redirected`], or [`Error::Refused`] with the HTTP status as code when the server did not upgrade.
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
        self.stream.get_ref().tcp()
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
    let stream = Stream::open(server, options.source).await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(options.read_buffer)
        .write_buffer_size(0)
        .max_frame_size(Some(MAX_ANSWER_BYTES))
        .max_message_size(Some(MAX_ANSWER_BYTES));
    let bad = |error: String| Error::BadServer(format!("no WebSocket address for {server}: {error}"));
    // The scheme only says how a connection would be opened, which has been done.
    let uri = format!("ws://{}{}", server.host_header(), server.socket_path());
    let mut request = uri.into_client_request().map_err(|error| bad(error.to_string()))?;
    if let Some(authorization) = server.authorization() {
        let value = authorization.try_into().map_err(|_| bad("unusable user or password".to_owned()))?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, _)) => Ok(Connection { server: server.to_string(), stream }),
        Err(tungstenite::Error::Http(response)) => Err(refused(server, &response)),
        Err(error) => Err(Error::Unreachable { server: server.to_string(), cause: error.to_string() }),
    }
}

/// The server answered, but not with a WebSocket.
fn refused(server: &Server, response: &tungstenite::http::Response<Option<Vec<u8>>>) -> Error {
    let status = response.status();
    if let Some(location) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
        return redirected(server, "/acc", status.as_u16(), location.to_str().unwrap_or_default());
    }
    // As much of it as came together with the head.
    let body = response.body().as_deref().unwrap_or_default();
    let words = serde_json::from_slice::<HttpAnswer<Value>>(body);
    let words = words.map_or(String::new(), |answer| format!(": {}", answer.msg));
    Error::Refused {
        code: status.as_u16(),
        reason: format!("no WebSocket: HTTP status {status}{words}"),
        retry_after_ms: None,
    }
}
