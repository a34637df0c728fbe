//! Requests for what is no operation: each route of the table, by each method that it takes.
//!
//! Invariant: what is asked comes from the table alone.

use chat_client::Server;
use chat_protocol::route::{Method, Route};
use serde_json::{Map, Value};

use crate::files::written;
use crate::raw_http::{Answer, request};

/// A path of the route: its own, with something in the place of each segment that may differ.
#[must_use]
pub fn path(route: &Route) -> String {
    let path = route.path.replace("{asset}", "client.js").replace("{version}", "any");
    path.replace("{id}", &"0".repeat(32))
}

/// Asks by each of its methods with these parameters, and a short body where it takes one.
///
/// # Panics
/// When there is no answer.
pub async fn ask(
    server: &Server,
    route: &Route,
    headers: &[(&str, &str)],
    query: &Map<String, Value>,
) -> Vec<Answer> {
    let pairs = query.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", written(text)),
        other => format!("{name}={other}"),
    });
    let target = format!("{}?{}", path(route), pairs.collect::<Vec<_>>().join("&"));
    let body: &[u8] = if route.body.is_some() { b"x" } else { b"" };
    let mut answers = Vec::new();
    for method in route.methods.iter().copied().map(Method::as_str) {
        answers.push(request(server, method, &target, headers, body).await);
    }
    answers
}
