//! A WebSocket echo server over chatd's own transport, for conformance suites.
//!
//! Usage: `echo 127.0.0.1:0`; prints `listening on ws://ADDR` on stderr when ready.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use chatd::hub::frame;
use chatd::tls::Line;
use chatd::transport::frames::Frames;
use chatd::transport::reader::{Reader, Received};
use chatd::transport::writer::Writer;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The suites send messages of up to 64 KiB, and some in thousands of fragments.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// For a peer who does not close.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    for tcp in listener.incoming() {
        let tcp = tcp?;
        thread::spawn(move || {
            if let Err(error) = serve(tcp) {
                eprintln!("connection: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut tcp: TcpStream) -> Result<()> {
    tcp.set_nodelay(true)?;
    let mut kept = shake_hands(&mut tcp)?;
    let mut line = Line { tcp, tls: None };
    let (mut reader, mut writer) = (Reader::default(), Writer::default());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut echoes = Frames::default();
        let is_at_end = echo(&mut kept, &mut reader, &mut writer, &mut echoes);
        writer.flush(&mut line, |writing, _| echoes.move_to(writing, usize::MAX))?;
        if is_at_end {
            break;
        }
        match line.read(&mut buffer)? {
            0 => break,
            count => kept.extend_from_slice(&buffer[..count]),
        }
    }
    line.tcp.shutdown(Shutdown::Write)?;
    line.tcp.set_read_timeout(Some(PATIENCE))?;
    while line.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Echoes what is there to its end; says whether it was the end of all.
fn echo(kept: &mut Vec<u8>, reader: &mut Reader, writer: &mut Writer, echoes: &mut Frames) -> bool {
    let mut at = 0;
    let is_at_end = loop {
        match reader.next(kept, &mut at, MAX_FRAME) {
            Ok(Some(Received::Text(text))) => echoes.push(frame::text(text.as_bytes())),
            Ok(Some(Received::Binary(bytes))) => {
                // The same header but for the opcode.
                let mut echo = frame::text(&bytes).to_vec();
                echo[0] = 0x82;
                echoes.push(echo.into());
            }
            Ok(Some(Received::Ping(content))) => writer.pong(content),
            Ok(Some(Received::Other)) => {}
            Ok(Some(Received::Close(close))) => {
                writer.confirm_close(close.map(|(code, _)| code));
                break true;
            }
            Ok(None) => break false,
            Err(violation) => {
                writer.close(violation.code, violation.reason);
                break true;
            }
        }
    };
    kept.drain(..at);
    is_at_end
}

/// Reads the request up to the blank line and answers it; returns what came after.
fn shake_hands(tcp: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        let count = tcp.read(&mut buffer)?;
        if count == 0 || head.len() > 16 * 1024 {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        head.extend_from_slice(&buffer[..count]);
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
    tcp.write_all(answer.as_bytes())?;
    Ok(head.split_off(end))
}
