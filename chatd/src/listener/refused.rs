//! Who is refused before a request of theirs is handled: what the HTTP library refuses by itself, because it cannot read it,
//! gets a body that says why, a head of HTTP/2 that is too large is answered before the library would without one, and
//! who speaks TLS gets an alert before a handshake.
//!
//! Invariant: no answer of ours is touched; each of the library's over HTTP/1 has a body.

use std::io::IoSlice;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::{Code, Refusal};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Version};

use super::MAX_HEAD_BYTES;

/// What its answers begin with.
const BEGIN: &[u8] = b"HTTP/1.1 4";
/// What they say of their body.
const EMPTY: &str = "content-length: 0\r\n";
/// Bytes of such a head at most.
const MOST_BYTES: usize = 512;

/// Bytes that a field of a head counts beside its name and value (RFC 9113 §6.5.2).
const FIELD_BYTES: usize = 32;
/// Why a head is too large.
const LARGE_HEAD: &str = "the head of a request has at most 16 KiB; send parameters with POST";

/// The answer to a request over HTTP/2 whose head is too large; none when it is not. Over HTTP/1 the library counts.
pub(super) fn large_head<B>(request: &Request<B>) -> Option<Response> {
    if request.version() != Version::HTTP_2 {
        return None;
    }
    let fields =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    if fields.sum::<usize>() + path + authority <= MAX_HEAD_BYTES {
        return None;
    }
    let body = serde_json::to_string(&HttpAnswer::refusal(&Refusal::new(Code::TooLarge, LARGE_HEAD)));
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8")];
    // Cannot fail: the members have text keys and no failing serializer.
    let body = Body::from(body.unwrap_or_default());
    Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, headers, body).into_response())
}

/// A fatal alert (RFC 8446 §6): what a handshake that has not begun can be told.
pub(super) fn in_tls(code: Code) -> [u8; 7] {
    let description = match code {
        // Nothing is wrong with who comes; internal_error.
        Code::StoreUnreachable => 80,
        // access_denied.
        _ => 49,
    };
    [21, 3, 3, 0, 2, 2, description]
}

/// The answer to write in place of what the library writes; none where it did not refuse.
pub(super) fn explained(writing: &[IoSlice<'_>]) -> Option<Vec<u8>> {
    let head = writing.first().filter(|head| head.starts_with(BEGIN) && head.len() <= MOST_BYTES)?;
    let head = str::from_utf8(head).ok()?;
    let is_whole = head.ends_with("\r\n\r\n") && writing[1..].iter().all(|rest| rest.is_empty());
    let refusal = match head.get(9..12).filter(|_| is_whole && head.contains(EMPTY))? {
        "400" => Refusal::new(Code::BadParameter, "this is no request of HTTP/1.1"),
        "414" | "431" => {
            let reason = "the head of a request has at most 16 KiB and 100 fields; send parameters with POST";
            Refusal::new(Code::TooLarge, reason)
        }
        _ => return None,
    };
    // Cannot fail: the members have text keys and no failing serializer.
    let body = serde_json::to_string(&HttpAnswer::refusal(&refusal)).unwrap_or_default();
    let told = format!("content-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n", body.len());
    Some((head.replacen(EMPTY, &told, 1) + &body).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_fatal_and_says_whether_it_is_for_who_comes() {
        assert_eq!(in_tls(Code::TooManyRequests), [21, 3, 3, 0, 2, 2, 49]);
        assert_eq!(in_tls(Code::StoreUnreachable), [21, 3, 3, 0, 2, 2, 80]);
    }

    #[test]
    fn only_an_answer_of_the_library_is_explained() {
        let told = |head: &str, rest: &str| {
            explained(&[IoSlice::new(head.as_bytes()), IoSlice::new(rest.as_bytes())])
                .map(|told| String::from_utf8(told).unwrap())
        };
        let refused =
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = told(refused, "").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 ") && body.contains("1012"), "{answer}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
        assert!(told(&refused.replace("431", "400"), "").unwrap().contains("1001"));
        for (head, rest) in [
            (refused.replace("431", "404"), ""),
            (refused.replace("431", "200"), ""),
            (refused.replace("length: 0", "length: 2"), ""),
            (refused.replace("\r\n\r\n", "\r\n"), ""),
            (refused.to_owned(), "{}"),
        ] {
            assert_eq!(told(&head, rest), None, "{head}{rest}");
        }
    }
}
