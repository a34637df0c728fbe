//! The door to the WebSocket: checks the handshake (RFC 6455 §4.2) and hands the bare connection over.
//!
//! Invariant: nothing of HTTP remains on an upgraded connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chat_protocol::route::WEBSOCKET;
use chat_protocol::{Code, Refusal};
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::door::Forwarded;
use super::{Edge, forwarded, names, refuse};
use crate::counters::Limit;
use crate::listener::{Grant, Handed, Peer, Shortcut, Stream, Taken};
use crate::tls::Line;
use crate::workers::{Arrival, Held};

/// Length of 16 bytes in base64, without the two signs that fill it up.
const KEY_LENGTH: usize = 22;

/// Headers of a handshake that goes the short way, at most.
const MAX_HEADERS: usize = 32;

/// The one subprotocol that is selected when a client offers it (RFC 6455 §4.2.2).
const SUBPROTOCOL: &str = "chatd.v1";

/// Stands where a request came over no socket, as in tests of the router.
const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// `/acc`.
pub async fn accept(State(edge): State<Edge>, mut request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(NOBODY, |peer| peer.0);
    let key = match check_request(&request).and_then(|()| check(request.headers())) {
        Ok(key) => key,
        Err(unfit) => return unfit.refuse(peer),
    };
    if let Err(refusal) = edge.system.stays() {
        return refuse_handshake(&refusal, peer);
    }
    if edge.connections.len() >= edge.max_connections {
        let reason = format!(
            "this node holds its {} connections (limits.max_connections); try another or later",
            edge.max_connections
        );
        let refusal = Refusal::new(Code::StoreUnreachable, reason);
        return refuse_handshake(&edge.quotas.refuse(Limit::MaxConnections, refusal), peer);
    }
    let visit = match request.extensions().get::<Forwarded>() {
        Some(_) => edge.quotas.address_enters(peer.ip()),
        None => Ok(None),
    };
    let visit = match visit {
        Ok(visit) => visit,
        Err(refusal) => return refuse_handshake(&refusal, peer),
    };
    let speaks_ours = names(request.headers(), &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let upgrade = hyper::upgrade::on(&mut request);
    let place = request.extensions().get::<Handed>().cloned();
    let token = edge.connections.token();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return tracing::debug!(%peer, "the client left before the handshake was answered");
        };
        match line_of(upgraded) {
            Ok((line, read_ahead)) => {
                let place = place.and_then(|place| place.take()).inspect(|place| place.is_of(visit));
                let held = Held { place, token };
                edge.workers.take(Arrival { line, read_ahead, peer, held });
            }
            Err(error) => tracing::error!(%error, "an upgraded connection has no socket"),
        }
    });
    let headers =
        [(CONNECTION, "Upgrade".to_owned()), (UPGRADE, "websocket".to_owned()), (SEC_WEBSOCKET_ACCEPT, key)];
    let mut answer = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    if speaks_ours {
        // Strict clients that offer some end a connection where none is selected.
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(SUBPROTOCOL));
    }
    answer
}

impl Shortcut for Edge {
    /// A handshake that has nothing wrong with it; all others are refused by the HTTP edge.
    fn grant(&self, came: &[u8], peer: SocketAddr) -> Option<Grant> {
        let began = Instant::now();
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut lines);
        let Ok(httparse::Status::Complete(length)) = head.parse(came) else { return None };
        if (head.method, head.version) != (Some("GET"), Some(1)) {
            return None;
        }
        let path = head.path.filter(|path| path.split('?').next() == Some(WEBSOCKET.path))?;
        let mut request = Request::builder().uri(path);
        for line in head.headers.iter() {
            request = request.header(line.name, line.value);
        }
        let (parts, ()) = request.body(()).ok()?.into_parts();
        let has_body =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name));
        // Counted before it is compared, so that two at once do not both take the last place.
        let token = self.connections.token();
        if has_body || self.connections.len() > self.max_connections || self.system.stays().is_err() {
            return None;
        }
        self.door.check(&parts).ok()?;
        let (via, peer) = (peer, self.proxies.client(peer, forwarded(&parts.headers)));
        if via != peer && self.quotas.counts_addresses() {
            return None;
        }
        let key = check(&parts.headers).ok()?;
        tracing::debug!(%peer, "a handshake");
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n"
        );
        if names(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            answer.push_str("Sec-WebSocket-Protocol: ");
            answer.push_str(SUBPROTOCOL);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        let status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
        self.counters.requests.http.of(WEBSOCKET.name).count(status, began.elapsed());
        Some(Grant { answer: answer.into_bytes(), length, token, peer })
    }

    fn take(&self, Taken { line, read_ahead, peer, place, token }: Taken) {
        self.workers.take(Arrival { line, read_ahead, peer, held: Held { place: Some(place), token } });
    }
}

