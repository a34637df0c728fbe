//! The HTTP edge: paths to operations, the chat page, health, and the door to the WebSocket.
//!
//! Invariant: every answer but pages, health and metrics is JSON of the documented form, and its status follows its code.

mod decode;
mod openapi;
mod page;
mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chat_protocol::envelope::HttpAnswer;
use chat_protocol::{Code, Refusal};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde::Serialize;
use tokio_util::task::TaskTracker;

use crate::metrics::{self, Metrics};
use crate::ops::system::System;
use crate::ops::{Caller, Table};
use crate::session::Sessions;

/// What the edge leads to.
#[derive(Clone)]
pub struct Edge {
    /// Operations by path.
    pub operations: Arc<Table>,
    /// For `/readyz`.
    pub system: Arc<System>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Where upgraded connections go.
    pub sessions: Arc<Sessions>,
    /// Counts upgraded connections, so that a stop can wait for them.
    pub tasks: TaskTracker,
    /// Upgraded connections at most.
    pub max_connections: usize,
    /// Origins besides the page's own host whose scripts may connect.
    pub allowed_origins: Arc<[String]>,
    /// Bytes of a request body at most.
    pub max_body_bytes: usize,
}

/// The routes.
pub fn router(edge: Edge) -> Router {
    Router::new()
        .route("/acc", get(upgrade::accept).fallback(unknown))
        .route("/home/index", get(page::index).fallback(unknown))
        .route("/home/{asset}", get(page::asset).fallback(unknown))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape).fallback(unknown))
        .route("/openapi.json", get(openapi::document))
        .fallback(operate)
        .with_state(edge)
}

async fn unknown() -> Response {
    refuse(&Code::UnknownOperation.into())
}

async fn ready(State(edge): State<Edge>) -> Response {
    match edge.system.ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", refusal.reason)).into_response(),
    }
}

async fn scrape(State(edge): State<Edge>) -> Response {
    let Some(turn) = edge.metrics.turn() else {
        return refuse(&Refusal::new(Code::TooManyRequests, "other scrapes are under way"));
    };
    // It may read for a while where many files are open, and the threads of the runtime are for the connections.
    let scraped = tokio::task::spawn_blocking(move || {
        let text = edge.metrics.text();
        drop(turn);
        text
    });
    match scraped.await {
        Ok(text) => {
            ([(CONTENT_TYPE, metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "scraping");
            refuse(&Code::ServerError.into())
        }
    }
}

async fn operate(State(edge): State<Edge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(operation) = edge.operations.path(parts.uri.path()) else {
        return unknown().await;
    };
    if parts.method != Method::GET && parts.method != Method::POST {
        let reason = format!("{} is not understood here; use GET or POST", parts.method);
        return refuse(&Refusal::new(Code::UnknownOperation, reason));
    }
    let done = async {
        let params = decode::params(&parts, body, edge.max_body_bytes).await?;
        operation.call(Caller::Operator, params).await
    };
    match done.await {
        Ok(data) => answer(StatusCode::OK, &HttpAnswer::success(data)),
        Err(refusal) => refuse(&refusal),
    }
}

/// The answer to a request that was not done.
fn refuse(refusal: &Refusal) -> Response {
    let status =
        StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, &HttpAnswer::refusal(refusal))
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    // Cannot fail: the types of the wire have text keys and no failing serializer.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (status, headers, Body::from(body)).into_response()
}
