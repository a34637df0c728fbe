//! The relay's HTTP side: the upgrade to a WebSocket, and the making of groups.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::floor::relay::{Room, lock};

const MOST_BYTES: usize = 64 * 1024;

/// Serves requests until one asks for a WebSocket; gives what followed it.
pub async fn upgrade(tcp: &mut TcpStream, room: &Room) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > MOST_BYTES || tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            lines
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        bytes.drain(..end + 4);
        if let Some(key) = header("sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            tcp.write_all(answer.as_bytes()).await.ok()?;
            return Some(bytes);
        }
        let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > MOST_BYTES {
            return None;
        }
        while bytes.len() < length {
            if tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let body: Vec<u8> = bytes.drain(..length).collect();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = operate(path, &serde_json::from_slice(&body).unwrap_or_default(), room).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        tcp.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn operate(path: &str, body: &Value, room: &Room) -> Value {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if path != "/group/create" && path != "/group/join" {
        return json!({"code": 1010, "msg": "a relay knows nothing", "data": null});
    }
    let mut groups = lock(&room.groups);
    let members = groups.entry(text("groupId")).or_default();
    members.insert(text("userId"));
    let data = json!({"changed": true, "memberCount": members.len(), "offset": 0, "epoch": "floor",
        "groupId": text("groupId"), "name": text("name"), "owner": text("userId")});
    json!({"code": 200, "msg": "Success", "data": data})
}
