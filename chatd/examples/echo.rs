//! A WebSocket echo server over chatd's own transport, for conformance suites.
//!
//! Usage: `echo 127.0.0.1:0`; prints `listening on ws://ADDR` on stderr when ready.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chatd::hub::frame;
use chatd::transport::websocket::{Flushed, Received, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The suites send messages of up to 64 KiB, and some in thousands of fragments.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// For a peer who takes nothing of what is left for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(tcp).await {
                eprintln!("connection: {error}");
            }
        });
    }
}

async fn serve(mut tcp: TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let read_ahead = shake_hands(&mut tcp).await?;
    let mut socket = Socket::new(tcp, &read_ahead, MAX_FRAME);
    let mut echoes: VecDeque<Bytes> = VecDeque::new();
    loop {
        match socket.receive() {
            Received::Text(text) => echoes.push_back(frame::text(text.as_bytes())),
            Received::Binary(bytes) => {
                // The same header but for the opcode.
                let mut echo = frame::text(&bytes).to_vec();
                echo[0] = 0x82;
                echoes.push_back(echo.into());
            }
            Received::Control => {}
            Received::Nothing => {
                let flushed = socket.flush(|writing, _| writing.append(&mut echoes))?;
                let blocked = flushed == Flushed::Blocked;
                socket.ready(if blocked { Interest::WRITABLE } else { Interest::READABLE }).await?;
            }
            Received::End => {
                socket.finish(|writing, _| writing.append(&mut echoes), PATIENCE).await;
                return Ok(());
            }
        }
    }
}

/// Reads the request up to the blank line and answers it; returns what came after.
async fn shake_hands(tcp: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if tcp.read_buf(&mut head).await? == 0 || head.len() > 16 * 1024 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let key = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    tcp.write_all(answer.as_bytes()).await?;
    Ok(head[end..].to_vec())
}
