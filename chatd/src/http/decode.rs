//! Parameters of an HTTP request: query, form, JSON.
//!
//! Invariant: a parameter of the body overrides one of the query; text that is not UTF-8 is refused, never mended.

use std::time::Duration;

use axum::body::Body;
use chat_protocol::{Code, Params, Refusal};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;

/// Time for the body, which is small, so that a client that stops halfway does not keep its connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the parameters of a request.
///
/// # Errors
/// [`Code::BadParameter`] when they cannot be read, [`Code::TooLarge`] when the body exceeds `max_bytes`.
pub async fn params(parts: &Parts, body: Body, max_bytes: usize) -> Result<Params, Refusal> {
    let mut params = form(parts.uri.query().unwrap_or_default())?;
    if parts.method == http::Method::POST {
        let bytes = read(body, max_bytes).await?;
        params.override_with(body_params(parts, &bytes)?);
    }
    Ok(params)
}

async fn read(body: Body, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let bad = |reason: String| Refusal::new(Code::BadParameter, reason);
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(Code::TooLarge, format!("the body may hold at most {max_bytes} bytes")))
        }
        Ok(Err(error)) => Err(bad(format!("the body broke off: {error}"))),
        Err(_) => Err(bad(format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

fn body_params(parts: &Parts, bytes: &[u8]) -> Result<Params, Refusal> {
    if bytes.is_empty() {
        return Ok(Params::default());
    }
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => json(bytes),
        // `curl -d '{…}'` says it is a form.
        "application/x-www-form-urlencoded" | "" | "text/plain"
            if bytes.trim_ascii_start().starts_with(b"{") =>
        {
            json(bytes)
        }
        "application/x-www-form-urlencoded" | "" | "text/plain" => {
            let text = std::str::from_utf8(bytes).map_err(|error| {
                Refusal::new(Code::BadParameter, format!("the body is not UTF-8: {error}"))
            })?;
            form(text)
        }
        other => {
            let reason = format!("Content-Type {other} is not understood; send JSON or a URL-encoded form");
            Err(Refusal::new(Code::BadParameter, reason))
        }
    }
}

fn json(bytes: &[u8]) -> Result<Params, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::new(Code::BadParameter, format!("the body cannot be read as JSON: {error}"))
    })
}

/// Pairs of `application/x-www-form-urlencoded` (WHATWG URL §5.1), but strict about UTF-8.
fn form(text: &str) -> Result<Params, Refusal> {
    let mut params = Params::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = unescape(name).ok_or_else(|| Refusal::new(Code::BadParameter, "a name is not UTF-8"))?;
        let value = unescape(value).ok_or_else(|| Refusal::parameter(&name, "is not UTF-8"))?;
        params.add(&name, value.into())?;
    }
    Ok(params)
}

fn unescape(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::operation::Operation;
    use chat_protocol::user::{SendMessage, SendMessageRequest};

    fn parts(uri: &str, content_type: &str) -> Parts {
        let request = http::Request::post(uri).header(CONTENT_TYPE, content_type).body(()).unwrap();
        request.into_parts().0
    }

    async fn decode(uri: &str, content_type: &str, body: &[u8]) -> Result<SendMessageRequest, Refusal> {
        let body = Body::from(body.to_vec());
        params(&parts(uri, content_type), body, 64).await?.conform(SendMessage::FIELDS)
    }

    #[tokio::test]
    async fn query_form_and_json_say_the_same() {
        let json = "application/json; charset=utf-8";
        let form = "application/x-www-form-urlencoded";
        for (uri, content_type, body) in [
            ("/?appId=101&userId=%E9%BB%84%E5%B8%9D&message=a+b", "", ""),
            ("/", form, "appID=101&userID=%E9%BB%84%E5%B8%9D&message=a%20b"),
            ("/", json, r#"{"appId":101,"userId":"黄帝","message":"a b"}"#),
            ("/", form, r#"{"appId":101,"userId":"黄帝","message":"a b"}"#),
            ("/?appId=1&message=x", json, r#"{"appId":"101","userId":"黄帝","message":"a b"}"#),
        ] {
            let request = decode(uri, content_type, body.as_bytes()).await.unwrap();
            assert_eq!(
                (request.app_id, request.user_id.as_str(), &*request.message),
                (101, "黄帝", "a b"),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn unreadable_bodies_are_refused() {
        let json = "application/json";
        for (uri, content_type, body, code) in [
            ("/", json, &b"{"[..], Code::BadParameter),
            ("/", json, b"[1]", Code::BadParameter),
            ("/", json, b"\"x\"", Code::BadParameter),
            ("/", json, b"{\"appId\":1,\"userId\":\"\xff\",\"message\":\"m\"}", Code::BadParameter),
            ("/", "", b"appId=1&userId=%ff&message=m", Code::BadParameter),
            ("/?appId=1&appId=2", "", b"", Code::BadParameter),
            ("/", "image/png", b"x", Code::BadParameter),
            ("/", "", &[b'x'; 65], Code::TooLarge),
        ] {
            assert_eq!(decode(uri, content_type, body).await.unwrap_err().code, code, "{body:?}");
        }
    }
}
