//! The HTTP edge: paths to operations, the chat page, health, and the door to the WebSocket.
//!
//! Invariant: every answer but pages, health and metrics is JSON of the documented form, and its status follows its code.

pub mod decode;
pub mod door;
mod files;
mod openapi;
mod page;
mod range;
mod routes;
mod unread;
mod upgrade;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::{Code, Operation, Refusal, system};
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use self::door::Door;
use self::routes::not_asked_so;
use crate::auth::Caller;
use crate::config::{Proxies, Role};
use crate::counters::Counters;
use crate::files::Files;
use crate::listener::{Entrance, Peer};
use crate::metrics::{Form, Metrics};
use crate::ops::desk::Desk;
use crate::ops::duty::Way;
use crate::ops::system::System;
use crate::quota::Quotas;
use crate::transport::queued;
use crate::workers::Workers;

/// The address of a request that came over no connection.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Whom a proxy forwards; nginx, HAProxy and Caddy all say it so.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the edge leads to.
#[derive(Clone)]
pub struct Edge {
    /// Receives who asks.
    pub desk: Arc<Desk>,
    /// For `/readyz`.
    pub system: Arc<System>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Where upgraded connections go.
    pub workers: Arc<Workers>,
    /// Counts upgraded connections, so that a stop can wait for them.
    pub connections: TaskTracker,
    /// Upgraded connections at most; 0 on a node that takes none.
    pub max_connections: usize,
    /// Which hosts and origins requests may come with.
    pub door: Arc<Door>,
    /// Who speaks for others.
    pub proxies: Arc<Proxies>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// How much anybody may ask.
    pub quotas: Arc<Quotas>,
    /// Files that messages carry.
    pub files: Arc<Files>,
    /// Bytes of a request body at most.
    pub max_body_bytes: usize,
}

/// Methods of an operation that changes something.
const CHANGE_METHODS: &str = "POST, OPTIONS";
/// Methods of any other operation.
const ALL_METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Where connections go: the short way where they can, and the routes.
#[must_use]
pub fn entrance(edge: Edge) -> Entrance {
    Entrance { shortcut: Arc::new(edge.clone()), router: routes::router(edge) }
}

async fn unknown() -> Response {
    refuse(&Code::UnknownOperation.into())
}

async fn ready(State(edge): State<Edge>) -> Response {
    match edge.system.ready().await {
        Ok(()) => match edge.desk.role {
            Role::All => "ok\n".into_response(),
            role => format!("ok, as {role}\n").into_response(),
        },
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", refusal.reason)).into_response(),
    }
}

async fn scrape(State(edge): State<Edge>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    // As much as the state tells.
    if let Err(refusal) = caller(&edge, &parts).and_then(|caller| caller.may(system::State::RIGHTS)) {
        return refuse(&refusal);
    }
    let form =
        Form::accepted(parts.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok()));
    let Some(turn) = edge.metrics.turn() else {
        return refuse(&Refusal::new(Code::TooManyRequests, "other scrapes are under way"));
    };
    // It may read for a while where many files are open, and the threads of the runtime are for the connections.
    let scraped = tokio::task::spawn_blocking(move || {
        let text = edge.metrics.text(form);
        drop(turn);
        text
    });
    match scraped.await {
        Ok(text) => {
            let headers =
                [(CONTENT_TYPE, form.content_type()), (CACHE_CONTROL, "no-store"), (VARY, "accept")];
            (headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "scraping");
            refuse(&Code::ServerError.into())
        }
    }
}

async fn operate(State(edge): State<Edge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let operation = match edge.desk.operation(Way::Http, path) {
        Ok(operation) => operation,
        Err(refusal) => {
            return match (&parts.method, path) {
                (method @ &Method::OPTIONS, "*") => not_asked_so(method, ALL_METHODS),
                _ => refuse(&refusal),
            };
        }
    };
    let effect = operation.effect();
    match parts.method {
        Method::POST => {}
        Method::GET | Method::HEAD if effect.takes_get() => {}
        _ if effect.takes_get() => return not_asked_so(&parts.method, ALL_METHODS),
        _ => return not_asked_so(&parts.method, CHANGE_METHODS),
    }
    let done = async {
        if effect.changes() {
            edge.door.check_change(&parts.headers)?;
        }
        let peer = peer_of(&parts).unwrap_or(NOWHERE);
        let caller = operation.guard().check(paced(&edge, &parts), peer)?;
        let params = decode::params(&parts, body, edge.max_body_bytes);
        let (params, ()) = tokio::try_join!(params, edge.desk.check_ban(&caller))?;
        edge.desk.check_app(operation, &caller, &params).await?;
        operation.call(caller, peer, params).await
    };
    match done.await {
        Ok(data) => coded(Code::Success, &HttpAnswer::success(data)),
        Err(refusal) => refuse(&refusal),
    }
}

/// Who asks.
fn caller(edge: &Edge, parts: &Parts) -> Result<Caller, Refusal> {
    let given = parts.headers.get_all(AUTHORIZATION).into_iter().map(|value| value.to_str().ok());
    edge.desk.caller(given, peer_of(parts))
}

/// Who asks, unless they ask too fast.
fn paced(edge: &Edge, parts: &Parts) -> Result<Caller, Refusal> {
    edge.desk.paced(caller(edge, parts), peer_of(parts))
}

fn peer_of(parts: &Parts) -> Option<SocketAddr> {
    parts.extensions.get().map(|Peer(peer)| *peer)
}

/// Whether a header lists the token, in any case.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Whom proxies say that they forward, the nearest last.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let values = headers.get_all(X_FORWARDED_FOR).into_iter();
    // What is no text is believed no more than what is no address.
    values.flat_map(|value| value.to_str().unwrap_or_default().split(','))
}

/// The answer to a request that was not done.
fn refuse(refusal: &Refusal) -> Response {
    let mut answer = coded(refusal.code, &HttpAnswer::refusal(refusal));
    if refusal.code == Code::NotLoggedIn {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait_ms) = refusal.retry_after_ms {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
    }
    answer
}

fn coded(code: Code, body: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // Cannot fail: the types of the wire have text keys and no failing serializer.
    let mut body = serde_json::to_vec(body).unwrap_or_default();
    body.shrink_to_fit();
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    let mut answer = (status, headers, Body::from(queued::counted(body))).into_response();
    // For the log.
    answer.extensions_mut().insert(code);
    answer
}
