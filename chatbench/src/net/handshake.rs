//! The client's half of the WebSocket handshake on a bare stream.
//!
//! Invariant: after it not one byte of the server is lost: what came behind the answer is given back.

use chat_client::{Server, Stream};
use chat_protocol::envelope::HttpAnswer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Why the server did not become a WebSocket.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The server answered with another status, and with these words.
    #[error("no WebSocket: HTTP status {0}{1}")]
    Status(u16, String),
    /// There is no secure connection to the server.
    #[error("{0}")]
    Insecure(String),
    /// The answer breaks the rules.
    #[error("no WebSocket: {0}")]
    Malformed(&'static str),
}

impl HandshakeError {
    /// The same with what the server says in this body, as far as it came with the head.
    fn with_words(self, body: &[u8]) -> Self {
        match (self, serde_json::from_slice::<HttpAnswer<Value>>(body)) {
            (Self::Status(status, _), Ok(answer)) => Self::Status(status, format!(": {}", answer.msg)),
            (error, _) => error,
        }
    }
}

/// Shakes hands and gives the bytes that followed the server's answer.
///
/// # Errors
/// [`HandshakeError`].
pub async fn shake(stream: &mut Stream, server: &Server) -> Result<Vec<u8>, HandshakeError> {
    let broken = |error: std::io::Error| HandshakeError::Broken(error.to_string());
    let key = generate_key();
    let (path, host) = (server.socket_path(), server.host_header());
    let login = server.authorization().map_or(String::new(), |login| format!("Authorization: {login}\r\n"));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{login}\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut bytes = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            return Err(HandshakeError::Broken("closed during the handshake".to_owned()));
        }
        if let Some(end) = head_end(&bytes) {
            let (head, body) = bytes.split_at(end);
            check(head, &derive_accept_key(key.as_bytes())).map_err(|error| error.with_words(body))?;
            bytes.drain(..end);
            bytes.shrink_to_fit();
            return Ok(bytes);
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(HandshakeError::Malformed("the answer's head is too long"));
        }
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|start| start + 4)
}

fn check(head: &[u8], accept: &str) -> Result<(), HandshakeError> {
    let head = std::str::from_utf8(head).map_err(|_| HandshakeError::Malformed("the answer is no text"))?;
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    match status {
        Some(101) => {}
        Some(status) => return Err(HandshakeError::Status(status, String::new())),
        None => return Err(HandshakeError::Malformed("not an HTTP answer")),
    }
    let accepted = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept);
    if accepted { Ok(()) } else { Err(HandshakeError::Malformed("wrong or missing Sec-WebSocket-Accept")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proper_upgrade_is_taken() {
        let good =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-ACCEPT:  k=\r\n\r\n";
        assert_eq!(check(good, "k="), Ok(()));
        assert_eq!(head_end(good), Some(good.len()));
        assert!(matches!(check(good, "other"), Err(HandshakeError::Malformed(_))));
        let full = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        let refused = check(full, "k=").unwrap_err();
        assert_eq!(refused, HandshakeError::Status(503, String::new()));
        let words = refused.with_words(br#"{"code":1013,"msg":"no place","data":null}"#).to_string();
        assert_eq!(words, "no WebSocket: HTTP status 503: no place");
        assert!(matches!(check(b"SSH-2.0\r\n\r\n", "k="), Err(HandshakeError::Malformed(_))));
    }
}
