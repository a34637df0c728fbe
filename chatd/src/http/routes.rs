//! Which path leads where.
//!
//! Invariant: a path is one of `chat_protocol::table`, of an operation or of a route: nothing else adds any, and each of
//! them leads somewhere, on a node that does not serve it to the words that say so.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use chat_protocol::route::{self, Place, Route};
use chat_protocol::table::{ALL, ROUTES};
use chat_protocol::{Code, Refusal};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::{Edge, door, files, openapi, operate, page, ready, refuse, scrape, upgrade};
use crate::ops::duty;

/// Leads each path to what serves it.
pub fn router(edge: Edge) -> Router {
    let role = edge.desk.role;
    let served = ROUTES.iter().filter(|route| duty::has(role, route));
    let router = served.fold(Router::new(), |router, route| router.route(route.path, leads(route)));
    // Any operation is found behind the last route, unless it looks like one.
    let alike = ALL.iter().filter(|operation| ROUTES.iter().any(|route| route.is_at(operation.path)));
    let router = alike.fold(router, |router, operation| router.route(operation.path, any(operate)));
    router.fallback(operate).layer(from_fn_with_state(edge.clone(), door::watch)).with_state(edge)
}

/// What serves a route.
fn leads(route: &'static Route) -> MethodRouter<Edge> {
    match route.place {
        Place::WebSocket => taking(route, upgrade::accept),
        Place::Root => taking(route, page::lead),
        Place::Page => taking(route, page::index),
        // Not every name is one, whatever the method.
        Place::Asset => any(page::asset),
        Place::VersionedAsset => any(page::versioned),
        Place::Upload => taking(route, files::upload),
        Place::File => taking(route, files::download),
        Place::Livez => taking(route, async || "ok\n"),
        Place::Readyz => taking(route, ready),
        Place::Metrics => taking(route, scrape),
        Place::Document => taking(route, openapi::document),
    }
}

/// A path that takes the methods of its route.
fn taking<H: Handler<T, Edge>, T: 'static>(route: &'static Route, handler: H) -> MethodRouter<Edge> {
    let filter = |method: &route::Method| match method {
        route::Method::Get => MethodFilter::GET,
        route::Method::Put => MethodFilter::PUT,
        route::Method::Post => MethodFilter::POST,
    };
    let filters = route.methods.iter().map(filter).reduce(MethodFilter::or);
    let other = async move |method: Method| not_asked_so(&method, &route.allow());
    match filters {
        Some(filters) => on(filters, handler).fallback(other),
        None => any(other),
    }
}

/// The answer to a method that a path does not take; OPTIONS asks for the ones it does.
pub fn not_asked_so(method: &Method, allowed: &str) -> Response {
    let mut answer = match *method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => refuse(&Refusal::new(
            Code::MethodNotAllowed,
            format!("{method} is not taken here; use {allowed}"),
        )),
    };
    // Cannot fail: names of methods are letters.
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}
