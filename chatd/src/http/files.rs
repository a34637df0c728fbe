//! Files over HTTP: one comes as the body of a request, and goes to whoever has an address that was signed for them.
//!
//! Invariant: what is sent runs nowhere: its type is the one its content has, and a page that shows it by itself may do
//! nothing. A piece of it is in memory, whatever its size.

use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::file::{Address, Upload, UploadRequest, Uploaded};
use chat_protocol::{Code, Operation, Refusal};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, REFERRER_POLICY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::range::{Wanted, wanted};
use super::{Edge, NOWHERE, coded, decode, paced, peer_of, refuse};
use crate::files::{Opened, Part};
use crate::ops::desk::app_of;

/// A file that is opened as a page may do nothing.
const POLICY: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'");
/// Whether its reader may still open it is asked each time.
const CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Takes a file.
pub async fn upload(State(edge): State<Edge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match take(&edge, &parts, body).await {
        Ok(uploaded) => coded(Code::Success, &HttpAnswer::success(uploaded)),
        Err(refusal) => refuse(&refusal),
    }
}

async fn take(edge: &Edge, parts: &Parts, body: Body) -> Result<Uploaded, Refusal> {
    edge.door.check_change(&parts.headers)?;
    let peer = peer_of(parts).unwrap_or(NOWHERE);
    let guard = edge.desk.operations.guard(Upload::DESCRIPTION);
    let caller = guard.check(paced(edge, parts), peer)?;
    let mut params = decode::query(parts)?;
    guard.admit(&caller, peer, &mut params)?;
    check_form(&parts.headers)?;
    edge.desk.check_ban(&caller).await?;
    if let Some(app) = app_of(&caller, &params) {
        edge.desk.gate.enter(app).await?;
    }
    let act = guard.act(&caller, peer, &params);
    let request: UploadRequest = params.conform(Upload::RULES)?;
    let said = body.size_hint().exact();
    let taking = edge.files.upload(request, said, body.into_data_stream());
    match act {
        Some(act) => act.around(taking, |refusal: &Refusal| refusal.code).await,
        None => taking.await,
    }
}

/// Whether the body is the file itself.
fn check_form(headers: &HeaderMap) -> Result<(), Refusal> {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bad = |why: &str| Err(Refusal::new(Code::BadParameter, why));
    if said(CONTENT_TYPE).trim_start().starts_with("multipart/") {
        return bad("send the file itself as the body, as curl -T FILE does, and no form");
    }
    let coding = said(CONTENT_ENCODING).trim();
    match coding.is_empty() || coding.eq_ignore_ascii_case("identity") {
        true => Ok(()),
        false => bad("Content-Encoding is not understood; send the file as it is"),
    }
}

/// Sends a file.
pub async fn download(State(edge): State<Edge>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let sent = async {
        // Without a whole address nobody may have anything, whatever it lacks.
        let address = decode::query(&parts).and_then(|params| params.conform::<Address>(&[]));
        let refused = |refusal: Refusal| Refusal { code: Code::NotAuthorised, ..refusal };
        let opened = edge.files.open(&id, &address.map_err(refused)?).await?;
        send(&opened, &parts).await
    };
    sent.await.unwrap_or_else(|refusal| refuse(&refusal))
}

async fn send(opened: &Opened, parts: &Parts) -> Result<Response, Refusal> {
    let said = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let tag = tag(opened);
    let is_known = |known: &str| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    if said(IF_NONE_MATCH).is_some_and(is_known) {
        return Ok((StatusCode::NOT_MODIFIED, headers(opened, &tag)?).into_response());
    }
    // A part of another content would be worth nothing.
    let range = said(RANGE).filter(|_| said(IF_RANGE).is_none_or(|known| known == tag));
    let bytes = opened.bytes;
    let (status, range) = match wanted(range, bytes) {
        Wanted::Whole => (StatusCode::OK, 0..bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let range = [(CONTENT_RANGE, format!("bytes */{bytes}")), (ACCEPT_RANGES, "bytes".to_owned())];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    let pieces = opened.read(range.clone()).await?;
    let mut headers = headers(opened, &tag)?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {}-{}/{bytes}", range.start, range.end - 1);
        headers.insert(CONTENT_RANGE, value(&place)?);
    }
    Ok((status, headers, Body::from_stream(pieces)).into_response())
}

fn tag(opened: &Opened) -> String {
    let part = if opened.part == Part::Thumbnail { "-thumbnail" } else { "" };
    format!("\"{}{part}\"", opened.about.sha256)
}

fn headers(opened: &Opened, tag: &str) -> Result<HeaderMap, Refusal> {
    let content_type = match opened.part {
        Part::File => &opened.about.content_type,
        Part::Thumbnail => "image/jpeg",
    };
    let name = utf8_percent_encode(&opened.about.name, NON_ALPHANUMERIC);
    Ok(HeaderMap::from_iter([
        (CONTENT_TYPE, value(content_type)?),
        (CONTENT_DISPOSITION, value(&format!("inline; filename*=UTF-8''{name}"))?),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, CACHE),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (ETAG, value(tag)?),
    ]))
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(text).map_err(|_| Code::ServerError.into())
}
