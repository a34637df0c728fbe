//! The relay's HTTP side: the upgrade to a WebSocket, and the making of groups.

use chat_protocol::Operation;
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::group::{Create, CreateRequest, Group, GroupRequest, Join, MembershipResponse};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::scenario::floor::hall::{Hall, json};

const MOST_BYTES: usize = 64 * 1024;

/// A request that was answered.
pub struct Answered {
    pub answer: String,
    /// Bytes of the request.
    pub length: usize,
    /// Whether what follows is a WebSocket.
    pub is_upgrade: bool,
}

/// Answers the request at the start of `bytes`; `None` when more bytes are needed.
///
/// # Errors
/// When it is too large to be one.
pub fn answer(bytes: &[u8], hall: &Hall) -> Result<Option<Answered>, &'static str> {
    let too_large = bytes.len() > MOST_BYTES;
    let incomplete = || if too_large { Err("request larger than 64 KiB") } else { Ok(None) };
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return incomplete() };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if let Some(key) = header("sec-websocket-key") {
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        return Ok(Some(Answered { answer, length: end + 4, is_upgrade: true }));
    }
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    let Some(body) = bytes[end + 4..].get(..length) else { return incomplete() };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let answer = operate(path, body, hall);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    Ok(Some(Answered { answer, length: end + 4 + length, is_upgrade: false }))
}

fn operate(path: &str, body: &[u8], hall: &Hall) -> String {
    let answer = match path {
        Create::PATH => serde_json::from_slice(body).ok().and_then(|create| created(create, hall)),
        Join::PATH => serde_json::from_slice(body).ok().map(|join| joined(join, hall)),
        _ => None,
    };
    answer.unwrap_or_else(|| {
        let msg = "a relay knows nothing".to_owned();
        json(&HttpAnswer::<()> { code: 1010, msg, data: None })
    })
}

fn created(create: CreateRequest, hall: &Hall) -> Option<String> {
    let CreateRequest { user_id: owner, name, group_id, .. } = create;
    let group_id = group_id?;
    let member_count = hall.join(group_id.to_string(), owner.to_string()) as u64;
    Some(json(&HttpAnswer::success(Group { group_id, name, owner, member_count })))
}

fn joined(join: GroupRequest, hall: &Hall) -> String {
    let member_count = hall.join(join.group_id.to_string(), join.user_id.to_string()) as u64;
    let epoch = "floor".to_owned();
    json(&HttpAnswer::success(MembershipResponse { changed: true, member_count, offset: 0, epoch }))
}
