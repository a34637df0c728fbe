//! The door to the WebSocket: checks the handshake (RFC 6455 §4.2) and hands the bare TCP stream over.
//!
//! Invariant: nothing of HTTP remains on an upgraded connection.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chat_protocol::{Code, Refusal};
use http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Edge, refuse};

/// Length of 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// The one subprotocol that is selected when a client offers it (RFC 6455 §4.2.2).
const SUBPROTOCOL: &str = "chatd.v1";

/// `/acc`.
pub async fn accept(State(edge): State<Edge>, mut request: Request) -> Response {
    let key = match check(request.headers(), &edge.allowed_origins) {
        Ok(key) => key,
        Err(response) => return *response,
    };
    if edge.tasks.len() >= edge.max_connections {
        let reason =
            format!("this node holds its {} connections; try another or later", edge.max_connections);
        return refuse(&Refusal::new(Code::StoreUnreachable, reason));
    }
    let speaks_ours = names(request.headers(), &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let upgrade = hyper::upgrade::on(&mut request);
    edge.tasks.spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => edge.sessions.serve(parts.io.into_inner(), parts.read_buf).await,
            Err(_) => tracing::error!("an upgraded connection is no TCP stream"),
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

/// The accept key, or the answer that says what is wrong.
fn check(headers: &HeaderMap, allowed_origins: &[String]) -> Result<String, Box<Response>> {
    let bad = |reason: &str| Box::new(refuse(&Refusal::new(Code::BadParameter, reason)));
    if !names(headers, &UPGRADE, "websocket") || !names(headers, &CONNECTION, "upgrade") {
        let answer = bad("this path speaks WebSocket: connect with ws://");
        return Err(with_hint(answer, UPGRADE, "websocket"));
    }
    if !names(headers, &SEC_WEBSOCKET_VERSION, "13") {
        let answer = bad("Sec-WebSocket-Version must be 13");
        return Err(with_hint(answer, SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if key.len() != KEY_LENGTH || !key.ends_with(b"==") {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    if !origin_allowed(headers, allowed_origins) {
        let reason = "this Origin may not connect; the operator can list it in allowed_origins";
        return Err(Box::new(refuse(&Refusal::new(Code::NotAuthorised, reason))));
    }
    Ok(derive_accept_key(key))
}

/// Tells the client what it may ask for instead (RFC 6455 §4.4); the status follows the code as everywhere.
fn with_hint(mut answer: Box<Response>, name: HeaderName, value: &'static str) -> Box<Response> {
    answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
    answer
}

/// Whether a header lists the token, in any case.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Browsers always send an Origin; programs send none and are not what the check is about.
fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, authority)| authority);
    own.is_some_and(|own| host.is_some_and(|host| host.eq_ignore_ascii_case(own)))
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
        assert_eq!(check(&headers(&GOOD), &[]).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_missing_header_is_refused() {
        for (missing, _) in GOOD.into_iter().skip(1) {
            let rest: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(check(&headers(&rest), &[]).is_err(), "without {missing}");
        }
    }

    #[test]
    fn origin_must_be_the_own_host_or_listed() {
        let from = |origin: &'static str| headers(&[GOOD.as_slice(), &[("origin", origin)]].concat());
        let listed = ["https://partner.example".to_owned()];
        assert!(check(&from("http://chat.example:8080"), &[]).is_ok());
        assert!(check(&from("https://partner.example"), &listed).is_ok());
        for foreign in
            ["http://evil.example", "http://chat.example", "null", "https://chat.example:8080.evil"]
        {
            let refused = check(&from(foreign), &listed).unwrap_err();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{foreign}");
        }
    }
}
