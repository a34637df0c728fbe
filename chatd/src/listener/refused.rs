//! Requests that the HTTP library refuses by itself, because it cannot read them: its answer gets a body that says why.
//!
//! Invariant: no answer of ours is touched; each of those has a body.

use std::io::IoSlice;

use chat_protocol::envelope::HttpAnswer;
use chat_protocol::{Code, Refusal};

/// What its answers begin with.
const BEGIN: &[u8] = b"HTTP/1.1 4";
/// What they say of their body.
const EMPTY: &str = "content-length: 0\r\n";
/// Bytes of such a head at most.
const MOST_BYTES: usize = 512;

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