/// The line below, and what came together with the handshake.
fn line_of(upgraded: Upgraded) -> io::Result<(Line<std::net::TcpStream>, Bytes)> {
    let parts = hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<Stream>>(upgraded)
        .map_err(|_| io::ErrorKind::Unsupported)?;
    let line = parts.io.into_inner().into_line().ok_or(io::ErrorKind::NotConnected)?;
    Ok((line.change(tokio::net::TcpStream::into_std)?, parts.read_buf))
}

/// Why a request does not become a WebSocket, and what the client may ask for instead (RFC 6455 §4.4).
#[derive(Debug)]
struct Unfit {
    reason: &'static str,
    hint: Option<(HeaderName, &'static str)>,
}

impl Unfit {
    fn refuse(self, peer: SocketAddr) -> Response {
        let mut answer = refuse_handshake(&Refusal::new(Code::BadParameter, self.reason), peer);
        if let Some((name, value)) = self.hint {
            answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        answer
    }
}

fn refuse_handshake(refusal: &Refusal, peer: SocketAddr) -> Response {
    tracing::info!(code = refusal.code.number(), reason = refusal.reason, %peer, "refused a handshake");
    refuse(refusal)
}

fn bad(reason: &'static str) -> Unfit {
    Unfit { reason, hint: None }
}

/// Whether the request can become a WebSocket at all. An old proxy's HTTP/1.0 cannot, and would go on for ever with
/// a socket that nobody reads.
fn check_request(request: &Request) -> Result<(), Unfit> {
    if request.version() != Version::HTTP_11 {
        return Err(bad("a WebSocket begins over HTTP/1.1; behind nginx set proxy_http_version 1.1"));
    }
    match *request.method() {
        Method::GET => Ok(()),
        _ => Err(bad("a WebSocket begins with GET")),
    }
}

/// The accept key, or what is wrong.
fn check(headers: &HeaderMap) -> Result<String, Unfit> {
    if !names(headers, &UPGRADE, "websocket") || !names(headers, &CONNECTION, "upgrade") {
        let reason = "this path speaks WebSocket: connect with ws://";
        return Err(Unfit { reason, hint: Some((UPGRADE, "websocket")) });
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        let reason = "Sec-WebSocket-Version must be 13";
        return Err(Unfit { reason, hint: Some((SEC_WEBSOCKET_VERSION, "13")) });
    }
    match only(headers, &SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key) => Ok(derive_accept_key(key)),
        _ => Err(bad("Sec-WebSocket-Key must be 16 bytes in base64, given once")),
    }
}

/// The value of a header that is given once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Whether it is base64 of 16 bytes.
fn is_key(key: &[u8]) -> bool {
    key.strip_suffix(b"==").is_some_and(|key| {
        key.len() == KEY_LENGTH && key.iter().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    const GOOD: [(&str, &str); 5] = [
        ("host", "chat.example:8080"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        assert_eq!(check(&headers(&GOOD)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_missing_header_is_refused() {
        for (missing, _) in GOOD.into_iter().skip(1) {
            let rest: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(check(&headers(&rest)).is_err(), "without {missing}");
        }
    }
}
