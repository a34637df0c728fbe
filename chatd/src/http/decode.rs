//! Parameters of an HTTP request: query, form, JSON, multipart form.
//!
//! Invariant: a parameter of the body overrides one of the query; text that is not UTF-8 is refused, never mended.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use chat_protocol::{Code, Params, Refusal};
use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
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
    let mut params = query(parts)?;
    if parts.method == http::Method::POST {
        let bytes = read(parts, body, max_bytes).await?;
        params.override_with(body_params(parts, &bytes).await?);
    }
    Ok(params)
}

/// Reads the query of a request whose body is something else.
///
/// # Errors
/// [`Code::BadParameter`] when it cannot be read.
pub fn query(parts: &Parts) -> Result<Params, Refusal> {
    form(parts.uri.query().unwrap_or_default())
}

async fn read(parts: &Parts, body: Body, max_bytes: usize) -> Result<Bytes, Refusal> {
    let bad = |reason: String| Refusal::new(Code::BadParameter, reason);
    let too_large = || Refusal::new(Code::TooLarge, format!("the body may hold at most {max_bytes} bytes"));
    let coding = text(parts, &CONTENT_ENCODING);
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
        return Err(bad(format!("Content-Encoding {coding} is not understood; send the body as it is")));
    }
    // Before a byte of it is read: a client that waits for "100 Continue" then sends none.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(bad(format!("the body broke off: {error}"))),
        Err(_) => Err(bad(format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

async fn body_params(parts: &Parts, bytes: &Bytes) -> Result<Params, Refusal> {
    if bytes.is_empty() {
        return Ok(Params::default());
    }
    let content_type = text(parts, &CONTENT_TYPE);
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Some editors and runtimes put a byte order mark before JSON.
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match essence.as_str() {
        "application/json" => json(plain),
        // `curl -d '{…}'` says it is a form.
        "application/x-www-form-urlencoded" | "" | "text/plain"
            if plain.trim_ascii_start().starts_with(b"{") =>
        {
            json(plain)
        }
        "application/x-www-form-urlencoded" | "" | "text/plain" => {
            let text = std::str::from_utf8(plain).map_err(|error| {
                Refusal::new(Code::BadParameter, format!("the body is not UTF-8: {error}"))
            })?;
            form(text)
        }
        "multipart/form-data" => multipart(content_type, bytes.clone()).await,
        other => {
            let reason = format!("Content-Type {other} is not understood; send JSON or a form");
            Err(Refusal::new(Code::BadParameter, reason))
        }
    }
}

/// The header as text; nothing when it is absent or is none.
fn text<'p>(parts: &'p Parts, name: &HeaderName) -> &'p str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

/// Parts of `multipart/form-data` (RFC 7578), as a browser's `FormData` and `curl -F` send them.
async fn multipart(content_type: &str, bytes: Bytes) -> Result<Params, Refusal> {
    let bad = |error: multer::Error| {
        Refusal::new(Code::BadParameter, format!("the multipart form cannot be read: {error}"))
    };
    let boundary = multer::parse_boundary(content_type).map_err(bad)?;
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(bytes)]);
    let (mut form, mut params) = (multer::Multipart::new(whole, boundary), Params::default());
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(Refusal::new(Code::BadParameter, "a part of the multipart form has no name"));
        };
        if field.file_name().is_some() {
            return Err(Refusal::parameter(&name, "is a file; send its text as a plain field"));
        }
        let value = field.bytes().await.map_err(bad)?;
        let value = std::str::from_utf8(&value).map_err(|_| Refusal::parameter(&name, "is not UTF-8"))?;
        params.add(&name, value.into())?;
    }
    Ok(params)
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
    use chat_protocol::user::SendMessageRequest;

    fn parts(uri: &str, content_type: &str) -> Parts {
        let request = http::Request::post(uri).header(CONTENT_TYPE, content_type).body(()).unwrap();
        request.into_parts().0
    }

    async fn decode(uri: &str, content_type: &str, body: &[u8]) -> Result<SendMessageRequest, Refusal> {
        let body = Body::from(body.to_vec());
        params(&parts(uri, content_type), body, 512).await?.conform(&[])
    }

    const PARTS: &str = "multipart/form-data; boundary=b0";

    fn parted(fields: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        fields.iter().map(part).collect::<String>() + "--b0--\r\n"
    }

    #[tokio::test]
    async fn a_multipart_form_is_text_only_and_whole() {
        let good = parted(&[("appId", "1"), ("userId", "a"), ("message", "m")]);
        let file = good.replace("name=\"message\"", "name=\"message\"; filename=\"m.txt\"");
        let unnamed = good.replace("; name=\"message\"", "");
        for (content_type, body, why) in [
            (PARTS, file.as_str(), "message: is a file"),
            (PARTS, &unnamed, "has no name"),
            (PARTS, &good[..good.len() - 12], "cannot be read"),
            ("multipart/form-data", &good, "cannot be read"),
            ("multipart/form-data; boundary=other", &good, "cannot be read"),
        ] {
            let body = Body::from(body.to_owned());
            let refused = params(&parts("/", content_type), body, 4096).await.unwrap_err();
            assert!(refused.code == Code::BadParameter && refused.reason.contains(why), "{why}: {refused}");
        }
    }

    #[tokio::test]
    async fn query_form_and_json_say_the_same() {
        let json = "application/json; charset=utf-8";
        let form = "application/x-www-form-urlencoded";
        for (uri, content_type, body) in [
            ("/?appId=101&userId=%E9%BB%84%E5%B8%9D&message=a+b", "", ""),
            ("/", form, "appID=101&userID=%E9%BB%84%E5%B8%9D&message=a%20b"),
            ("/", json, r#"{"appId":101,"userId":"黄帝","message":"a b"}"#),
            ("/", json, "\u{feff}{\"appId\":101,\"userId\":\"黄帝\",\"message\":\"a b\"}"),
            ("/", PARTS, &parted(&[("appID", "101"), ("userID", "黄帝"), ("message", "a b")])),
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
            ("/?appId=1&appId=2&userId=a&message=m", "", b"", Code::BadParameter),
            ("/", "image/png", b"x", Code::BadParameter),
            ("/", "", &[b'x'; 513], Code::TooLarge),
        ] {
            assert_eq!(decode(uri, content_type, body).await.unwrap_err().code, code, "{body:?}");
        }
    }
}
