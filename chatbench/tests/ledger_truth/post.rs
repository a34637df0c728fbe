//! The double's HTTP side: one POST with a JSON body for each connection.
//!
//! Invariant: a path it does not know is answered 1010, as chatd does.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::double::{Shared, take_posted};
use crate::fault::Fault;

/// Answers one request and closes.
pub async fn serve(mut tcp: TcpStream, world: &Shared) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if tcp.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            break (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end + 4..].to_vec());
        }
    };
    let path = head.split(' ').nth(1).unwrap_or_default();
    if fails(world, path) {
        return std::future::pending().await;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (code, data) = take_posted(world, path, &body);
    let answer = json!({"code": code, "msg": "as told", "data": data}).to_string();
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    let _ = tcp.write_all(response.as_bytes()).await;
}

/// Whether nothing comes back from this path; a server that dies there is gone when this returns.
fn fails(world: &Shared, path: &str) -> bool {
    let mut world = world.lock().unwrap();
    for fault in world.faults.clone() {
        match fault {
            Fault::Hang { path: this } if this == path => {
                world.hung += 1;
                return true;
            }
            Fault::Die { path: this } if this == path => {
                world.gone.send_replace(true);
                return true;
            }
            _ => {}
        }
    }
    false
}
