//! A WebSocket by hand: frames as a broken or hostile client would build them.
//!
//! Invariant: nothing happens that the test did not ask for: no pong, no answer to a close.

use chat_client::{Server, Stream};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::wait::SOON;

/// Kinds of frame (RFC 6455 §5.2).
pub mod opcode {
    /// Goes on with the message before.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Bytes.
    pub const BINARY: u8 = 2;
    /// Means nothing yet.
    pub const RESERVED: u8 = 3;
    /// Ends the connection.
    pub const CLOSE: u8 = 8;
    /// Asks for a pong.
    pub const PING: u8 = 9;
    /// Answers a ping.
    pub const PONG: u8 = 10;
}

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// See [`opcode`].
    pub opcode: u8,
    /// Content.
    pub payload: Vec<u8>,
}

/// A WebSocket whose bytes a test writes itself.
pub struct RawSocket {
    stream: Stream,
}

/// A masked frame as a client should send it.
#[must_use]
pub fn frame(is_last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(if is_last { FIN } else { 0 } | opcode, MASKED, payload.len());
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The same without its mask, which the protocol forbids.
#[must_use]
pub fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [header(FIN | opcode, 0, payload.len()), payload.to_vec()].concat()
}

fn header(first: u8, masked: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, masked | u8::try_from(length).expect("below 126")],
        126..=0xffff => {
            let length = u16::try_from(length).expect("below 65536").to_be_bytes();
            [&[first, masked | 126], length.as_slice()].concat()
        }
        _ => [&[first, masked | 127], (length as u64).to_be_bytes().as_slice()].concat(),
    }
}

impl RawSocket {
    /// Connects and shakes hands.
    ///
    /// # Panics
    /// When the server does not upgrade.
    pub async fn open(server: &Server) -> Self {
        let mut socket = Self::connect(server).await;
        socket.shake(server).await;
        socket
    }

    /// Over this connection, whose handshake is to come.
    #[must_use]
    pub fn over(stream: Stream) -> Self {
        Self { stream }
    }

    /// Shakes hands.
    ///
    /// # Panics
    /// When the server does not upgrade.
    pub async fn shake(&mut self, server: &Server) {
        self.send(handshake(server).as_bytes()).await;
        let head = self.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Connects only, over TLS where that is spoken.
    ///
    /// # Panics
    /// When the server does not listen.
    pub async fn connect(server: &Server) -> Self {
        Self::over(Stream::open(server, None).await.expect("the server listens"))
    }

    /// Makes the end of this socket a reset, as when a phone loses its network.
    pub fn reset_on_drop(&self) {
        let _ = self.stream.tcp().set_zero_linger();
    }

    /// Whether the server ends the connection by itself, whatever it says before.
    pub async fn ends(&mut self) -> bool {
        let mut said = Vec::new();
        timeout(2 * SOON, self.stream.read_to_end(&mut said)).await.is_ok()
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        // A server that has closed already is what some tests are about.
        let _ = self.stream.write_all(bytes).await;
        // TLS may have taken the bytes while the socket had not, and then waits to be asked again.
        let _ = self.stream.flush().await;
    }

    /// Shuts this side: nothing more will be sent, everything can still be read.
    pub async fn shut(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Sends one text frame.
    pub async fn send_text(&mut self, text: impl AsRef<[u8]>) {
        self.send(&frame(true, opcode::TEXT, text.as_ref())).await;
    }

    /// Logs in.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn login(&mut self, app: u32, user: &str) {
        let request =
            serde_json::json!({"seq": "in", "cmd": "login", "data": {"appId": app, "userId": user}});
        self.send_text(request.to_string()).await;
        assert_eq!(self.answer().await["response"]["code"], 200);
    }

    /// The next answer to a request; pushes before it are dropped.
    ///
    /// # Panics
    /// When there is none soon.
    pub async fn answer(&mut self) -> Value {
        loop {
            let frame = self.next().await.expect("an open connection");
            assert_eq!(frame.opcode, opcode::TEXT, "{frame:?}");
            let value: Value = serde_json::from_slice(&frame.payload).expect("JSON");
            if value["response"]["codeMsg"] != "Ok" {
                return value;
            }
        }
    }

    /// The next frame; `None` when the connection has ended.
    ///
    /// # Panics
    /// When neither happens soon.
    pub async fn next(&mut self) -> Option<Frame> {
        let read = timeout(SOON, self.read_frame()).await;
        read.expect("a frame or the end").ok()
    }

    /// The close code, after whatever comes before it, and a check that the connection ends behind it.
    ///
    /// # Panics
    /// When the connection ends without a close frame or stays open behind it.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let frame = self.next().await.expect("a close frame before the end");
            if frame.opcode == opcode::CLOSE {
                assert_eq!(self.next().await, None, "something after the close frame");
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    }

    async fn read_frame(&mut self) -> std::io::Result<Frame> {
        let (first, second) = (self.stream.read_u8().await?, self.stream.read_u8().await?);
        assert_eq!((first & !0x0f, second & MASKED), (FIN, 0), "a server sends whole, unmasked frames");
        let length = match second {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { opcode: first & 0x0f, payload })
    }

    /// The head of the answer to a handshake.
    ///
    /// # Panics
    /// When there is none soon.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(SOON, self.stream.read_u8()).await.expect("an answer");
            head.push(byte.expect("an open connection"));
        }
        String::from_utf8_lossy(&head).into_owned()
    }
}

/// The request that asks for a WebSocket.
#[must_use]
pub fn handshake(server: &Server) -> String {
    format!(
        "GET /acc HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.authority()
    )
}
